//! Pods to try things with.

use serde_json::{Value, json};
use std::env;

/// An image with a shell. Where pods do not run it only has to be a name.
pub(crate) fn image() -> String {
    env::var("NATIVE_SIDECAR_TEST_IMAGE").unwrap_or_else(|_| "localhost/busybox:1".to_owned())
}

/// A pod with an application and these containers beside it, without annotations.
pub(crate) fn with_sidecars(names: &[&str]) -> Value {
    let containers = ["app"].iter().chain(names).map(|name| json!({"name": name, "image": image()}));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "pod-", "annotations": {}},
        "spec": {"containers": containers.collect::<Vec<_>>()}
    })
}

/// A pod with one sidecar that asks for the conversion.
pub(crate) fn annotated() -> Value {
    asking(with_sidecars(&["sidecar"]), "sidecar")
}

/// The same pod with a reason against the conversion.
pub(crate) fn blocked() -> Value {
    let mut pod = annotated();
    pod["spec"]["containers"][1]["ports"] = json!([{"containerPort": 8080, "hostPort": 8080}]);
    pod
}

/// The pod (or pod template) with the names of containers to move.
pub(crate) fn asking(pod: Value, names: &str) -> Value {
    annotate(pod, "native-sidecar.io/containers", names)
}

/// The pod with an annotation.
pub(crate) fn annotate(mut pod: Value, key: &str, value: &str) -> Value {
    pod["metadata"]["annotations"][key] = value.into();
    pod
}

/// The pod under a name of its own instead of one that the API server makes up.
pub(crate) fn named(mut pod: Value, name: &str) -> Value {
    pod["metadata"]["name"] = name.into();
    pod
}

/// The pod's value of an annotation.
pub(crate) fn annotation<'p>(pod: &'p Value, key: &str) -> &'p str {
    pod["metadata"]["annotations"][key].as_str().unwrap_or_default()
}

/// Names of the containers in a list of the pod's.
pub(crate) fn names<'p>(pod: &'p Value, list: &str) -> Vec<&'p str> {
    let containers = pod["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default();
    containers.iter().filter_map(|container| container["name"].as_str()).collect()
}

/// Names of the init containers that are native sidecars.
pub(crate) fn native_sidecars(pod: &Value) -> Vec<&str> {
    let containers = pod["spec"]["initContainers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let native = containers.iter().filter(|container| container["restartPolicy"] == "Always");
    native.filter_map(|container| container["name"].as_str()).collect()
}
