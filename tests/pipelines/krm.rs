//! `native-sidecar fn`.

use crate::run;
use native_sidecar_manifest::{Manifest, Side};
use rstest::rstest;
use serde_json::{Value, json};

const LIST: &str = "\
apiVersion: config.kubernetes.io/v1
kind: ResourceList
functionConfig:
  apiVersion: v1
  kind: ConfigMap
  metadata:
    name: native-sidecar
  data:
    kubernetes: \"1.33\"
items:
# one
- apiVersion: v1
  kind: Service # stays
  metadata:
    name: web
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: web
    namespace: shop
    annotations:
      internal.config.kubernetes.io/path: 'web.yaml'
      internal.config.kubernetes.io/index: '1'
  spec:
    template:
      metadata:
        annotations:
          native-sidecar.io/containers: proxy
      spec:
        containers:
        - name: web # the application
          image: web
        - name: proxy
          image: proxy
";

fn value(text: &str) -> Value {
    let manifest = Manifest::read("output", text.as_bytes()).unwrap();
    manifest.documents()[0].value(Side::Before).clone()
}

#[test]
fn items_are_converted_and_results_say_so() {
    let run = run(&["fn"], LIST);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(
        run.out.contains("kind: Service # stays\n") && run.out.contains("- name: web # the application\n"),
        "{}",
        run.out
    );
    let list = value(&run.out);
    let spec = &list["items"][1]["spec"]["template"]["spec"];
    assert_eq!(spec["initContainers"][0], json!({"name": "proxy", "image": "proxy", "restartPolicy": "Always"}));
    assert_eq!(list["functionConfig"], value(LIST)["functionConfig"]);
    let results = list["results"].as_array().unwrap();
    let moved = results.last().unwrap();
    assert_eq!(moved["message"], "moved proxy to initContainers[0]");
    assert_eq!(moved["severity"], "info");
    assert_eq!(
        moved["resourceRef"],
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web"})
    );
    assert_eq!(
        (&moved["file"], &moved["field"]),
        (&json!({"path": "web.yaml", "index": 1}), &json!({"path": "spec.template"}))
    );
}

#[rstest]
#[case::left_is_a_warning("", 0, "warning")]
#[case::left_fails_when_asked("    failOn: blocker\n", 2, "error")]
fn a_blocker_is_a_result(#[case] config: &str, #[case] code: i32, #[case] severity: &str) {
    let list = LIST.replace("    kubernetes: \"1.33\"\n", &format!("    kubernetes: \"1.33\"\n{config}")).replace(
        "          image: proxy\n",
        "          image: proxy\n          ports: [{containerPort: 80, hostPort: 80}]\n",
    );
    let run = run(&["fn"], &list);
    assert_eq!(run.code, code, "{}", run.err);
    let written = value(&run.out);
    assert_eq!(written["items"], value(&list)["items"]);
    let results = written["results"].as_array().unwrap();
    let blocker = results.iter().find(|result| result["tags"]["code"] == "host-port").unwrap();
    assert_eq!(blocker["severity"], severity);
    assert_eq!(blocker["field"]["path"], "spec.template.spec.containers[1]");
    assert_eq!(blocker["tags"]["container"], "proxy");
}

#[test]
fn the_config_may_ask_for_containers_and_versions() {
    let plain = LIST.replace("          native-sidecar.io/containers: proxy\n", "          a: b\n");
    let config = "apiVersion: native-sidecar.io/v1alpha1\n  kind: NativeSidecar\n  metadata:\n    name: x\n  spec:\n    containers: [proxy]\n";
    let own = plain.replace(
        "apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: native-sidecar\n  data:\n    kubernetes: \"1.33\"\n",
        config,
    );
    let moved = run(&["fn"], &own);
    assert!(moved.out.contains("native-sidecar.io/converted: proxy"), "{}", moved.out);
    let old = run(&["fn"], LIST.replace("1.33", "1.27"));
    assert!(old.out.contains("kubelet-too-old") && !old.out.contains("restartPolicy"), "{}", old.out);
}

/// `kubectl` takes a key that stands twice, and what is not clear is not written.
#[test]
fn a_list_that_is_not_clear_and_does_not_change_comes_out_as_it_came_in() {
    let list = LIST.replace("          native-sidecar.io/containers: proxy", "          a: b");
    let list = list.replace("    name: web\n- api", "    name: web\n    name: web # twice\n- api");
    let run = run(&["fn", "--containers", "zzz"], &list);
    assert_eq!((run.code, run.out), (0, list), "{}", run.err);
    assert!(run.err.contains("zzz"), "{}", run.err);
}

#[test]
fn a_list_with_nothing_to_do_comes_out_as_it_came_in() {
    let list = LIST.replace("native-sidecar.io/containers: proxy", "a: b");
    let run = run(&["fn"], &list);
    assert_eq!((run.code, run.out), (0, list), "{}", run.err);
}

#[rstest]
#[case::nothing("", "standard input is empty")]
#[case::a_manifest("apiVersion: v1\nkind: Pod\n", "native-sidecar convert")]
#[case::two("a: 1\n---\nb: 1\n", "several documents")]
#[case::another_config(
    "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\nfunctionConfig: {apiVersion: v1, kind: Secret}\n",
    "functionConfig: expected a ConfigMap"
)]
#[case::another_key(
    "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\nfunctionConfig: {apiVersion: v1, kind: ConfigMap, data: {container: a}}\n",
    "functionConfig: there is no key \"container\""
)]
#[case::a_number(
    "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\nfunctionConfig: {apiVersion: native-sidecar.io/v1alpha1, kind: NativeSidecar, spec: {kubernetes: 1.30}}\n",
    "functionConfig: kubernetes: expected a text or a list of texts; quote a number"
)]
#[case::no_items("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: {}\n", "without a list of items")]
#[case::another_value(
    "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\nfunctionConfig: {apiVersion: v1, kind: ConfigMap, data: {known: maybe}}\n",
    "functionConfig: known: expected true or false"
)]
fn bad_input_is_one_line_and_no_output(#[case] text: &str, #[case] expected: &str) {
    let run = run(&["fn"], text);
    assert_eq!((run.code, run.out.as_str()), (1, ""), "{}", run.err);
    assert!(run.err.contains(expected) && run.err.matches('\n').count() == 1, "{}", run.err);
}
