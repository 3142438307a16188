//! The small commands as processes: `review`, `explain`, `catalogue`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;

use command::run;
use rstest::rstest;
use std::process::Output;

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts a failure that is told in one line.
fn fails_saying(output: &Output, what: &str) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("native-sidecar: ") && message.contains(what), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn every_sample_is_converted() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let samples = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let reviews: Vec<_> =
        samples.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    assert!(reviews.len() >= 4);
    for path in reviews {
        let answer = stdout(&run(&["review", path.to_str().unwrap()], ""));
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["response"]["auditAnnotations"]["decision"], "converted", "{}", path.display());
    }
}

#[test]
fn a_patch_comes_with_what_there_is_to_say_on_standard_error() {
    let asks = |name: &str| format!("\"native-sidecar.io/containers\": \"{name}\"");
    let review = include_str!("../samples/pi-job.json").replace(&asks("sidecar"), &asks("nobody"));
    let error = stderr(&run(&["review", "--patch", "-"], &review));
    assert!(error.contains("warning name-not-found: ") && error.ends_with("decision: nothing-to-do\n"), "{error}");
}

#[test]
fn the_readme_shows_the_patch_of_the_pi_job() {
    let patch = stdout(&run(&["review", "--patch", "samples/pi-job.json"], ""));
    let patch: Vec<serde_json::Value> = serde_json::from_str(&patch).unwrap();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let shown: Vec<serde_json::Value> = readme
        .lines()
        .filter(|line| line.starts_with("{\"op\":"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(shown, patch);
}

#[test]
fn the_readme_shows_the_converted_pi_job() {
    let converted = stdout(&run(&["convert", "samples/pi-job.yaml"], ""));
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains(&converted), "{converted}");
}

#[test]
fn wrong_arguments_are_an_error_like_any_other() {
    assert_eq!(run(&["convert", "--no-such-flag"], "").status.code(), Some(1));
    assert_eq!(run(&["--help"], "").status.code(), Some(0));
}

#[test]
fn review_reads_standard_input() {
    let sample = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/samples/pi-job.json")).unwrap();
    assert!(stdout(&run(&["review"], &sample)).contains("\"patchType\": \"JSONPatch\""));
}

#[test]
fn review_takes_a_version_into_account() {
    let answer = stdout(&run(&["review", "--kubernetes", "1.28", "samples/pi-job.json"], ""));
    assert!(answer.contains("server-too-old"), "{answer}");
    assert!(answer.contains("\"allowed\": true"), "{answer}");
}

#[test]
fn review_observes_as_each_of_those_who_may_ask_for_it() {
    let observed = stdout(&run(&["review", "--observe", "samples/pi-job.json"], ""));
    assert!(observed.contains("\"decision\": \"would-convert\""), "{observed}");
    assert!(!observed.contains("patch") && !observed.contains("warnings"), "{observed}");
    // What the pod asks for itself is converted in a namespace that observes.
    let asked = stdout(&run(&["review", "--known=observe", "samples/pi-job.json"], ""));
    assert!(asked.contains("\"decision\": \"converted\""), "{asked}");
    for known in ["--known", "--known=true"] {
        assert_eq!(stdout(&run(&["review", known, "samples/pi-job.json"], "")), asked);
    }
    let sample = include_str!("../samples/istio-deployment.json");
    let unasked = sample.replace("\"native-sidecar.io/containers\"", "\"example.com/containers\"");
    assert_ne!(sample, unasked);
    let answer = stdout(&run(&["review", "--known=observe"], &unasked));
    assert!(answer.contains("\"decision\": \"would-convert\""), "{answer}");
}

#[test]
fn review_says_what_is_wrong_in_one_line() {
    fails_saying(&run(&["review", "no-such-file"], ""), "cannot read no-such-file");
    fails_saying(&run(&["review"], "hello"), "the body is not an AdmissionReview");
    fails_saying(&run(&["review", "--catalogue", "README.md", "samples/pi-job.json"], ""), "README.md");
}

#[test]
fn review_reads_yaml_too() {
    let review: serde_json::Value = serde_json::from_str(include_str!("../samples/pi-job.json")).unwrap();
    let yaml = format!(
        "# As YAML.\nkind: AdmissionReview\napiVersion: {}\nrequest: {}\n",
        review["apiVersion"], review["request"]
    );
    assert_eq!(stdout(&run(&["review"], &yaml)), stdout(&run(&["review", "samples/pi-job.json"], "")));
    fails_saying(&run(&["review"], format!("{yaml}---\n{yaml}")), "it has 2 documents");
    let broken = yaml.replace("request:", "not-request:");
    fails_saying(&run(&["review"], &broken), "it has no request");
}

#[rstest]
#[case::job(
    "samples/pi-job.yaml",
    "",
    "it is a Job (batch/v1) and no AdmissionReview; `native-sidecar convert samples/pi-job.yaml` is"
)]
#[case::json(
    "-",
    r#"{"kind": "Pod", "apiVersion": "v1"}"#,
    "it is a Pod (v1) and no AdmissionReview; `native-sidecar convert -` is"
)]
#[case::several("-", "kind: A\napiVersion: b/v1\n---\nkind: B\n", "it is a A (b/v1)")]
#[case::no_object("-", "[1]", "the body is not an AdmissionReview: it is no JSON object")]
#[case::nothing("-", "", "the body is not an AdmissionReview: it is no JSON object")]
#[case::no_yaml("-", "a: b: c", "the body is not an AdmissionReview: it is no JSON object")]
fn review_names_the_command_that_is_for_manifests(#[case] file: &str, #[case] input: &str, #[case] says: &str) {
    fails_saying(&run(&["review", file], input), says);
}

#[rstest]
#[case(&["host-port"])]
#[case(&["HOST-PORT"])]
#[case(&["Host_Port"])]
#[case(&["host port"])]
#[case(&["host", "port"])]
fn explain_takes_a_code_however_it_is_written(#[case] words: &[&str]) {
    let text = stdout(&run(&[&["explain"], words].concat(), ""));
    assert!(text.starts_with("host-port (blocker)\n"), "{text}");
}

#[test]
fn help_is_wrapped_where_there_is_no_terminal() {
    let help = stdout(&run(&["serve", "--help"], ""));
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
}

#[test]
fn explain_takes_several_codes() {
    let both = stdout(&run(&["explain", "host-port", "unknown-kind"], ""));
    assert!(both.starts_with("host-port (blocker)\n") && both.contains("\n\nunknown-kind (note)\n"), "{both}");
}

#[test]
fn explain_knows_every_code_it_lists() {
    let list = stdout(&run(&["explain"], ""));
    let firsts = list.lines().filter(|line| !line.starts_with(' '));
    let codes: Vec<_> = firsts.map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert!(codes.contains(&"host-port"));
    for code in codes {
        let text = stdout(&run(&["explain", code], ""));
        assert!(text.starts_with(code) && text.contains("What to do:"), "{text}");
    }
}

#[test]
fn explain_helps_with_a_slip_of_the_pen() {
    fails_saying(&run(&["explain", "hostport"], ""), "did you mean host-port?");
}

#[test]
fn the_page_of_findings_is_the_printed_one() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings.md")).unwrap();
    assert_eq!(stdout(&run(&["explain", "--markdown"], "")), page);
}

#[test]
fn the_catalogue_is_listed_in_columns() {
    let listed = stdout(&run(&["catalogue"], ""));
    let header = listed.lines().next().unwrap();
    let columns = ["NAME", "CONTAINERS", "IMAGES"].map(|column| header.find(column).unwrap());
    let rows = listed.lines().take_while(|line| !line.is_empty());
    for row in rows {
        for column in columns {
            // Whoever has no image has an empty last column.
            let (before, value) = (&row[..column], row[column..].chars().next());
            assert!(before.ends_with("  ") && value != Some(' '), "{row:?} is not aligned at {column}");
        }
    }
}

#[test]
fn the_page_of_the_catalogue_shows_what_is_known() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/catalogue.md")).unwrap();
    let tables = stdout(&run(&["catalogue", "--markdown"], ""));
    assert!(
        page.ends_with(&tables),
        "docs/catalogue.md has to end in what `native-sidecar catalogue --markdown` prints"
    );
}

#[test]
fn the_printed_catalogue_can_be_read_back() {
    let yaml = stdout(&run(&["catalogue", "--yaml"], ""));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    let listed = stdout(&run(&["catalogue", "--catalogue", file.path().to_str().unwrap()], ""));
    assert_eq!(listed, stdout(&run(&["catalogue"], "")));
}

#[test]
fn the_catalogue_lists_engines_and_what_to_do() {
    let listed = stdout(&run(&["catalogue"], ""));
    let engines: Vec<_> = listed.lines().skip_while(|line| !line.starts_with("ENGINE")).collect();
    assert!(engines.len() > 20, "{listed}");
    let line = |name: &str| *engines.iter().find(|line| line.starts_with(name)).unwrap();
    assert!(line("airflow-xcom-sidecar").contains("blocks") && line("hami").contains("warns"), "{listed}");
    // Columns begin at one place.
    let column = line("ENGINE").find("WHAT TO DO").unwrap();
    assert_eq!(line("tekton").find("leave it"), Some(column));
}

/// A pod that asks for the container `result` of a batch system.
const BATCH_POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: task, labels: {batch.example.com/task: a}, annotations: {native-sidecar.io/containers: "result,wait"}}
spec:
  containers:
  - {name: task, image: "registry.example.com/task:1"}
  - {name: result, image: "registry.example.com/result:1"}
  - {name: wait, image: "registry.example.com/wait:1"}
"#;

#[test]
fn an_engine_of_the_users_own_keeps_its_container() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let engine = "engines:\n- name: our-batch\n  product: our batch system\n  pods: [{label: batch.example.com/*}]\n  containers: [result]\n  how: execs into it\n  instead: leave it\n";
    std::fs::write(file.path(), engine).unwrap();
    let path = file.path().to_str().unwrap();
    let without = run(&["convert", "-v", "-"], BATCH_POD);
    assert!(!String::from_utf8_lossy(&without.stderr).contains("engine"), "{without:?}");
    let blocked = run(&["convert", "-v", "--catalogue", path, "-"], BATCH_POD);
    let says = String::from_utf8_lossy(&blocked.stderr);
    assert!(says.contains("\"result\": belongs to our batch system, which execs into it; leave it"), "{says}");
    assert!(!says.contains("\"wait\": belongs"), "{says}");
    let listed = stdout(&run(&["catalogue", "--catalogue", path], ""));
    assert!(listed.lines().any(|line| line.starts_with("our-batch") && line.ends_with("leave it")), "{listed}");
}

#[test]
fn a_built_in_engine_is_replaced_by_one_of_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let engine = "engines:\n- {name: flink, product: Flink, containers: [flink-main-container], how: sees it, instead: wait, only-warns: true}\n";
    std::fs::write(file.path(), engine).unwrap();
    let pod = BATCH_POD.replace("result", "flink-main-container");
    let says = |arguments: &[&str]| String::from_utf8_lossy(&run(arguments, &pod).stderr).into_owned();
    assert!(says(&["convert", "-v", "-"]).contains("engine-container"));
    let replaced = says(&["convert", "-v", "--catalogue", file.path().to_str().unwrap(), "-"]);
    assert!(replaced.contains("engine-looks-elsewhere") && !replaced.contains("engine-container"), "{replaced}");
}
