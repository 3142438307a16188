//! What would fill files as a golden case, or what no pod is known to lead to.

use super::{ClusterFacts, Conversion, Decision, Known, Settings, convert};
use crate::{catalogue::Catalogue, findings::Code, intent::Mode};
use serde_json::{Value, json};

fn converted(pod: &Value) -> Conversion {
    let (catalogue, facts) = (Catalogue::built_in(), ClusterFacts::default());
    let (known, mode) = (Known::Move, Mode::Convert);
    convert(
        &pod.to_string(),
        Settings { catalogue: &catalogue, facts: &facts, known, mode, containers: None, workload: None },
    )
}

/// A pod of an application and `sidecars` containers called `s0`, `s1` ...
fn pod(sidecars: usize, annotations: &Value) -> Value {
    let sidecar = |number| json!({"name": format!("s{number}"), "image": "fluent/fluent-bit"});
    let containers = (0..sidecars).map(sidecar).chain([json!({"name": "app", "image": "app"})]);
    json!({"metadata": {"annotations": annotations}, "spec": {"containers": containers.collect::<Vec<_>>()}})
}

#[test]
fn a_thousand_containers_keep_their_order() {
    let conversion = converted(&pod(999, &json!({})));
    assert_eq!(conversion.decision, Decision::Converted);
    let mut moved = pod(999, &json!({}));
    json_patch::patch(&mut moved, &conversion.patch).unwrap();
    let names = moved["spec"]["initContainers"].as_array().unwrap().iter().map(|init| init["name"].as_str().unwrap());
    assert!(names.enumerate().all(|(number, name)| name == format!("s{number}")));
}

#[test]
fn more_containers_are_not_looked_at() {
    let conversion = converted(&pod(1000, &json!({})));
    assert_eq!((conversion.decision, conversion.reasons[0].code), (Decision::Blocked, Code::TooManyContainers));
    assert!(conversion.patch.is_empty());
}

#[test]
fn an_annotation_that_would_be_one_too_many_is_not_written() {
    let full = "x".repeat(256 * 1024 - 20);
    let conversion = converted(&pod(1, &json!({"example.com/a": full})));
    assert_eq!((conversion.decision, conversion.reasons[0].code), (Decision::Blocked, Code::AnnotationsTooLarge));
    assert!(conversion.patch.is_empty());
}

/// Whoever sends 8 MB must not be able to have them sent back.
#[test]
fn what_is_copied_has_bounds() {
    let convert = |probe: Value, variables: usize| {
        let mut pod = pod(1, &json!({"startup-probe.native-sidecar.io/s0": "readiness"}));
        let own = json!({"resourceFieldRef": {"containerName": "s0", "resource": "limits.memory"}});
        let variable = |number| json!({"name": format!("V{number}"), "valueFrom": own});
        pod["spec"]["containers"][0]["readinessProbe"] = probe;
        pod["spec"]["containers"][0]["env"] = (0..variables).map(variable).collect();
        converted(&pod)
    };
    let probe = |bytes: usize| json!({"exec": {"command": ["x".repeat(bytes)]}});
    assert_eq!(convert(probe(1_000_000), 0).decision, Decision::Converted);
    assert_eq!(convert(probe(1), 1000).decision, Decision::Converted);
    for conversion in [convert(probe(1024 * 1024), 0), convert(probe(1), 20_000)] {
        assert_eq!((conversion.decision, conversion.reasons[0].code), (Decision::Blocked, Code::PatchTooLarge));
        assert!(conversion.patch.is_empty());
    }
}

/// A user's own catalogue may say a name twice, or on both sides.
#[test]
fn a_place_that_names_a_container_twice_is_one_place() {
    let file = "sidecars: [{name: proxy, vendor: V, stage: network, recognise: {containers: [proxy], images: [image]}, \
                place: {front: true, behind: [setup, setup], before: [setup, check, check]}}]";
    let (catalogue, facts) = (Catalogue::parse("user.yaml", file).unwrap(), ClusterFacts::default());
    let settings = Settings {
        catalogue: &catalogue,
        facts: &facts,
        known: Known::Move,
        mode: Mode::Convert,
        containers: None,
        workload: None,
    };
    let container = |name: &str| json!({"name": name, "image": "image"});
    let (init, regular) = (["other", "setup", "check"].map(container), ["app", "proxy"].map(container));
    let mut pod = json!({"metadata": {}, "spec": {"initContainers": init, "containers": regular}});
    let conversion = convert(&pod.to_string(), settings);
    json_patch::patch(&mut pod, &conversion.patch).unwrap();
    let names: Vec<_> = pod["spec"]["initContainers"].as_array().unwrap().iter().map(|init| &init["name"]).collect();
    assert_eq!(names, ["setup", "proxy", "check", "other"]);
}

/// Volcano calls its own kind Job too, and counts restarts in another way.
#[test]
fn only_a_job_of_kubernetes_has_its_rules() {
    let codes = |version: &str| {
        let mut pod = pod(1, &json!({}));
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": version, "kind": "Job", "name": "j", "controller": true}]);
        pod["spec"]["restartPolicy"] = "OnFailure".into();
        converted(&pod).findings.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert!(codes("batch/v1").contains(&Code::JobBackoffLimit));
    assert!(!codes("batch.volcano.sh/v1alpha1").contains(&Code::JobBackoffLimit));
}
