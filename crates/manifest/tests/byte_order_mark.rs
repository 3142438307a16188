//! A byte order mark is no content: it stays where it is, and nothing else takes notice of it.

// The lint knows tests, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use native_sidecar_manifest::{Manifest, Position, Side};
use rstest::rstest;
use serde_json::json;

const MARK: &str = "\u{feff}";

fn read(text: &str) -> Manifest {
    Manifest::read_all("f", text.as_bytes()).0
}

fn as_yaml(texts: &[&str]) -> String {
    Manifest::all_as_yaml(&texts.iter().map(|text| read(text)).collect::<Vec<_>>(), Side::After)
}

fn as_json(texts: &[&str]) -> String {
    Manifest::all_as_json(&texts.iter().map(|text| read(text)).collect::<Vec<_>>(), Side::After).unwrap()
}

#[rstest]
#[case::nothing("")]
#[case::document("a: 1\n")]
#[case::documents("--- # one\na: 1\n---\nb: 2")]
#[case::comment("# nothing\n")]
#[case::windows("a: 1\r\n")]
#[case::unreadable("a: [\n---\nb: 1\n")]
#[case::json("{\"a\": 1}\n{\"b\": 2}")]
#[case::twice("\u{feff}a: 1\n")]
fn what_is_not_changed_keeps_it(#[case] text: &str) {
    let text = format!("{MARK}{text}");
    let manifest = read(&text);
    assert_eq!(manifest.text(Side::Before), text);
    assert_eq!(manifest.text(Side::After), text);
    let pieces: String = manifest.pieces(Side::Before).into_iter().map(|(_, piece)| piece).collect();
    assert_eq!(pieces, text);
    let alike = if text.contains('{') { as_json(&[&text]) } else { as_yaml(&[&text]) };
    assert_eq!(alike, text);
}

#[rstest]
#[case::yaml("a: 2 # c\n", "a: 2 # c\nk: 1\n")]
#[case::behind_a_marker("---\na: 2\n", "---\na: 2\nk: 1\n")]
#[case::written_anew("? a\n: 2\n", "a: 2\nk: 1\n")]
#[case::json("{\"a\": 2}", "{\"a\": 2, \"k\": 1}")]
fn what_is_changed_keeps_it(#[case] before: &str, #[case] after: &str) {
    let mut manifest = read(&format!("{MARK}{before}"));
    let patch = serde_json::from_value(json!([{"op": "add", "path": "/k", "value": 1}])).unwrap();
    manifest.apply(0, &patch).unwrap();
    assert_eq!(manifest.text(Side::After), format!("{MARK}{after}"));
}

#[test]
fn of_several_only_the_first_keeps_it() {
    let (one, two) = (format!("{MARK}a: 1\n"), format!("{MARK}---\nb: 2\n"));
    assert_eq!(as_yaml(&[&one, &two]), format!("{MARK}a: 1\n---\nb: 2\n"));
    assert_eq!(as_yaml(&["a: 1\n", &two]), "a: 1\n---\nb: 2\n");
    let (one, two) = (format!("{MARK}{{\"a\": 1}}"), format!("{MARK}{{\"b\": 2}}"));
    assert_eq!(as_json(&[&one, &two]), format!("{MARK}{{\"a\": 1}}\n{{\"b\": 2}}"));
    assert_eq!(as_json(&["{\"a\": 1}", &two]), "{\"a\": 1}\n{\"b\": 2}");
}

#[test]
fn another_format_has_none() {
    assert_eq!(as_yaml(&[&format!("{MARK}{{\"a\": 1}}")]), "a: 1\n");
    assert_eq!(as_json(&[&format!("{MARK}a: 1\n")]), "{\n  \"a\": 1\n}\n");
}

#[rstest]
#[case::yaml("a: [\n")]
#[case::json("{\"a\": ]}")]
#[case::no_object("[]")]
fn positions_do_not_count_it(#[case] text: &str) {
    let place = |text: &str| Manifest::read("f", text.as_bytes()).unwrap_err().position;
    assert_eq!(place(&format!("{MARK}{text}")), place(text));
    let located = |text: &str| read(text).located(0).position(json_patch::jsonptr::Pointer::from_static("/a"));
    assert_eq!(located(&format!("{MARK}a: 1")), Some(Position { line: 1, column: 4 }));
    let broken = Manifest::read("f", b"\xef\xbb\xbfa: \xff").unwrap_err();
    assert_eq!(broken.position, Some(Position { line: 1, column: 4 }));
}
