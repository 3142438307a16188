//! Our webhook, registered as the manifests say.

use super::{
    certificates::Authority,
    cluster::{Cleanup, Cluster, Namespace, eventually},
    manifests, pods,
    process::Process,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{env, net::IpAddr};

/// Our webhook while it answers the API server.
pub(crate) struct Webhook {
    /// Absent where it runs in the cluster.
    process: Option<Process>,
    pub(crate) authority: Authority,
    _cleanup: Cleanup,
}

const DRY_RUN: &str = "/api/v1/namespaces/default/pods?dryRun=All";

/// The address under which the API server reaches this machine.
pub(crate) fn host() -> IpAddr {
    env::var("NATIVE_SIDECAR_TEST_HOST").map_or_else(|_| [127, 0, 0, 1].into(), |host| host.parse().unwrap())
}

/// Whether the webhook runs in the cluster, where tests must leave it alone.
pub(crate) fn is_installed() -> bool {
    env::var("NATIVE_SIDECAR_INSTALLED").is_ok_and(|value| value == "1")
}

// === impl Webhook ===

impl Webhook {
    /// Starts the webhook and registers it; returns when the API server calls it.
    pub(crate) async fn install(cluster: &Cluster) -> Self {
        let authority = Authority::new();
        if is_installed() {
            return Self { process: None, authority, _cleanup: Cleanup::none() };
        }
        let webhook = Self::register(cluster, authority, &[]).await;
        Self::wait_until_called(cluster).await;
        webhook
    }

    /// The same for a webhook that only observes; for clusters in which there is none.
    pub(crate) async fn observing(cluster: &Cluster) -> Self {
        let webhook = Self::register(cluster, Authority::new(), &["--observe"]).await;
        eventually("the API server calls the webhook", || async {
            cluster.send(http::Method::POST, DRY_RUN, Some(&pods::annotated())).await.created();
            webhook.reviews() > Some(0.0)
        })
        .await;
        webhook
    }

    async fn register(cluster: &Cluster, authority: Authority, arguments: &[&str]) -> Self {
        let process = Process::start(host(), &authority.issue(&host().to_string()), arguments);
        let configuration = registration(process.port, &authority.bundle());
        let cleanup = cluster.apply(&configuration).await;
        Self { process: Some(process), authority, _cleanup: cleanup }
    }

    /// The process, where the webhook is one that the test may do with as it likes.
    pub(crate) const fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Ends the webhook without a goodbye.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Pods that were reviewed, in dry runs too.
    pub(crate) fn reviews(&self) -> Option<f64> {
        self.process().map(|process| process.metric("native_sidecar_reviews_total{", ""))
    }

    async fn wait_until_called(cluster: &Cluster) {
        eventually("the API server calls the webhook", || async {
            let reply = cluster.send(http::Method::POST, DRY_RUN, Some(&pods::annotated())).await;
            is_converted(&reply.created())
        })
        .await;
    }
}

/// The manifests' own registration, with a URL instead of a Service.
pub(crate) fn registration(port: u16, bundle: &str) -> Value {
    let mut configuration = manifests::one(manifests::self_managed(), "MutatingWebhookConfiguration");
    for webhook in configuration["webhooks"].as_array_mut().unwrap() {
        let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
        let url = format!("https://{}:{port}{path}", host());
        webhook["clientConfig"] = json!({"url": url, "caBundle": STANDARD.encode(bundle)});
    }
    configuration
}

/// Whether the webhook says that it moved something, and the pod agrees.
pub(crate) fn is_converted(pod: &Value) -> bool {
    let converted = pod["metadata"]["annotations"]["native-sidecar.io/converted"].as_str().unwrap_or_default();
    let native = pods::native_sidecars(pod);
    !converted.is_empty() && converted.split(',').all(|name| native.contains(&name))
}

/// A pod that the webhook converts: what is stored.
pub(crate) async fn moves(pod: impl FnOnce(&str) -> Value) -> Option<Value> {
    let stored = stored(pod).await?;
    assert!(is_converted(&stored), "expected a conversion: {stored:#}");
    Some(stored)
}

/// A pod that the webhook leaves as it is: what is stored.
pub(crate) async fn leaves_alone(pod: impl FnOnce(&str) -> Value) -> Option<Value> {
    let stored = stored(pod).await?;
    assert_eq!(pods::native_sidecars(&stored), [""; 0], "expected no conversion: {stored:#}");
    Some(stored)
}

async fn stored(pod: impl FnOnce(&str) -> Value) -> Option<Value> {
    let cluster = Cluster::connect().await?;
    let _webhook = Webhook::install(&cluster).await;
    let namespace: Namespace<'_> = cluster.namespace().await;
    let created = namespace.create(pod(&namespace.name)).await.created();
    Some(namespace.stored(&created).await.created())
}
