use super::*;
use json_patch::Patch;
use native_sidecar_core::conversion::{ExitCodes, Workload};
use rstest::rstest;
use serde_json::{Value, json};

fn templates(document: &Value) -> Result<Vec<Template>, usize> {
    Search::default().templates(document)
}

/// The templates: object, place and the owner's kind.
fn places(document: &Value) -> Vec<(String, String, Option<String>)> {
    let found = templates(document).unwrap();
    found.into_iter().map(|t| (t.object.to_string(), t.path.to_string(), t.owner.map(|owner| owner.kind))).collect()
}

#[rstest]
#[case("v1", "Pod", json!({}), "", None)]
#[case("v1", "PodTemplate", json!({"template": {}}), "/template", Some("PodTemplate"))]
#[case("v1", "ReplicationController", json!({"spec": {"template": {}}}), "/spec/template", Some("ReplicationController"))]
#[case("apps/v1", "Deployment", json!({"spec": {"template": {}}}), "/spec/template", Some("ReplicaSet"))]
#[case("extensions/v1beta1", "Deployment", json!({"spec": {"template": {}}}), "/spec/template", Some("ReplicaSet"))]
#[case("apps/v1", "StatefulSet", json!({"spec": {"template": {}}}), "/spec/template", Some("StatefulSet"))]
#[case("batch/v1", "Job", json!({"spec": {"template": {}}}), "/spec/template", Some("Job"))]
#[case("batch/v1", "CronJob", json!({"spec": {"jobTemplate": {"spec": {"template": {}}}}}), "/spec/jobTemplate/spec/template", Some("Job"))]
fn kinds(
    #[case] version: &str,
    #[case] kind: &str,
    #[case] mut object: Value,
    #[case] path: &str,
    #[case] owner: Option<&str>,
) {
    object["apiVersion"] = version.into();
    object["kind"] = kind.into();
    object["metadata"] = json!({"name": "x"});
    assert_eq!(places(&object), [(format!("{kind}/x"), path.to_owned(), owner.map(str::to_owned))]);
}

#[rstest]
#[case(json!({"apiVersion": "v1", "kind": "ConfigMap"}))]
#[case(json!({"apiVersion": "serving.knative.dev/v1", "kind": "Deployment", "spec": {"template": {}}}))]
#[case(json!({"apiVersion": "apps/v1", "kind": "Pod"}))]
#[case(json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": null}}))]
#[case(json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": []}))]
#[case(json!({"kind": 1, "apiVersion": []}))]
fn others(#[case] object: Value) {
    assert_eq!(places(&object), []);
}

#[rstest]
#[case("n".repeat(253), "n".repeat(253))]
#[case("ä".repeat(254), "ä".repeat(253) + "…")]
#[case("a\nb".to_owned(), "a b".to_owned())]
fn names_are_told_as_long_as_the_api_server_takes_them(#[case] name: String, #[case] told: String) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}});
    assert_eq!(ObjectName::of_document(&pod).to_string(), format!("Pod/{told}"));
    let generated = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": name}});
    assert_eq!(places(&generated)[0].0, format!("Pod/{told}*"));
}

#[test]
fn lists() {
    let pod = json!({"metadata": {"generateName": "p-", "namespace": "n"}});
    let list = json!({"apiVersion": "v1", "kind": "PodList", "items": [pod]});
    let outer = json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Secret"}, list]});
    assert_eq!(places(&outer), [("Pod/n/p-*".to_owned(), "/items/1/items/0".to_owned(), None)]);
    assert_eq!(templates(&json!({"apiVersion": "v1", "kind": "List", "items": [{}, 1]})), Err(2));
}

#[rstest]
#[case("Job", json!({"podFailurePolicy": {}}), &[])]
#[case("Job", json!({"podFailurePolicy": {"rules": [
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
    {"action": "FailJob", "onExitCodes": {"containerName": "app", "operator": "NotIn", "values": [0, 3]}},
    {"action": "Count", "onExitCodes": {"operator": "In", "values": [1]}},
    {"onExitCodes": 5}
]}}), &["2 FailJob Some(\"app\") true [0, 3]", "3 Count None false [1]"])]
#[case("CronJob", json!({"podFailurePolicy": {"rules": [
    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [4]}}
]}}), &["1 FailJob None false [4]"])]
#[case("Deployment", json!({"podFailurePolicy": {"rules": [{"onExitCodes": {"values": [4]}}]}}), &[])]
fn rules_on_exit_codes(#[case] kind: &str, #[case] mut spec: Value, #[case] expected: &[&str]) {
    spec["template"] = json!({});
    let spec = if kind == "CronJob" { json!({"jobTemplate": {"spec": spec}}) } else { spec };
    let version = if kind == "Deployment" { "apps/v1" } else { "batch/v1" };
    let metadata = json!({"annotations": {"a": "b", "c": 1}});
    let document = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
    let workload = templates(&document).unwrap()[0].workload(&document);
    assert_eq!(workload.annotations, [("a".to_owned(), "b".to_owned())].into());
    let text = |ExitCodes { rule, action, container, inverted, values }: &ExitCodes| {
        format!("{rule} {action} {container:?} {inverted} {values:?}")
    };
    assert_eq!(workload.exit_codes.iter().map(text).collect::<Vec<_>>(), expected);
}

#[test]
fn a_pod_has_no_workload() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": {"a": "b"}}});
    assert_eq!(templates(&pod).unwrap()[0].workload(&pod), Workload::default());
}

#[test]
fn the_owner_is_shown_and_metadata_made_where_there_is_none() {
    let job =
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": {}}}});
    let template = &templates(&job).unwrap()[0];
    let shown = r#"{"spec":{},"metadata":{"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"j","controller":true}]}}"#;
    assert_eq!(template.pod(&job), shown);
    let patch = |operations: Value| serde_json::from_value::<Patch>(operations).unwrap();
    let annotate = patch(json!([{"op": "add", "path": "/metadata/annotations", "value": {}}]));
    let expected = patch(json!([
        {"op": "add", "path": "/spec/template/metadata", "value": {}},
        {"op": "add", "path": "/spec/template/metadata/annotations", "value": {}},
    ]));
    assert_eq!(template.patch_of_document(&annotate, &job), Ok(expected));
    let unfit = patch(json!([{"op": "remove", "path": "/metadata/ownerReferences"}]));
    assert_eq!(template.patch_of_document(&unfit, &job), Err(UnfitPatch));
}

mod path;
mod remarks;
mod structure;
mod table;
