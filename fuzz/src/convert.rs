//! Manifests of any content, files in and files out: what is written is read again as what was meant, nothing is lost or
//! changed but pod templates, as a conversion may change them, and a second pass changes nothing. What cannot be read
//! is kept as it is. A zero byte stands between two files.

use crate::{KNOWN, choice, promises, steps::Bound};
use json_patch::jsonptr::Pointer;
use native_sidecar::cli::convert::{
    outcome::FileOutcome,
    output::{Output, rendered},
    work::convert_manifest,
};
use native_sidecar_cases::catalogue;
use native_sidecar_core::{
    conversion::{ClusterFacts, Decision, Settings, convert},
    intent::Mode,
};
use native_sidecar_manifest::{Document, Fault, Manifest, Search, Side};
use serde_json::{Map, Number, Value};
use std::sync::LazyLock;

/// Of reading, measured by `tests/steps.rs`.
pub const BOUND: Bound = Bound { fixed: 400_000, for_a_byte: 4_000 };
/// More files are not given at once.
const MOST_FILES: usize = 3;

static FACTS: LazyLock<ClusterFacts> = LazyLock::new(ClusterFacts::default);

/// Runs one input.
///
/// # Panics
///
/// When a promise is broken.
#[must_use]
pub fn run(bytes: &[u8]) -> &'static str {
    let which = choice(bytes, 6);
    let settings = Settings {
        catalogue: catalogue(),
        facts: &FACTS,
        known: KNOWN[which % 3],
        containers: None,
        workload: None,
        mode: Mode::Convert,
    };
    let output = [Output::Yaml, Output::Json][which / 3];
    let files = bytes.split(|byte| *byte == 0).take(MOST_FILES);
    files.clone().for_each(assert_kept);
    let read: Result<Vec<_>, _> = files.map(|file| BOUND.hold(file.len(), || Manifest::read("fuzz", file))).collect();
    let mut manifests = match read {
        Ok(manifests) => manifests,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            return "refused";
        }
    };
    if documents(&manifests).any(|document| has_number_beyond(document.value(Side::Before))) {
        return "beyond";
    }
    let files = converted(&mut manifests, settings);
    if files.iter().any(|file| !file.errors.is_empty()) {
        return "odd";
    }
    let text = rendered(&manifests, &files, output).expect("JSON can be written");
    let mut reach = if documents(&manifests).next().is_none() { "empty" } else { "read" };
    for manifest in &manifests {
        assert_rest_is_kept(manifest);
        for (index, document) in manifest.documents().iter().enumerate() {
            if document.value(Side::Before) == document.value(Side::After) {
                continue;
            }
            reach = "converted";
            assert_only_templates_change(manifest, index, settings);
        }
    }
    let written = read_again(&text);
    let values: Vec<_> = documents(&manifests).map(|document| document.value(Side::After)).collect();
    let again: Vec<_> = written.documents().iter().map(|document| document.value(Side::Before)).collect();
    let is_meant = values.len() == again.len() && values.iter().zip(&again).all(|(one, other)| is_same(one, other));
    assert!(is_meant, "what is written is what was meant: {values:?} became {again:?}");
    assert_settled(written, &text, settings, output);
    reach
}

/// Whatever cannot be read: all of it comes out as it came in, and each fault is told once.
fn assert_kept(file: &[u8]) {
    let (manifest, errors) = Manifest::read_all("fuzz", file);
    let opaque = manifest.documents().iter().filter(|document| document.is_opaque()).count();
    if errors.iter().any(|error| error.fault == Fault::Encoding) {
        assert_eq!((errors.len(), manifest.documents().len()), (1, 0), "what is no text has no documents");
        return;
    }
    assert_eq!(opaque, errors.len(), "{errors:?}");
    let text = std::str::from_utf8(file).expect("it was read");
    assert_eq!(manifest.text(Side::Before), text, "what is read is all that there is");
    assert_eq!(Manifest::read("fuzz", file).err().as_ref(), errors.first(), "both ways of reading find the same");
    for (index, document) in manifest.documents().iter().enumerate() {
        let place = manifest.located(index).position(Pointer::root());
        assert_eq!(place.is_none(), document.is_opaque(), "what was read has its place");
    }
}

/// What was not changed is as it came in.
fn assert_rest_is_kept(manifest: &Manifest) {
    let (before, after) = (manifest.pieces(Side::Before), manifest.pieces(Side::After));
    let is_changed = |document: usize| {
        let document = &manifest.documents()[document];
        document.value(Side::Before) != document.value(Side::After)
    };
    for ((number, before), (_, after)) in before.iter().zip(&after).filter(|(one, _)| !one.0.is_some_and(is_changed)) {
        // Between two documents a line break may have come.
        assert_eq!(before.trim_end(), after.trim_end(), "document {number:?} is kept");
    }
}

fn documents(manifests: &[Manifest]) -> impl Iterator<Item = &Document> {
    manifests.iter().flat_map(Manifest::documents)
}

/// Whether there is a number in `value` that no number can hold: a string in YAML, and refused by Kubernetes in JSON.
fn has_number_beyond(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_number_beyond),
        Value::Object(fields) => fields.values().any(has_number_beyond),
        Value::Number(number) => number.as_f64().is_none_or(f64::is_infinite),
        _ => false,
    }
}

/// Whether two values are equal. A number may be spelt in another way: JSON's `1e3` is 1000
/// in YAML, and `-0` is 0.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, one): (&String, &Value)| other.get(key).is_some_and(|other| is_same(one, other));
            one.len() == other.len() && one.iter().all(same)
        }
        (Value::Number(one), Value::Number(other)) => one == other || is_same_number(one, other),
        _ => one == other,
    }
}

fn is_same_number(one: &Number, other: &Number) -> bool {
    let is_whole = |number: &Number| number.to_string().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let is_zero = |number: &Number| number.as_i64() == Some(0);
    let is_exact = is_whole(one) && is_whole(other);
    (is_zero(one) && is_zero(other)) || (!is_exact && one.as_f64() == other.as_f64())
}

fn read_again(output: &str) -> Manifest {
    Manifest::read("output", output.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{output}"))
}

fn converted(manifests: &mut [Manifest], settings: Settings<'_>) -> Vec<FileOutcome> {
    let convert = |manifest| convert_manifest(manifest, &Search::default(), settings);
    let converted: Result<Vec<_>, _> = manifests.iter_mut().map(convert).collect();
    converted.unwrap_or_else(|error| panic!("{error}"))
}

/// A second pass changes nothing, not even a blank.
fn assert_settled(written: Manifest, text: &str, settings: Settings<'_>, output: Output) {
    let mut again = [written];
    let files = converted(&mut again, settings);
    let errors: Vec<_> = files.iter().flat_map(|file| &file.errors).collect();
    assert!(errors.is_empty(), "{errors:?}\n{text}");
    let second = rendered(&again, &files, output).expect("JSON can be written");
    assert_eq!(second, text, "a second pass changes more");
}

/// Outside of pod templates nothing changes, and inside what a conversion may change.
fn assert_only_templates_change(manifest: &Manifest, index: usize, settings: Settings<'_>) {
    let document = &manifest.documents()[index];
    let (mut before, mut after) = (document.value(Side::Before).clone(), document.value(Side::After).clone());
    for template in manifest.templates(index).expect("it was converted") {
        let shown: Value = serde_json::from_str(&template.pod(&before)).expect("a pod is JSON");
        let conversion = convert(&shown.to_string(), template.settings(settings));
        if conversion.decision != Decision::Converted {
            continue;
        }
        let expected = promises::carried_out(&shown, &conversion, settings.catalogue);
        let path = template.path.as_str();
        let old = before.pointer_mut(path).expect("the template is there").take();
        let new = after.pointer_mut(path).expect("the template is still there").take();
        let owners = old["metadata"].get("ownerReferences").cloned();
        let is_pod = template.owner.is_none();
        assert_eq!(plain(expected, is_pod, owners), plain(new, true, None), "the template is another");
    }
    assert_eq!(before, after, "outside of the templates nothing changes");
}

/// A pod without what is only shown to the conversion, and where no metadata are as good as empty ones.
fn plain(mut pod: Value, keeps_owners: bool, owners: Option<Value>) -> Value {
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut)
        && !keeps_owners
    {
        match owners {
            Some(owners) => drop(metadata.insert("ownerReferences".to_owned(), owners)),
            None => drop(metadata.shift_remove("ownerReferences")),
        }
    }
    if pod.get("metadata").is_none_or(Value::is_null)
        && let Some(fields) = pod.as_object_mut()
    {
        fields.insert("metadata".to_owned(), Map::new().into());
    }
    pod
}
