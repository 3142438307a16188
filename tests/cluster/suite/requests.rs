//! What the API server stores for one request: pods that ask, dry runs, refusals, and a webhook that is away.

use super::{
    cluster::Cluster,
    pods::{self, annotate, annotated, annotation, asking, blocked, names, native_sidecars, with_sidecars},
    webhook::{Webhook, is_converted, leaves_alone, moves},
};
use serde_json::json;

#[tokio::test]
async fn a_named_sidecar_moves() {
    let Some(pod) = moves(|_| annotated()).await else { return };
    assert_eq!(names(&pod, "initContainers"), ["sidecar"]);
    assert_eq!(names(&pod, "containers"), ["app"]);
}

#[tokio::test]
async fn the_listed_order_is_the_start_order() {
    let Some(pod) = moves(|_| asking(with_sidecars(&["a", "b", "c"]), "c, a")).await else { return };
    assert_eq!(native_sidecars(&pod), ["c", "a"]);
    assert_eq!(names(&pod, "containers"), ["app", "b"]);
}

#[tokio::test]
async fn a_sidecar_goes_behind_the_init_containers_that_are_there() {
    let with_init = |mut pod: serde_json::Value| {
        pod["spec"]["initContainers"] = json!([{"name": "migrate", "image": pods::image()}]);
        pod
    };
    let Some(pod) = moves(|_| with_init(annotated())).await else { return };
    assert_eq!(names(&pod, "initContainers"), ["migrate", "sidecar"]);
}

#[tokio::test]
async fn probes_and_hooks_survive_the_move() {
    let probe = json!({"httpGet": {"path": "/ready", "port": 9090}});
    let hook = json!({"exec": {"command": ["true"]}});
    let equipped = |mut pod: serde_json::Value| {
        pod["spec"]["containers"][1]["readinessProbe"] = probe.clone();
        pod["spec"]["containers"][1]["lifecycle"] = json!({"postStart": hook});
        pod
    };
    let key = "startup-probe.native-sidecar.io/sidecar";
    let Some(pod) = moves(|_| annotate(equipped(annotated()), key, "readiness")).await else { return };
    let sidecar = &pod["spec"]["initContainers"][0];
    for probe in ["readinessProbe", "startupProbe"] {
        assert_eq!(sidecar[probe]["httpGet"]["path"], "/ready");
        assert_eq!(sidecar[probe]["httpGet"]["port"], 9090);
    }
    assert_eq!(sidecar["lifecycle"]["postStart"], hook);
}

#[tokio::test]
async fn a_pod_with_a_reason_against_it_is_stored_unchanged() {
    let Some(pod) = leaves_alone(|_| blocked()).await else { return };
    assert_eq!(names(&pod, "containers"), ["app", "sidecar"]);
    assert!(annotation(&pod, "native-sidecar.io/blocked").starts_with("host-port: "), "{pod:#}");
}

#[tokio::test]
async fn a_pod_that_does_not_ask_is_stored_unchanged() {
    let Some(pod) = leaves_alone(|_| with_sidecars(&["sidecar"])).await else { return };
    assert!(pod["metadata"]["annotations"].is_null());
}

#[tokio::test]
async fn generate_name_makes_the_name() {
    let Some(pod) = moves(|_| annotated()).await else { return };
    assert_eq!(pod["metadata"]["generateName"], "pod-");
    assert!(pod["metadata"]["name"].as_str().unwrap().starts_with("pod-"));
}

#[tokio::test]
async fn a_dry_run_shows_the_conversion_and_stores_nothing() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    assert!(is_converted(&namespace.dry_run(annotated()).await.created()));
    assert!(namespace.pods("").await.is_empty());
}

#[tokio::test]
async fn on_blocker_deny_refuses_the_pod_with_the_reasons() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let reply = namespace.create(annotate(blocked(), "native-sidecar.io/on-blocker", "deny")).await;
    assert_eq!(reply.status, 403);
    let refusal = reply.refusal();
    let webhook = "admission webhook \"annotated.native-sidecar.io\" denied the request: host-port: ";
    assert!(refusal.contains(webhook) && refusal.contains("\"sidecar\""), "{refusal}");
}

#[tokio::test]
async fn without_the_webhook_pods_are_stored_unchanged() {
    let Some(cluster) = Cluster::connect().await else { return };
    let mut webhook = Webhook::install(&cluster).await;
    if webhook.process().is_none() {
        return;
    }
    let namespace = cluster.namespace().await;
    webhook.kill();
    let pod = namespace.create(annotated()).await.created();
    assert_eq!(names(&pod, "containers"), ["app", "sidecar"]);
    assert_eq!(annotation(&pod, "native-sidecar.io/converted"), "");
}
