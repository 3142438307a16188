//! Kubernetes resource quantities, exact enough to add and compare.

use std::{fmt, ops::Add};

/// A resource quantity in thousandths of its unit (`500m` CPU is 500, `1Ki` of memory is 1 024 000).
///
/// Source: `k8s.io/apimachinery/pkg/api/resource/quantity.go`. Finer fractions are rounded up, as the
/// scheduler does when it reads CPU in millicores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(i128);

// === impl Quantity ===

impl Quantity {
    /// Reads a quantity as it stands in JSON: a string such as `"1.5Gi"`, or a bare number.
    ///
    /// Returns `None` when the text is no quantity.
    #[must_use]
    pub fn parse(json: &str) -> Option<Self> {
        let text = json.trim().trim_matches('"');
        let split = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
        let (number, suffix) = text.split_at(split);
        scale(number, multiplier(suffix)?).map(Self)
    }

    /// Whether it has no fraction.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.0 % 1_000 == 0
    }

    /// The larger of two quantities.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Ord::max(self, other)
    }
}

/// What a suffix multiplies by, in thousandths, as a fraction.
fn multiplier(suffix: &str) -> Option<(i128, i128)> {
    let (thousandths, divisor) = match suffix {
        "n" => (1, 1_000_000),
        "u" => (1, 1_000),
        "m" => (1, 1),
        "" => (1_000, 1),
        "k" => (1_000_000, 1),
        "M" => (10_i128.pow(9), 1),
        "G" => (10_i128.pow(12), 1),
        "T" => (10_i128.pow(15), 1),
        "P" => (10_i128.pow(18), 1),
        "E" => (10_i128.pow(21), 1),
        "Ki" => (1_000 << 10, 1),
        "Mi" => (1_000 << 20, 1),
        "Gi" => (1_000 << 30, 1),
        "Ti" => (1_000 << 40, 1),
        "Pi" => (1_000 << 50, 1),
        "Ei" => (1_000 << 60, 1),
        exponent => return exponential(exponent),
    };
    Some((thousandths, divisor))
}

/// The suffix of `1e3` and `1E-2`; exponents beyond 18 exceed what Kubernetes stores.
fn exponential(suffix: &str) -> Option<(i128, i128)> {
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    if exponent.unsigned_abs() > 18 {
        return None;
    }
    let power = 10_i128.pow(exponent.unsigned_abs());
    Some(if exponent < 0 { (1_000, power) } else { (1_000 * power, 1) })
}

/// `number * multiplier`, rounded away from zero.
fn scale(number: &str, (multiplier, divisor): (i128, i128)) -> Option<i128> {
    let negative = number.starts_with('-');
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    if (whole.is_empty() && fraction.is_empty() && !digits.contains('0')) || fraction.len() > 18 {
        return None;
    }
    let places = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let unscaled = format!("{whole}{fraction}");
    // A second sign or point is no digit either.
    if !unscaled.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let unscaled: i128 = if unscaled.is_empty() { 0 } else { unscaled.parse().ok()? };
    let value = unscaled.checked_mul(multiplier)?;
    let divisor = places.checked_mul(divisor)?;
    let rounded = value / divisor + i128::from(value % divisor != 0);
    Some(if negative { -rounded } else { rounded })
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Written with the largest suffix that loses nothing, for people.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 1_000 != 0 {
            return write!(f, "{}m", self.0);
        }
        let whole = self.0 / 1_000;
        let binary = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
        match binary.iter().find(|(_, bits)| whole != 0 && whole % (1 << bits) == 0) {
            Some((suffix, bits)) => write!(f, "{}{suffix}", whole >> bits),
            None => write!(f, "{whole}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::millis("\"500m\"", 500)]
    #[case::bare_number("2", 2_000)]
    #[case::fraction("\"0.1\"", 100)]
    #[case::leading_point("\".5\"", 500)]
    #[case::binary("\"1.5Gi\"", 1_610_612_736_000)]
    #[case::decimal("\"1k\"", 1_000_000)]
    #[case::exponent("\"1e3\"", 1_000_000)]
    #[case::exa_is_not_an_exponent("\"1E\"", 1_000_000_000_000_000_000_000)]
    #[case::negative_exponent("\"12E-1\"", 1_200)]
    #[case::nano_rounds_up("\"1n\"", 1)]
    #[case::zero("\"0\"", 0)]
    #[case::zero_fraction("\"0.0\"", 0)]
    fn reads_what_kubernetes_reads(#[case] json: &str, #[case] thousandths: i128) {
        assert_eq!(Quantity::parse(json), Some(Quantity(thousandths)));
    }

    #[rstest]
    #[case("\"\"")]
    #[case("\"abc\"")]
    #[case("\"1Zi\"")]
    #[case("\"1.2.3\"")]
    #[case::found_by_fuzzing("\"0+\"")]
    #[case("\"1.0.3\"")]
    #[case("\"10-5\"")]
    #[case("\"+-5\"")]
    #[case("\"1e99\"")]
    #[case::found_by_fuzzing("\"1e36\"")]
    #[case("null")]
    #[case("\"-\"")]
    fn refuses_what_is_no_quantity(#[case] json: &str) {
        assert_eq!(Quantity::parse(json), None);
    }

    #[rstest]
    #[case("\"1500m\"", "1500m")]
    #[case("\"2\"", "2")]
    #[case("\"256Mi\"", "256Mi")]
    #[case("\"1000k\"", "1000000")]
    fn is_written_for_people(#[case] json: &str, #[case] text: &str) {
        assert_eq!(Quantity::parse(json).unwrap().to_string(), text);
    }
}
