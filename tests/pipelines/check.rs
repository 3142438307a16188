//! What the exit code says, and when something is written.

use crate::{CONFIG_MAP, CONVERTED, Folder, JOB, LEFT, run};
use rstest::rstest;

/// A pod that no controller owns, which is worth a note.
const BARE: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: bare
  annotations:
    native-sidecar.io/containers: proxy
spec:
  containers:
  - name: web
    image: web
  - name: proxy
    image: proxy
";

#[rstest]
#[case::nothing_to_do(CONVERTED, &[], 0)]
#[case::would_change(JOB, &[], 2)]
#[case::would_change_although_blocked_is_fine(JOB, &["--blocked-ok"], 2)]
#[case::left(LEFT, &[], 2)]
#[case::left_is_fine(LEFT, &["--blocked-ok"], 0)]
#[case::nobody_asks(CONFIG_MAP, &[], 0)]
fn a_check_writes_nothing(#[case] text: &str, #[case] options: &[&str], #[case] code: i32) {
    let folder = Folder::with(&[("a.yaml", text)]);
    let checked = run(&[&["convert", "--check"], options, &[&folder.name("a.yaml")]].concat(), "");
    assert_eq!((checked.code, checked.out.as_str()), (code, ""), "{}", checked.err);
    assert_eq!(folder.text("a.yaml"), text);
}

#[test]
fn a_check_says_what_would_move_and_shows_it_when_asked() {
    let checked = run(&["convert", "--check"], JOB);
    assert!(checked.err.starts_with("Job/pi: would move sidecar to initContainers[0]\n"), "{}", checked.err);
    assert!(checked.err.contains(": 1 would be converted, "), "{}", checked.err);
    let diff = run(&["convert", "--check", "-o", "diff"], JOB);
    assert_eq!(diff.code, 2);
    assert!(diff.out.contains("+        native-sidecar.io/converted: sidecar\n"), "{}", diff.out);
    let refused = run(&["convert", "--check", "-o", "yaml"], JOB);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains("--check prints no manifests"), "{}", refused.err);
}

#[rstest]
#[case::a_blocker(LEFT, &[], 2)]
#[case::a_blocker_that_is_fine(LEFT, &["--blocked-ok"], 0)]
#[case::never(LEFT, &["--fail-on", "never"], 0)]
#[case::from_warnings_on(LEFT, &["--fail-on", "warning"], 2)]
#[case::converted(JOB, &[], 0)]
#[case::a_note(BARE, &["--fail-on", "note"], 2)]
#[case::a_note_is_no_warning(BARE, &["--fail-on", "warning"], 0)]
fn a_run_fails_from_a_severity_on(#[case] text: &str, #[case] options: &[&str], #[case] code: i32) {
    let run = run(&[&["convert"], options].concat(), text);
    assert_eq!(run.code, code, "{}", run.err);
    assert!(!run.out.is_empty(), "all is written, whatever the exit code says");
}

#[test]
fn what_a_pod_accepts_is_no_failure() {
    let accepts = LEFT.replace(
        "    native-sidecar.io/containers",
        "    native-sidecar.io/accept: host-port\n    native-sidecar.io/containers",
    );
    assert_eq!(run(&["convert", "--fail-on", "blocker"], &accepts).code, 0);
}

#[test]
fn summaries_name_what_moved_where() {
    let two = JOB
        .replace("containers: sidecar", "containers: pi2, sidecar")
        .replace("      - name: sidecar", "      - name: pi2\n        image: x\n      - name: sidecar");
    let moved = run(&["convert"], two);
    assert!(
        moved.err.contains("Job/pi: moved pi2 to initContainers[0], sidecar to initContainers[1]\n"),
        "{}",
        moved.err
    );
    let quiet = run(&["convert", "--quiet"], JOB);
    assert_eq!((quiet.err.as_str(), quiet.out.as_str()), ("", CONVERTED));
}

#[test]
fn a_name_that_no_pod_has_is_told_once_and_blames_the_argument() {
    let stream = format!("{CONFIG_MAP}---\n{JOB}---\n{}", JOB.replace("name: sidecar", "name: other"));
    let told = run(&["convert", "--containers", "sidecar,nobody"], stream);
    assert_eq!(told.code, 0, "{}", told.err);
    let lines: Vec<_> = told.err.lines().filter(|line| line.contains("name-not-found")).collect();
    let [line] = &*lines else { panic!("one line, and none about the name that one pod has: {lines:?}") };
    assert!(line.contains("--containers") && line.contains("\"nobody\"") && !line.contains("annotation"), "{line}");
}

#[rstest]
#[case::verbose_and_quiet(&["-v", "-q"])]
#[case::two_ways_to_fail(&["--blocked-ok", "--fail-on", "note"])]
#[case::in_place_and_printed(&["--in-place", "-o", "yaml"])]
#[case::in_place_and_checked(&["--in-place", "--check"])]
#[case::standard_input_in_place(&["--in-place"])]
#[case::standard_input_twice(&["-", "-"])]
#[case::two_reports_on_standard_output(&["--report", "json=-", "--report", "sarif=-"])]
#[case::a_report_and_manifests(&["--report", "json=-", "-o", "yaml"])]
#[case::what_is_no_name(&["--containers", "b c; d"])]
#[case::no_wildcard(&["--containers", "*"])]
#[case::no_such_report(&["--report", "xml=a"])]
#[case::no_file_for_a_report(&["--report", "json="])]
fn arguments_that_make_no_sense_are_refused(#[case] options: &[&str]) {
    let refused = run(&[&["convert"], options].concat(), JOB);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{}", refused.err);
    assert!(!refused.err.is_empty());
}

#[rstest]
#[case("always", true)]
#[case("never", false)]
#[case("auto", false)]
fn colours_are_for_terminals_unless_asked_for(#[case] when: &str, #[case] painted: bool) {
    let run = run(&["convert", "-o", "diff", "--color", when], format!("{JOB}---\n{LEFT}"));
    assert_eq!(run.out.contains("\u{1b}[32m+"), painted, "{}", run.out);
    assert_eq!(run.err.contains("\u{1b}["), painted, "{}", run.err);
}
