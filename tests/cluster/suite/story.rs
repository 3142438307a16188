//! What it is all for, on a node that runs pods: Jobs that complete, and sidecars that are there when needed.

use super::{
    cluster::{Cluster, Namespace, note, within},
    pods::{annotate, asking, image},
    webhook::Webhook,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Runs until it is told to stop.
const SIDECAR: &str = "trap 'exit 0' TERM; while true; do echo still here; sleep 1 & wait $!; done";

// === Jobs ===

#[tokio::test]
async fn a_job_with_a_sidecar_completes_once_it_is_annotated() {
    let Some(cluster) = with_node().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let template = pod([("pi", "sleep 1; echo 3.1415926535897932"), ("sidecar", SIDECAR)]);
    namespace.create(job("legacy", template.clone())).await.created();
    namespace.create(job("annotated", asking(template, "sidecar"))).await.created();

    let done = || async { (namespace.column("jobs", "annotated", "Completions").await? == "1/1").then_some(()) };
    within("the annotated Job completes", done).await;
    assert_eq!(status(&namespace, "annotated").await, ("0/2".to_owned(), "Completed".to_owned()));
    stopped(&namespace, "annotated", "sidecar").await;

    // The application of the legacy Job has ended too, at about the same time; nothing follows from it.
    let idle = || async { (status(&namespace, "legacy").await.1 == "NotReady").then_some(()) };
    within("the legacy Job's application ends", idle).await;
    goes_on(&namespace, "legacy", "sidecar").await;
    assert_eq!(status(&namespace, "legacy").await, ("1/2".to_owned(), "NotReady".to_owned()));
    assert_eq!(namespace.column("jobs", "legacy", "Completions").await.unwrap(), "0/1");
}

/// READY and STATUS of a Job's pod, as `kubectl get pods` prints them.
pub(crate) async fn status(namespace: &Namespace<'_>, job: &str) -> (String, String) {
    let pods = format!("pods?labelSelector=job-name={job}");
    let cell = async |column| namespace.column(&pods, "", column).await.unwrap_or_default();
    (cell("Ready").await, cell("Status").await)
}

/// Waits until a container of a Job's pod has said more than it had, line by line.
async fn goes_on(namespace: &Namespace<'_>, job: &str, container: &str) {
    let pod = namespace.pods(&format!("job-name={job}")).await.remove(0);
    let lines = async || log(namespace, &pod, container).await.lines().count();
    let before = lines().await;
    within("the container goes on", || async { (lines().await >= before + 5).then_some(()) }).await;
}

/// Waits for the event that says that a container of a Job's pod was told to stop.
pub(crate) async fn stopped(namespace: &Namespace<'_>, job: &str, container: &str) {
    let what = format!("an event says that {container:?} is stopped");
    let path = format!("/api/v1/namespaces/{}/events?fieldSelector=reason=Killing", namespace.name);
    let event = |event: &Value| {
        let pod = event["involvedObject"]["name"].as_str().unwrap_or_default();
        pod.starts_with(job) && event["message"].as_str().unwrap_or_default().contains(container)
    };
    within(&what, || async {
        let events = namespace.cluster.get(&path).await.created();
        events["items"].as_array().unwrap().iter().any(event).then_some(())
    })
    .await;
}

// === While the pod starts and runs ===

/// Its place among the init containers decides what it serves: those behind it.
#[tokio::test]
async fn a_sidecar_serves_later_init_containers() {
    let Some(cluster) = with_node().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let beat = "trap 'exit 0' TERM; while true; do date +%s%N > /shared/beat; sleep 0.1 & wait $!; done";
    let wait_for_two =
        "a=$(cat /shared/beat); while [ \"$a\" = \"$(cat /shared/beat)\" ]; do sleep 0.1; done; echo alive";
    let mut pod = pod([("app", wait_for_two), ("sidecar", beat)]);
    pod["spec"]["initContainers"] =
        json!([container("migrate", &format!("while ! [ -s /shared/beat ]; do sleep 0.1; done; {wait_for_two}"))]);
    let pod = annotate(asking(pod, "sidecar"), "position.native-sidecar.io/sidecar", "first");
    let pod = finished(&namespace, pod).await;
    assert_eq!(pod["status"]["phase"], "Succeeded");
    assert!(log(&namespace, &pod, "migrate").await.ends_with("alive\n"));
}

/// The sidecar ends by itself once, and in the end with an exit code of its own.
#[tokio::test]
async fn a_sidecar_that_exits_is_restarted_and_does_not_decide_the_phase() {
    let Some(cluster) = with_node().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let exits_once = "[ -e /shared/first ] || { touch /shared/first; exit 1; }; touch /shared/second; \
                      trap 'exit 3' TERM; while true; do sleep 1 & wait $!; done";
    let app = "while ! [ -e /shared/second ]; do sleep 0.1; done";
    let pod = finished(&namespace, asking(pod([("app", app), ("sidecar", exits_once)]), "sidecar")).await;
    assert_eq!(pod["status"]["phase"], "Succeeded");
    let sidecar = &pod["status"]["initContainerStatuses"][0];
    assert_eq!(sidecar["restartCount"], 1);
    assert_eq!(sidecar["state"]["terminated"]["exitCode"], 3);
}

/// The sidecar needs 5 s until it is of use. Converted, the application starts after that; as it was, before.
#[tokio::test]
async fn the_application_starts_after_a_slow_sidecar() {
    let Some(cluster) = with_node().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let slow = "trap 'exit 0' TERM; sleep 5; touch /shared/ready; while true; do sleep 1 & wait $!; done";
    let app = "if [ -e /shared/ready ]; then echo ready; else echo too early; fi";
    let probe =
        r#"{"exec": {"command": ["test", "-e", "/shared/ready"]}, "periodSeconds": 1, "failureThreshold": 300}"#;
    let legacy = pod([("app", app), ("sidecar", slow)]);
    let native = annotate(asking(legacy.clone(), "sidecar"), "startup-probe.native-sidecar.io/sidecar", probe);

    let (native, legacy) = tokio::join!(finished(&namespace, native), finished(&namespace, legacy));
    assert_eq!(log(&namespace, &native, "app").await, "ready\n");
    assert_eq!(log(&namespace, &legacy, "app").await, "too early\n");
    let (sidecar, app) = (started(&native, "sidecar"), started(&native, "app"));
    assert!(app.duration_since(sidecar).as_secs() >= 4, "sidecar {sidecar}, app {app}");
}

// === When the pod ends ===

#[tokio::test]
async fn sidecars_start_in_the_listed_order_and_stop_in_reverse() {
    let Some(cluster) = with_node().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    // Without the probe the next one could be quicker to say that it starts.
    let sidecar = |name: &str| {
        format!(
            "echo start; touch /shared/{name}; trap 'echo stop; exit 0' TERM; while true; do sleep 1 & wait $!; done"
        )
    };
    let probe = |name: &str| json!({"exec": {"command": ["test", "-e", format!("/shared/{name}")]}, "periodSeconds": 1, "failureThreshold": 300});
    let (one, two) = (sidecar("one"), sidecar("two"));
    let mut pod = pod([("app", "echo start; sleep 1; echo stop"), ("one", &one), ("two", &two)]);
    for name in ["one", "two"] {
        pod = annotate(pod, &format!("startup-probe.native-sidecar.io/{name}"), &probe(name).to_string());
    }
    let pod = finished(&namespace, asking(pod, "two, one")).await;

    let mut moments = BTreeMap::new();
    for container in ["app", "one", "two"] {
        let path = log_path(&namespace, &pod, container) + "&timestamps=true";
        for line in cluster.text(&path).await.lines() {
            let (time, word) = line.split_once(' ').unwrap();
            moments.insert(time.parse::<jiff::Timestamp>().unwrap(), format!("{container} {word}"));
        }
    }
    let order: Vec<_> = moments.into_values().collect();
    assert_eq!(order, ["two start", "one start", "app start", "app stop", "one stop", "two stop"]);
}

/// A pod is deleted, and its application has a last word. A legacy collector is told to stop at the same moment, and
/// is gone when it comes. The application waits a while for just that.
#[tokio::test]
async fn a_log_collector_receives_the_last_line_of_a_deleted_pod() {
    let Some(cluster) = with_node().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let last_word = "for i in $(seq 100); do [ -e /shared/gone ] && break; sleep 0.1; done; \
                     echo last line >> /shared/log; exit 0";
    let app =
        format!("trap '{last_word}' TERM; echo first line >> /shared/log; while true; do sleep 1 & wait $!; done");
    // Told to stop, it passes on what there is, and ends.
    let collector = "passed=0; told=; trap 'told=1' TERM; touch /shared/log; \
                     pass() { lines=$(wc -l < /shared/log); if [ $lines -gt $passed ]; then \
                     sed -n \"$((passed + 1)),${lines}p\" /shared/log; passed=$lines; fi; }; \
                     until [ $told ]; do pass; sleep 0.1 & wait $!; done; pass; touch /shared/gone";
    let legacy = pod([("app", &app), ("collector", collector)]);
    let native = asking(legacy.clone(), "collector");

    let (native, legacy) = tokio::join!(collected(&namespace, native), collected(&namespace, legacy));
    assert!(native.ends_with("first line\nlast line\n"), "{native:?}");
    assert!(legacy.ends_with("first line\n"), "{legacy:?}");
}

/// What the collector of a pod has received when the pod is gone.
async fn collected(namespace: &Namespace<'_>, pod: Value) -> String {
    let pod = namespace.create(pod).await.created();
    let path = log_path(namespace, &pod, "collector");
    within("the collector has the first line", || async {
        namespace.cluster.text(&path).await.contains("first line").then_some(())
    })
    .await;
    let delete = async {
        let path = namespace.pod_path(pod["metadata"]["name"].as_str().unwrap());
        namespace.cluster.send(http::Method::DELETE, &path, None).await.created();
    };
    let follow = path.clone() + "&follow=true";
    let (received, ()) = tokio::join!(namespace.cluster.text(&follow), delete);
    received
}

// === Pods ===

pub(crate) async fn with_node() -> Option<Cluster> {
    let cluster = Cluster::connect().await?;
    if !cluster.has_nodes().await {
        note("no nodes here: nothing about running pods was looked at");
        return None;
    }
    Some(cluster)
}

/// A pod of shell scripts with a volume for all of them, which is not restarted when they end.
pub(crate) fn pod<const N: usize>(scripts: [(&str, &str); N]) -> Value {
    let containers = scripts.map(|(name, script)| container(name, script)).to_vec();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "pod-", "annotations": {}},
        "spec": {
            "restartPolicy": "Never", "containers": containers,
            "volumes": [{"name": "shared", "emptyDir": {}}],
        }
    })
}

pub(crate) fn container(name: &str, script: &str) -> Value {
    let mounts = [json!({"name": "shared", "mountPath": "/shared"})];
    json!({"name": name, "image": image(), "command": ["sh", "-c", script], "volumeMounts": mounts})
}

pub(crate) fn job(name: &str, mut template: Value) -> Value {
    template.as_object_mut().unwrap().retain(|key, _| key == "metadata" || key == "spec");
    let spec = json!({"template": template, "backoffLimit": 0});
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec})
}

/// Creates a pod and waits until its application has ended, and with it the pod if it is converted.
async fn finished(namespace: &Namespace<'_>, pod: Value) -> Value {
    let pod = namespace.create(pod).await.created();
    let path = namespace.pod_path(pod["metadata"]["name"].as_str().unwrap());
    let converted = super::webhook::is_converted(&pod);
    within("the pod ends", || async {
        let pod = namespace.cluster.get(&path).await.created();
        let ended = ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase);
        let application = container_status(&pod, "app").is_some_and(|status| status["state"]["terminated"].is_object());
        (ended || (application && !converted)).then_some(pod)
    })
    .await
}

pub(crate) fn container_status<'p>(pod: &'p Value, container: &str) -> Option<&'p Value> {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let statuses = lists.iter().filter_map(|list| pod["status"][list].as_array()).flatten();
    statuses.into_iter().find(|status| status["name"] == container)
}

/// When a container started that has ended.
fn started(pod: &Value, container: &str) -> jiff::Timestamp {
    let status = container_status(pod, container).unwrap();
    status["state"]["terminated"]["startedAt"].as_str().unwrap().parse().unwrap()
}

pub(crate) fn log_path(namespace: &Namespace<'_>, pod: &Value, container: &str) -> String {
    format!("{}/log?container={container}", namespace.pod_path(pod["metadata"]["name"].as_str().unwrap()))
}

pub(crate) async fn log(namespace: &Namespace<'_>, pod: &Value, container: &str) -> String {
    namespace.cluster.text(&log_path(namespace, pod, container)).await
}
