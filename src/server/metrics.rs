//! What Prometheus gets to see. Every label has a closed set of values, and every value is there from the
//! start, at zero, so that rates and alerts work from the first event on.

use super::{
    logging,
    refusal::{Refusal, STATUSES},
};
use jiff::Timestamp;
use native_sidecar_core::{
    admission::{DECISIONS, Reviewed},
    findings::Code,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use std::{
    fmt::{self, Debug},
    hash::Hash,
    sync::atomic::AtomicU64,
    time::{Duration, Instant},
};

/// Seconds. A review of an ordinary pod takes a fraction of a millisecond.
const DURATIONS: [f64; 14] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// Bytes: 1 KiB to 8 MiB.
const SIZES: [f64; 8] = [1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 8_388_608.0];

/// The server's metrics.
pub struct Metrics {
    registry: Registry,
    /// In the order of [`DECISIONS`].
    reviews: Vec<Counter>,
    /// In the order of [`Code::ALL`].
    findings: Vec<Counter>,
    durations: Histogram,
    in_flight: Gauge,
    endless: Gauge,
    bodies: Histogram,
    expiry: Gauge<f64, AtomicU64>,
    ready: Gauge,
    large_bodies: Gauge,
    evictions: Counter,
    reload_failures: Counter,
    handshake_failures: Counter,
    task_failures: Family<TaskLabel, Counter>,
    panics: Counter,
    /// In the order of [`STATUSES`].
    errors: Vec<Counter>,
}

/// What is looked at when the metrics are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshot {
    /// When the serving certificate expires.
    pub(super) expiry: Option<Timestamp>,
    /// Whether the server is ready.
    pub(super) ready: bool,
    /// Bytes that large bodies have acquired.
    pub(super) large_bodies: usize,
    /// Reviews that run.
    pub(super) in_flight: usize,
    /// Those of them that will not end.
    pub(super) endless: usize,
}

/// A request whose body has come and that has no answer yet.
#[must_use = "its time is over when this is dropped"]
pub(super) struct ReviewTimer {
    began: Instant,
    durations: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabel {
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabel {
    task: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// All metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::beside(Registry::default())
    }

    /// All metrics at zero, beside those that other parts of the program have named in `registry`.
    #[must_use]
    pub fn beside(mut registry: Registry) -> Self {
        let named = registry.sub_registry_with_prefix("native_sidecar");
        let decisions = DECISIONS.map(|decision| DecisionLabel { decision });
        let codes = Code::ALL.iter().map(|code| CodeLabel { code: code.as_str() });
        let statuses = STATUSES.map(|status| StatusLabel { status: status.as_u16() });
        let mut metrics = Self {
            reviews: counters(named, "reviews", "AdmissionReviews answered, by decision", decisions),
            findings: counters(named, "findings", "Findings about pods, by code", codes),
            durations: Histogram::new(DURATIONS),
            in_flight: Gauge::default(),
            endless: Gauge::default(),
            bodies: Histogram::new(SIZES),
            expiry: Gauge::default(),
            ready: Gauge::default(),
            large_bodies: Gauge::default(),
            evictions: Counter::default(),
            reload_failures: Counter::default(),
            handshake_failures: Counter::default(),
            task_failures: Family::default(),
            panics: Counter::default(),
            errors: counters(named, "http_errors", "Requests answered with an HTTP error, by status", statuses),
            registry,
        };
        metrics.name_reviews();
        metrics.name_server();
        metrics
    }

    /// The metrics in the `OpenMetrics` text format.
    pub(super) fn encode(&self, now: Snapshot) -> String {
        let Snapshot { expiry, ready, large_bodies, in_flight, endless } = now;
        self.ready.set(ready.into());
        self.large_bodies.set(gauge(large_bodies));
        self.in_flight.set(gauge(in_flight));
        self.endless.set(gauge(endless));
        // Not a number while there is no certificate: unlike zero it does not look like one that has expired.
        self.expiry.set(expiry.map_or(f64::NAN, |expiry| Duration::from_secs(seconds(expiry)).as_secs_f64()));
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }

    /// The body of a request has come. Notes how long the rest takes, until what is returned is dropped.
    pub(super) fn time_review(&self) -> ReviewTimer {
        ReviewTimer { began: Instant::now(), durations: self.durations.clone() }
    }

    /// Counts an answer.
    pub(super) fn answered(&self, reviewed: &Reviewed) {
        if let Some(index) = DECISIONS.iter().position(|decision| *decision == reviewed.decision) {
            self.reviews[index].inc();
        }
        for finding in &reviewed.findings {
            if let Some(index) = Code::ALL.iter().position(|code| *code == finding.code) {
                self.findings[index].inc();
            }
        }
    }

    /// Notes the size of a request's body.
    pub(super) fn body(&self, bytes: usize) {
        // No body comes near the 4 GiB at which this would be inexact.
        self.bodies.observe(f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)));
    }

    /// Counts a panic in the handling of a request.
    pub(super) fn panicked(&self) {
        self.panics.inc();
    }

    /// Counts an answer that is an HTTP error.
    pub(super) fn refused(&self, refusal: &Refusal) {
        if let Some(index) = STATUSES.iter().position(|status| *status == refusal.status()) {
            self.errors[index].inc();
        }
    }

    /// Counts a certificate or client CA that could not be put to use.
    pub fn reload_failed(&self) {
        self.reload_failures.inc();
    }

    /// Counts a connection that was closed for the sake of others.
    pub(super) fn connection_evicted(&self) {
        self.evictions.inc();
    }

    /// Counts a connection that ended in the TLS handshake.
    pub(super) fn handshake_failed(&self) {
        self.handshake_failures.inc();
    }

    /// Shows a background task, whose end would be counted.
    pub(super) fn task_began(&self, task: &'static str) {
        drop(self.task_failures.get_or_create(&TaskLabel { task }));
    }

    /// Counts a background task that has ended.
    pub(super) fn task_failed(&self, task: &'static str) {
        self.task_failures.get_or_create(&TaskLabel { task }).inc();
    }

    fn name_reviews(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("native_sidecar");
        registry.register_with_unit(
            "review_duration",
            "Time from the last byte of a request to its answer, with all that it waits for",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("reviews_in_flight", "Reviews that run at the moment", self.in_flight.clone());
        let endless = "Reviews that have run for so long that they will not end; /livez fails while there is one";
        registry.register("reviews_endless", endless, self.endless.clone());
        registry.register_with_unit("request_body", "Size of request bodies", Unit::Bytes, self.bodies.clone());
        registry.register_with_unit(
            "large_bodies",
            "Memory acquired for request bodies above 64 KiB, which may take a third of the memory for large bodies",
            Unit::Bytes,
            self.large_bodies.clone(),
        );
        registry.register("panics", "Requests whose handling panicked", self.panics.clone());
    }

    fn name_server(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("native_sidecar");
        registry.register("ready", "Whether /readyz answers 200: 1 or 0", self.ready.clone());
        let evictions = "Connections closed for others' sake: idle or slow ones, those of too many, or whose client takes no answer";
        registry.register("connections_evicted", evictions, self.evictions.clone());
        let tasks = "Background tasks that ended, after which the server drains and the process ends";
        registry.register("task_failures", tasks, self.task_failures.clone());
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the serving certificate expires, in seconds since 1970; NaN while there is none",
            Unit::Seconds,
            self.expiry.clone(),
        );
        let reloads = "Changed certificates and client CAs that could not be used; the one before stays";
        registry.register("certificate_reload_failures", reloads, self.reload_failures.clone());
        let handshakes = "Connections that ended in the TLS handshake";
        registry.register("tls_handshake_failures", handshakes, self.handshake_failures.clone());
        let lines = "Log lines that standard error did not take fast enough, and nobody will read";
        registry.register("log_lines_dropped", lines, logging::dropped_lines().clone());
        let build = vec![
            ("version", env!("CARGO_PKG_VERSION")),
            ("os", std::env::consts::OS),
            ("arch", std::env::consts::ARCH),
        ];
        registry.register("build", "The running build of native-sidecar", Info::new(build));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Seconds since 1970; zero for what lies before.
fn seconds(timestamp: Timestamp) -> u64 {
    u64::try_from(timestamp.as_second()).unwrap_or_default()
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// One counter for each of `labels`, found by its place in the list: cheaper than by its labels.
fn counters<L>(registry: &mut Registry, name: &str, help: &str, labels: impl IntoIterator<Item = L>) -> Vec<Counter>
where
    L: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static,
{
    let family = Family::<L, Counter>::default();
    let counters = labels.into_iter().map(|label| family.get_or_create(&label).clone()).collect();
    registry.register(name, help, family);
    counters
}
// === impl ReviewTimer ===

impl Drop for ReviewTimer {
    fn drop(&mut self) {
        self.durations.observe(self.began.elapsed().as_secs_f64());
    }
}
