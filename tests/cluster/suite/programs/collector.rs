//! An OpenTelemetry collector that reads the application's log file. Its filelog receiver looks at the file five times a
//! second, so what was written since it last looked is lost when it is told to stop.

use super::{
    super::{cluster::Namespace, story::log, webhook::Webhook},
    completed, deleted, end, failed, hangs, head_start, job, kill, known, node_with, pod, report, said,
};
use futures::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};

/// Lines that the application writes last, all at once.
pub(super) const LAST_LINES: usize = 10;

/// Pods for each number.
const PODS: usize = 10;

pub(super) const FOLDER: &str = "/var/log/app";

/// What a collector passes on when it has been passed a line that begins so.
const FIRST: &str = "Str(first";
const LAST: &str = "Str(last";

#[tokio::test]
async fn a_job_with_a_collector() {
    let Some((cluster, image)) = connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let app = format!("echo started; {}; {}", write("first"), last_words());
    let gate = json!({"httpGet": {"path": "/", "port": 13133}, "periodSeconds": 1});
    let mut gated = collector(&image, None);
    gated["readinessProbe"] = gate;
    for (name, pod) in [
        ("legacy", pod(&app, &[gated.clone()], FOLDER)),
        ("plain", known(pod(&app, &[collector(&image, None)], FOLDER))),
        ("gated", known(pod(&app, &[gated], FOLDER))),
    ] {
        namespace.create(job(name, pod)).await.created();
    }
    let (legacy, plain, gated) =
        tokio::join!(hangs(&namespace, "legacy"), completed(&namespace, "plain"), completed(&namespace, "gated"),);
    assert!(gated["spec"]["initContainers"][0]["startupProbe"].is_object(), "{gated:#}");
    assert_eq!((end(&plain, "sidecar"), end(&gated, "sidecar")), ((0, 0), (0, 0)));
    // Nobody stops it, so it reads everything.
    said(&namespace, "legacy", "sidecar", &format!("{LAST} {LAST_LINES})")).await;
    let received = async |pod| count(&log(&namespace, pod, "sidecar").await);
    let head = (head_start(&namespace, &plain, "sidecar").await, head_start(&namespace, &gated, "sidecar").await);
    report(&format!(
        "collector in a Job, last lines received: legacy {} of {LAST_LINES} and 1/2 NotReady; native complete, {}; gated by \
         its health check, {} (application {:.1} s after the collector, without the gate {:.1} s)",
        received(&legacy).await,
        received(&plain).await,
        received(&gated).await,
        head.1,
        head.0
    ));
}

/// Killed, a collector that keeps no checkpoints reads the file again from its beginning.
#[tokio::test]
async fn a_killed_collector_in_a_job() {
    let Some((cluster, image)) = connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let app = ends();
    namespace.create(job("legacy", pod(&app, &[collector(&image, None)], FOLDER))).await.created();
    namespace.create(job("native", known(pod(&app, &[collector(&image, Some(1))], FOLDER)))).await.created();
    for name in ["legacy", "native"] {
        kill(&said(&namespace, name, "sidecar", FIRST).await, "sidecar");
    }
    let (restarted, over) =
        tokio::join!(super::restarted(&namespace, "native", "sidecar"), super::over(&namespace, "legacy", "sidecar"),);
    said(&namespace, "native", "sidecar", FIRST).await;
    for pod in [restarted, over] {
        super::touch(&pod, "told");
    }
    let native = completed(&namespace, "native").await;
    assert_eq!(end(&native, "sidecar"), (0, 1));
    let native = count(&log(&namespace, &native, "sidecar").await);
    assert_eq!(native, LAST_LINES);
    let legacy = failed(&namespace, "legacy").await;
    assert_eq!((end(&legacy, "app"), end(&legacy, "sidecar")), ((0, 0), (137, 0)));
    let legacy = count(&log(&namespace, &legacy, "sidecar").await);
    assert_eq!(legacy, 0);
    report(&format!(
        "collector killed in a Job, last lines received: legacy {legacy} of {LAST_LINES} and Failed although the \
         application exited 0; native {native} of {LAST_LINES} and Succeeded"
    ));
}

/// The application has last words: by itself, or when it is told to stop, at once or after 4 s.
#[tokio::test]
async fn last_lines() {
    let Some((cluster, image)) = connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let app = |drain: u32| {
        format!(
            "trap 'sleep {drain}; {}; exit 0' TERM; {}; while true; do sleep 1 & wait $!; done",
            last_words(),
            write("first")
        )
    };
    let legacy = pod(&app(4), &[collector(&image, None)], FOLDER);
    let native = |drain, wait| known(pod(&app(drain), &[collector(&image, wait)], FOLDER));
    let job = |wait| known(pod(&ends(), &[collector(&image, wait)], FOLDER));
    let space = &namespace;
    let rows = [
        ("native, in a Job", at_the_end(space, job(None), 1).await),
        ("native with preStop sleep 2, in a Job", at_the_end(space, job(Some(2)), PODS).await),
        ("legacy, after 4 s", of_deleted(space, legacy, PODS).await),
        ("native, at once", of_deleted(space, native(0, None), 1).await),
        ("native with preStop sleep 2, at once", of_deleted(space, native(0, Some(2)), PODS).await),
        ("native with preStop sleep 2, after 4 s", of_deleted(space, native(4, Some(2)), 2).await),
        ("native with preStop sleep 8, after 4 s", of_deleted(space, native(4, Some(8)), PODS).await),
    ];
    let lost: Vec<usize> =
        rows.iter().map(|(_, received)| received.iter().map(|lines| LAST_LINES - lines).sum()).collect();
    for ((what, received), lost) in rows.iter().zip(&lost) {
        let complete = received.iter().filter(|lines| **lines == LAST_LINES).count();
        report(&format!(
            "collector, last lines, {what}: all received from {complete} of {PODS} pods, {lost} lines lost"
        ));
    }
    let [_, job_waits, legacy, _, waits, _, waits_longer] = lost[..] else { panic!("{lost:?}") };
    // It was told to stop 4 s before they were written.
    assert_eq!(legacy, LAST_LINES * PODS);
    // It waits longer than the application, and than until it looks again.
    assert_eq!((job_waits, waits, waits_longer), (0, 0, 0));
}

/// Last lines that were received from each of some pods whose application has its last words by itself, and ends. So many
/// of them end at once; the busier the node, the later is a collector told to stop, and the less is lost by chance.
async fn at_the_end(namespace: &Namespace<'_>, mut pod: Value, at_once: usize) -> Vec<usize> {
    pod["spec"]["restartPolicy"] = "Never".into();
    let pods = started(namespace, &pod).await;
    let received = pods.iter().map(|pod| async {
        super::touch(pod, "told");
        let path = namespace.pod_path(pod["metadata"]["name"].as_str().unwrap());
        super::within("the pod succeeds", || async {
            (namespace.cluster.get(&path).await.created()["status"]["phase"] == "Succeeded").then_some(())
        })
        .await;
        count(&log(namespace, pod, "sidecar").await)
    });
    stream::iter(received).buffer_unordered(at_once).collect().await
}

/// The same of pods that are deleted.
async fn of_deleted(namespace: &Namespace<'_>, pod: Value, at_once: usize) -> Vec<usize> {
    let pods = started(namespace, &pod).await;
    let received = pods.iter().map(|pod| async {
        let [said] = deleted(namespace, pod, ("sidecar", FIRST), ["sidecar"]).await;
        count(&said)
    });
    stream::iter(received).buffer_unordered(at_once).collect().await
}

/// Pods whose collector has passed on the first line.
async fn started(namespace: &Namespace<'_>, pod: &Value) -> Vec<Value> {
    let pods = join_all((0..PODS).map(|_| async { namespace.create(pod.clone()).await.created() })).await;
    for pod in &pods {
        super::says(namespace, pod, "sidecar", FIRST).await;
    }
    pods
}

async fn connect() -> Option<(super::Cluster, String)> {
    node_with("NATIVE_SIDECAR_COLLECTOR", "the OpenTelemetry collector").await
}

/// It may wait some seconds before it is told to stop.
pub(super) fn collector(image: &str, wait: Option<u32>) -> Value {
    let mut collector = json!({"name": "sidecar", "image": image});
    if let Some(seconds) = wait {
        collector["lifecycle"] = json!({"preStop": {"sleep": {"seconds": seconds}}});
    }
    collector
}

pub(super) fn write(line: &str) -> String {
    format!("echo {line} >> {FOLDER}/app.log")
}

/// A script that has its last words when the test says so, by way of the folder on the node.
fn ends() -> String {
    format!("{}; until [ -e {FOLDER}/told ]; do sleep 0.1; done; {}", write("first"), last_words())
}

pub(super) fn last_words() -> String {
    format!("for i in $(seq {LAST_LINES}); do {}; done", write("last $i"))
}

/// Last lines that a collector says that it has passed on.
pub(super) fn count(said: &str) -> usize {
    said.matches(LAST).count()
}
