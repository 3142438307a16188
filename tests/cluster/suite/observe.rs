//! Pods that are only observed: as the server, their namespace, or they themselves ask. What is stored is, byte for byte,
//! what is stored without us.

use super::{
    cluster::{Cluster, Namespace, Reply, eventually, note},
    pods::{annotate, annotated, asking, blocked, with_sidecars},
    webhook::{Webhook, is_installed},
    words::{audit_log, audited},
};
use http::Method;
use serde_json::{Value, json};
use std::future::Future;

/// A pod that would be converted, and one that would be refused.
type Pods = [Value; 2];

const DECISIONS: [&str; 2] = ["would-convert", "would-block"];

#[tokio::test]
async fn a_server_that_observes_writes_to_no_pod() {
    let Some(cluster) = connect().await else { return };
    let namespace = cluster.namespace().await;
    let pods = [annotated(), denied(blocked())].map(|pod| annotate(pod, "native-sidecar.io/mode", "convert"));
    let (_, warnings) = observed(&namespace, pods, Webhook::observing(&cluster)).await;
    assert_eq!(warnings, [[""; 0]; 2]);
    audit_log_tells(&namespace, "annotated").await;
}

#[tokio::test]
async fn a_labelled_namespace_has_its_pods_observed() {
    let Some(cluster) = connect().await else { return };
    let namespace = cluster.labelled_namespace(&json!({"native-sidecar.io/known": "observe"})).await;
    let mut with_port = with_known_sidecar();
    with_port["spec"]["containers"][1]["ports"] = json!([{"containerPort": 5432, "hostPort": 5432}]);
    let pods = [with_known_sidecar(), denied(with_port)];
    let (_webhook, warnings) = observed(&namespace, pods, Webhook::install(&cluster)).await;
    assert_eq!(warnings, [[""; 0]; 2]);
    audit_log_tells(&namespace, "observed").await;
}

#[tokio::test]
async fn a_pod_that_asks_to_be_observed_is_told_the_outcome() {
    let Some(cluster) = connect().await else { return };
    let namespace = cluster.namespace().await;
    let pods = [annotated(), denied(blocked())].map(|pod| annotate(pod, "native-sidecar.io/mode", "observe"));
    let (_webhook, warnings) = observed(&namespace, pods, Webhook::install(&cluster)).await;
    let begins = |warnings: &[String], with: &str| {
        assert!(warnings.len() == 1 && warnings[0].starts_with(with), "{warnings:?}");
    };
    begins(&warnings[0], "native-sidecar: only observed, and would make native: sidecar; nothing was changed");
    begins(&warnings[1], "native-sidecar: only observed, and would be held back: host-port: container \"sidecar\": ");
    audit_log_tells(&namespace, "annotated").await;
}

/// What it asks for itself, it gets as if there was no label, in one call.
#[tokio::test]
async fn a_pod_in_a_namespace_that_observes_may_ask_for_a_conversion() {
    let Some(cluster) = connect().await else { return };
    let webhook = Webhook::install(&cluster).await;
    let namespace = cluster.labelled_namespace(&json!({"native-sidecar.io/known": "observe"})).await;
    let before = webhook.reviews();
    let mut pod = asking(with_known_sidecar(), "sidecar");
    pod["spec"]["containers"].as_array_mut().unwrap().push(with_sidecars(&["sidecar"])["spec"]["containers"][1].take());
    for (pod, native) in [
        (pod, "sidecar"),
        (annotate(with_known_sidecar(), "native-sidecar.io/known", "true"), "proxy"),
        (annotate(with_known_sidecar(), "native-sidecar.io/mode", "convert"), "proxy"),
        (annotate(with_known_sidecar(), "native-sidecar.io/known", "false"), ""),
    ] {
        let stored = namespace.dry_run(pod).await.created();
        assert_eq!(super::pods::native_sidecars(&stored).join(","), native, "{stored:#}");
    }
    assert_eq!(webhook.reviews(), before.map(|reviews| reviews + 4.0));
}

/// `None` too where the webhook is there already: nothing can be created without it.
async fn connect() -> Option<Cluster> {
    let cluster = Cluster::connect().await?;
    if is_installed() {
        note("the webhook is in the cluster already, so what is only observed was not compared");
        return None;
    }
    Some(cluster)
}

/// Creates the pods without us, and again with a webhook that only observes them; returns what whoever creates them is
/// told.
async fn observed(
    namespace: &Namespace<'_>,
    pods: Pods,
    install: impl Future<Output = Webhook>,
) -> (Webhook, [Vec<String>; 2]) {
    let pods = pods.map(held);
    let mut without = Vec::new();
    for pod in &pods {
        without.push(created(namespace, pod).await.1);
        delete(namespace, pod).await;
    }
    let webhook = install.await;
    let process = webhook.process().unwrap();
    let counts = || {
        ["would-convert", "would-block", "converted", "blocked", "denied"].map(|decision| {
            let label = format!("decision=\"{decision}\"");
            process.metric("native_sidecar_reviews_total{", &label)
        })
    };
    let before = counts();
    let (mut with, mut warnings) = (Vec::new(), Vec::new());
    for (pod, decision) in pods.into_iter().zip(DECISIONS) {
        // The audit log tells the two apart by their names.
        let pod = renamed(pod, decision);
        let (reply, stored) = created(namespace, &pod).await;
        warnings.push(reply.warnings);
        with.push(stored.replace(decision, "pod"));
    }
    assert_eq!(with, without);
    let after = counts();
    let more = after.iter().zip(before).map(|(now, before)| (now - before).to_string());
    assert_eq!(more.collect::<Vec<_>>(), ["1", "1", "0", "0", "0"]);
    (webhook, warnings.try_into().unwrap())
}

/// Creates the pod; returns what was answered, and all that is stored of it but its status and what is never the same twice.
async fn created(namespace: &Namespace<'_>, pod: &Value) -> (Reply, String) {
    let reply = namespace.create(pod.clone()).await;
    assert!(reply.exists(), "{reply:?}");
    let text = namespace.cluster.text(&namespace.pod_path(pod["metadata"]["name"].as_str().unwrap())).await;
    let stored: Value = serde_json::from_str(&text).unwrap();
    let metadata = &stored["metadata"];
    let changing = [
        &metadata["uid"],
        &metadata["resourceVersion"],
        &metadata["creationTimestamp"],
        &metadata["managedFields"][0]["time"],
    ];
    let text = changing.iter().fold(text, |text, value| text.replace(&value.to_string(), "\"\""));
    let (kept, _) = text.split_once(",\"status\":").unwrap();
    (reply, kept.to_owned())
}

async fn delete(namespace: &Namespace<'_>, pod: &Value) {
    let path = namespace.pod_path(pod["metadata"]["name"].as_str().unwrap());
    namespace.cluster.send(Method::DELETE, &path, Some(&json!({"gracePeriodSeconds": 0}))).await;
    eventually("the pod is gone", || async { namespace.cluster.get(&path).await.status == 404 }).await;
}

/// Stored as it is created: nobody starts it, and no volume with a name of its own is added.
fn held(mut pod: Value) -> Value {
    pod["spec"]["schedulingGates"] = json!([{"name": "example.com/held"}]);
    pod["spec"]["automountServiceAccountToken"] = false.into();
    renamed(pod, "pod")
}

fn renamed(mut pod: Value, name: &str) -> Value {
    pod["metadata"].as_object_mut().unwrap().remove("generateName");
    pod["metadata"]["name"] = name.into();
    pod
}

fn denied(pod: Value) -> Value {
    annotate(pod, "native-sidecar.io/on-blocker", "deny")
}

fn with_known_sidecar() -> Value {
    let mut pod = with_sidecars(&["proxy"]);
    pod["spec"]["containers"][1]["image"] = "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.14.1".into();
    pod
}

async fn audit_log_tells(namespace: &Namespace<'_>, entry: &str) {
    let Some(log) = audit_log() else { return };
    for decision in DECISIONS {
        let annotations =
            super::cluster::within("the audit log has the pod", || async { audited(&log, &namespace.name, decision) })
                .await;
        assert_eq!(annotations[format!("{entry}.native-sidecar.io/decision")], decision);
        let changed = annotations.as_object().unwrap().keys().any(|key| key.starts_with("patch.webhook."));
        assert!(!changed, "{annotations}");
    }
}
