//! What a person sees: warnings at the client, and annotations in the API server's audit log.

use super::{
    cluster::{Cluster, note, within},
    pods::{annotated, asking, blocked, named, with_sidecars},
    webhook::Webhook,
};
use serde_json::Value;
use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
};

#[tokio::test]
async fn the_client_is_warned_why_a_pod_was_left() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let warnings = namespace.create(blocked()).await.warnings;
    let why = "native-sidecar: left unchanged: host-port: container \"sidecar\": ";
    assert!(warnings.iter().any(|warning| warning.starts_with(why)), "{warnings:?}");
}

#[tokio::test]
async fn the_client_is_warned_of_a_name_that_is_not_there() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let reply = namespace.create(asking(with_sidecars(&["sidecar"]), "sidecar,sidecra")).await;
    let word =
        |warning: &String| warning.starts_with("native-sidecar: name-not-found: ") && warning.contains("sidecra");
    assert!(reply.warnings.iter().any(word), "{:?}", reply.warnings);
    assert!(super::webhook::is_converted(&reply.created()));
}

#[tokio::test]
async fn the_audit_log_tells_the_decision() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(log) = audit_log() else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    namespace.create(named(annotated(), "converted")).await.created();
    namespace.create(named(blocked(), "blocked")).await.created();
    let of = |pod: &'static str| within("the audit log has the pod", || async { audited(&log, &namespace.name, pod) });

    let converted = of("converted").await;
    assert_eq!(converted["annotated.native-sidecar.io/decision"], "converted");
    assert_eq!(converted["annotated.native-sidecar.io/findings"], "bare-pod");
    let patch = converted.as_object().unwrap().iter().find(|(key, _)| key.starts_with("patch.webhook."));
    assert!(patch.unwrap().1.as_str().unwrap().contains("zz-native-sidecar"));

    let left = of("blocked").await;
    assert_eq!(left["annotated.native-sidecar.io/decision"], "blocked");
    assert!(left["annotated.native-sidecar.io/findings"].as_str().unwrap().contains("host-port"));
}

/// `None`, with a line that says so, where the audit log cannot be read.
pub(crate) fn audit_log() -> Option<OsString> {
    let log = env::var_os("AUDIT_LOG").filter(|path| fs::exists(path).unwrap_or_default());
    if log.is_none() {
        note("the audit log cannot be read here: audit annotations not looked at");
    }
    log
}

/// The audit annotations of a pod's creation.
pub(crate) fn audited(log: &OsStr, namespace: &str, pod: &str) -> Option<Value> {
    let text = fs::read_to_string(log).unwrap();
    let events =
        text.lines().filter(|line| line.contains(namespace)).filter_map(|line| serde_json::from_str(line).ok());
    let mut events = events.filter(|event: &Value| {
        let reference = &event["objectRef"];
        event["verb"] == "create" && reference["namespace"] == namespace && reference["name"] == pod
    });
    events.next().map(|mut event| event["annotations"].take())
}
