//! What a YAML scalar means, as `kubectl` understands it.
//!
//! `kubectl` reads YAML with sigs.k8s.io/yaml, which is go.yaml.in/yaml/v2: YAML 1.1 with changes of its own.
//! `yes` and `on` are booleans and `0644` is octal, but `12:30` is a string. Source: go.yaml.in/yaml/v2,
//! `resolve.go`; Go's `strconv.ParseInt` with base 0 and `strconv.ParseFloat`.

use serde_json::Number;

/// What a scalar means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    /// Between `i64::MIN` and `u64::MAX`.
    Integer(i128),
    /// A number in JSON's syntax.
    Float(String),
    /// `.inf`, `-.inf` or `.nan`, which JSON does not have.
    NotFinite(&'static str),
    /// `<<`, which is a string where it is no key.
    Merge,
    Text,
}

/// How many decimal digits a 64-bit float keeps whatever they are (C's `DBL_DIG`).
const SAFE_DIGITS: usize = 15;

// === impl Scalar ===

impl Scalar {
    /// What `text` means where it is neither quoted nor tagged.
    pub(super) fn of(text: &str) -> Self {
        if let Some(word) = word(text) {
            return word;
        }
        match text.as_bytes() {
            [b'.', ..] => point_first(text),
            [b'+' | b'-' | b'0'..=b'9', ..] => number(&text.replace('_', "")),
            _ => Self::Text,
        }
    }

    /// What `text` means under the tag `tag:yaml.org,2002:<tag>`; `None` where it is not of that type.
    pub(super) fn tagged(tag: &str, text: &str) -> Option<Self> {
        let plain = Self::of(text);
        let fits = match tag {
            "bool" => matches!(plain, Self::Bool(_)),
            "int" => matches!(plain, Self::Integer(_)),
            "float" => matches!(plain, Self::Integer(_) | Self::Float(_) | Self::NotFinite(_)),
            "null" => plain == Self::Null,
            "timestamp" => return text.get(..5).filter(|year| year.ends_with('-')).map(|_| Self::Text),
            // `!!str` and tags that nobody knows.
            _ => return Some(Self::Text),
        };
        fits.then_some(plain)
    }
}

/// The words that are no strings; a lower-case one counts capitalised and in capitals too.
fn word(text: &str) -> Option<Scalar> {
    let lower = text.to_ascii_lowercase();
    let capitalised = |text: &str| text.chars().skip(1).all(|c| !c.is_ascii_uppercase());
    let not_finite = |name| Some(Scalar::NotFinite(name));
    match text {
        "" | "~" => return Some(Scalar::Null),
        "<<" => return Some(Scalar::Merge),
        ".nan" | ".NaN" | ".NAN" => return not_finite(".nan"),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return not_finite(".inf"),
        "-.inf" | "-.Inf" | "-.INF" => return not_finite("-.inf"),
        _ if text != text.to_ascii_uppercase() && !capitalised(text) => return None,
        _ => {}
    }
    match lower.as_str() {
        "y" | "yes" | "true" | "on" => Some(Scalar::Bool(true)),
        "n" | "no" | "false" | "off" => Some(Scalar::Bool(false)),
        "null" => Some(Scalar::Null),
        _ => None,
    }
}

/// A text that begins with a point: here an underscore counts only between digits.
fn point_first(text: &str) -> Scalar {
    let bytes = text.as_bytes();
    let digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_digit);
    let between_digits = |at: usize| digit(bytes.get(at.wrapping_sub(1))) && digit(bytes.get(at + 1));
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'_' && !between_digits(at)) {
        return Scalar::Text;
    }
    float(&text.replace('_', "")).map_or(Scalar::Text, Scalar::Float)
}

/// A number without its underscores.
fn number(text: &str) -> Scalar {
    if let Some(integer) = integer(text).or_else(|| binary(text)) {
        return Scalar::Integer(integer);
    }
    float(text).map_or(Scalar::Text, Scalar::Float)
}

/// Go's `ParseInt` and `ParseUint` with base 0.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes() {
        [b'-', ..] => (-1, &text[1..]),
        [b'+', ..] => (1, &text[1..]),
        _ => (1, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    let limit = if text.starts_with(['+', '-']) { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    let plain = digits.chars().all(|c| c.is_digit(radix));
    let value = i128::from(u64::from_str_radix(digits, radix).ok().filter(|_| plain)?) * sign;
    (value >= i128::from(i64::MIN) && value <= limit).then_some(value)
}

/// A sign behind `0b` is what the library's second try at binary numbers lets through.
fn binary(text: &str) -> Option<i128> {
    i64::from_str_radix(text.strip_prefix("0b")?, 2).ok().map(i128::from)
}

/// A decimal number with point or exponent, or too large for an integer, in JSON's syntax.
///
/// Written as Go writes a 64-bit float, so that `1e3` is the integer 1000 to a field that wants one. Where
/// the float would lose digits, the digits are kept.
fn float(text: &str) -> Option<String> {
    let (sign, digits) = match text.as_bytes() {
        [b'-', ..] => ("-", &text[1..]),
        [b'+', ..] => ("", &text[1..]),
        _ => ("", text),
    };
    let (mantissa, exponent) = digits.split_once(['e', 'E']).map_or((digits, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_digits = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    let sound = all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent_digits.is_none_or(|digits| !digits.is_empty() && all_digits(digits));
    let value: f64 = format!("{sign}{digits}").parse().ok().filter(|_| sound)?;
    if !value.is_finite() {
        return None;
    }
    let significant = format!("{whole}{fraction}");
    if significant.trim_start_matches('0').trim_end_matches('0').len() <= SAFE_DIGITS {
        return Some(go_float(value));
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    let exponent = exponent.map(|exponent| format!("e{exponent}")).unwrap_or_default();
    Some(format!("{sign}{whole}{fraction}{exponent}"))
}

/// A float as Go's `encoding/json` writes it.
fn go_float(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return value.to_string();
    }
    with_signed_exponent(&format!("{value:e}"), 1)
}

/// A float as a key, where sigs.k8s.io/yaml writes it as Go's `FormatFloat(value, 'g', -1, 32)`, and whether the 32 bits
/// are the same number.
///
/// Source: sigs.k8s.io/yaml, `convertToJSONableObject`.
pub(super) fn float_key(json: &str) -> Option<(String, bool)> {
    // The conversion to 32 bits is what the library does.
    #[allow(clippy::cast_possible_truncation)]
    let short = json.parse::<f64>().ok()? as f32;
    let scientific = format!("{short:e}");
    let exponent: i32 = scientific.rsplit_once('e')?.1.parse().ok()?;
    let is_exact = scientific.parse::<f64>() == json.parse();
    let plain = short == 0.0 || (-4..6).contains(&exponent);
    let text = if plain { short.to_string() } else { with_signed_exponent(&scientific, 2) };
    Some((text, is_exact))
}

fn with_signed_exponent(scientific: &str, least_digits: usize) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific.to_owned() };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>least_digits$}")
}

/// A number from text in JSON's syntax.
pub(super) fn json_number(text: &str) -> Option<Number> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn shown(text: &str) -> String {
        match Scalar::of(text) {
            Scalar::Null => "null".into(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Integer(value) => value.to_string(),
            Scalar::Float(value) => value,
            Scalar::NotFinite(name) => name.into(),
            Scalar::Merge | Scalar::Text => format!("{text:?}"),
        }
    }

    /// Each answer is what sigs.k8s.io/yaml v1.6.0 gives.
    #[rstest]
    #[case("y n Y N yes No ON off True FALSE", "true false true false true false true false true false")]
    #[case("yEs tRUE oN NULL Null nULL ~", r#""yEs" "tRUE" "oN" null null "nULL" null"#)]
    #[case("0644 0o644 0O17 00 08 0_7 010 -010", "420 420 15 0 8 7 8 -8")]
    #[case("0x1F 0XfF -0x1 +0x1F 0x 0xg", r#"31 255 -1 31 "0x" "0xg""#)]
    #[case("0b11 0B1 -0b11 0b2 0b 0b-1", r#"3 1 -3 "0b2" "0b" -1"#)]
    #[case("1_000 1__0 _1 -_1 1_ +5 -0", r#"1000 10 "_1" -1 1 5 0"#)]
    #[case("1e3 1E3 1.5e3 1.0 1.50 .5 5. +1.5 .5_0 ._5", r#"1000 1000 1500 1 1.5 0.5 5 1.5 0.5 "._5""#)]
    #[case("1e21 1e-7 1e400 0.000001 1.e1", r#"1e+21 1e-7 "1e400" 0.000001 10"#)]
    #[case("9223372036854775808 18446744073709551615", "9223372036854775808 18446744073709551615")]
    #[case(
        ". .. - + -- .e1 e1 1e 1e+ 1.2.3 1:30 12:30:45",
        r#""." ".." "-" "+" "--" ".e1" "e1" "1e" "1e+" "1.2.3" "1:30" "12:30:45""#
    )]
    #[case(
        "2024-01-01 2024-01-01T00:00:00Z = << null- 1a 100m",
        r#""2024-01-01" "2024-01-01T00:00:00Z" "=" "<<" "null-" "1a" "100m""#
    )]
    #[case(".inf -.INF +.Inf .NaN .nAn -.nan", r#".inf -.inf .inf .nan ".nAn" "-.nan""#)]
    fn as_kubectl_reads_them(#[case] scalars: &str, #[case] expected: &str) {
        let found: Vec<_> = scalars.split(' ').map(shown).collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn digits_beyond_a_float_are_kept() {
        assert_eq!(shown("18446744073709551616"), "18446744073709551616");
        assert_eq!(shown("-9223372036854775809"), "-9223372036854775809");
        assert_eq!(shown("3.14159265358979323846"), "3.14159265358979323846");
        assert_eq!(shown("+00012345678901234567890.50"), "12345678901234567890.50");
    }

    #[rstest]
    #[case("1.5", "1.5", true)]
    #[case("0.1", "0.1", true)]
    #[case("1234567.5", "1.2345675e+06", true)]
    #[case("1e+21", "1e+21", true)]
    #[case("0.00001", "1e-05", true)]
    #[case("1.23456789", "1.2345679", false)]
    fn float_keys(#[case] json: &str, #[case] key: &str, #[case] is_exact: bool) {
        assert_eq!(float_key(json), Some((key.to_owned(), is_exact)));
    }

    #[rstest]
    #[case("int", "0644", Some(Scalar::Integer(420)))]
    #[case("int", "1.5", None)]
    #[case("str", "0644", Some(Scalar::Text))]
    #[case("bool", "yes", Some(Scalar::Bool(true)))]
    #[case("bool", "1", None)]
    #[case("null", "x", None)]
    #[case("timestamp", "2024-01-01", Some(Scalar::Text))]
    #[case("timestamp", "today", None)]
    fn tags(#[case] tag: &str, #[case] text: &str, #[case] expected: Option<Scalar>) {
        assert_eq!(Scalar::tagged(tag, text), expected);
    }
}
