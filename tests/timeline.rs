//! `native-sidecar timeline`: the pictures of `timeline/` and of the samples as they are recorded, and what must hold of
//! those of all golden cases. `UPDATE_CASES=1 cargo test --test timeline` writes the recorded ones anew.

// The lint knows tests, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use native_sidecar::cli::{
    look::Look,
    timeline::{self, Drawn},
};
mod command;

use command::run;
use native_sidecar_cases::{Case, all_cases, is_update};
use native_sidecar_core::{conversion::Decision, text::is_invisible, timeline::Timeline};
use roxmltree::Document;
use rstest::rstest;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};
use unicode_width::UnicodeWidthStr;

/// What `timeline` prints, which has to go well.
fn drawn(arguments: &[&str]) -> String {
    let output = run(&[&["timeline"], arguments].concat(), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

#[rstest]
#[case::job_that_hangs("cloud-sql-proxy-job", "samples/cloud-sql-proxy-job.json")]
#[case::istio("istio-deployment", "samples/istio-deployment.json")]
#[case::collector("log-collector", "samples/log-collector.json")]
#[case::job("pi-job", "samples/pi-job.yaml")]
#[case::two_sidecars("two-sidecars", "tests/timeline/two-sidecars.yaml")]
#[case::left("left", "tests/timeline/left.yaml")]
#[case::many_documents("many", "tests/timeline/many.yaml")]
#[case::names_of_any_characters("hostile", "tests/timeline/hostile.json")]
fn the_picture_is_the_recorded_one(#[case] name: &str, #[case] input: &str) {
    for (suffix, arguments) in [
        ("80.txt", &["--width", "80"][..]),
        ("120.txt", &["--width", "120"]),
        ("svg", &["-o", "svg"]),
        ("lives.json", &["-o", "json"]),
    ] {
        let now = drawn(&[arguments, &[input]].concat());
        holds_to_the_record(&path(&format!("tests/timeline/{name}.{suffix}")), &now);
    }
}

fn holds_to_the_record(file: &Path, now: &str) {
    if is_update() {
        fs::write(file, now).unwrap();
    }
    let recorded = fs::read_to_string(file).unwrap_or_default();
    assert!(recorded == now, "{} is out of date; now it is:\n{now}", file.display());
}

/// The page shows true output, each time with the command above it.
#[test]
fn the_page_shows_what_the_program_prints() {
    let page = fs::read_to_string(path("docs/timeline.md")).unwrap();
    let mut shown = 0;
    for block in page.split("```console\n").skip(1) {
        let block = block.split_once("```").unwrap().0;
        let (command, output) = block.split_once('\n').unwrap();
        let Some(arguments) = command.strip_prefix("$ native-sidecar timeline ") else { continue };
        if let Some((arguments, file)) = arguments.split_once(" > ") {
            holds_to_the_record(&path(file), &drawn(&arguments.split(' ').collect::<Vec<_>>()));
        } else {
            assert_eq!(drawn(&arguments.split(' ').collect::<Vec<_>>()), output, "{command}");
        }
        shown += 1;
    }
    assert!(shown >= 2, "the page shows no picture");
}

#[test]
fn the_readme_shows_a_part_of_what_the_program_prints() {
    let readme = fs::read_to_string(path("README.md")).unwrap();
    let command = "$ native-sidecar timeline ";
    let (_, behind) = readme.split_once(command).unwrap();
    let (arguments, behind) = behind.split_once('\n').unwrap();
    let shown = behind.split_once("```").unwrap().0;
    let printed = drawn(&arguments.split(' ').collect::<Vec<_>>());
    for part in shown.split("...\n") {
        assert!(printed.contains(part), "the README shows\n{part}which is no part of\n{printed}");
    }
}

fn of_case(case: &Case) -> Drawn {
    Drawn {
        file: "case".to_owned(),
        document: 1,
        kind: "Pod".to_owned(),
        namespace: "shop".to_owned(),
        name: case.name.clone(),
        timeline: case.timeline(),
    }
}

/// Whatever the pod: every line fits and can be seen, the SVG is XML with a text for each line, the JSON is JSON.
#[test]
fn every_case_can_be_drawn_in_every_format() {
    let drawn: Vec<_> = all_cases().iter().map(of_case).collect();
    assert!(drawn.len() > 200);
    for drawn in &drawn {
        holds_together(std::slice::from_ref(drawn));
    }
    holds_together(&drawn);
}

fn holds_together(drawn: &[Drawn]) {
    for width in [40, 80, 100, 121, 200] {
        let text = timeline::text(drawn, Look { width, ..Look::PLAIN });
        for line in text.lines() {
            assert!(line.width() <= width, "{width}: {line:?}");
            assert!(!line.chars().any(is_invisible), "{line:?}");
        }
        let painted = timeline::text(drawn, Look { width, colours: true, ..Look::PLAIN });
        assert_eq!(without_colours(&painted), without_colours(&text));
    }
    let svg = timeline::svg(drawn);
    let image = Document::parse(&svg).unwrap();
    let texts: Vec<_> =
        image.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text()).collect();
    let together = texts.concat();
    assert!(drawn.iter().all(|drawn| together.contains(&drawn.name)));
    assert!(!image.descendants().any(|node| node.has_tag_name("script") || node.has_tag_name("image")));
    let lives: Value = serde_json::from_str(&timeline::json(drawn).unwrap()).unwrap();
    assert_eq!((lives["version"].as_u64(), lives["pods"].as_array().unwrap().len()), (Some(1), drawn.len()));
}

/// Lines without colours and spaces at their ends.
fn without_colours(text: &str) -> Vec<String> {
    let plain = ["1", "2", "31", "32", "0"]
        .into_iter()
        .fold(text.to_owned(), |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
    plain.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// What the picture shows as the later life is what the conversion makes of the pod.
#[test]
fn the_later_life_is_that_of_the_converted_pod() {
    for case in all_cases() {
        let Timeline { decision, native, after, before, .. } = case.timeline();
        let is_converted = matches!(decision, Decision::Converted | Decision::WouldConvert);
        assert_eq!(after.is_some(), is_converted, "{}", case.name);
        let Some((before, after)) = before.zip(after) else { continue };
        for name in &native {
            let later = after.containers.iter().find(|container| container.name == *name);
            let role = later.map(|container| format!("{:?}", container.role));
            assert_eq!(role.as_deref(), Some("Sidecar"), "{}: {name}", case.name);
        }
        let hangs = after.end.is_some_and(|end| end.latest_seconds.is_none());
        assert!(!hangs || before.end.is_some_and(|end| end.latest_seconds.is_none()), "{}", case.name);
    }
}

#[test]
fn hostile_names_stay_in_their_place_in_every_format() {
    let hostile =
        ["</text><script>x</script>", "\u{202e}\u{1b}]0;x\u{7}\0", "&lt;\"'", "ﷺ変🚀e\u{301}", "\u{fffe}\n\r\t x", ""];
    for mut case in all_cases() {
        for (number, name) in hostile.into_iter().enumerate() {
            let text = case.pod.replace("-proxy\"", &format!("-{}\"", escaped(name)));
            let text = text.replace("\"web\"", &format!("\"{}{number}\"", escaped(name)));
            if text == case.pod {
                continue;
            }
            let pod = std::mem::replace(&mut case.pod, text);
            holds_together(&[of_case(&case)]);
            case.pod = pod;
        }
    }
}

/// `text` as it stands between the quotes of JSON.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[test]
fn convert_explains_on_standard_error_and_writes_the_same_manifest() {
    let plain = run(&["convert", "samples/pi-job.yaml"], "");
    let explained = run(&["convert", "--explain", "samples/pi-job.yaml"], "");
    assert_eq!(plain.stdout, explained.stdout);
    let picture = drawn(&["samples/pi-job.yaml"]);
    let report = String::from_utf8(plain.stderr).unwrap();
    assert_eq!(String::from_utf8(explained.stderr).unwrap(), format!("{picture}\n{report}"));
}

#[test]
fn options_are_those_of_convert() {
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      \
               containers:\n      - {name: a, image: a}\n      - {name: istio-proxy, image: \"docker.io/istio/proxyv2:1.26.2\", args: [proxy, sidecar]}\n";
    let text = |arguments: &[&str]| String::from_utf8(run(&[&["timeline"], arguments].concat(), job).stdout).unwrap();
    assert!(text(&[]).contains("nobody asks for a conversion"));
    assert!(text(&["--known"]).contains("\nistio-proxy becomes a native sidecar.\n"));
    assert!(text(&["--containers", "istio-proxy"]).contains("\nistio-proxy becomes a native sidecar.\n"));
    assert!(text(&["--known", "--kubernetes", "1.28"]).contains("server-too-old"));
}

#[test]
fn what_has_no_pods_is_said() {
    let nothing = run(&["timeline"], "kind: ConfigMap\n");
    assert_eq!((nothing.status.code(), &*nothing.stdout), (Some(0), &b""[..]));
    assert_eq!(String::from_utf8(nothing.stderr).unwrap(), "no pod template in what was read\n");
    let json = run(&["timeline", "-o", "json"], "").stdout;
    assert_eq!(serde_json::from_slice::<Value>(&json).unwrap()["pods"], Value::Array(Vec::new()));
    let svg = String::from_utf8(run(&["timeline", "-o", "svg"], "").stdout).unwrap();
    assert!(Document::parse(&svg).is_ok());
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let wrong = run(&["timeline", "no-such-file"], "");
    let message = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!((wrong.status.code(), message.lines().count()), (Some(1), 1), "{message}");
    assert!(message.contains("no-such-file"));
}
