//! Quantities, one a line: what is read is exactly what Kubernetes reads, worked out here a second time with numbers of
//! any size; what is not read is none to Kubernetes either, or beyond what it stores. Sums are the same either way round.

use native_sidecar_core::pod::Quantity;
use num_bigint::BigInt;
use serde_json::json;

/// What Kubernetes stores at most, in units.
const MOST: i64 = i64::MAX;
/// More digits than these need not be told apart.
const MOST_DIGITS: usize = 17;
/// Nor have larger exponents to be read.
const MOST_EXPONENT: u64 = 18;

/// Runs one input.
///
/// # Panics
///
/// When a promise is broken.
#[must_use]
pub fn run(bytes: &[u8]) -> &'static str {
    let Ok(text) = std::str::from_utf8(bytes) else { return "no-text" };
    // What is no JSON never comes so far, but nobody has to know that.
    let _raw = Quantity::parse(text);
    let mut sum: Option<Quantity> = None;
    for line in text.lines() {
        let (read, exact) = (Quantity::parse(&json!(line).to_string()), exact(line));
        match (read, &exact) {
            (Some(quantity), Some(exact)) => assert_eq!(&thousandths(quantity), exact, "{line:?} is {quantity}"),
            (Some(quantity), None) => panic!("{line:?} is no quantity, and was read as {quantity}"),
            (None, Some(exact)) => assert!(is_beyond(line, exact), "{line:?} is a quantity and was not read"),
            (None, None) => {}
        }
        let Some(quantity) = read else { continue };
        if let Some(before) = sum {
            assert_eq!(before + quantity, quantity + before);
            assert!(before.max(quantity) >= before && before.max(quantity) >= quantity);
        }
        assert_eq!(Quantity::parse(&quantity.to_string()), Some(quantity), "{line:?}");
        sum = Some(sum.map_or(quantity, |before| before + quantity));
    }
    if sum.is_some() { "read" } else { "none" }
}

/// What `text` is in thousandths, rounded away from zero; `None` where Kubernetes takes it for no quantity.
///
/// Source: `parseQuantityString` and `ParseQuantity` in k8s.io/apimachinery/pkg/api/resource/quantity.go.
fn exact(text: &str) -> Option<BigInt> {
    if text.is_empty() {
        return None;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, rest) = digits(unsigned);
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
    let unscaled: BigInt = format!("0{whole}{fraction}").parse().ok()?;
    let (numerator, denominator) = scale(suffix)?;
    let denominator = denominator * power(u32::try_from(fraction.len()).ok()?);
    let product = unscaled * numerator * 1_000;
    let rounded: BigInt = (product + &denominator - 1) / denominator;
    Some(if text.starts_with('-') { -rounded } else { rounded })
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// What a suffix multiplies by, as a fraction.
fn scale(suffix: &str) -> Option<(BigInt, BigInt)> {
    let whole = |number: BigInt| Some((number, BigInt::from(1)));
    if let Some(at) = ["n", "u", "m"].iter().position(|name| *name == suffix) {
        return Some((1.into(), power(9 - 3 * u32::try_from(at).ok()?)));
    }
    if let Some(at) = ["", "k", "M", "G", "T", "P", "E"].iter().position(|name| *name == suffix) {
        return whole(power(3 * u32::try_from(at).ok()?));
    }
    if let Some(at) = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|name| *name == suffix) {
        return whole(BigInt::from(1) << (10 * (at + 1)));
    }
    let exponent = exponent(suffix)?;
    // Beyond this it is beyond everything else too.
    let places = u32::try_from(exponent.unsigned_abs().min(1_000)).ok()?;
    if exponent < 0 { Some((1.into(), power(places))) } else { whole(power(places)) }
}

fn exponent(suffix: &str) -> Option<i64> {
    suffix.strip_prefix(['e', 'E'])?.parse().ok()
}

fn power(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

/// Whether a quantity is larger or finer than what has to be read, or has no digit before its suffix, which Kubernetes takes for
/// zero.
fn is_beyond(text: &str, exact: &BigInt) -> bool {
    let unsigned = text.trim_start_matches(['+', '-']);
    let (whole, rest) = digits(unsigned);
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
    whole.is_empty() && fraction.is_empty()
        || exact.magnitude() > BigInt::from(i128::from(MOST) * 1_000).magnitude()
        || whole.trim_start_matches('0').len() + fraction.trim_end_matches('0').len() > MOST_DIGITS
        || exponent(suffix).is_some_and(|exponent| exponent.unsigned_abs() > MOST_EXPONENT)
}

/// A quantity as it is written for people, in thousandths.
fn thousandths(quantity: Quantity) -> BigInt {
    exact(&quantity.to_string()).expect("what is written is a quantity")
}
