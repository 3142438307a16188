//! The loops of `cluster` against an API server in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, reason = "in tests a panic is the report")]

mod mock;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use mock::{CONFIGURATION, Mock, SECRET, configuration};
use native_sidecar::cluster::{
    certificates::{self, CertificateSink, Keeper},
    facts::{self, Surveyor},
};
use native_sidecar_core::{conversion::ClusterFacts, version::Version};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::{
    error::Error,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
/// Kept free around a moment that something is compared with.
const ROOM: Duration = Duration::from_millis(20);

/// Remembers the chains it was given.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<String>>>);

impl CertificateSink for Sink {
    fn install(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        assert!(key_pem.starts_with(b"-----BEGIN PRIVATE KEY-----"));
        self.0.lock().unwrap().push(String::from_utf8(chain_pem.to_vec())?);
        Ok(())
    }
}

impl Sink {
    fn chains(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn last(&self) -> String {
        self.chains().pop().expect("a pair")
    }
}

/// One replica.
struct Replica {
    keeper: Keeper<Sink>,
    sink: Sink,
    registry: Registry,
}

impl Replica {
    fn of(mock: &Mock) -> Self {
        Self::with(mock, certificates::KeeperSettings::new("sidecars"))
    }

    fn with(mock: &Mock, settings: certificates::KeeperSettings) -> Self {
        let (sink, mut registry) = (Sink::default(), Registry::default());
        let metrics = certificates::Metrics::register(&mut registry);
        let keeper = Keeper::new(mock.client(), settings, sink.clone(), metrics).unwrap();
        Self { keeper, sink, registry }
    }

    async fn tick(&mut self, now: Timestamp) {
        self.keeper.tick(now).await.unwrap();
    }

    async fn fails(&mut self, now: Timestamp) -> String {
        self.keeper.tick(now).await.unwrap_err().to_string()
    }

    fn is_ready(&self) -> bool {
        *self.keeper.ready().borrow()
    }

    fn metric(&self, line: &str) -> bool {
        text(&self.registry).lines().any(|found| found == line)
    }
}

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn bundles(mock: &Mock) -> Vec<Value> {
    let configuration = mock.get(CONFIGURATION);
    let webhooks = configuration["webhooks"].as_array().unwrap();
    webhooks.iter().map(|webhook| webhook["clientConfig"]["caBundle"].clone()).collect()
}

fn assert_trusted(mock: &Mock) {
    let authorities = &mock.get(SECRET)["data"]["ca.crt"];
    assert!(authorities.is_string());
    assert!(bundles(mock).iter().all(|bundle| bundle == authorities));
}

// === Certificates ===

#[tokio::test]
async fn an_empty_secret_is_filled_and_trusted() {
    let mock = Mock::shipped();
    let mut replica = Replica::of(&mock);
    assert!(!replica.is_ready());
    replica.tick(noon()).await;
    assert!(replica.is_ready());
    assert_trusted(&mock);
    assert_eq!(mock.get(SECRET)["type"], "Opaque");
    assert_eq!(replica.sink.chains().len(), 1);
    let expiry = |kind: &str, at: i64| {
        replica.metric(&format!(
            "native_sidecar_managed_certificate_expiry_timestamp_seconds{{certificate=\"{kind}\"}} {at}"
        ))
    };
    assert!(expiry("ca", (noon() + 365 * DAY).as_second()), "{}", text(&replica.registry));
    assert!(expiry("serving", (noon() + 90 * DAY).as_second()));
    assert!(replica.metric("native_sidecar_managed_certificate_rotations_total{certificate=\"serving\"} 1"));
}

#[tokio::test]
async fn a_quiet_tick_reads_two_objects_and_writes_nothing() {
    let mock = Mock::shipped();
    let mut replica = Replica::of(&mock);
    replica.tick(noon()).await;
    mock.requests();
    replica.tick(noon() + MINUTE).await;
    assert_eq!(mock.requests(), [format!("GET {CONFIGURATION}"), format!("GET {SECRET}")]);
    assert_eq!(replica.sink.chains().len(), 1);
}

#[tokio::test]
async fn of_two_replicas_on_an_empty_secret_one_wins() {
    let mock = Mock::shipped();
    mock.together(2);
    let (mut a, mut b) = (Replica::of(&mock), Replica::of(&mock));
    tokio::join!(a.tick(noon()), b.tick(noon()));
    let writes = mock.requests().iter().filter(|request| request.starts_with("PUT")).count();
    assert_eq!(writes, 2, "both tried");
    assert_eq!(a.sink.chains(), b.sink.chains());
    assert_eq!(a.sink.chains().len(), 1);
    assert!(a.is_ready() && b.is_ready());
    assert_trusted(&mock);
}

#[tokio::test]
async fn of_two_replicas_without_a_secret_one_creates_it() {
    let mock = Mock::shipped();
    mock.delete(SECRET);
    mock.together(2);
    let (mut a, mut b) = (Replica::of(&mock), Replica::of(&mock));
    tokio::join!(a.tick(noon()), b.tick(noon()));
    assert_eq!(a.sink.chains(), b.sink.chains());
    assert_eq!(mock.get(SECRET)["type"], "kubernetes.io/tls");
    assert_trusted(&mock);
}

#[tokio::test]
async fn without_the_right_to_create_the_error_says_what_to_do() {
    let mock = Mock::shipped();
    mock.delete(SECRET);
    mock.fault(|method, _| (method == http::Method::POST).then_some((403, "secrets is forbidden")));
    let mut replica = Replica::of(&mock);
    assert_eq!(
        replica.fails(noon()).await,
        "cannot create Secret sidecars/native-sidecar-tls: the API server answered 403 Forbidden: secrets is forbidden; \
         create it empty, as the manifests do, or give the right to `create` Secrets in this namespace"
    );
    assert!(!replica.is_ready());
    assert!(replica.metric("native_sidecar_managed_certificate_failures_total 1"));
}

#[tokio::test]
async fn a_deleted_secret_comes_back_from_memory() {
    let mock = Mock::shipped();
    let mut replica = Replica::of(&mock);
    replica.tick(noon()).await;
    let before = mock.get(SECRET)["data"].clone();
    mock.delete(SECRET);
    replica.tick(noon() + MINUTE).await;
    assert_eq!(mock.get(SECRET)["data"], before);
    assert_eq!(replica.sink.chains().len(), 1);
    assert!(replica.is_ready());
}

#[tokio::test]
async fn a_malformed_secret_is_repaired() {
    let mock = Mock::shipped();
    let mut replica = Replica::of(&mock);
    replica.tick(noon()).await;
    let before = mock.get(SECRET)["data"].clone();
    for key in ["tls.crt", "tls.key", "ca.crt", "ca.key"] {
        mock.edit(SECRET, |secret| secret["data"][key] = json!("anVuaw=="));
        replica.tick(noon() + MINUTE).await;
        assert_eq!(mock.get(SECRET)["data"], before, "{key}");
    }
    assert_eq!(replica.sink.chains().len(), 1, "what is served does not change");
}

#[tokio::test]
async fn a_secret_of_other_certificates_takes_over_without_a_gap() {
    let (mock, other) = (Mock::shipped(), Mock::shipped());
    let mut replica = Replica::of(&mock);
    replica.tick(noon()).await;
    let old = replica.sink.last();
    Replica::of(&other).tick(noon()).await;
    mock.edit(SECRET, |secret| secret["data"] = other.get(SECRET)["data"].clone());
    // Both CAs are trusted, and the old pair goes on until the new CA is known everywhere.
    replica.tick(noon() + MINUTE).await;
    assert_trusted(&mock);
    assert_eq!(replica.sink.last(), old);
    assert!(replica.is_ready());
    replica.tick(noon() + 7 * MINUTE).await;
    assert_ne!(replica.sink.last(), old);
    assert!(replica.is_ready());
    let with_both = bundles(&mock)[0].clone();
    replica.tick(noon() + 2 * DAY).await;
    assert_ne!(bundles(&mock)[0], with_both);
    assert_trusted(&mock);
}

#[tokio::test]
async fn a_new_ca_reaches_both_replicas_in_two_steps() {
    let mock = Mock::shipped();
    let (mut a, mut b) = (Replica::of(&mock), Replica::of(&mock));
    a.tick(noon()).await;
    b.tick(noon()).await;
    let old = (a.sink.last(), bundles(&mock)[0].clone());
    mock.edit(SECRET, |secret| drop(secret["data"].as_object_mut().unwrap().remove("ca.key")));
    a.tick(noon() + MINUTE).await;
    b.tick(noon() + MINUTE).await;
    assert_ne!(bundles(&mock)[0], old.1);
    assert_eq!((a.sink.last(), b.sink.last()), (old.0.clone(), old.0.clone()));
    for minutes in [2, 4, 7, 8, 14] {
        a.tick(noon() + minutes * MINUTE).await;
        b.tick(noon() + minutes * MINUTE).await;
        assert!(a.is_ready() && b.is_ready(), "after {minutes} minutes");
    }
    assert_ne!(a.sink.last(), old.0);
    assert_eq!(a.sink.chains(), b.sink.chains());
    assert_eq!(a.sink.chains().len(), 2);
    assert_trusted(&mock);
}

#[tokio::test]
async fn an_emptied_bundle_is_restored() {
    let mock = Mock::shipped();
    let mut replica = Replica::of(&mock);
    replica.tick(noon()).await;
    mock.edit(CONFIGURATION, |object| object["webhooks"][1]["clientConfig"]["caBundle"] = json!(""));
    replica.tick(noon() + MINUTE).await;
    assert_trusted(&mock);
    assert!(replica.is_ready());
    assert!(replica.metric("native_sidecar_ca_bundle_restorations_total 1"));
}

#[tokio::test]
async fn a_bundle_that_cannot_be_set_makes_unready_and_keeps_serving() {
    let mock = Mock::shipped();
    mock.fault(|method, _| (method == http::Method::PATCH).then_some((403, "forbidden")));
    let mut replica = Replica::of(&mock);
    let error = replica.fails(noon()).await;
    assert!(error.starts_with("cannot set caBundle of MutatingWebhookConfiguration zz-native-sidecar: "), "{error}");
    assert!(error.ends_with("; the right needed is `patch`"), "{error}");
    assert!(!replica.is_ready());
    assert_eq!(replica.sink.chains().len(), 1);
    mock.healed();
    replica.tick(noon() + MINUTE).await;
    assert!(replica.is_ready());
}

#[tokio::test]
async fn a_conflict_on_the_configuration_is_read_again() {
    let mock = Mock::shipped();
    let mut replica = Replica::of(&mock);
    let once = Mutex::new(true);
    // Somebody edits the configuration between our reading and our writing.
    mock.fault(move |method, _| {
        let first = method == http::Method::PATCH && std::mem::take(&mut *once.lock().unwrap());
        first.then_some((409, "the object has been modified"))
    });
    replica.tick(noon()).await;
    assert_trusted(&mock);
    let reads = mock.requests().iter().filter(|request| **request == format!("GET {CONFIGURATION}")).count();
    assert_eq!(reads, 2);
}

#[tokio::test]
async fn without_a_configuration_the_replica_is_ready_and_fills_it_later() {
    let mock = Mock::shipped();
    mock.delete(CONFIGURATION);
    let mut replica = Replica::of(&mock);
    replica.tick(noon()).await;
    assert!(replica.is_ready());
    mock.put(CONFIGURATION, configuration("zz-native-sidecar", &["pods", "namespaces"]));
    replica.tick(noon() + MINUTE).await;
    assert_trusted(&mock);
}

#[tokio::test]
async fn while_the_api_server_is_away_serving_goes_on() {
    let mock = Mock::shipped();
    let mut replica = Replica::of(&mock);
    replica.tick(noon()).await;
    mock.away(true);
    for minutes in 1..4 {
        let error = replica.fails(noon() + minutes * MINUTE).await;
        assert!(error.contains("the API server cannot be reached: ServiceError: connection refused"), "{error}");
        assert!(error.ends_with("it is tried again, and the pair in use stays"), "{error}");
        assert!(replica.is_ready());
    }
    mock.away(false);
    replica.tick(noon() + 5 * MINUTE).await;
    assert_eq!(replica.sink.chains().len(), 1);
    assert!(replica.metric("native_sidecar_managed_certificate_failures_total 3"));
}

#[tokio::test]
async fn a_renewed_pair_is_used_although_the_configuration_cannot_be_read() {
    let mock = Mock::shipped();
    let mut replica = Replica::of(&mock);
    replica.tick(noon()).await;
    mock.fault(|_, path| (path == CONFIGURATION).then_some((403, "forbidden")));
    let error = replica.fails(noon() + 70 * DAY).await;
    assert!(error.starts_with("cannot read MutatingWebhookConfiguration zz-native-sidecar: "), "{error}");
    assert_eq!(replica.sink.chains().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_loop_outlives_an_outage_and_ends_at_shutdown() {
    let mock = Mock::shipped();
    mock.away(true);
    let replica = Replica::of(&mock);
    let mut ready = replica.keeper.ready();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(replica.keeper.run(async { drop(stopped.await) }));
    tokio::time::sleep(5 * MINUTE).await;
    assert!(!*ready.borrow());
    mock.away(false);
    // Paused time runs ahead by itself: no later than after the longest wait there is a pair.
    tokio::time::timeout(2 * MINUTE, ready.wait_for(|ready| *ready)).await.unwrap().unwrap();
    assert_trusted(&mock);
    stop.send(()).unwrap();
    tokio::time::timeout(MINUTE, running).await.unwrap().unwrap();
}

// === Facts ===

/// One surveyor, what it publishes, and its metrics.
struct Survey {
    surveyor: Surveyor,
    published: Arc<ArcSwap<ClusterFacts>>,
    registry: Registry,
}

impl Survey {
    fn of(mock: &Mock) -> Self {
        let published = Arc::new(ArcSwap::from_pointee(ClusterFacts::default()));
        let mut registry = Registry::default();
        let metrics = facts::Metrics::register(&mut registry);
        let settings = facts::SurveyorSettings {
            kubelet_floor: Version::new(1, 33, 0),
            ..facts::SurveyorSettings::new("sidecars")
        };
        let surveyor = Surveyor::new(mock.client(), settings, Arc::clone(&published), metrics);
        Self { surveyor, published, registry }
    }

    async fn facts(&mut self) -> ClusterFacts {
        self.surveyor.survey().await.unwrap();
        (**self.published.load()).clone()
    }

    /// Whether one more survey makes what is known look fresh: learnt after this moment and not before.
    async fn is_fresh_after(&mut self, survey: impl AsyncFnOnce(&mut Surveyor)) -> bool {
        tokio::time::sleep(ROOM).await;
        let moment = Instant::now();
        tokio::time::sleep(ROOM).await;
        survey(&mut self.surveyor).await;
        loop {
            let (before, age, after) = (moment.elapsed(), self.age(), moment.elapsed());
            if age < before {
                return true;
            }
            if age > after {
                return false;
            }
            // Reading the age took longer than there is room around the moment; another reading will not.
        }
    }

    fn age(&self) -> Duration {
        let text = text(&self.registry);
        let line = text.lines().find_map(|line| line.strip_prefix("native_sidecar_cluster_facts_age_seconds "));
        Duration::from_secs_f64(line.unwrap().parse().unwrap())
    }
}

fn nodes(count: usize) -> impl Iterator<Item = (String, String)> {
    (0..count).map(|index| (format!("node-{index}"), "v1.33.1".to_owned()))
}

#[tokio::test]
async fn facts_of_a_large_cluster() {
    let mock = Mock::shipped();
    let virtual_node = ("virtual".to_owned(), "fake".to_owned());
    let old_node = ("old".to_owned(), "v1.28.4-eks-abc".to_owned());
    mock.nodes(nodes(1200).chain([virtual_node, old_node]));
    let mut survey = Survey::of(&mock);
    assert_eq!(survey.published.load().kubelet_floor(), Version::new(1, 33, 0), "from the start");
    let facts = survey.facts().await;
    assert_eq!(facts.server, Some(Version::new(1, 33, 1)));
    assert_eq!(facts.keeps_restart_policy, Some(true));
    assert_eq!(facts.kubelets().len(), 1201);
    assert_eq!(facts.kubelets()["old"], Version::new(1, 28, 4));
    let pages = mock.requests().into_iter().filter(|request| request.contains("/nodes")).collect::<Vec<_>>();
    assert_eq!(pages.len(), 3, "{pages:?}");
    assert!(pages[2].contains("limit=500") && pages[2].contains("continue=1000"), "{pages:?}");
    let text = text(&survey.registry);
    assert!(text.contains("native_sidecar_cluster_keeps_restart_policy 1\n"), "{text}");
    assert!(
        text.contains(r#"native_sidecar_cluster_info{server_version="1.33.1",oldest_kubelet="1.28.4"} 1"#),
        "{text}"
    );
}

#[tokio::test]
async fn a_stripped_restart_policy_is_noticed_and_suspects_are_looked_for() {
    let mock = Mock::shipped();
    mock.put(&CONFIGURATION.replace("zz-native-sidecar", "stripper"), configuration("stripper", &["pods"]));
    mock.strips(true);
    let mut survey = Survey::of(&mock);
    assert_eq!(survey.facts().await.keeps_restart_policy, Some(false));
    assert!(mock.requests().iter().any(|request| request.contains("/mutatingwebhookconfigurations?")));
    assert!(text(&survey.registry).contains("native_sidecar_cluster_keeps_restart_policy 0\n"));
    mock.strips(false);
    assert_eq!(survey.facts().await.keeps_restart_policy, Some(true));
}

#[tokio::test]
async fn a_refused_dry_run_is_unknown() {
    let mock = Mock::shipped();
    mock.nodes(nodes(2));
    for (code, message) in [(403, "exceeded quota"), (400, "does not support dry run"), (422, "spec.priority: no")] {
        mock.fault(move |_, path| path.ends_with("/pods").then_some((code, message)));
        let facts = Survey::of(&mock).facts().await;
        assert_eq!(facts.keeps_restart_policy, None, "{code}");
        assert_eq!(facts.kubelets().len(), 2, "the nodes are asked for all the same");
    }
}

#[tokio::test]
async fn a_webhook_that_cannot_be_called_is_no_outage() {
    let mock = Mock::shipped();
    mock.fault(|_, path| path.ends_with("/pods").then_some((500, "failed calling webhook")));
    assert_eq!(Survey::of(&mock).facts().await.keeps_restart_policy, None);
}

#[tokio::test]
async fn a_proof_holds_until_the_api_server_changes() {
    let mock = Mock::shipped();
    mock.strips(true);
    let mut survey = Survey::of(&mock);
    survey.facts().await;
    mock.fault(|_, path| path.ends_with("/pods").then_some((403, "exceeded quota")));
    assert_eq!(survey.facts().await.keeps_restart_policy, Some(false));
    mock.version("v1.34.0");
    assert_eq!(survey.facts().await.keeps_restart_policy, None);
}

#[tokio::test]
async fn nodes_that_may_not_be_listed_are_unknown() {
    let mock = Mock::shipped();
    mock.nodes(nodes(2));
    mock.fault(|_, path| path.ends_with("/nodes").then_some((403, "nodes is forbidden")));
    let facts = Survey::of(&mock).facts().await;
    assert!(facts.kubelets().is_empty());
    assert_eq!(facts.keeps_restart_policy, Some(true));
}

#[tokio::test]
async fn facts_are_fresh_only_when_all_were_learnt() {
    let mock = Mock::shipped();
    mock.nodes(nodes(2));
    let mut survey = Survey::of(&mock);
    let learnt = async |surveyor: &mut Surveyor| surveyor.survey().await.unwrap();
    assert!(survey.is_fresh_after(learnt).await);
    let faults = [("/version", 403), ("/pods", 403), ("/pods", 422), ("/pods", 500), ("/nodes", 403)];
    for (path, code) in faults {
        mock.fault(move |_, asked| asked.ends_with(path).then_some((code, "no")));
        assert!(!survey.is_fresh_after(learnt).await, "{path} {code}");
    }
    mock.healed();
    assert!(survey.is_fresh_after(learnt).await);
    mock.version("unknown");
    assert!(!survey.is_fresh_after(learnt).await, "no version");
    mock.version("v1.33.1");
    mock.strips(true);
    assert!(survey.is_fresh_after(learnt).await, "a lost restartPolicy is an answer");
    mock.away(true);
    assert!(!survey.is_fresh_after(async |surveyor| drop(surveyor.survey().await.unwrap_err())).await);
}

#[tokio::test]
async fn while_the_api_server_is_away_the_last_facts_stand() {
    let mock = Mock::shipped();
    mock.nodes(nodes(3));
    let mut survey = Survey::of(&mock);
    let before = survey.facts().await;
    mock.away(true);
    let stale = survey.surveyor.survey().await.unwrap_err().to_string();
    assert!(stale.starts_with("cannot ask for the API server's version: "), "{stale}");
    assert_eq!(**survey.published.load(), before);
    mock.away(false);
    assert_eq!(survey.facts().await, before);
}
