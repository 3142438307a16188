//! Pods that controllers make from templates.

use super::{
    cluster::{Cluster, Namespace, note, within},
    pods::{annotated, native_sidecars},
    webhook::{Webhook, is_converted},
};
use serde_json::{Value, json};

const LABEL: &str = "app.kubernetes.io/name";

/// Creates a workload and waits for a pod of its controller.
async fn moves_in(workload: impl FnOnce(Value) -> Value) {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let workload = namespace.create(workload(template())).await.created();
    if workload["kind"] == "CronJob" {
        make_due(&namespace, &workload).await;
    }
    let what = format!("the {} has a pod", workload["kind"]);
    let pod = within(&what, || async { namespace.pods(&format!("{LABEL}=workload")).await.pop() }).await;
    assert!(is_converted(&pod), "{pod:#}");
    assert_eq!(native_sidecars(&pod), ["sidecar"]);
}

/// A pod template that asks for the conversion.
fn template() -> Value {
    let mut template = annotated();
    template["metadata"]["labels"] = json!({LABEL: "workload"});
    template.as_object_mut().unwrap().retain(|key, _| key == "metadata" || key == "spec");
    template
}

fn apps(kind: &str, spec: &Value) -> Value {
    let mut workload = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "workload"}, "spec": spec});
    workload["spec"]["selector"] = json!({"matchLabels": {LABEL: "workload"}});
    workload
}

fn job_spec(mut template: Value) -> Value {
    template["spec"]["restartPolicy"] = "Never".into();
    json!({"template": template})
}

/// A `CronJob` is due when it last ran two minutes ago, and so need not be waited for.
async fn make_due(namespace: &Namespace<'_>, job: &Value) {
    let path = format!("/apis/batch/v1/namespaces/{}/cronjobs/workload/status", namespace.name);
    let created: jiff::Timestamp = job["metadata"]["creationTimestamp"].as_str().unwrap().parse().unwrap();
    let before = created - jiff::SignedDuration::from_secs(120);
    namespace.cluster.merge(&path, &json!({"status": {"lastScheduleTime": before.to_string()}})).await.created();
}

#[tokio::test]
async fn deployment() {
    moves_in(|template| apps("Deployment", &json!({"template": template}))).await;
}

#[tokio::test]
async fn stateful_set() {
    moves_in(|template| apps("StatefulSet", &json!({"serviceName": "workload", "template": template}))).await;
}

#[tokio::test]
async fn daemon_set() {
    let Some(cluster) = Cluster::connect().await else { return };
    let has_nodes = cluster.has_nodes().await;
    drop(cluster);
    if !has_nodes {
        note("no nodes here: a DaemonSet would have no pods");
        return;
    }
    moves_in(|template| apps("DaemonSet", &json!({"template": template}))).await;
}

#[tokio::test]
async fn job() {
    moves_in(|template| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "workload"}, "spec": job_spec(template)})
    })
    .await;
}

#[tokio::test]
async fn cron_job() {
    moves_in(|template| {
        let spec = json!({"schedule": "* * * * *", "jobTemplate": {"spec": job_spec(template)}});
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "workload"}, "spec": spec})
    })
    .await;
}
