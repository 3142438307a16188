//! Google's Cloud SQL Auth proxy. No database is here, nor Google: the proxy listens all the same, takes connections,
//! and finds then that it cannot pass them on. So "served" means here that the proxy took the connection, and nothing is
//! shown about data; "refused" means that nobody listened, which is what an application meets whose proxy is not there.

use super::{
    super::{pods::annotation, story::log, webhook::Webhook},
    completed, deleted, end, hangs, head_start, job, kill, known, node_with, number, pod, report, said,
};
use serde_json::{Value, json};

/// New connections that are tried, one each half second, while the application drains.
const TRIES: u32 = 8;

/// Whether a connection is taken; it is closed at once.
pub(super) const ASK: &str = "nc 127.0.0.1 5432 -e true 2>/dev/null";

#[tokio::test]
async fn a_job_with_the_cloud_sql_proxy() {
    let Some((cluster, image)) = connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let app = format!("{}; echo done", served());
    for (name, pod) in [
        ("legacy", pod(&app, &[proxy(&image, &[])], "/shared")),
        ("plain", known(pod(&app, &[proxy(&image, &[])], "/shared"))),
        ("gated", known(pod(&app, &[proxy(&image, &["--health-check"])], "/shared"))),
    ] {
        namespace.create(job(name, pod)).await.created();
    }
    let (legacy, plain, gated) =
        tokio::join!(hangs(&namespace, "legacy"), completed(&namespace, "plain"), completed(&namespace, "gated"),);
    let refused = async |pod| number(&log(&namespace, pod, "app").await, "refused ");
    let (of_legacy, of_plain, of_gated) = (refused(&legacy).await, refused(&plain).await, refused(&gated).await);
    assert_eq!(probe(&plain), Value::Null);
    assert!(probe(&gated).is_object(), "{gated:#}");
    assert_eq!(of_gated, 0);
    assert_eq!((end(&plain, "proxy"), end(&gated, "proxy")), ((143, 0), (143, 0)));
    let head = (head_start(&namespace, &plain, "proxy").await, head_start(&namespace, &gated, "proxy").await);
    report(&format!(
        "Cloud SQL proxy in a Job: legacy 1/2 NotReady, connection refused {of_legacy} times; native complete, refused \
         {of_plain} times (application {:.1} s after the proxy); with --health-check {of_gated} times ({:.1} s)",
        head.0, head.1
    ));
}

/// The proxy is killed while the application uses it.
#[tokio::test]
async fn a_killed_cloud_sql_proxy_in_a_job() {
    let Some((cluster, image)) = connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let gone = format!("{}; while {ASK}; do sleep 0.1; done; echo gone", served());
    // As nobody brings it back, the application does not wait for it.
    let back = format!("{gone}; until {ASK}; do sleep 0.1; done; echo back");
    namespace.create(job("legacy", pod(&gone, &[proxy(&image, &["--health-check"])], "/shared"))).await.created();
    namespace
        .create(job("native", known(pod(&back, &[proxy(&image, &["--health-check"])], "/shared"))))
        .await
        .created();
    for name in ["legacy", "native"] {
        kill(&said(&namespace, name, "app", "refused").await, "proxy");
    }
    let native = completed(&namespace, "native").await;
    assert!(log(&namespace, &native, "app").await.ends_with("gone\nback\n"));
    assert_eq!(end(&native, "proxy"), (143, 1));

    let legacy = super::failed(&namespace, "legacy").await;
    assert_eq!((end(&legacy, "app"), end(&legacy, "proxy")), ((0, 0), (137, 0)));
    report(
        "Cloud SQL proxy killed in a Job: legacy Failed although the application exited 0; native back and Succeeded",
    );
}

/// A pod of a Deployment goes away, and its application finishes what it has begun, for which it needs its database.
#[tokio::test]
async fn the_cloud_sql_proxy_while_the_application_drains() {
    let Some((cluster, image)) = connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    let drain = format!(
        "n=0; for i in $(seq {TRIES}); do sleep 0.5; if {ASK}; then n=$((n + 1)); fi; done; echo served $n; exit 0"
    );
    let app = format!("trap '{drain}' TERM; {}; echo ready; while true; do sleep 1 & wait $!; done", served());
    let drained = async |flags: &[&str], native: bool| {
        let pod = pod(&app, &[proxy(&image, flags)], "/shared");
        let pod = namespace.create(if native { known(pod) } else { pod }).await.created();
        let [said] = deleted(&namespace, &pod, ("app", "ready"), ["app"]).await;
        number(&said, "served ")
    };
    let (legacy, gated_legacy, native, gated_native) = tokio::join!(
        drained(&[], false),
        drained(&["--health-check"], false),
        drained(&[], true),
        drained(&["--health-check"], true),
    );
    assert!(legacy < TRIES && gated_legacy < TRIES, "{legacy}, {gated_legacy}");
    assert_eq!((native, gated_native), (TRIES, TRIES));
    report(&format!(
        "Cloud SQL proxy while the application drains for 4 s, new connections: legacy {legacy} of {TRIES}, native \
         {native} of {TRIES}; with --health-check {gated_legacy} and {gated_native}"
    ));
}

async fn connect() -> Option<(super::Cluster, String)> {
    node_with("NATIVE_SIDECAR_CLOUD_SQL_PROXY", "the Cloud SQL proxy").await
}

/// Neither the token nor the instance exist.
pub(super) fn proxy(image: &str, flags: &[&str]) -> Value {
    let arguments = [&["--token=none", "--port=5432"], flags, &["project:region:instance"]].concat();
    json!({"name": "proxy", "image": image, "args": arguments})
}

/// A script that waits until a connection is taken, and says how often none was.
fn served() -> String {
    format!("n=0; until {ASK}; do n=$((n + 1)); sleep 0.1; done; echo refused $n")
}

fn probe(pod: &Value) -> Value {
    assert_eq!(annotation(pod, "native-sidecar.io/converted"), "proxy");
    pod["spec"]["initContainers"][0]["startupProbe"].clone()
}
