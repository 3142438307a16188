//! Which pods reach the webhook, and on which of its two routes.

use super::{
    cluster::Cluster,
    pods::{self, annotate, annotated, native_sidecars, with_sidecars},
    webhook::{Webhook, is_converted},
};
use serde_json::{Value, json};

/// A pod with a sidecar that the catalogue knows.
fn with_known_sidecar() -> Value {
    let mut pod = with_sidecars(&["proxy"]);
    let image = "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.14.1";
    pod["spec"]["containers"][1] = json!({"name": "proxy", "image": image, "args": ["project:region:instance"]});
    pod
}

#[tokio::test]
async fn pods_without_our_annotations_never_reach_the_webhook() {
    let Some(cluster) = Cluster::connect().await else { return };
    let webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let Some(before) = webhook.reviews() else { return };
    namespace.create(with_known_sidecar()).await.created();
    namespace.create(annotate(annotated_otherwise(), "example.com/containers", "sidecar")).await.created();
    namespace.create(annotate(annotated(), "kubernetes.io/config.mirror", "a-static-pod")).await;
    assert_eq!(webhook.reviews(), Some(before));
    namespace.create(annotated()).await.created();
    assert_eq!(webhook.reviews(), Some(before + 1.0));
}

/// Keys that only look like ours.
fn annotated_otherwise() -> Value {
    annotate(with_sidecars(&["sidecar"]), "not-native-sidecar.io.example.com/containers", "sidecar")
}

#[tokio::test]
async fn a_misspelt_annotation_reaches_the_webhook() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let reply = namespace.create(annotate(with_sidecars(&["sidecar"]), "native-sidecar.io/container", "sidecar")).await;
    assert!(reply.warnings.iter().any(|warning| warning.contains("native-sidecar.io/containers")), "{reply:?}");
}

#[tokio::test]
async fn a_labelled_namespace_gets_its_known_sidecars_moved() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let labelled = cluster.labelled_namespace(&json!({"native-sidecar.io/known": "true"})).await;
    let pod = labelled.create(with_known_sidecar()).await.created();
    assert!(is_converted(&pod), "{pod:#}");
    assert_eq!(native_sidecars(&pod), ["proxy"]);
}

#[tokio::test]
async fn a_pod_in_a_labelled_namespace_may_stay_out() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let labelled = cluster.labelled_namespace(&json!({"native-sidecar.io/known": "true"})).await;
    let pod = annotate(with_known_sidecar(), "native-sidecar.io/known", "false");
    assert_eq!(native_sidecars(&labelled.create(pod).await.created()), [""; 0]);
}

#[tokio::test]
async fn a_pod_may_ask_for_known_sidecars_itself() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let pod = annotate(with_known_sidecar(), "native-sidecar.io/known", "true");
    assert_eq!(native_sidecars(&namespace.create(pod).await.created()), ["proxy"]);
}

#[tokio::test]
async fn a_pod_that_both_entries_select_is_converted_once() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let labelled = cluster.labelled_namespace(&json!({"native-sidecar.io/known": "true"})).await;
    let mut pod = pods::asking(with_known_sidecar(), "sidecar");
    pod["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "sidecar", "image": pods::image()}));
    let stored = labelled.create(pod).await.created();
    assert!(is_converted(&stored), "{stored:#}");
    let mut native = native_sidecars(&stored);
    native.sort_unstable();
    assert_eq!(native, ["proxy", "sidecar"]);
}

#[tokio::test]
async fn kube_system_is_left_alone() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let pods = "/api/v1/namespaces/kube-system/pods?dryRun=All";
    let reply = cluster.send(http::Method::POST, pods, Some(&annotated())).await;
    assert_eq!(native_sidecars(&reply.created()), [""; 0]);
}
