//! What would fill files as a golden case, or what no pod is known to lead to.

use super::{ClusterFacts, Conversion, Decision, Settings, convert};
use crate::{catalogue::Catalogue, findings::Code};
use serde_json::{Value, json};

fn converted(pod: &Value) -> Conversion {
    let (catalogue, facts) = (Catalogue::built_in(), ClusterFacts::default());
    convert(&pod.to_string(), Settings { catalogue: &catalogue, facts: &facts, known: true, containers: None })
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
