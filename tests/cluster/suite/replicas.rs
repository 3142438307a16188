//! The webhook in the cluster, in two replicas, under a stream of pod creations.

use super::{
    certificates::Authority,
    cluster::{Cluster, note, within},
    installation::{self, DEPLOYMENT},
    process::Process,
    stream::{converts, during},
    webhook::is_installed,
};
use serde_json::{Value, json};
use std::env;

const PODS: &str = "/api/v1/namespaces/native-sidecar/pods?labelSelector=app.kubernetes.io/name=native-sidecar";

#[tokio::test]
async fn a_rolling_restart_and_a_killed_replica_miss_no_pod() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(image) = own_image(&cluster).await else { return };
    let _installation = installation::by_hand(&cluster, &Authority::new(), Some(&image)).await;
    rolled_out(&cluster).await;
    let namespace = cluster.namespace().await;
    within("the API server calls the webhook", || async { converts(&namespace).await.then_some(()) }).await;

    let restart = during("a rolling restart", &namespace, restart(&cluster)).await;
    let kill = during("a killed replica", &namespace, kill_one(&cluster)).await;
    assert_eq!((restart, kill), (0, 0), "pods were missed");
}

#[tokio::test]
async fn replicas_make_their_certificate_themselves() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(image) = own_image(&cluster).await else { return };
    if !Process::manages_certificates() {
        return;
    }
    let _installation = installation::self_managed(&cluster, Some(&image)).await;
    rolled_out(&cluster).await;
    let namespace = cluster.namespace().await;
    within("the API server calls the webhook", || async { converts(&namespace).await.then_some(()) }).await;
    assert_eq!(during("a rolling restart", &namespace, restart(&cluster)).await, 0, "pods were missed");
}

/// The webhook's image, where pods can run and the webhook does not run yet.
pub(crate) async fn own_image(cluster: &Cluster) -> Option<String> {
    if is_installed() || !cluster.has_nodes().await {
        return None;
    }
    let image = env::var("NATIVE_SIDECAR_OWN_IMAGE").ok();
    if image.is_none() {
        note("NATIVE_SIDECAR_OWN_IMAGE names no image: replicas in the cluster were not looked at");
    }
    image
}

async fn restart(cluster: &Cluster) {
    let stamp = json!({"native-sidecar-test/restarted": super::cluster::unique("at")});
    let template = json!({"metadata": {"annotations": stamp}});
    cluster.merge(DEPLOYMENT, &json!({"spec": {"template": template}})).await.created();
    rolled_out(cluster).await;
}

/// Kills one of the replicas without the time to say goodbye.
async fn kill_one(cluster: &Cluster) {
    let pods = cluster.get(PODS).await.created();
    let name = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    let path = format!("{}/pods/{name}", installation::NAMESPACE);
    cluster.send(http::Method::DELETE, &path, Some(&json!({"gracePeriodSeconds": 0}))).await.created();
    within("the pod is gone", || async { (cluster.get(&path).await.status == 404).then_some(()) }).await;
    rolled_out(cluster).await;
}

/// Waits until all replicas are of the newest kind and ready, and the others are gone.
pub(crate) async fn rolled_out(cluster: &Cluster) {
    within("the Deployment is rolled out", || async {
        let deployment = cluster.get(DEPLOYMENT).await.created();
        let pods = cluster.get(PODS).await.created();
        is_rolled_out(&deployment, pods["items"].as_array().unwrap()).then_some(())
    })
    .await;
}

fn is_rolled_out(deployment: &Value, pods: &[Value]) -> bool {
    let (wanted, status) = (deployment["spec"]["replicas"].as_u64().unwrap(), &deployment["status"]);
    let observed = status["observedGeneration"] == deployment["metadata"]["generation"];
    // The Deployment's own count of ready replicas may still be that of before.
    let ready = pods.iter().filter(|pod| is_ready(pod)).count() as u64;
    observed && status["updatedReplicas"] == wanted && ready == wanted && pods.len() as u64 == wanted
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
