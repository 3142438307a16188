//! Objects of every kind in the table, through `native-sidecar convert`; and the page that shows the table.

// The lint knows tests, but not the functions that they share.
#![allow(clippy::unwrap_used)]

mod command;

use native_sidecar_manifest::{Engine, Manifest, Place, Search, Side, TABLE, Treatment};
use serde_json::Value;
use std::{collections::BTreeSet, fs};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The objects in a file of `tests/workloads/`.
fn objects(file: &str) -> Vec<Value> {
    let bytes = fs::read(format!("{ROOT}/tests/workloads/{file}")).unwrap();
    let manifest = Manifest::read(file, &bytes).unwrap();
    manifest.documents().iter().map(|document| document.value(Side::Before).clone()).collect()
}

fn convert(args: &[&str], stdin: &str) -> (i32, String, String) {
    let output = command::run(&[&["convert"], args].concat(), stdin);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// `KIND.GROUP`.
fn kind_of(object: &Value) -> String {
    let group = object["apiVersion"].as_str().unwrap().split_once('/').map_or("", |(group, _)| group);
    format!("{}.{group}", object["kind"].as_str().unwrap())
}

/// The kinds of the table with a place that is treated so.
fn kinds(is_meant: impl Fn(&Treatment) -> bool) -> BTreeSet<String> {
    let places = |engine: &'static Engine| {
        engine.groups.iter().flat_map(|group| engine.places.iter().map(move |place| (*group, place)))
    };
    let meant = TABLE.iter().flat_map(places).filter(|(_, Place { treatment, .. })| is_meant(treatment));
    meant.map(|(group, place)| format!("{}.{group}", place.kind)).collect()
}

const fn is_left(treatment: &Treatment) -> bool {
    matches!(treatment, Treatment::Left(_) | Treatment::Merged(_))
}

#[test]
fn an_object_of_each_kind_is_converted() {
    let found: BTreeSet<_> = objects("converted.yaml").iter().map(kind_of).collect();
    // One of the groups of a kind that has several stands for all.
    let spared = ["Deployment.extensions", "ReplicaSet.extensions", "DaemonSet.extensions"];
    let missing: Vec<_> = kinds(|treatment| !is_left(treatment)).difference(&found).cloned().collect();
    assert_eq!(
        missing,
        spared.iter().map(|kind| (*kind).to_owned()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
    let file = format!("{ROOT}/tests/workloads/converted.yaml");
    let (code, out, err) = convert(&[&file], "");
    assert_eq!(code, 0, "{err}");
    let asked = fs::read_to_string(&file).unwrap().matches("native-sidecar.io/containers: proxy}").count();
    assert!(
        err.ends_with(&format!(
            "{} documents, {asked} pod templates: {asked} converted, 0 left, 0 with nothing to do, 0 not asked for\n",
            objects("converted.yaml").len()
        )),
        "{err}"
    );
    assert!(!err.contains("warning"), "{err}");
    assert_eq!(out.matches("restartPolicy: Always").count(), asked);
}

#[test]
fn each_place_of_a_kind_is_in_its_object() {
    let objects = objects("converted.yaml");
    for engine in TABLE {
        for place in engine.places.iter().filter(|place| !is_left(&place.treatment)) {
            let path = if place.path.is_empty() { "." } else { place.path };
            let kinds: Vec<_> = engine.groups.iter().map(|group| format!("{}.{group}", place.kind)).collect();
            let of_kind = objects.iter().filter(|object| kinds.contains(&kind_of(object)));
            let way = format!("{}={path}", place.kind);
            let search = Search { paths: vec![way.parse().unwrap()], resource_list: false };
            let stands_there = |object: &Value| {
                let held = place.treatment == Treatment::Holds;
                let named =
                    search.templates(object).unwrap().iter().any(|t| t.basis != native_sidecar_manifest::Basis::Kind);
                named || held && !search.templates(object).unwrap().is_empty()
            };
            assert!(of_kind.into_iter().any(stands_there), "{} {}", place.kind, place.path);
        }
    }
}

#[test]
fn an_object_of_each_kind_that_is_left_is_told_of() {
    let found: BTreeSet<_> = objects("left.yaml").iter().map(kind_of).collect();
    let missing: Vec<_> = kinds(is_left).difference(&found).cloned().collect();
    assert_eq!(missing, [""; 0]);
    let file = format!("{ROOT}/tests/workloads/left.yaml");
    let (code, out, err) = convert(&[&file], "");
    assert_eq!((code, out), (0, fs::read_to_string(&file).unwrap()), "{err}");
    for number in 1..=objects("left.yaml").len() {
        let lines: Vec<_> = err.lines().filter(|line| line.contains(&format!("document {number}: "))).collect();
        let is_told = |line: &&str| line.contains(" is not carried out here: ");
        assert!(lines.len() == 1 && lines.iter().all(is_told), "document {number}: {lines:?}");
    }
}

/// Where nothing in the templates asks, `--known` and `--containers` reach the kinds of the table alone.
#[test]
fn flags_are_for_kinds_that_are_known() {
    let template = "template: {spec: {containers: [{name: app, image: app}, {name: proxy, image: proxy}]}}";
    let rollout =
        format!("apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {{name: a}}\nspec:\n  {template}\n");
    let unknown = format!("apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: b}}\nspec:\n  {template}\n");
    let service =
        format!("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: c}}\nspec:\n  {template}\n");
    let all = [rollout.as_str(), unknown.as_str(), service.as_str()].join("---\n");
    let (code, out, err) = convert(&["--containers", "proxy", "-v"], &all);
    assert_eq!((code, out.matches("restartPolicy: Always").count()), (0, 1), "{err}");
    assert!(out.ends_with(&format!("{unknown}---\n{service}")), "{out}");
    assert!(err.contains("Thing/b: warning unknown-kind: the pod template at spec.template is left"), "{err}");
    assert!(err.contains("Service/c: note engine-owned: left: Knative refuses restartPolicy"), "{err}");
}

/// A place that was named is reached by flags, in an unknown kind and in one that is left.
#[test]
fn a_place_that_was_named_is_converted() {
    let template = "{spec: {containers: [{name: app, image: app}, {name: proxy, image: proxy}]}}";
    let unknown = format!(
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: b}}\nspec: {{pools: [{{pod: {template}}}]}}\n"
    );
    let service = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: c}\n";
    let all = format!("{unknown}---\n{service}spec: {{template: {template}}}\n");
    let converted = |paths: &[&str]| {
        let paths: Vec<_> = paths.iter().flat_map(|path| ["--template-path", path]).collect();
        let (code, out, err) = convert(&[&["--containers", "proxy"], paths.as_slice()].concat(), &all);
        assert_eq!(code, 0, "{err}");
        out.matches("restartPolicy: Always").count()
    };
    assert_eq!(converted(&[]), 0);
    assert_eq!(converted(&["spec.pools[].pod", "spec.template"]), 1);
    assert_eq!(converted(&["Thing.example.com=spec.pools[].pod", "Service.serving.knative.dev=spec.template"]), 2);
    let (code, out, err) = convert(&["--template-path", "spec.pools[0]"], &all);
    assert_eq!((code != 0, out.as_str()), (true, ""));
    assert!(err.contains("write [] for every item of a list; single items cannot be chosen"), "{err}");
}

/// What is converted at a place that was named is drawn there too.
#[test]
fn a_named_place_counts_for_every_command_that_takes_one() {
    let thing = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec:\n  pods:\n    spec:\n      containers:\n      - \
                 {name: app, image: app}\n      - {name: proxy, image: proxy}\n";
    let arguments = ["--containers", "proxy", "--template-path", "spec.pods"];
    let timeline = command::run(&[&["timeline"], &arguments[..]].concat(), thing);
    let drawn = String::from_utf8(timeline.stdout).unwrap();
    assert!(drawn.contains("Thing/a\nproxy becomes a native sidecar."), "{drawn}");
    let (code, _, err) = convert(&[&["--explain"], &arguments[..]].concat(), thing);
    assert!(code == 0 && err.contains("Thing/a\nproxy becomes a native sidecar."), "{err}");
}

#[test]
fn the_page_of_workloads_shows_the_table() {
    let page = fs::read_to_string(format!("{ROOT}/docs/workloads.md")).unwrap();
    let output = command::run(&["workloads", "--markdown"], "");
    let tables = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && page.ends_with(&tables),
        "docs/workloads.md has to end in what `native-sidecar workloads --markdown` prints"
    );
}

#[test]
fn kinds_are_listed_in_columns() {
    let output = command::run(&["workloads"], "");
    let listed = String::from_utf8(output.stdout).unwrap();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = listed.lines().map(words).collect();
    assert_eq!(lines[0], ["KIND", "GROUP", "TEMPLATES", "WHAT", "IS", "DONE"]);
    assert_eq!(lines[1], ["Pod", "core", "-", "converted"]);
    assert_eq!(lines[4], ["Deployment", "apps,extensions", "spec.template", "converted"]);
    let ray = ["RayCluster", "ray.io", "spec.headGroupSpec.template,spec.workerGroupSpecs[].template", "converted"];
    assert!(lines.iter().any(|line| *line == ray), "{listed}");
    assert!(lines.iter().any(|line| line[0] == "Kafka" && line[3] == "left:"), "{listed}");
}
