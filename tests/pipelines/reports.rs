//! Reports for machines.

use crate::{CONFIG_MAP, Folder, JOB, LEFT, run};
use native_sidecar::cli::report::json;
use rstest::rstest;
use serde_json::Value;
use std::{env, fs};

const SCHEMA: &str = "schemas/convert-report.v1.json";

/// A stream with everything that a report tells: converted, left, accepted, nothing to do, and what cannot be read.
fn stream() -> String {
    let accepts = LEFT
        .replace("name: left", "name: accepts")
        .replace("  annotations:\n", "  annotations:\n    native-sidecar.io/accept: host-port\n");
    format!("{CONFIG_MAP}---\n{JOB}---\n{LEFT}---\n{accepts}---\na: b: c\n")
}

/// The report in `format` of that stream as a file, and the file's name.
fn report(format: &str, options: &[&str]) -> (String, String) {
    let folder = Folder::with(&[("all.yaml", &stream())]);
    let (file, to) = (folder.name("all.yaml"), folder.name("report"));
    let run = run(&[&["convert", "--keep-going", "--report", &format!("{format}={to}"), &file], options].concat(), "");
    assert_eq!(run.code, 1, "{}", run.err);
    (folder.text("report"), file)
}

fn json_report(options: &[&str]) -> (Value, String) {
    let (text, file) = report("json", options);
    (serde_json::from_str(&text).unwrap(), file)
}

#[test]
fn the_schema_is_that_of_the_types() {
    let made = json::schema().unwrap();
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(SCHEMA, &made).unwrap();
    }
    assert_eq!(fs::read_to_string(SCHEMA).unwrap(), made, "UPDATE_SCHEMA=1 cargo test --test pipelines writes it");
}

#[rstest]
#[case::carried_out(&[])]
#[case::checked(&["--check"])]
fn a_report_follows_the_schema(#[case] options: &[&str]) {
    let schema: Value = serde_json::from_str(&fs::read_to_string(SCHEMA).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let (report, _) = json_report(options);
    let errors: Vec<_> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut other = report;
    other["files"][0]["documents"][1]["templates"][0]["decision"] = "something".into();
    assert!(!validator.is_valid(&other), "a schema that takes anything checks nothing");
}

#[test]
fn json_has_every_document_template_and_finding_with_its_place() {
    let (report, file) = json_report(&[]);
    assert_eq!((&report["version"], &report["exitCode"]), (&1.into(), &1.into()));
    let summary = &report["summary"];
    let counts =
        ["files", "errors", "documents", "templates", "converted", "left"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 4, 3, 2, 1], "{summary}");
    let documents = report["files"][0]["documents"].as_array().unwrap();
    let job = &documents[1]["templates"][0];
    assert_eq!((&job["decision"], &job["path"]), (&"converted".into(), &"/spec/template".into()));
    let moved = &job["moved"][0];
    assert_eq!((&moved["container"], &moved["initContainer"]), (&"sidecar".into(), &0.into()));
    let line_of = |what: &str| stream().lines().position(|line| line.contains(what)).unwrap() + 1;
    assert_eq!(moved["line"], line_of("name: sidecar"));
    assert_eq!((&moved["column"], &moved["file"]), (&9.into(), &file.clone().into()));
    let finding = |document: &Value| {
        let findings = document["templates"][0]["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["code"] == "host-port").unwrap().clone()
    };
    let (left, accepted) = (finding(&documents[2]), finding(&documents[3]));
    assert_eq!((&left["severity"], &left["accepted"]), (&"blocker".into(), &false.into()));
    assert_eq!((&left["container"], &left["path"]), (&"proxy".into(), &"/spec/containers/1".into()));
    assert_eq!(left["line"], line_of("name: proxy"));
    assert_eq!(accepted["accepted"], true);
    let error = &report["files"][0]["errors"][0];
    assert_eq!((&error["document"], &error["line"]), (&5.into(), &stream().lines().count().into()));
}

#[test]
fn sarif_has_rules_places_and_what_is_accepted() {
    let (text, file) = report("sarif", &["--check"]);
    let log: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(!rule[text]["text"].as_str().unwrap().trim().is_empty(), "{rule}");
        }
        assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], format!("file://{file}"));
    }
    let of = |code: &str| results.iter().filter(|result| result["ruleId"] == code).collect::<Vec<_>>();
    let [left, accepted] = &*of("host-port") else { panic!("one is left, and one accepts: {results:?}") };
    assert_eq!((&left["level"], left.get("suppressions")), (&"error".into(), None));
    assert_eq!(accepted["suppressions"][0]["kind"], "inSource");
    assert_eq!(left["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], "Pod/shop/left");
    let region = &left["locations"][0]["physicalLocation"]["region"];
    assert!(region["startLine"].as_u64().unwrap() > 1 && region["startColumn"] == 5, "{region}");
    assert_eq!(of("would-convert").len(), 2);
    assert_eq!(of("syntax").len(), 1, "{results:?}");
}

#[test]
fn github_shows_each_finding_at_its_line() {
    let (text, file) = report("github", &[]);
    let line = stream().lines().position(|line| line.contains("name: proxy")).unwrap() + 1;
    let error = format!("::error file={file},line={line},col=5,title=host-port::Pod/shop/left: container \"proxy\": ");
    assert!(text.contains(&error), "{text}");
    let accepted = text.lines().find(|line| line.contains("title=host-port::Pod/shop/accepts: ")).unwrap();
    assert!(accepted.starts_with("::notice "), "{accepted}");
    assert!(text.lines().all(|line| line.starts_with("::")), "{text}");
}

#[test]
fn junit_has_a_test_for_each_pod_template() {
    let (text, file) = report("junit", &[]);
    let document = roxmltree::Document::parse(&text).unwrap();
    let elements =
        |name: &'static str| document.descendants().filter(move |node| node.has_tag_name(name)).collect::<Vec<_>>();
    assert_eq!(elements("testsuite")[0].attribute("name"), Some(&*file));
    let names: Vec<_> = elements("testcase").iter().filter_map(|case| case.attribute("name")).collect();
    assert!(names.contains(&"document 2: Job/pi/spec/template"), "{names:?}");
    let [failure] = &*elements("failure") else { panic!("one pod is left: {text}") };
    assert_eq!(failure.attribute("type"), Some("host-port"));
    assert_eq!(failure.parent().unwrap().attribute("name"), Some("document 3: Pod/shop/left"));
    assert_eq!(elements("error").len(), 1, "{text}");
}

#[rstest]
#[case("json")]
#[case("sarif")]
#[case("github")]
#[case("junit")]
fn a_name_that_no_pod_has_is_in_the_report_and_counts(#[case] format: &str) {
    let report = format!("{format}=-");
    let told = run(&["convert", "--containers", "zzz", "--fail-on", "warning", "--report", &report], JOB);
    assert_eq!(told.code, 2, "{}", told.err);
    assert!(told.out.contains("zzz") && told.out.contains("name-not-found"), "{}", told.out);
}

#[rstest]
#[case::an_input("job.yaml", "r")]
#[case::another_report("r", "r")]
fn a_report_overwrites_no_input_and_no_other_report(#[case] first: &str, #[case] second: &str) {
    let folder = Folder::with(&[("job.yaml", JOB)]);
    let [first, second] = [first, second].map(|name| folder.name(name));
    let (first, second) = (format!("json={first}"), format!("sarif={second}"));
    let refused = run(&["convert", &folder.name("job.yaml"), "--report", &first, "--report", &second], "");
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{}", refused.err);
    assert_eq!(folder.text("job.yaml"), JOB);
}

#[test]
fn a_report_on_standard_output_is_alone_there() {
    let only = run(&["convert", "--report", "json=-"], JOB);
    assert_eq!(only.code, 0, "{}", only.err);
    let report: Value = serde_json::from_str(&only.out).unwrap();
    assert_eq!(report["files"][0]["file"], "standard input");
    let short = run(&["convert", "--report", "json"], JOB);
    assert_eq!(short.out, only.out);
}

#[test]
fn what_an_object_does_not_say_is_null() {
    let told = run(&["convert", "--report", "json"], "metadata: {annotations: {native-sidecar.io/known: \"true\"}}\n");
    let report: Value = serde_json::from_str(&told.out).unwrap();
    let document = &report["files"][0]["documents"][0];
    for field in ["apiVersion", "kind", "namespace", "name"] {
        assert_eq!(document[field], Value::Null, "{document}");
    }
}

#[test]
fn a_report_is_written_although_nothing_else_is() {
    let folder = Folder::with(&[]);
    let run = run(&["convert", "--report", &format!("json={}", folder.name("r.json"))], "a: b: c\n");
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    let report: Value = serde_json::from_str(&folder.text("r.json")).unwrap();
    assert_eq!((&report["exitCode"], &report["summary"]["errors"]), (&1.into(), &1.into()));
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let run = run(&["convert", "--report", "json=/nowhere/report.json"], JOB);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(run.err.contains("cannot write the report /nowhere/report.json: "), "{}", run.err);
}
