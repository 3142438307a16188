//! The golden cases: for every directory of `tests/cases`, the pure function, the same pod as an admission
//! request, and the same pod a second time. `UPDATE_CASES=1 cargo test --test cases` rewrites `result.yaml`.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::panic)]

use native_sidecar_cases::{
    Case, RESULT, Recorded, admission_review, all_cases, catalogue, is_update, patched, root, yaml,
};
use native_sidecar_core::{
    admission,
    catalogue::Catalogue,
    conversion::{Conversion, Decision},
    findings::{Code, Finding, Severity},
};
use rstest::rstest;
use serde_json::Value;
use similar::TextDiff;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[rstest]
fn the_result_is_the_recorded_one(#[files("../../tests/cases/*/case.yaml")] path: PathBuf) {
    let case = read(&path);
    let (file, now) = (case.directory.join(RESULT), Recorded::of(&case));
    let actual = now.to_text();
    if is_update() {
        fs::write(&file, &actual).unwrap();
    }
    let recorded = fs::read_to_string(&file).unwrap_or_default();
    if recorded != actual {
        let diff = TextDiff::from_lines(&recorded, &actual);
        let diff = diff.unified_diff().header("recorded", "now").to_string();
        panic!("{}: {}\n{diff}", case.name, case.settings.shows);
    }
    // Other tests and the cluster suite take what they expect from the file.
    assert_eq!(Recorded::read(&case.directory), now, "{}", case.name);
}

/// Where a case has `native.yaml`, written by hand from the vendor's sources, the result equals it.
#[rstest]
fn the_result_is_what_the_vendor_writes(#[files("../../tests/cases/*/native.yaml")] path: PathBuf) {
    let case = read(&path);
    let result = patched(&case.pod, &case.convert().patch);
    let native = yaml(&path);
    for list in ["initContainers", "containers"] {
        let pretty = |pod: &Value| serde_json::to_string_pretty(&pod["spec"][list]).unwrap();
        let (native_text, result_text) = (pretty(&native), pretty(&result));
        let diff = TextDiff::from_lines(&native_text, &result_text);
        assert!(
            native["spec"][list] == result["spec"][list],
            "{}\n{}",
            case.name,
            diff.unified_diff().header("vendor", "result")
        );
    }
    for (key, value) in native["metadata"]["annotations"].as_object().into_iter().flatten() {
        assert_eq!(result["metadata"]["annotations"][key], *value, "annotation {key} of {}", case.name);
    }
}

#[rstest]
fn an_admission_request_gets_the_same_answer(#[files("../../tests/cases/*/case.yaml")] path: PathBuf) {
    let case = read(&path);
    if case.is_a_request() {
        case.check_answer(&case.review().unwrap().body);
    }
}

/// However a pod comes to be observed, the answer has the findings that it would have otherwise, and writes nothing.
#[rstest]
fn an_observed_pod_is_never_written_to(#[files("../../tests/cases/*/case.yaml")] path: PathBuf) {
    let case = read(&path);
    let converted = case.convert();
    let (request, context) = (case.request(), case.context());
    let by_server = admission::observe(request.as_bytes(), case.route(), context).unwrap();
    let mut asking: Value = serde_json::from_str(&case.pod).unwrap();
    let mut observed = vec![by_server.body];
    if let Some(annotations) = asking.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert("native-sidecar.io/mode".to_owned(), "observe".into());
        let by_pod = admission_review(&case.name, &asking.to_string());
        observed.push(admission::review(by_pod.as_bytes(), case.route(), context).unwrap().body);
    }
    for answer in observed {
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let response = &answer["response"];
        assert_eq!((&response["allowed"], &response["patch"]), (&Value::Bool(true), &Value::Null), "{}", case.name);
    }
    if case.is_a_request() {
        let expected = match converted.decision {
            Decision::Converted => "would-convert",
            Decision::Blocked | Decision::Denied => "would-block",
            other => other.as_str(),
        };
        assert_eq!((by_server.decision, by_server.findings), (expected, converted.findings), "{}", case.name);
    }
}

#[rstest]
fn a_second_pass_changes_nothing(#[files("../../tests/cases/*/case.yaml")] path: PathBuf) {
    let case = read(&path);
    let first = case.convert().patch;
    if first.is_empty() {
        return;
    }
    let after = patched(&case.pod, &first).to_string();
    let again = case.convert_pod(&after);
    assert!(again.patch.is_empty(), "{}", serde_json::to_string_pretty(&again.patch).unwrap());
}

/// Runs over what is there now: the tests above know only the cases that were there when they were compiled.
#[test]
fn every_case_is_complete() {
    for entry in fs::read_dir(root()).unwrap() {
        let directory = entry.unwrap().path();
        let files: BTreeSet<_> =
            fs::read_dir(&directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let has = |name: &str| files.contains(name);
        let directory = directory.display();
        assert!(has("case.yaml"), "{directory} has no case.yaml");
        assert!(has("pod.yaml") != has("pod.json"), "{directory} needs pod.yaml or pod.json");
        // Where results are written, another test of this program may not have come to it yet.
        assert!(has(RESULT) || is_update(), "{directory} has no {RESULT}; tests/README.md says how to write it");
        let known = ["case.yaml", "pod.yaml", "pod.json", "native.yaml", RESULT];
        let stray = files.iter().find(|file| !known.contains(&file.as_str()));
        assert_eq!(stray, None, "{directory} has a file that is none of a case");
    }
}

#[rstest]
fn a_case_says_what_it_shows(#[files("../../tests/cases/*/case.yaml")] path: PathBuf) {
    let case = read(&path);
    let shows = &case.settings.shows;
    assert!(shows.ends_with('.') && !shows.contains('\n'), "one sentence, please: {shows:?}");
    assert!(case.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{}", case.name);
}

/// Some case is converted in another way, with other words, or not at all, where the catalogue lacks the entry.
#[test]
fn every_known_sidecar_has_a_case() {
    let cases: Vec<_> = all_cases().into_iter().map(|case| (case.convert(), case)).collect();
    let converted: Vec<_> = cases.iter().filter(|(with, _)| with.decision == Decision::Converted).collect();
    let counts = |entry: &&str| {
        let lacking = catalogue_without("sidecars", entry);
        converted.iter().any(|(with, case)| {
            let without = case.convert_with(&lacking);
            without.patch != with.patch || without.findings != with.findings
        })
    };
    let names = catalogue().entries().iter().map(|entry| &*entry.name);
    let missing: Vec<_> = names.filter(|entry| !counts(entry)).collect();
    assert!(missing.is_empty(), "no case needs {missing:?} in the catalogue");
}

/// The built-in catalogue, whose `list` lacks what is called `name`.
fn catalogue_without(list: &str, name: &str) -> Catalogue {
    let mut file: Value = serde_saphyr::from_str(Catalogue::built_in_text()).unwrap();
    file[list].as_array_mut().unwrap().retain(|entry| entry["name"] != name);
    // JSON is YAML.
    let lacking = Catalogue::parse("known", &file.to_string()).unwrap();
    let count = |catalogue: &Catalogue| catalogue.entries().len() + catalogue.engines().len();
    assert_eq!(count(&lacking) + 1, count(catalogue()));
    lacking
}

/// Some case has other findings where the catalogue lacks the engine.
#[test]
fn every_engine_has_a_case() {
    let cases: Vec<_> = all_cases().into_iter().map(|case| (case.convert(), case)).collect();
    let counts = |engine: &&str| {
        let lacking = catalogue_without("engines", engine);
        let about_it = cases.iter().filter(|(with, _)| with.findings.iter().any(is_of_an_engine));
        about_it.into_iter().any(|(with, case)| case.convert_with(&lacking).findings != with.findings)
    };
    let names = catalogue().engines().iter().map(|engine| &*engine.name);
    let missing: Vec<_> = names.filter(|engine| !counts(engine)).collect();
    assert!(missing.is_empty(), "no case needs the engine {missing:?}");
}

fn is_of_an_engine(finding: &Finding) -> bool {
    matches!(finding.code, Code::EngineContainer | Code::EngineLooksElsewhere)
}

/// Codes whose pods would fill files, or that no pod is known to lead to: the conversion's own tests show them.
const WITHOUT_A_CASE: [Code; 4] =
    [Code::TooManyContainers, Code::AnnotationsTooLarge, Code::PatchTooLarge, Code::UnsoundPatch];

#[test]
fn every_finding_has_a_case() {
    let found: BTreeSet<Code> =
        all_cases().iter().flat_map(|case| case.convert().findings).map(|finding| finding.code).collect();
    let is_missing = |code: &&Code| !found.contains(code) && !WITHOUT_A_CASE.contains(code);
    let missing: Vec<_> = Code::ALL.iter().filter(is_missing).map(|code| code.as_str()).collect();
    assert!(missing.is_empty(), "no case finds {missing:?}");
}

#[test]
fn every_blocker_has_a_case_that_is_blocked_and_one_that_accepts_it() {
    let conversions: Vec<Conversion> = all_cases().iter().map(Case::convert).collect();
    for code in Code::ALL.iter().copied().filter(|code| code.severity() == Severity::Blocker) {
        let blocks = |conversion: &&Conversion| conversion.reasons.iter().any(|reason| reason.code == code);
        let accepts = |conversion: &&Conversion| {
            conversion.decision == Decision::Converted && conversion.findings.iter().any(|found| found.code == code)
        };
        assert!(conversions.iter().any(|conversion| blocks(&conversion)), "no case is blocked by {code}");
        assert!(conversions.iter().any(|conversion| accepts(&conversion)), "no case accepts {code}");
    }
}

fn read(file: &Path) -> Case {
    Case::read(file.parent().unwrap())
}
