//! `native-sidecar convert`, run as a process.

// The lint knows tests, but not the functions that they share.
#![allow(clippy::unwrap_used)]

mod command;

use native_sidecar_core::text::is_invisible;
use rstest::rstest;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

/// What a run left behind.
struct Run {
    code: i32,
    out: String,
    err: String,
}

fn run(args: &[&str], stdin: impl AsRef<[u8]>) -> Run {
    let output = command::run(&[&["convert"], args].concat(), stdin);
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

const DEPLOYMENT: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop} # in brackets
spec:
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
      annotations:
        # the proxy first
        native-sidecar.io/containers: proxy
    spec:
      containers:
        - name: web # the application
          image: "web:1"
          volumeMounts: []
        # reaches the outside
        - name: proxy
          image: 'proxy:1'
          args: ["--listen=:8080", "0644"]
          tty: yes
      volumes:
        - name: secret
          secret: {secretName: s, defaultMode: 0644}
"#;

const CONVERTED: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop} # in brackets
spec:
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
      annotations:
        # the proxy first
        native-sidecar.io/containers: proxy
        native-sidecar.io/converted: proxy
    spec:
      initContainers:
        # reaches the outside
        - name: proxy
          image: 'proxy:1'
          args: ["--listen=:8080", "0644"]
          tty: yes
          restartPolicy: Always
      containers:
        - name: web # the application
          image: "web:1"
          volumeMounts: []
      volumes:
        - name: secret
          secret: {secretName: s, defaultMode: 0644}
"#;

const CONFIG_MAP: &str = "# kept\napiVersion: v1\nkind: ConfigMap\nmetadata:   {name: c}\ndata:\n  a: |+\n    x\n\n";

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "annotations": {"native-sidecar.io/containers": "proxy"}},
        "spec": {"containers": [{"name": "web", "image": "web"}, {"name": "proxy", "image": "proxy"}]},
    })
}

fn init_names(pod_spec: &Value) -> Vec<&str> {
    let init = pod_spec["initContainers"].as_array().map(Vec::as_slice).unwrap_or_default();
    init.iter().map(|container| container["name"].as_str().unwrap()).collect()
}

#[test]
fn yaml_changes_only_where_it_must() {
    let run = run(&[], DEPLOYMENT);
    assert_eq!((run.code, run.out.as_str()), (0, CONVERTED), "{}", run.err);
    assert!(
        run.err.ends_with("1 document, 1 pod template: 1 converted, 0 left, 0 with nothing to do, 0 not asked for\n")
    );
}

#[test]
fn windows_line_ends_stay() {
    let run = run(&[], DEPLOYMENT.replace('\n', "\r\n"));
    assert_eq!(run.out, CONVERTED.replace('\n', "\r\n"));
}

#[test]
fn a_byte_order_mark_is_no_content() {
    let run = run(&[], format!("\u{feff}{DEPLOYMENT}"));
    assert_eq!(run.out, format!("\u{feff}{CONVERTED}"));
}

#[test]
fn a_second_run_finds_nothing_to_do() {
    let run = run(&[], CONVERTED);
    assert_eq!((run.code, run.out.as_str()), (0, CONVERTED), "{}", run.err);
}

#[test]
fn other_documents_come_out_byte_for_byte() {
    let head = "# Source: chart/templates/a.yaml\n---\n# nothing here\n---\n";
    let before = format!("{head}{CONFIG_MAP}--- # next\n{DEPLOYMENT}---\n...\n---\n{CONFIG_MAP}");
    let run = run(&["-"], &before);
    assert_eq!(run.out, before.replace(DEPLOYMENT, CONVERTED));
    assert!(run.err.contains("3 documents, 1 pod template: 1 converted"), "{}", run.err);
}

#[rstest]
#[case("")]
#[case("---\n")]
#[case("# nothing\n---\n\n---\n# here\n")]
#[case("null\n")]
fn nothing_in_nothing_out(#[case] text: &str) {
    let run = run(&["-o", "json"], text);
    assert_eq!((run.code, run.out.as_str()), (0, ""), "{}", run.err);
}

#[test]
fn a_cron_jobs_template_is_told_to_be_a_jobs() {
    let text = "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: night\nspec:\n  jobTemplate:\n    spec:\n      \
                template:\n        spec:\n          restartPolicy: OnFailure\n          containers:\n          - name: work\n          \
                - name: proxy\n";
    let run = run(&["--containers", "proxy", "-v"], text);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.err.contains("CronJob/night: note job-backoff-limit: "), "{}", run.err);
    assert!(run.out.contains(
        "initContainers:\n          - name: proxy\n            restartPolicy: Always\n          containers:"
    ));
    assert!(
        run.out.contains("        metadata:\n          annotations:\n            native-sidecar.io/converted: proxy\n")
    );
    assert!(!run.out.contains("ownerReferences"));
}

/// As the webhook would only look at the pods, the manifest stays as it is.
#[rstest]
#[case::would_convert("", "Deployment/shop: only observed; would be converted: proxy\n")]
#[case::would_block(
    "        ports: [{containerPort: 80, hostPort: 80}]\n",
    "Deployment/shop: only observed; would be left as it is\n"
)]
fn what_is_only_observed_is_left_and_told_of(#[case] ports: &str, #[case] told: &str) {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: shop\nspec:\n  template:\n    metadata:\n      \
         annotations:\n        native-sidecar.io/containers: proxy\n        native-sidecar.io/mode: observe\n    spec:\n      \
         containers:\n      - name: work\n      - name: proxy\n{ports}"
    );
    let run = run(&[], &text);
    assert_eq!((run.code, run.out.as_str()), (0, text.as_str()), "{}", run.err);
    assert!(run.err.contains(told) && run.err.ends_with("0 not asked for, 1 only observed\n"), "{}", run.err);
    assert_eq!(run.err.contains("blocker host-port: "), !ports.is_empty(), "{}", run.err);
}

#[test]
fn lists_are_converted_item_by_item() {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret"}, pod("a"), pod("b")]});
    let converted = run(&[], list.to_string());
    let value: Value = serde_json::from_str(&converted.out).unwrap();
    assert_eq!(value["items"][0], list["items"][0]);
    assert_eq!(init_names(&value["items"][2]["spec"]), ["proxy"]);
    let patch: Value = serde_json::from_str(&run(&["-o", "patch"], list.to_string()).out).unwrap();
    assert!(patch[0]["path"].as_str().unwrap().starts_with("/items/1/"), "{patch}");
}

#[test]
fn json_keeps_order_numbers_and_text() {
    let mut pod = pod("p");
    pod["spec"]["z"] =
        serde_json::from_str(r#"[123456789012345678901234567890, 1e3, 1.10, "yes", "é😀", null, {}, []]"#).unwrap();
    pod["a"] = json!("last");
    let run = run(&[], pod.to_string());
    let mut value: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(value["spec"]["z"], pod["spec"]["z"]);
    let keys: Vec<_> = value.as_object_mut().unwrap().keys().collect();
    assert_eq!(keys, ["apiVersion", "kind", "metadata", "spec", "a"]);
    let keys: Vec<_> = value["spec"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["initContainers", "containers", "z"]);
}

#[test]
fn json_objects_one_after_the_other() {
    let run = run(&[], format!("{}{}\n{}", pod("a"), json!({"kind": "ConfigMap"}), pod("b")));
    let values: Vec<Value> = serde_json::Deserializer::from_str(&run.out).into_iter().map(Result::unwrap).collect();
    assert_eq!(values.len(), 3);
    assert_eq!(init_names(&values[2]["spec"]), ["proxy"]);
}

#[test]
fn formats_can_be_changed() {
    let yaml = run(&["-o", "yaml"], format!("{}{}", pod("a"), pod("b"))).out;
    assert_eq!(yaml.matches("---\n").count(), 1);
    let json = run(&["-o", "json"], DEPLOYMENT).out;
    let value: Value = serde_json::from_str(&json).unwrap();
    let spec = &value["spec"]["template"]["spec"];
    assert_eq!(spec["volumes"][0]["secret"]["defaultMode"], 420);
    assert_eq!(spec["initContainers"][0]["args"], json!(["--listen=:8080", "0644"]));
    assert_eq!(spec["initContainers"][0]["tty"], true);
}

#[test]
fn a_patch_turns_the_document_into_the_result() {
    let mut value: Value = serde_json::from_str(&run(&["-o", "json"], CONVERTED).out).unwrap();
    let result = value.clone();
    value = serde_json::from_str(&run(&["-o", "json", "--containers", "absent"], DEPLOYMENT).out).unwrap();
    let patch: json_patch::Patch = serde_json::from_str(&run(&["-o", "patch"], DEPLOYMENT).out).unwrap();
    json_patch::patch(&mut value, &patch).unwrap();
    assert_eq!(value, result);
}

#[test]
fn patches_of_several_documents_say_whose_they_are() {
    let run = run(&["-o", "patch"], format!("{CONFIG_MAP}---\n{DEPLOYMENT}"));
    let patches: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(patches.as_array().unwrap().len(), 1);
    let name = ["file", "document", "kind", "namespace", "name"].map(|field| patches[0][field].to_string());
    assert_eq!(name.join(" "), r#""standard input" 2 "Deployment" "shop" "web""#);
}

#[test]
fn a_diff_names_file_and_object() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = (folder.path().join("web.yaml"), format!("{CONFIG_MAP}---\n{DEPLOYMENT}"));
    fs::write(&path, &text).unwrap();
    let path = path.to_str().unwrap();
    let run = run(&["-o", "diff", path], "");
    let head = format!("--- {path}\n+++ {path}\n@@ -19,16 +19,19 @@ Deployment/shop/web\n");
    assert!(run.out.starts_with(&head), "{}", run.out);
    assert!(run.out.contains("+        native-sidecar.io/converted: proxy\n"), "{}", run.out);
    assert_eq!(run.out.matches("@@").count(), 2, "{}", run.out);
}

#[test]
fn files_come_out_in_the_order_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (a, b) = (file("a.yaml", DEPLOYMENT.trim_end()), file("b.yaml", CONFIG_MAP));
    let run = run(&[&a, &b], "");
    assert_eq!(run.out, format!("{CONVERTED}---\n{CONFIG_MAP}"));
}

/// Whether a text ends with a line break, its last one says: there is none where the file ends without.
#[test]
fn a_text_at_the_end_of_a_file_gets_no_line_break_where_another_follows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    let text = "# kept\nkind: ConfigMap\ndata:\n  a: |\n    one\n    two";
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(run(&[path], "").out, text);
    let followed = run(&[path, "-"], CONFIG_MAP);
    let written = "# kept\nkind: ConfigMap\ndata:\n  a: |-\n    one\n    two\n";
    assert_eq!(followed.out, format!("{written}---\n{CONFIG_MAP}"));
}

#[test]
fn aliases_are_written_out_where_a_change_needs_it() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: # all\n  - &base {name: web, image: i}\n  \
                - <<: *base\n    name: proxy\n# end\n";
    let run = run(&["--containers", "proxy"], text);
    assert_eq!(run.code, 0, "{}", run.err);
    let spec = "spec:\n  initContainers:\n  - image: i\n    name: proxy\n    restartPolicy: Always\n  containers: # all\n  \
                - &base {name: web, image: i}\n# end\n";
    assert!(run.out.ends_with(spec), "{}", run.out);
    assert!(!run.err.contains("written anew"), "{}", run.err);
}

#[test]
fn what_is_written_anew_says_why() {
    let text = "# above\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [\n    {name: web},\n    \
                # helps\n    {name: proxy}\n  ]\n# end\n";
    let run = run(&["--containers", "proxy"], text);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.ends_with("  containers:\n  - name: web\n# end\n"), "{}", run.out);
    let told = "Pod/p: warning written-anew: written anew, without its comments: a list in brackets in line 7 cannot be edited in place\n";
    assert!(run.err.contains(told), "{}", run.err);
}

#[test]
fn what_kubectl_takes_and_does_not_concern_us_is_passed_on() {
    let text = format!("kind: Secret\ndata: {{a: b, a: c}}\n---\n{DEPLOYMENT}");
    let run = run(&[], &text);
    assert_eq!((run.code, run.out), (0, text.replace(DEPLOYMENT, CONVERTED)), "{}", run.err);
}

#[rstest]
#[case::compact(|value: &Value| value.to_string())]
#[case::kubectl(|value: &Value| {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut text, indent)).unwrap();
    String::from_utf8(text).unwrap() + "\n"
})]
#[case::jq(|value: &Value| format!("{value:#}\n"))]
fn json_changes_only_where_it_must(#[case] written: fn(&Value) -> String) {
    let other = r#"{"kind" :"ConfigMap","data":{"a":"\u003c","b":1.50}}"#;
    let mut after = pod("p");
    let containers = after["spec"]["containers"].as_array_mut().unwrap();
    let mut proxy = containers.remove(1);
    proxy["restartPolicy"] = "Always".into();
    let containers = after["spec"]["containers"].take();
    after["spec"] = json!({"initContainers": [proxy], "containers": containers});
    after["metadata"]["annotations"]["native-sidecar.io/converted"] = "proxy".into();
    let [before, after] = [pod("p"), after].map(|pod| format!("{other}\n{}{other}", written(&pod)));
    assert_eq!(run(&[], &before).out, after);
    assert_eq!(run(&[], &after).out, after);
    let diff = run(&["-o", "diff"], &before).out;
    assert!(diff.contains("\n+") && !diff.contains("u003c") || !before.ends_with(&format!("\n{other}")), "{diff}");
}

#[test]
fn findings_say_which_document_they_are_about() {
    let stream = format!(
        "{}---\n{}",
        DEPLOYMENT.replace("containers: proxy", "containers: one"),
        DEPLOYMENT.replace("containers: proxy", "containers: two")
    );
    let run = run(&[], &stream);
    assert_eq!(run.code, 0, "{}", run.err);
    let first = DEPLOYMENT.lines().position(|line| line == "    metadata:").unwrap();
    for (document, name, line) in [(1, "one", first), (2, "two", first + DEPLOYMENT.lines().count() + 1)] {
        let line = format!(
            "standard input:{}:5: document {document}: Deployment/shop/web: warning name-not-found: container \"{name}\": ",
            line + 1
        );
        assert!(run.err.contains(&line), "{line}: {}", run.err);
    }
}

/// `kubectl` takes what is not clear, and what nobody asks to convert need not be.
#[rstest]
#[case::nobody_asks(&[], 0)]
#[case::its_containers_are_asked_for(&["--containers", "b"], 1)]
#[case::it_has_nothing_to_move(&["--known"], 0)]
fn what_is_not_clear_is_passed_on_unless_it_is_to_be_converted(#[case] options: &[&str], #[case] code: i32) {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: b, a: c}}\nspec:\n  containers:\n  - name: a\n  - name: b\n";
    let run = run(options, pod);
    assert_eq!((run.code, run.out.as_str()), (code, if code == 0 { pod } else { "" }), "{}", run.err);
    assert_eq!(run.err.contains("standard input:3:36: document 1: duplicate key \"a\""), code == 1, "{}", run.err);
}

#[test]
fn an_annotation_in_the_wrong_place_is_told() {
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: pi\n  annotations: {native-sidecar.io/containers: sidecar}\n\
               spec:\n  template:\n    spec:\n      containers:\n      - {name: pi, image: perl}\n";
    let run = run(&[], job);
    assert_eq!((run.code, run.out.as_str()), (0, job));
    let told = "Job/pi: warning misplaced-annotation: annotation native-sidecar.io/containers at metadata.annotations has no effect here; \
         move it to spec.template.metadata.annotations";
    assert!(run.err.contains(told), "{}", run.err);
}

#[rstest]
#[case::not_yaml("a: b: c\n", "standard input:1:5: document 1: this is not YAML: ")]
#[case::second_document("a: 1\n---\nb: 2\n---\nc: [\n", "standard input:5:4: document 3: this is not YAML: ")]
#[case::tab("a:\n\tb: 1\n", "indent with spaces")]
#[case::duplicate(
    "a: 1\n---\nb:\n  c: 1\n  c: 2\nnative-sidecar.io/known: 1\n",
    "standard input:5:3: document 2: duplicate key \"c\""
)]
#[case::duplicate_in_disguise("1: a\n\"1\": b\nnative-sidecar.io/known: 1\n", "duplicate key \"1\"")]
#[case::duplicate_in_json(
    "{\"a\":{\"b\":1,\n\"b\":2},\"native-sidecar.io/known\":1}",
    "standard input:2:1: document 1: duplicate key \"b\""
)]
#[case::json("{\"a\": 1}{\"b\": tru", "standard input:1:17: document 2: this is not JSON: ")]
#[case::list("- a\n", "expected a Kubernetes object with apiVersion and kind, found a list")]
#[case::text("hello\n", "found a single value")]
#[case::item("apiVersion: v1\nkind: List\nitems: [{}, 1]\n", "standard input: document 1, item 2: expected")]
#[case::not_finite("a: .inf\n", "standard input:1:4: document 1: .inf has no form in JSON; quote it")]
#[case::no_anchor("a: *b\n", "an anchor must stand before its alias")]
#[case::own_alias("a: &b [*b]\n", "contains itself")]
#[case::merge_order("x: &x {a: 1}\nz:\n  a: 2\n  <<: *x\nnative-sidecar.io/known: 1\n", "put `<<` first")]
#[case::bare_colon("a: [b:]\nnative-sidecar.io/known: 1\n", "readers disagree")]
#[case::null_key("~: 1\n", "a key must be a string")]
fn bad_input_is_one_line_and_no_output(#[case] text: &str, #[case] expected: &str) {
    let run = run(&[], text);
    assert_eq!((run.code, run.out.as_str()), (1, ""), "{}", run.err);
    assert!(run.err.contains(expected), "{}", run.err);
    assert_eq!(run.err.matches('\n').count(), 1, "{}", run.err);
}

/// As a YAML author can write what turns around, hides or ends a line.
const INVISIBLE: &str = r"x\u202e\u200b\u2028\x7f\e[2K\ny";

#[test]
fn nothing_invisible_is_repeated_to_the_terminal() {
    let odd = DEPLOYMENT
        .replace(
            "{name: web, namespace: shop}",
            &format!("{{name: \"{INVISIBLE}\", annotations: {{\"native-sidecar.io/{INVISIBLE}\": x}}}}"),
        )
        .replace(
            "native-sidecar.io/containers: proxy",
            &format!("native-sidecar.io/containers: \"proxy,{INVISIBLE}\""),
        );
    let left = run(&[], &odd);
    for line in ["Deployment/x\\u{202e}", "annotation native-sidecar.io/x\\u{202e}", "containers: \"x\\u{202e}"] {
        assert!(left.err.contains(line), "{line}: {}", left.err);
    }
    let failed = run(&[], format!("native-sidecar.io/known: 1\n\"{INVISIBLE}\": 2\n\"{INVISIBLE}\": 3\n"));
    assert!(failed.code == 1 && failed.err.contains("\\u{202e}"), "{}", failed.err);
    for shown in [left.err, failed.err] {
        assert!(!shown.replace('\n', "").chars().any(is_invisible), "{shown:?}");
    }
}

#[test]
fn bytes_that_are_no_text() {
    assert!(run(&[], b"a: 1\nb: \xff\n").err.contains(":2:4: this byte is not UTF-8"));
    assert!(run(&[], b"\xff\xfea\0").err.contains("the file is UTF-16; save it as UTF-8"));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.extend(format!("a{level}: &a{level} [{aliases}]\n").chars());
    }
    let run = run(&[], text);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("the aliases unfold to more than 64 MiB"), "{}", run.err);
}

#[test]
fn depth_is_limited() {
    for text in ["[".repeat(100_000), format!("a: {}", "[".repeat(100_000)), "- ".repeat(100_000)] {
        let run = run(&[], text);
        assert!(run.code == 1 && run.err.contains("recursion limit exceeded"), "{}: {}", run.code, run.err);
    }
}

#[rstest]
#[case("leave", "Pod/p: left as it is\n")]
#[case("deny", "Pod/p: left as it is; the webhook would refuse its pods\n")]
fn a_blocked_pod_is_left_and_the_exit_code_says_so(#[case] on_blocker: &str, #[case] expected: &str) {
    let mut blocked = pod("p");
    blocked["metadata"]["annotations"]["native-sidecar.io/on-blocker"] = on_blocker.into();
    blocked["spec"]["initContainers"] = json!([{"name": "proxy"}]);
    let input = format!("{blocked}{}", pod("q"));
    let run = run(&[], input);
    assert_eq!(run.code, 2, "{}", run.err);
    assert!(run.err.contains("Pod/p: fatal name-in-both-lists: container \"proxy\": "), "{}", run.err);
    assert!(run.err.contains(expected), "{}", run.err);
    let values: Vec<Value> = serde_json::Deserializer::from_str(&run.out).into_iter().map(Result::unwrap).collect();
    assert_eq!(values[0], blocked);
    assert_eq!(init_names(&values[1]["spec"]), ["proxy"]);
}

/// The nodes of a cluster as kubectl prints them: one that is current, and one that is old and tainted.
fn nodes() -> Value {
    let node = |name: &str, version: &str, spec: Value| {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"pool": name}}, "spec": spec,
            "status": {"nodeInfo": {"kubeletVersion": version, "osImage": "x"}, "images": [{"names": ["a"], "sizeBytes": 1}]},
        })
    };
    let taints = json!({"taints": [{"key": "virtual-kubelet.io/provider", "value": "azure", "effect": "NoSchedule"}]});
    let items = [
        node("worker", "v1.36.1", json!({"podCIDR": "10.0.0.0/24"})),
        node("virtual", "v1.19.10-vk-azure-aci-1.4.16", taints),
        node("strange", "fake", json!({})),
    ];
    json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": {"resourceVersion": ""}})
}

fn run_with_nodes(nodes: &str, pod: &Value) -> Run {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(nodes.as_bytes()).unwrap();
    run(&["--nodes", file.path().to_str().unwrap()], pod.to_string())
}

#[test]
fn only_nodes_that_may_run_the_pod_count() {
    let nodes = nodes().to_string();
    let away = run_with_nodes(&nodes, &pod("p"));
    assert_eq!((away.code, away.err.contains("1 converted")), (0, true), "{}", away.err);
    assert!(away.err.contains("left out of account") && away.err.contains(r#"strange ("fake")"#), "{}", away.err);
    let mut tolerant = pod("p");
    tolerant["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    let near = run_with_nodes(&nodes, &tolerant);
    assert_eq!(near.code, 2, "{}", near.err);
    assert!(
        near.err.contains("kubelet-too-old") && near.err.contains("node virtual has kubelet 1.19.10"),
        "{}",
        near.err
    );
}

#[rstest]
#[case::no_json("items: []", "is not understood: expected value at line 1")]
#[case::empty(r#"{"kind": "List", "items": []}"#, "it has no nodes")]
#[case::nothing("{}", "it has no kind")]
#[case::other(r#"{"kind": "Pod"}"#, "it is a Pod, and no list of nodes")]
#[case::others(r#"{"kind": "List", "items": [{"kind": "Pod"}]}"#, "items[0] is a Pod")]
#[case::misshapen(r#"{"kind": "NodeList", "items": [{"spec": {"taints": 5}}]}"#, "items[0]: ")]
fn a_file_of_nodes_that_is_none_is_an_error(#[case] nodes: &str, #[case] says: &str) {
    let run = run_with_nodes(nodes, &pod("p"));
    assert_eq!((run.code, &*run.out), (1, ""));
    assert!(run.err.contains(says) && run.err.contains("kubectl get nodes -o json"), "{}", run.err);
    assert_eq!(run.err.lines().count(), 1, "{}", run.err);
}

#[test]
fn the_kubernetes_version_counts() {
    assert_eq!(run(&["--kubernetes", "1.27"], pod("p").to_string()).code, 2);
    assert_eq!(run(&["--kubernetes", "v1.33.2"], pod("p").to_string()).code, 0);
    let run = run(&["--kubernetes", "new"], "");
    assert_eq!(run.code, 1);
    assert!(run.err.contains("is not a Kubernetes version"), "{}", run.err);
}

#[test]
fn a_missing_file_is_an_error() {
    let run = run(&["no-such-file.yaml"], "");
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(run.err.starts_with("native-sidecar: cannot read no-such-file.yaml: "), "{}", run.err);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_native-sidecar"))
        .arg("convert")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(DEPLOYMENT.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_a_workload_says_about_containers_is_looked_at() {
    let template = |restart: &str| {
        json!({
            "metadata": {"annotations": {"native-sidecar.io/containers": "proxy"}},
            "spec": {"restartPolicy": restart, "containers": [{"name": "proxy", "image": "proxy"}, {"name": "work", "image": "work"}]},
        })
    };
    let rule = |container: &str| json!({"action": "FailJob", "onExitCodes": {"containerName": container, "operator": "NotIn", "values": [0]}});
    let job = json!({"podFailurePolicy": {"rules": [rule("work"), rule("proxy")]}, "template": template("Never")});
    let cron = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 0 * * *", "jobTemplate": {"spec": job}},
    });
    let told = run(&[], cron.to_string());
    assert!(
        told.err.contains("CronJob/nightly: warning named-elsewhere: container \"proxy\": rule 2 (FailJob)"),
        "{}",
        told.err
    );

    let trigger =
        r#"[{"from":{"kind":"ImageStreamTag","name":"work"},"fieldPath":"spec.template.spec.containers[1].image"}]"#;
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": template("Always")},
        "metadata": {"name": "web", "annotations": {"image.openshift.io/triggers": trigger}},
    });
    let told = run(&[], deployment.to_string());
    assert!(told.err.contains("warning named-elsewhere") && told.err.contains("containers[1]"), "{}", told.err);
    deployment["metadata"] = json!({"name": "web"});
    let told = run(&[], deployment.to_string());
    assert!(!told.err.contains("named-elsewhere"), "{}", told.err);
}
