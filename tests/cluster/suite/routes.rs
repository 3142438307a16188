//! Which pods reach the webhook, and on which of its routes.

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
    assert_eq!(native_sidecars(&labelled.create(pod.clone()).await.created()), [""; 0]);
    // It may still name containers.
    assert_eq!(native_sidecars(&labelled.create(pods::asking(pod, "proxy")).await.created()), ["proxy"]);
}

#[tokio::test]
async fn a_pod_may_ask_for_known_sidecars_itself() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let pod = annotate(with_known_sidecar(), "native-sidecar.io/known", "true");
    assert_eq!(native_sidecars(&namespace.create(pod).await.created()), ["proxy"]);
}

/// What the pod names and what is known come out of one call, which places both.
#[tokio::test]
async fn an_annotated_pod_in_a_labelled_namespace_is_reviewed_once() {
    let Some(cluster) = Cluster::connect().await else { return };
    let webhook = Webhook::install(&cluster).await;
    let labelled = cluster.labelled_namespace(&json!({"native-sidecar.io/known": "true"})).await;
    let before = webhook.reviews();
    let mut pod = pods::asking(behind_istio(), "sidecar");
    pod["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "sidecar", "image": pods::image()}));
    let stored = labelled.create(pod).await.created();
    assert!(is_converted(&stored), "{stored:#}");
    // The mesh before all others, which two calls would have put behind what the first had moved.
    assert_eq!(native_sidecars(&stored), ["istio-proxy", "sidecar", "proxy"]);
    assert_eq!(webhook.reviews(), before.map(|reviews| reviews + 1.0));
}

/// Alone, what the pod names would have to wait for a mesh that starts later; with what is known it need not.
#[tokio::test]
async fn a_pod_is_not_refused_for_what_the_label_makes_possible() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let pod = annotate(pods::asking(behind_istio(), "proxy"), "native-sidecar.io/on-blocker", "deny");
    let unlabelled = cluster.namespace().await;
    let refusal = unlabelled.create(pod.clone()).await;
    assert!(refusal.refusal().contains("mesh-stays-regular"), "{refusal:?}");
    let labelled = cluster.labelled_namespace(&json!({"native-sidecar.io/known": "true"})).await;
    let stored = labelled.create(pod).await.created();
    assert_eq!(native_sidecars(&stored), ["istio-proxy", "proxy"]);
}

/// A pod with a known sidecar that needs the network, in Istio's mesh.
fn behind_istio() -> Value {
    let mut pod = with_known_sidecar();
    let image = "docker.io/istio/proxyv2:1.24.2";
    let iptables = ["istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337"];
    pod["spec"]["initContainers"] = json!([{"name": "istio-init", "image": image, "args": iptables}]);
    let proxy = json!({"name": "istio-proxy", "image": image, "args": ["proxy", "sidecar"]});
    pod["spec"]["containers"].as_array_mut().unwrap().insert(1, proxy);
    pod
}

#[tokio::test]
async fn kube_system_is_left_alone() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let pods = "/api/v1/namespaces/kube-system/pods?dryRun=All";
    let reply = cluster.send(http::Method::POST, pods, Some(&annotated())).await;
    assert_eq!(native_sidecars(&reply.created()), [""; 0]);
}
