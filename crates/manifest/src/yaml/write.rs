//! JSON values -> YAML that every reader understands alike.
//!
//! Readers disagree on what is a string: YAML 1.1 ones (`kubectl`, Helm, `PyYAML`) and YAML 1.2 ones (yq, most
//! of Rust and JavaScript). A string that any of them could take for something else is quoted. The layout is
//! that of `kubectl get -o yaml`.

use super::scalar::Scalar;
use serde_json::{Map, Value};

/// How deep each level is indented.
const STEP: usize = 2;

/// How long a key on one line may be for every reader (YAML 1.2.2, section 7.4.2).
const KEY_LIMIT: usize = 1000;

/// Writes YAML.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Writer {
    /// Whether the dashes of a list stand further right than its key.
    pub(super) indent_lists: bool,
}

/// `value` as a YAML document, with a line end.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    let writer = Writer::default();
    match value {
        Value::Object(map) if !map.is_empty() => writer.mapping(&mut out, map, 0),
        Value::Array(items) if !items.is_empty() => writer.sequence(&mut out, items, 0),
        _ => {
            scalar(&mut out, value, 0);
            out.push('\n');
        }
    }
    out
}

// === impl Writer ===

impl Writer {
    /// The entry `key: value` whose key stands at `column`; the first line is not indented.
    pub(super) fn entry(self, out: &mut String, key: &str, value: &Value, column: usize) {
        let text = flow_text(key);
        if text.len() > KEY_LIMIT {
            out.push_str("? ");
            out.push_str(&quoted(key));
            out.push('\n');
            indent(out, column);
        } else {
            out.push_str(&text);
        }
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                indent(out, column + STEP);
                self.mapping(out, map, column + STEP);
            }
            Value::Array(items) if !items.is_empty() => {
                let dash = if self.indent_lists { column + STEP } else { column };
                out.push('\n');
                indent(out, dash);
                self.sequence(out, items, dash);
            }
            _ => {
                out.push(' ');
                scalar(out, value, column + STEP);
                out.push('\n');
            }
        }
    }

    /// The list item `- value` whose dash stands at `column`; the first line is not indented.
    pub(super) fn item(self, out: &mut String, value: &Value, column: usize) {
        out.push_str("- ");
        match value {
            Value::Object(map) if !map.is_empty() => self.mapping(out, map, column + STEP),
            Value::Array(items) if !items.is_empty() => self.sequence(out, items, column + STEP),
            _ => {
                scalar(out, value, column + STEP);
                out.push('\n');
            }
        }
    }

    fn mapping(self, out: &mut String, map: &Map<String, Value>, column: usize) {
        for (number, (key, value)) in map.iter().enumerate() {
            if number > 0 {
                indent(out, column);
            }
            self.entry(out, key, value, column);
        }
    }

    fn sequence(self, out: &mut String, items: &[Value], column: usize) {
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                indent(out, column);
            }
            self.item(out, item, column);
        }
    }
}

/// A scalar, or an empty collection; lines of a block stand at `column`.
fn scalar(out: &mut String, value: &Value, column: usize) {
    match value {
        Value::String(text) if is_literal(text) => literal(out, text, column),
        value => out.push_str(&flow_scalar(value)),
    }
}

/// A scalar on one line, or an empty collection.
pub(super) fn flow_scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => portable_number(&number.to_string()),
        Value::String(text) => flow_text(text),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

fn flow_text(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

fn indent(out: &mut String, column: usize) {
    out.extend(std::iter::repeat_n(' ', column));
}

/// A JSON number as YAML 1.1 reads it too: there an exponent wants a point before it and a sign.
fn portable_number(json: &str) -> String {
    let Some((mantissa, exponent)) = json.split_once(['e', 'E']) else { return json.to_owned() };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

/// Whether every reader takes `text`, as it is, for the string it is.
fn is_plain(text: &str) -> bool {
    let starts_well = match text.as_bytes() {
        [] => false,
        [b'-' | b'?' | b':', next, ..] => !matches!(next, b' ' | b'-' | b'.' | b'0'..=b'9') || is_flag(text),
        [first, ..] => !b"-?:,[]{}#&*!|>'\"%@`=<~".contains(first),
    };
    starts_well
        && !text.starts_with(' ')
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(is_printable)
        && Scalar::of(text) == Scalar::Text
        && !is_word(text)
        && !looks_like_a_number(text)
}

/// `--listen`: dashes and then a letter, as arguments are written.
fn is_flag(text: &str) -> bool {
    let rest = text.trim_start_matches('-');
    text.len() - rest.len() <= 2 && rest.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Words that some reader takes for a boolean or null in some spelling.
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Integers of any base, floats, base 60, dates and times, with room to spare.
fn looks_like_a_number(text: &str) -> bool {
    let body = text.trim_start_matches(['+', '-', '.']);
    let all = |allowed: &str| body.bytes().all(|byte| allowed.as_bytes().contains(&byte));
    body.starts_with(|c: char| c.is_ascii_digit()) && all("0123456789abcdefABCDEFxXoOtTzZ_:.+- ")
        || text.starts_with('.') && text.len() <= 4
}

/// Whether a character may stand in YAML as it is (YAML 1.2.2, section 5.1), and is visible or a space.
fn is_printable(c: char) -> bool {
    !matches!(c, '\0'..='\x1f' | '\x7f'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Text of several lines that a block keeps exactly, in every reader.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && !body.ends_with('\n')
        && body.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
        && body.split('\n').all(|line| line.is_empty() || !line.trim().is_empty())
}

fn literal(out: &mut String, text: &str, column: usize) {
    let (body, header) = text.strip_suffix('\n').map_or((text, "|-"), |body| (body, "|"));
    out.push_str(header);
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, column);
            out.push_str(line);
        }
    }
}

/// In single quotes where that saves escapes, else in double quotes.
fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) && text.chars().all(is_printable) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            // All that is not printable is below U+10000.
            c => out.extend(format!("\\u{:04x}", u32::from(c)).chars()),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case("nginx")]
    #[case("nginx:1.27")]
    #[case("ghcr.io/a/b@sha256:0123")]
    #[case("--listen=:8080")]
    #[case("-v")]
    #[case("a b, c [d] {e}")]
    #[case("100m")]
    #[case("1Gi")]
    #[case("/var/run")]
    #[case("$(POD_NAME)")]
    #[case("grüße")]
    #[case("http://a")]
    fn written_as_they_are(#[case] text: &str) {
        assert_eq!(flow_text(text), text);
    }

    #[rstest]
    #[case("")]
    #[case("yes")]
    #[case("nO")]
    #[case("y")]
    #[case("~")]
    #[case("null")]
    #[case("0644")]
    #[case("0o17")]
    #[case("0x1f")]
    #[case("1e3")]
    #[case("1_000")]
    #[case("12:30")]
    #[case("190:20:30.15")]
    #[case("2024-01-01")]
    #[case("2001-12-14t21:59:43.10-05:00")]
    #[case("=")]
    #[case("<<")]
    #[case(".inf")]
    #[case(".5")]
    #[case("-1")]
    #[case("+1")]
    #[case("- a")]
    #[case("-")]
    #[case("---")]
    #[case("...")]
    #[case("? a")]
    #[case(": a")]
    #[case("a: b")]
    #[case("a:")]
    #[case("a #b")]
    #[case(" a")]
    #[case("a ")]
    #[case("*a")]
    #[case("&a")]
    #[case("!a")]
    #[case("%a")]
    #[case("@a")]
    #[case("`a")]
    #[case("{a}")]
    #[case("[a]")]
    #[case("#a")]
    #[case("|")]
    #[case(">")]
    #[case("it\u{a0}is")]
    fn written_in_double_quotes(#[case] text: &str) {
        assert_eq!(flow_text(text), serde_json::to_string(text).unwrap().replace('\u{a0}', "\\u00a0"));
    }

    /// What counts is how long a key is written.
    #[test]
    fn a_long_key_has_a_line_of_its_own() {
        for (times, begins) in [(100, "\"\\u00a0"), (200, "? \"\\u00a0")] {
            let yaml = to_yaml(&json!({"\u{a0}".repeat(times): 1}));
            assert!(yaml.starts_with(begins), "{yaml}");
        }
    }

    #[test]
    fn the_layout_is_that_of_kubectl() {
        let value = json!({
            "a": {"b": [1, {"c": null, "d": [[], {}]}, [["x"]]], "script": "set -e\n\nrun \"x\"\n"},
            "say": "\"hi\"", "cut": "a\nb", "odd": "a \nb\n\n", "list": ["one\ntwo\n"],
        });
        let expected = "a:\n  b:\n  - 1\n  - c: null\n    d:\n    - []\n    - {}\n  - - - x\n  script: |\n    set -e\n\n    \
                        run \"x\"\nsay: '\"hi\"'\ncut: |-\n  a\n  b\nodd: \"a \\nb\\n\\n\"\nlist:\n- |\n  one\n  two\n";
        assert_eq!(to_yaml(&value), expected);
    }

    #[rstest]
    #[case("1e3", "1.0e+3")]
    #[case("1.5E-7", "1.5e-7")]
    #[case("18446744073709551616", "18446744073709551616")]
    fn numbers(#[case] json: &str, #[case] yaml: &str) {
        assert_eq!(portable_number(json), yaml);
    }

    /// Text as manifests have it, and as nobody would write it.
    fn text() -> impl Strategy<Value = String> {
        let odd = "[-?:,#&*!|>'\"%@`=<~ \t\n\\[\\]{}a0y.\u{85}\u{a0}\u{feff}\u{2028}\u{7f}é😀]{0,12}";
        let lines = "([ -~]{0,6}\n){1,4}[ -~]{0,3}";
        prop_oneof![any::<String>(), odd, lines, "[0-9a-fxoeET_:.+-]{1,10}", "(?i)(yes|no|on|off|null|true|~|y|n)"]
    }

    fn value() -> impl Strategy<Value = Value> {
        let number =
            prop_oneof![any::<i64>().prop_map(Value::from), any::<u64>().prop_map(Value::from), Just(json!(1.5))];
        let scalar =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, text().prop_map(Value::from)];
        scalar.prop_recursive(5, 40, 5, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from);
            let map = prop::collection::vec((text(), inner), 0..5);
            prop_oneof![list, map.prop_map(|entries| Value::Object(entries.into_iter().collect()))]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in value()) {
            let yaml = to_yaml(&value);
            let read = crate::yaml::value_of(&yaml).unwrap().unwrap_or_default();
            prop_assert_eq!(&read, &value, "{}", yaml);
            // A reader of YAML 1.2 that is not ours.
            let read: Value = serde_saphyr::from_str(&yaml).unwrap();
            prop_assert_eq!(&read, &value, "{}", yaml);
        }
    }
}
