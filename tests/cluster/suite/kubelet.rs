//! The kubelet is killed and started again, while containers go on: what the new one makes of them.

use super::{
    cluster::{Cluster, Namespace, note, within},
    pods::{annotate, annotation, asking},
    programs::touch,
    story::{container_status, job, pod, with_node},
    webhook::Webhook,
};
use serde_json::{Value, json};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Pods whose gate is shut.
const SHUT: usize = 3;

/// Seconds for which a container has to run before a new kubelet takes it for started: 10 in
/// `pkg/kubelet/prober/prober_manager.go` (`kubeletRestartGracePeriod`).
const OLD: i64 = 12;
const YOUNG: i64 = 8;

const SIDECAR: &str = "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done";

/// A Job goes on as if nothing had happened.
///
/// A startup probe that never succeeded counts for nothing then, where its container has run for some time: a new kubelet
/// takes that for started, and starts the application. Were it no longer so, this would fail, and
/// `docs/native-sidecars-in-action.md` would have to tell it.
#[tokio::test]
async fn a_restart_of_the_kubelet() {
    let Some((cluster, restart)) = connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let until_told = pod([("app", "until [ -e /shared/told ]; do sleep 0.1; done"), ("sidecar", SIDECAR)]);
    namespace.create(job("work", asking(until_told, "sidecar"))).await.created();
    let work = within("the Job has a pod", || async { namespace.pods("job-name=work").await.pop() }).await;
    let mut old = Vec::new();
    for _ in 0..SHUT {
        old.push(shut(&namespace).await);
    }
    for pod in &old {
        within("the container is old", || async {
            (age(&state(&namespace, pod, "sidecar", "running").await) >= OLD).then_some(())
        })
        .await;
    }
    let before = state(&namespace, &work, "app", "running").await;
    let young = shut(&namespace).await;
    let is_young = age(&state(&namespace, &young, "sidecar", "running").await) <= YOUNG;

    assert!(Command::new(restart).status().unwrap().success());
    for pod in &old {
        let pod = state(&namespace, pod, "app", "running").await;
        assert_eq!(container_status(&pod, "sidecar").unwrap()["restartCount"], 0);
    }
    let young = state(&namespace, &young, "sidecar", "running").await;
    let stays = container_status(&young, "app").unwrap()["state"]["waiting"].is_object();
    assert!(stays || !is_young, "{young:#}");
    touch(&young, "ready");
    state(&namespace, &young, "app", "running").await;

    touch(&work, "told");
    let after = super::programs::completed(&namespace, "work").await;
    for container in ["app", "sidecar"] {
        let id = |pod| container_status(pod, container).unwrap()["containerID"].clone();
        assert_eq!(id(&before), id(&after));
    }
    note(&format!(
        "kubelet: restarted on Kubernetes {}: a Job went on and completed; {SHUT} of {SHUT} pending gates opened whose \
         sidecar had run for {OLD} s; one whose sidecar was younger {}",
        cluster.version,
        if is_young { "stayed shut" } else { "was not looked at, as this machine was too slow" }
    ));
}

/// Where the cluster's node was started by `tests/cluster`, and this runs on it.
async fn connect() -> Option<(Cluster, PathBuf)> {
    let cluster = with_node().await?;
    let state = env::var_os("CLUSTER_STATE").filter(|state| Path::new(state).join("pids/kubelet").exists());
    if state.is_none() {
        note("the node's kubelet cannot be restarted here, so that was not looked at");
        return None;
    }
    Some((cluster, Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/node/restart-kubelet")))
}

/// A pod whose sidecar runs, and has not passed its startup probe.
async fn shut(namespace: &Namespace<'_>) -> Value {
    let probe =
        json!({"exec": {"command": ["test", "-e", "/shared/ready"]}, "periodSeconds": 1, "failureThreshold": 1000});
    let app = "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done";
    let pod = asking(pod([("app", app), ("sidecar", SIDECAR)]), "sidecar");
    let pod = annotate(pod, "startup-probe.native-sidecar.io/sidecar", &probe.to_string());
    let pod = namespace.create(pod).await.created();
    assert_eq!(annotation(&pod, "native-sidecar.io/converted"), "sidecar");
    let pod = state(namespace, &pod, "sidecar", "running").await;
    assert!(container_status(&pod, "app").unwrap()["state"]["waiting"].is_object());
    pod
}

/// Waits until a container is in a state, and returns the pod.
async fn state(namespace: &Namespace<'_>, pod: &Value, container: &str, state: &str) -> Value {
    let path = namespace.pod_path(pod["metadata"]["name"].as_str().unwrap());
    within(&format!("{container:?} is {state}"), || async {
        let pod = namespace.cluster.get(&path).await.created();
        container_status(&pod, container)?["state"][state].is_object().then_some(pod)
    })
    .await
}

/// Seconds for which the sidecar has been running.
fn age(pod: &Value) -> i64 {
    let started = container_status(pod, "sidecar").unwrap()["state"]["running"]["startedAt"].as_str().unwrap();
    jiff::Timestamp::now().duration_since(started.parse().unwrap()).as_secs()
}
