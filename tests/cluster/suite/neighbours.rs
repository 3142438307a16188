//! Beside other people's webhooks: injectors, and those that take `restartPolicy` away.

use super::{
    cluster::{Cleanup, Cluster, eventually},
    manifests,
    neighbour::{Neighbour, Place},
    pods::{self, annotated, asking, names, native_sidecars, with_sidecars},
    webhook::{Webhook, is_converted},
};
use serde_json::{Value, json};

/// Adds a sidecar to the regular containers unless it is there, in either list.
fn inject(pod: &Value) -> Vec<Value> {
    if names(pod, "initContainers").contains(&"proxy") { Vec::new() } else { inject_blindly(pod) }
}

/// Adds a sidecar to the regular containers unless it is there.
fn inject_blindly(pod: &Value) -> Vec<Value> {
    if names(pod, "containers").contains(&"proxy") {
        return Vec::new();
    }
    vec![json!({"op": "add", "path": "/spec/containers/-", "value": {"name": "proxy", "image": pods::image()}})]
}

/// What a webhook does that was built with types older than native sidecars.
pub(crate) fn strip(pod: &Value) -> Vec<Value> {
    let containers = pod["spec"]["initContainers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let native = (0..containers.len()).filter(|index| containers[*index]["restartPolicy"] == "Always");
    native.map(|index| json!({"op": "remove", "path": format!("/spec/initContainers/{index}/restartPolicy")})).collect()
}

fn wants_proxy() -> Value {
    asking(with_sidecars(&[]), "proxy")
}

#[tokio::test]
async fn a_sidecar_injected_before_us_is_moved() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let _injector = Neighbour::start(&namespace, Place::BeforeUs, inject).await;
    assert_eq!(native_sidecars(&namespace.create(wants_proxy()).await.created()), ["proxy"]);
}

#[tokio::test]
async fn a_sidecar_injected_after_us_is_moved_when_we_are_called_again() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let _injector = Neighbour::start(&namespace, Place::AfterUs, inject).await;
    let pod = namespace.create(wants_proxy()).await.created();
    assert!(is_converted(&pod), "{pod:#}");
    assert_eq!(native_sidecars(&pod), ["proxy"]);
}

#[tokio::test]
async fn an_injector_that_is_called_again_finds_its_sidecar_moved() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let _injector = Neighbour::reinvoked(&namespace, Place::BeforeUs, inject).await;
    assert_eq!(native_sidecars(&namespace.create(wants_proxy()).await.created()), ["proxy"]);
}

#[tokio::test]
async fn what_is_stripped_before_our_last_word_is_repaired() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let _stripper = Neighbour::reinvoked(&namespace, Place::BeforeUs, strip).await;
    let pod = namespace.create(annotated()).await.created();
    assert!(is_converted(&pod), "{pod:#}");
}

#[tokio::test]
async fn what_is_stripped_after_us_once_is_repaired_when_we_are_called_again() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let _stripper = Neighbour::start(&namespace, Place::AfterUs, strip).await;
    let pod = namespace.create(annotated()).await.created();
    assert!(is_converted(&pod), "{pod:#}");
}

/// A webhook after us that strips in both rounds has the last word. What then protects the pod is the guard, which
/// Kubernetes has from 1.30 on.
#[tokio::test]
async fn what_is_stripped_after_our_last_word_is_refused_by_the_guard() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let _guard = guard(&cluster).await;
    let _stripper = Neighbour::reinvoked(&namespace, Place::AfterUs, strip).await;
    if !cluster.has_admission_policies() {
        let pod = namespace.create(annotated()).await.created();
        assert_eq!(native_sidecars(&pod), [""; 0], "stripped, and nothing to refuse it before 1.30");
        return;
    }
    eventually("the guard is in force", || async { !namespace.dry_run(annotated()).await.exists() }).await;
    let reply = namespace.create(annotated()).await;
    let refusal = reply.refusal();
    for part in ["native-sidecar-guard", "native-sidecar made sidecar a native sidecar", "removed restartPolicy"] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[tokio::test]
async fn the_guard_lets_everything_else_pass() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let _guard = guard(&cluster).await;
    if cluster.has_admission_policies() {
        let stripped = stripped_by_hand(&cluster);
        eventually("the guard is in force", || async { !stripped().await }).await;
    }
    for pod in [with_sidecars(&["sidecar"]), pods::blocked(), annotated()] {
        namespace.create(pod).await.created();
    }
}

/// Whether the API server takes a pod that lost its `restartPolicy`, in a namespace where nobody repairs it.
pub(crate) fn stripped_by_hand(cluster: &Cluster) -> impl AsyncFn() -> bool {
    let mut pod = pods::annotate(with_sidecars(&[]), "native-sidecar.io/converted", "sidecar");
    pod["spec"]["initContainers"] = json!([{"name": "sidecar", "image": pods::image()}]);
    let path = "/api/v1/namespaces/kube-system/pods?dryRun=All";
    async move || cluster.send(http::Method::POST, path, Some(&pod)).await.exists()
}

/// The guard of the manifests, where the cluster knows such a thing and does not have it already.
pub(crate) async fn guard(cluster: &Cluster) -> Cleanup {
    let mut cleanup = Cleanup::none();
    if !cluster.has_admission_policies() || super::webhook::is_installed() {
        return cleanup;
    }
    for object in manifests::self_managed() {
        if object["metadata"]["name"] == "native-sidecar-guard" {
            cleanup = cleanup.and(cluster.apply(object).await);
        }
    }
    cleanup
}
