//! The requests that are measured.

use native_sidecar_core::conversion::{ClusterFacts, Version};
use serde_json::{Value, json};

/// The annotation that names the containers to move.
pub(crate) const ANNOTATION: &str = "native-sidecar.io/containers";

const ISTIO: &[u8] = include_bytes!("../../samples/istio-deployment.json");
const PI: &[u8] = include_bytes!("../../samples/pi-job.json");

/// One request.
pub(crate) struct Size {
    pub(crate) name: &'static str,
    /// The `AdmissionReview`.
    pub(crate) body: Vec<u8>,
    pub(crate) facts: ClusterFacts,
    /// How many containers move.
    pub(crate) moves: usize,
}

/// From the smallest work to the largest, and the one that depends on the cluster.
pub(crate) fn all() -> Vec<Size> {
    let size = |name, body, moves| Size { name, body, facts: ClusterFacts::default(), moves };
    vec![
        size("unasked", unasked(), 0),
        size("small", PI.to_vec(), 1),
        size("istio", ISTIO.to_vec(), 1),
        size("1MB", large(), 1),
        size("100-containers", many_containers(), 10),
        Size { facts: cluster_of(5000), ..size("5000-nodes", ISTIO.to_vec(), 1) },
    ]
}

/// The Istio pod without any annotation of ours.
fn unasked() -> Vec<u8> {
    changed(|pod| {
        let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.retain(|name, _| !name.starts_with("native-sidecar.io/"));
    })
}

/// The Istio pod, its application's settings a megabyte of environment variables.
fn large() -> Vec<u8> {
    changed(|pod| {
        let env = (0..1000).map(|n| json!({"name": format!("SETTING_{n}"), "value": "x".repeat(1000)}));
        pod["spec"]["containers"][0]["env"] = env.collect();
    })
}

/// Every tenth of a hundred containers moves.
fn many_containers() -> Vec<u8> {
    changed(|pod| {
        let names = || (0..100).map(|n| if n % 10 == 0 { format!("helper-{n}") } else { format!("app-{n}") });
        let helpers: Vec<_> = names().filter(|name| name.starts_with("helper")).collect();
        pod["metadata"]["annotations"] = json!({ANNOTATION: helpers.join(",")});
        pod["spec"]["initContainers"] = json!([]);
        pod["spec"]["containers"] = names().map(|name| container(&name)).collect();
    })
}

fn container(name: &str) -> Value {
    json!({
        "name": name, "image": format!("registry.example.com/shop/{name}:1.8.0"), "args": ["--name", name],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                {"name": "LEVEL", "value": "info"}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
        "volumeMounts": [{"name": "kube-api-access-x7k2p", "readOnly": true,
                          "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        "livenessProbe": {"exec": {"command": ["/bin/alive"]}, "timeoutSeconds": 1, "periodSeconds": 10,
                          "successThreshold": 1, "failureThreshold": 3},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent"
    })
}

/// The Istio sample after `change`, indented as the sample is.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut review: Value = serde_json::from_slice(ISTIO).unwrap();
    change(&mut review["request"]["object"]);
    serde_json::to_vec_pretty(&review).unwrap()
}

/// A cluster of `nodes` whose kubelets are of all the versions that run native sidecars.
fn cluster_of(nodes: usize) -> ClusterFacts {
    let version = |node: usize| Version::new(1, [29, 30, 31, 32, 33, 34][node % 6], 0);
    let kubelets = (0..nodes).map(|node| (format!("node-{node}"), version(node))).collect();
    ClusterFacts::default().with_kubelets(kubelets)
}
