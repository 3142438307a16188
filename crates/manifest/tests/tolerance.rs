//! What cannot be read, and what only `kubectl` reads.

// The lint knows tests, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use native_sidecar_manifest::{Fault, Format, Manifest, ManifestError, Position, Side};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a}]}\n";
const ANNOTATED: &str = "metadata: {annotations: {native-sidecar.io/known: \"true\"}}\n";

fn read_all(text: &str) -> (Manifest, Vec<ManifestError>) {
    Manifest::read_all("f", text.as_bytes())
}

fn whole(manifest: &Manifest) -> String {
    Manifest::all_as_yaml(std::slice::from_ref(manifest), Side::After)
}

/// Each value is what sigs.k8s.io/yaml v1.6.0 makes of the text.
#[rstest]
#[case::twice("a: 1\na: 2\n", json!({"a": 2}), Fault::Duplicate)]
#[case::twice_in_disguise("1: a\n\"1\": b\n", json!({"1": "b"}), Fault::Duplicate)]
#[case::twice_in_brackets("x: {a: 1, a: 2}\n", json!({"x": {"a": 2}}), Fault::Duplicate)]
#[case::merge_below("x: &x {a: 1}\nz:\n  a: 2\n  <<: *x\n", json!({"x": {"a": 1}, "z": {"a": 1}}), Fault::Ambiguous)]
#[case::merged_twice(
    "x: &x {a: 1}\nz:\n  <<: *x\n  <<: {b: 2}\n", json!({"x": {"a": 1}, "z": {"a": 1, "b": 2}}), Fault::Duplicate)]
#[case::colon_in_a_list("a: [b:,c]\n", json!({"a": ["b:", "c"]}), Fault::Ambiguous)]
#[case::colon_last_in_a_list("a: [b:]\n", json!({"a": ["b:"]}), Fault::Ambiguous)]
#[case::colon_in_braces("a: {b:,c: 1}\n", json!({"a": {"b:": null, "c": 1}}), Fault::Ambiguous)]
#[case::question_in_a_list("a: [?b, c]\n", json!({"a": [{"b": null}, "c"]}), Fault::Ambiguous)]
#[case::question_in_braces("a: {?b: c}\n", json!({"a": {"b": "c"}}), Fault::Ambiguous)]
#[case::binary("a: !!binary gIGC\n", json!({"a": "\u{fffd}\u{fffd}\u{fffd}"}), Fault::NoJson)]
#[case::rounded_key("1.23456789: 1\n", json!({"1.2345679": 1}), Fault::Ambiguous)]
#[case::json("{\"a\": 1, \"a\": 2}\n", json!({"a": 2}), Fault::Duplicate)]
fn what_kubectl_takes_and_has_no_key_of_ours(#[case] text: &str, #[case] value: Value, #[case] fault: Fault) {
    let manifest = Manifest::read("f", text.as_bytes()).unwrap();
    let document = &manifest.documents()[0];
    assert_eq!(document.value(Side::Before), &value);
    assert_eq!((document.is_opaque(), document.tolerated().unwrap().fault), (false, fault));
    if manifest.format == Format::Yaml {
        assert_eq!(whole(&manifest), text);
        let among = format!("{text}---\n{POD}---\n{text}");
        assert_eq!(whole(&Manifest::read("f", among.as_bytes()).unwrap()), among);
        // A pod that nobody asks to convert is one too.
        let of_pod = Manifest::read("f", format!("{text}{POD}").as_bytes()).unwrap();
        assert_eq!((of_pod.templates(0).unwrap().len(), of_pod.documents()[0].tolerated().unwrap().fault), (1, fault));
        // With a key of ours it has to be clear.
        let (manifest, errors) = read_all(&format!("---\n{POD}---\n{text}{ANNOTATED}"));
        assert_eq!((errors.len(), errors[0].fault, errors[0].document), (1, fault, Some(2)));
        assert!(manifest.documents()[1].is_opaque());
        let place = |position: Option<Position>| position.unwrap();
        let (alone, below) = (place(document.tolerated().unwrap().position), place(errors[0].position));
        // `---`, the pod, and `---`.
        assert_eq!(below, Position { line: alone.line + 2 + POD.matches('\n').count(), ..alone });
    }
}

#[rstest]
#[case::json_annotation(r#"{"a": 1, "a": [{"x.native-sidecar.io/known": 1}]}"#)]
#[case::only_kubectl_sees_the_key("a: {?native-sidecar.io/known: x}\n")]
fn what_has_a_key_of_ours_is_read_strictly(#[case] text: &str) {
    let error = Manifest::read("f", text.as_bytes()).unwrap_err();
    assert!(matches!(error.fault, Fault::Duplicate | Fault::Ambiguous), "{error}");
}

#[rstest]
#[case::not_finite("a: .inf\n", Fault::NoJson)]
#[case::null_key("~: 1\n", Fault::NoJson)]
#[case::key_of_mapping("? {a: b}\n: 1\n", Fault::NoJson)]
#[case::large_key("18446744073709551615: 1\n", Fault::NoJson)]
#[case::own_alias("a: &b [*b]\n", Fault::NoJson)]
#[case::tag("a: !!int x\n", Fault::NoJson)]
#[case::base64("a: !!binary \"!!\"\n", Fault::NoJson)]
#[case::merge_of_a_scalar("<<: 1\n", Fault::NoJson)]
#[case::colon_before_a_bracket("a: {b:[1]}\n", Fault::Syntax)]
#[case::question_as_value("a: {b: ?c}\n", Fault::Ambiguous)]
#[case::no_anchor("a: *b\n", Fault::Syntax)]
#[case::tab("a:\n\tb: 1\n", Fault::Syntax)]
#[case::list("- a\n", Fault::NotAnObject)]
#[case::text("hello\n", Fault::NotAnObject)]
#[case::json("{\"a\": tru\n\"b\": 1}\n", Fault::Syntax)]
fn what_kubectl_refuses(#[case] text: &str, #[case] fault: Fault) {
    assert_eq!(Manifest::read("f", text.as_bytes()).unwrap_err().fault, fault);
}

#[test]
fn depth_is_a_limit() {
    for text in ["[".repeat(1000), format!("a: {}", "[".repeat(1000)), format!("{{\"a\":{}", "[".repeat(1000))] {
        assert_eq!(Manifest::read("f", text.as_bytes()).unwrap_err().fault, Fault::Limit);
    }
}

#[test]
fn the_unreadable_is_kept_in_its_place() {
    let text =
        format!("# top\n---\n{POD}---\na: [\n# no\n--- # next\n- list\n---\n\n---\n{ANNOTATED}...\n---\nb: c: d");
    let (manifest, errors) = read_all(&text);
    assert_eq!(whole(&manifest), text);
    let of_documents: Vec<_> = errors.iter().map(|error| error.document.unwrap()).collect();
    assert_eq!(of_documents, [2, 3, 5]);
    assert_eq!(errors[2].position, Some(Position { line: 18, column: 5 }));
    let opaque: Vec<_> = manifest.documents().iter().map(native_sidecar_manifest::Document::is_opaque).collect();
    assert_eq!(opaque, [false, true, true, false, true]);
    assert_eq!(manifest.documents()[1].value(Side::Before), &Value::Null);
    assert_eq!(Manifest::read("f", text.as_bytes()).unwrap_err(), errors[0]);
}

/// What follows a fault in JSON cannot be cut.
#[test]
fn json_is_kept_from_its_fault_on() {
    let (manifest, errors) = read_all("{\"a\": 1}\n [1] {\"b\": tru} {\"c\": 1}\n");
    assert_eq!((manifest.format, manifest.documents().len()), (Format::Json, 3));
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("f:2:2: document 2: expected a Kubernetes object"), "{told:?}");
    assert!(told[1].starts_with("f:2:15: document 3: this is not JSON: "), "{told:?}");
    assert!(manifest.documents()[2].is_opaque());
    assert_eq!(manifest.text(Side::After), "{\"a\": 1}\n [1] {\"b\": tru} {\"c\": 1}\n");
}

/// JSON between `---` is YAML, also where one of the documents is broken.
#[test]
fn json_between_dashes_is_cut_there() {
    let text = "{\"a\": 1}\n---\n{\"a\": [}\n---\n{\"a\": 3}\n";
    let (manifest, errors) = read_all(text);
    assert_eq!((manifest.format, manifest.documents().len(), errors.len()), (Format::Yaml, 3, 1));
    assert_eq!(whole(&manifest), text);
}

#[rstest]
#[case(b"a: 1\nb: \xff\n", Some(Position { line: 2, column: 4 }))]
#[case(b"\xff\xfea\0", None)]
fn bytes_that_are_no_text(#[case] bytes: &[u8], #[case] position: Option<Position>) {
    let (manifest, errors) = Manifest::read_all("f", bytes);
    assert_eq!((manifest.documents().len(), errors.len()), (0, 1));
    let error = Manifest::read("f", bytes).unwrap_err();
    assert_eq!((error.fault, error.position), (Fault::Encoding, position));
}

#[rstest]
#[case::condition("{{- if .Values.on }}\nkind: Pod\n{{- end }}\n", 1, 1)]
#[case::value("kind: Pod\nname: {{ .Release.Name }}\n", 2, 7)]
#[case::value_of_one_word("kind: Pod\nname: {{ name }}\n", 2, 7)]
#[case::in_quotes("kind: \"{{ include \"kind\" . }}\"\n", 1, 8)]
#[case::inserted("kind: Pod\nspec:\n  {{- toYaml .Values.spec | nindent 2 }}\n", 3, 3)]
#[case::second_document("kind: Pod\n---\n{{ include \"x\" . }}\n", 3, 1)]
#[case::json("{\n  {{- if .x }}\n  \"a\": 1,\n  {{- end }}\n  \"b\": [1]\n}\n", 2, 3)]
#[case::with_a_condition_in_a_list("kind: Pod\na:\n  {{- range .x }}\n  - {{ . }}\n  {{- end }}\n", 3, 3)]
fn templates_that_nobody_rendered(#[case] text: &str, #[case] line: usize, #[case] column: usize) {
    let error = Manifest::read("f", text.as_bytes()).unwrap_err();
    assert_eq!((error.fault, error.position), (Fault::Template, Some(Position { line, column })));
    assert!(error.what.contains("render it first: helm template CHART | native-sidecar convert"), "{error}");
}

#[rstest]
#[case::comment("# {{ .Values.x }}\na: [\n")]
#[case::quoted("a: \"{{ $labels.pod }}\"\nb: [\n")]
#[case::block("a: |\n  {{ $labels.pod }}\nb: [\n")]
fn other_faults_beside_double_braces(#[case] text: &str) {
    assert_eq!(Manifest::read("f", text.as_bytes()).unwrap_err().fault, Fault::Syntax);
}

#[test]
fn double_braces_that_can_be_read_are_text() {
    let text = "a: \"{{ $labels.pod }}\"\nb: x {{ y }}\n";
    assert_eq!(whole(&Manifest::read("f", text.as_bytes()).unwrap()), text);
}

/// Lines that manifests and broken ones consist of.
fn line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a: 1",
        "a: 2",
        "a: [",
        "b: {c: 1, c: 2}",
        "  x: y",
        "- z",
        "---",
        "--- d: 1",
        "...",
        "... x",
        "# c",
        "",
        "\t",
        "{{ x }}",
        "e: |",
        "    text",
        "f: &f {a: 1}",
        "g: *f",
        "<<: *f",
        "\"",
        "{\"a\": 1}",
        "%YAML 1.1",
        "kind: Pod",
        "apiVersion: v1",
        "h: [b:]",
        "i: !!binary gIGC",
    ])
}

proptest! {
    /// Whatever the text: it is cut into pieces that are the text, and what is read strictly is read alike.
    #[test]
    fn every_text_comes_out_as_it_came_in(lines in prop::collection::vec(line(), 0..12), ended in any::<bool>()) {
        let text = lines.join("\n") + if ended { "\n" } else { "" };
        let (manifest, errors) = read_all(&text);
        prop_assert!(errors.iter().all(|error| !error.to_string().contains('\n')));
        match Manifest::read("f", text.as_bytes()) {
            Ok(strict) => {
                prop_assert!(errors.is_empty());
                prop_assert_eq!(strict.documents().len(), manifest.documents().len());
            }
            Err(error) => prop_assert_eq!(&error, &errors[0]),
        }
        let opaque = manifest.documents().iter().filter(|document| document.is_opaque()).count();
        prop_assert_eq!(opaque, errors.len());
        prop_assert_eq!(manifest.text(Side::After), text);
    }
}
