//! The sidecars that this is made for, as themselves (`tests/cluster/programs`), on a node: as the containers that they
//! usually are, and moved.
//!
//! Each test ends with lines that begin with `programs:`, which `tests/cluster/run` repeats: what was measured. What
//! can be otherwise by chance is measured only, and what follows from the order of things is claimed.

mod collector;
mod mesh;
mod proxy;

use super::{
    cluster::{Cluster, Namespace, note, within},
    pods::{annotate, image},
    story::{container_status, log, log_path, with_node},
    webhook::is_converted,
};
use serde_json::{Value, json};
use std::{env, fs, iter, process::Command};

/// A cluster whose nodes have the program's image; `None`, with a line that says so, where there is none.
async fn node_with(variable: &str, what: &str) -> Option<(Cluster, String)> {
    let cluster = with_node().await?;
    let image = env::var(variable).ok().filter(|image| !image.is_empty());
    if image.is_none() {
        report(&format!("{what} is not here (tests/cluster/programs/build makes it), so it was not looked at"));
    }
    Some((cluster, image?))
}

/// A line of the summary.
fn report(line: &str) {
    note(&format!("programs: {line}"));
}

// === Pods ===

/// An application, which is a script, and its sidecars, with a folder for all.
fn pod(script: &str, sidecars: &[Value], folder: &str) -> Value {
    let mounts = json!([{"name": "shared", "mountPath": folder}]);
    let app = json!({"name": "app", "image": image(), "command": ["sh", "-c", script]});
    let containers = iter::once(&app).chain(sidecars).cloned().map(|mut container| {
        container["volumeMounts"] = mounts.clone();
        container
    });
    let containers: Vec<_> = containers.collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "pod-", "annotations": {}},
        "spec": {"containers": containers, "volumes": [{"name": "shared", "emptyDir": {}}]},
    })
}

/// A Job, whose pods are never started anew.
fn job(name: &str, mut pod: Value) -> Value {
    pod["spec"]["restartPolicy"] = "Never".into();
    super::story::job(name, pod)
}

/// The pod, to be converted because its sidecar is known.
fn known(pod: Value) -> Value {
    annotate(pod, "native-sidecar.io/known", "true")
}

// === What becomes of them ===

/// Waits until a Job is complete, and returns its pod.
pub(crate) async fn completed(namespace: &Namespace<'_>, job: &str) -> Value {
    within("the Job is complete", || async {
        (namespace.column("jobs", job, "Completions").await? == "1/1").then_some(())
    })
    .await;
    let pod = namespace.pods(&format!("job-name={job}")).await.remove(0);
    assert!(is_converted(&pod), "{pod:#}");
    assert_eq!(pod["status"]["phase"], "Succeeded");
    pod
}

/// Waits until the application of a Job's pod has ended and nothing else has, and returns the pod. The kubelet goes on
/// to call such a pod `NotReady`.
async fn hangs(namespace: &Namespace<'_>, job: &str) -> Value {
    let pod = within("the Job's application ends", || async {
        let pod = namespace.pods(&format!("job-name={job}")).await.pop()?;
        let app = container_status(&pod, "app")?;
        (app["state"]["terminated"]["exitCode"] == 0).then_some(pod)
    })
    .await;
    within("the pod is NotReady", || async {
        let status = super::story::status(namespace, job).await;
        (status == ("1/2".to_owned(), "NotReady".to_owned())).then_some(())
    })
    .await;
    assert_eq!(namespace.column("jobs", job, "Completions").await.unwrap(), "0/1");
    pod
}

/// Waits until a Job has failed, and returns its pod.
async fn failed(namespace: &Namespace<'_>, job: &str) -> Value {
    within("the Job's pod fails", || async {
        let pod = namespace.pods(&format!("job-name={job}")).await.pop()?;
        (pod["status"]["phase"] == "Failed").then_some(pod)
    })
    .await
}

/// Waits until a container of a Job's pod was started anew, and returns the pod.
async fn restarted(namespace: &Namespace<'_>, job: &str, container: &str) -> Value {
    state(namespace, job, container, "is started anew", |status| {
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    })
    .await
}

/// Waits until a container of a Job's pod has ended, and returns the pod.
async fn over(namespace: &Namespace<'_>, job: &str, container: &str) -> Value {
    state(namespace, job, container, "ends", |status| status["state"]["terminated"].is_object()).await
}

async fn state(namespace: &Namespace<'_>, job: &str, container: &str, what: &str, is: fn(&Value) -> bool) -> Value {
    within(&format!("{container:?} {what}"), || async {
        let pod = namespace.pods(&format!("job-name={job}")).await.pop()?;
        container_status(&pod, container).is_some_and(is).then_some(pod)
    })
    .await
}

/// Waits until a Job's pod has a container that has said this, and returns the pod.
async fn said(namespace: &Namespace<'_>, job: &str, container: &str, word: &str) -> Value {
    let pod = within("the Job has a pod", || async { namespace.pods(&format!("job-name={job}")).await.pop() }).await;
    says(namespace, &pod, container, word).await;
    let path = namespace.pod_path(pod["metadata"]["name"].as_str().unwrap());
    namespace.cluster.get(&path).await.created()
}

/// Waits until a container has said this.
async fn says(namespace: &Namespace<'_>, pod: &Value, container: &str, word: &str) {
    within(&format!("{container:?} says {word:?}"), || async {
        log(namespace, pod, container).await.contains(word).then_some(())
    })
    .await;
}

/// Waits until a container has said this; the pod is deleted then. What containers have said in the end.
async fn deleted<const N: usize>(
    namespace: &Namespace<'_>,
    pod: &Value,
    ready: (&str, &str),
    containers: [&str; N],
) -> [String; N] {
    says(namespace, pod, ready.0, ready.1).await;
    let delete = async {
        let path = namespace.pod_path(pod["metadata"]["name"].as_str().unwrap());
        namespace.cluster.send(http::Method::DELETE, &path, None).await.created();
    };
    let follow = containers.map(|container| {
        let path = log_path(namespace, pod, container) + "&follow=true";
        async move { namespace.cluster.text(&path).await }
    });
    let (said, ()) = tokio::join!(futures::future::join_all(follow), delete);
    said.try_into().unwrap()
}

// === On the node, where this runs ===

/// `kill -9` of a container's processes.
fn kill(pod: &Value, container: &str) {
    let id = container_status(pod, container).unwrap()["containerID"].as_str().unwrap();
    let (_, id) = id.split_once("://").unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let process = entry.file_name().into_string().ok()?.parse::<u32>().ok()?;
        fs::read_to_string(entry.path().join("cgroup")).ok()?.contains(id).then(|| process.to_string())
    });
    let processes: Vec<_> = processes.collect();
    assert!(!processes.is_empty(), "{container:?} has no process here");
    assert!(Command::new("kill").arg("-KILL").args(processes).status().unwrap().success());
}

/// Makes a file in the folder that a pod's containers share.
pub(crate) fn touch(pod: &Value, file: &str) {
    let pod = pod["metadata"]["uid"].as_str().unwrap();
    let folder = format!("/var/lib/kubelet/pods/{pod}/volumes/kubernetes.io~empty-dir/shared");
    fs::write(format!("{folder}/{file}"), "").unwrap();
}

// === What they said ===

/// When a container said its first word.
async fn first_word(namespace: &Namespace<'_>, pod: &Value, container: &str) -> jiff::Timestamp {
    let path = log_path(namespace, pod, container) + "&timestamps=true";
    let text = namespace.cluster.text(&path).await;
    text.split_once(' ').unwrap().0.parse().unwrap()
}

/// Seconds from the sidecar's first word to the application's.
async fn head_start(namespace: &Namespace<'_>, pod: &Value, sidecar: &str) -> f64 {
    let (sidecar, app) = (first_word(namespace, pod, sidecar).await, first_word(namespace, pod, "app").await);
    // Tenths, and none of them a negative nothing.
    (app.duration_since(sidecar).as_secs_f64() * 10.0).round() / 10.0 + 0.0
}

/// The number behind a word in what a container said.
fn number(said: &str, word: &str) -> u32 {
    let (_, rest) = said.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {said:?}"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// The exit code with which a container ended, and how often it was started anew.
fn end(pod: &Value, container: &str) -> (i64, i64) {
    let status = container_status(pod, container).unwrap();
    let code = status["state"]["terminated"]["exitCode"].as_i64().unwrap();
    (code, status["restartCount"].as_i64().unwrap())
}
