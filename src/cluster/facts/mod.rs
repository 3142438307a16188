//! What is known of the cluster: asked for at the start and every few minutes, published for the admission path to read.
//!
//! Each fact is asked for by itself. One that is refused (no right to list nodes, a quota in the way of the dry run) is
//! unknown and does not hold up the others. When the API server is away, what is known stays. The age that is shown is
//! that of the oldest fact: it grows until all of them were learnt in one round.

mod metrics;
mod nodes;
mod probe;
mod suspects;

pub use metrics::Metrics;

use super::{
    api::{Failure, bounded},
    pace::Pace,
    reporter::Reporter,
};
use arc_swap::ArcSwap;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::{Api, Client, api::ListParams};
use native_sidecar_core::{conversion::ClusterFacts, version::Version};
use probe::Verdict;
use std::{sync::Arc, time::Duration};

/// The first version in which native sidecars are on by default: `kube_features.go`, `SidecarContainers`.
const FIRST: Version = Version::new(1, 29, 0);

/// What is asked, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyorSettings {
    /// The namespace of the pod that is tried in a dry run: our own.
    pub namespace: String,
    /// The image of that pod. It is never pulled, but a policy may want to know its registry.
    pub image: String,
    /// The name of our own webhook configuration, which is no suspect when `restartPolicy` is lost.
    pub configuration: String,
    /// The oldest kubelet that may run a converted pod.
    pub kubelet_floor: Version,
    /// How often to ask.
    pub interval: Duration,
}

/// Asks for the facts of one cluster and publishes them.
pub struct Surveyor {
    client: Client,
    settings: SurveyorSettings,
    published: Arc<ArcSwap<ClusterFacts>>,
    metrics: Metrics,
    reporters: Reporters,
    /// What was last logged as known.
    told: Option<String>,
    /// What was last logged about a lost `restartPolicy`.
    told_lost: Option<String>,
    /// What was last logged about nodes without a version.
    told_left_out: Option<String>,
}

/// The API server could not be asked; what was known before is still published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot ask for {what}: {failure}; what was known before stays in use, and it is tried again")]
pub struct Stale {
    what: &'static str,
    failure: Failure,
}

#[derive(Debug)]
struct Reporters {
    version: Reporter,
    probe: Reporter,
    nodes: Reporter,
}

/// What a question came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Learnt {
    /// The fact is known as of now.
    Yes,
    /// The API server answered, but not what was asked; a log line says so.
    No,
}

// === impl SurveyorSettings ===

impl SurveyorSettings {
    /// The settings of the manifests, in `namespace`.
    #[must_use]
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            image: "registry.k8s.io/pause:3.10".to_owned(),
            configuration: "zz-native-sidecar".to_owned(),
            kubelet_floor: ClusterFacts::default().kubelet_floor(),
            interval: Duration::from_mins(5),
        }
    }
}

// === impl Surveyor ===

impl Surveyor {
    /// A surveyor that publishes to `published`, where it sets the kubelet floor at once.
    pub fn new(
        client: Client,
        settings: SurveyorSettings,
        published: Arc<ArcSwap<ClusterFacts>>,
        metrics: Metrics,
    ) -> Self {
        let floor = settings.kubelet_floor;
        published.rcu(|facts| (**facts).clone().with_kubelet_floor(floor));
        let reporters = Reporters {
            version: Reporter::new("the API server's version is unknown"),
            probe: Reporter::new("whether restartPolicy is kept is unknown"),
            nodes: Reporter::new("the kubelets' versions are unknown"),
        };
        Self { client, settings, published, metrics, reporters, told: None, told_lost: None, told_left_out: None }
    }

    /// Asks until `shutdown`.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut pace = Pace::every(self.settings.interval);
        let mut reporter = Reporter::new("cluster facts");
        loop {
            let wait = tokio::select! {
                biased;
                () = &mut shutdown => return,
                outcome = self.survey() => match outcome {
                    Ok(()) => {
                        reporter.succeeded();
                        pace.after_success()
                    }
                    Err(stale) => {
                        reporter.failed(&stale.to_string());
                        pace.after_failure()
                    }
                },
            };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Asks for everything once and publishes what is known then.
    ///
    /// # Errors
    ///
    /// When the API server is away. What it did answer is published.
    pub async fn survey(&mut self) -> Result<(), Stale> {
        let mut facts = (*self.published.load_full()).clone();
        let outcome = self.fill(&mut facts).await;
        self.metrics.known(&facts);
        self.tell(&facts);
        if *self.published.load_full() != facts {
            self.published.store(Arc::new(facts));
        }
        // A refusal is no reason to hurry, but neither has anything been learnt.
        if outcome == Ok(Learnt::Yes) {
            self.metrics.fresh();
        }
        outcome.map(drop)
    }

    async fn fill(&mut self, facts: &mut ClusterFacts) -> Result<Learnt, Stale> {
        let before = facts.server;
        let server = self.server(facts).await?;
        if facts.server != before {
            // What another version did proves nothing about this one.
            facts.keeps_restart_policy = None;
        }
        // A webhook may answer the dry run as if the API server were away; the nodes are asked for all the same.
        let probe = self.keeps_restart_policy(facts).await;
        let nodes = self.kubelets(facts).await?;
        Ok(server.and(probe?).and(nodes))
    }

    async fn server(&mut self, facts: &mut ClusterFacts) -> Result<Learnt, Stale> {
        let reporter = &mut self.reporters.version;
        let answer = bounded(self.client.apiserver_version()).await;
        let Some(info) = known(answer, "the API server's version", reporter)? else { return Ok(Learnt::No) };
        match info.git_version.parse::<Version>() {
            Ok(version) => {
                reporter.succeeded();
                facts.server = Some(version);
                Ok(Learnt::Yes)
            }
            Err(error) => {
                reporter.failed(&error.to_string());
                facts.server = None;
                Ok(Learnt::No)
            }
        }
    }

    /// A refusal is no proof of the contrary: the last proof for this version of the API server stands.
    async fn keeps_restart_policy(&mut self, facts: &mut ClusterFacts) -> Result<Learnt, Stale> {
        let answer = probe::run(&self.client, &self.settings).await;
        match known(answer, "a native sidecar in a dry run", &mut self.reporters.probe)? {
            Some(Verdict::Kept) => {
                facts.keeps_restart_policy = Some(true);
                self.told_lost = None;
                self.reporters.probe.succeeded();
            }
            Some(Verdict::Lost) => {
                facts.keeps_restart_policy = Some(false);
                self.reporters.probe.succeeded();
                self.tell_lost(facts.server).await;
            }
            Some(Verdict::Odd(answer)) => {
                self.reporters.probe.failed(&answer);
                return Ok(Learnt::No);
            }
            None => return Ok(Learnt::No),
        }
        Ok(Learnt::Yes)
    }

    async fn kubelets(&mut self, facts: &mut ClusterFacts) -> Result<Learnt, Stale> {
        let answer = nodes::list(&self.client, facts.kubelet_floor()).await;
        let Some(nodes) = known(answer, "the nodes", &mut self.reporters.nodes)? else { return Ok(Learnt::No) };
        self.reporters.nodes.succeeded();
        *facts = std::mem::take(facts).with_nodes(nodes);
        let left_out = facts.left_out();
        if let Some(text) = left_out.as_ref().filter(|_| self.told_left_out != left_out) {
            tracing::info!("{text}");
        }
        self.told_left_out = left_out;
        Ok(Learnt::Yes)
    }

    /// Who may have taken `restartPolicy` away. The list needs a right that the manifests need not give.
    async fn tell_lost(&mut self, server: Option<Version>) {
        let text = match server {
            Some(server) if server < FIRST => {
                format!("the API server is {server}, and native sidecars need {FIRST}; upgrade the control plane")
            }
            _ => self.suspects().await,
        };
        if self.told_lost.as_ref() != Some(&text) {
            tracing::warn!("restartPolicy of init containers is dropped, so no pod is converted: {text}");
            self.told_lost = Some(text);
        }
    }

    async fn suspects(&self) -> String {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        match bounded(api.list(&ListParams::default())).await {
            Ok(list) => match suspects::among(&list.items, &self.settings.configuration) {
                names if names.is_empty() => {
                    "no other webhook is called for pods, so the feature gate SidecarContainers may be off".to_owned()
                }
                names => format!(
                    "the feature gate SidecarContainers is off, or one of these webhooks drops it: {}",
                    names.join(", ")
                ),
            },
            Err(failure) => format!(
                "the feature gate SidecarContainers is off, or a mutating webhook drops it, which one is unknown ({failure}); \
                 give the right to `list` mutatingwebhookconfigurations to have them named"
            ),
        }
    }

    /// One line whenever something else is known than before.
    fn tell(&mut self, facts: &ClusterFacts) {
        let text = summary(facts);
        if self.told.as_ref() != Some(&text) {
            tracing::info!("cluster facts: {text}");
            self.told = Some(text);
        }
    }
}

// === impl Learnt ===

impl Learnt {
    fn and(self, other: Self) -> Self {
        if self == Self::Yes { other } else { Self::No }
    }
}

/// The answer; `None` and a log line where the API server said no; an error where it is away.
fn known<T>(answer: Result<T, Failure>, what: &'static str, reporter: &mut Reporter) -> Result<Option<T>, Stale> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.is_outage() => Err(Stale { what, failure }),
        Err(failure) => {
            reporter.failed(&failure.to_string());
            Ok(None)
        }
    }
}

fn summary(facts: &ClusterFacts) -> String {
    let server = facts.server.map_or_else(|| "of unknown version".to_owned(), |version| version.to_string());
    let kept = match facts.keeps_restart_policy {
        Some(true) => "kept",
        Some(false) => "dropped",
        None => "perhaps kept",
    };
    let oldest = facts.kubelets().values().min().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let below = facts.kubelets().values().filter(|version| **version < facts.kubelet_floor()).count();
    format!(
        "API server {server}, restartPolicy of init containers {kept}, oldest kubelet {oldest}, {below} below {}",
        facts.kubelet_floor()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_is_not_known() {
        assert_eq!(
            summary(&ClusterFacts::default()),
            "API server of unknown version, restartPolicy of init containers perhaps kept, oldest kubelet unknown, 0 below 1.29.0"
        );
        let mut facts = ClusterFacts::all_at(Version::new(1, 32, 1)).with_kubelet_floor(Version::new(1, 33, 0));
        facts.keeps_restart_policy = Some(true);
        assert_eq!(
            summary(&facts),
            "API server 1.32.1, restartPolicy of init containers kept, oldest kubelet 1.32.1, 1 below 1.33.0"
        );
    }

    #[test]
    fn a_refusal_is_unknown_and_an_outage_is_an_error() {
        let mut reporter = Reporter::new("test");
        let refused = |code| Failure::Refused { code, reason: "Test".to_owned(), message: "no".to_owned() };
        assert_eq!(known::<()>(Err(refused(403)), "it", &mut reporter), Ok(None));
        assert!(known::<()>(Err(refused(503)), "it", &mut reporter).is_err());
        let away = Failure::Unreachable("refused".to_owned());
        let stale = known::<()>(Err(away), "the nodes", &mut reporter).unwrap_err();
        assert!(stale.to_string().starts_with("cannot ask for the nodes: "), "{stale}");
    }
}
