//! What Prometheus gets to see. Every label has a closed set of values, and every value is there from the
//! start, at zero, so that rates and alerts work from the first event on.

use super::refusal::STATUSES;
use http::StatusCode;
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
    fmt,
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
    reviews: Family<DecisionLabel, Counter>,
    findings: Family<CodeLabel, Counter>,
    durations: Histogram,
    in_flight: Gauge,
    bodies: Histogram,
    expiry: Gauge<f64, AtomicU64>,
    ready: Gauge,
    large_bodies: Gauge,
    crowded_out: Counter,
    reload_failures: Counter,
    handshake_failures: Counter,
    panics: Counter,
    errors: Family<StatusLabel, Counter>,
}

/// A review under way; over when dropped.
#[must_use = "the review counts as in flight until this is dropped"]
pub(super) struct InFlight<'m> {
    metrics: &'m Metrics,
    began: Instant,
}

/// What is looked at when the metrics are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshot {
    /// When the serving certificate expires.
    pub(super) expiry: Option<Timestamp>,
    /// Whether the server is ready.
    pub(super) ready: bool,
    /// Bytes that large bodies have been given.
    pub(super) large_bodies: usize,
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

// === impl Metrics ===

impl Metrics {
    /// All metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::beside(Registry::default())
    }

    /// All metrics at zero, beside those that other parts of the program have named in `registry`.
    #[must_use]
    pub fn beside(registry: Registry) -> Self {
        let mut metrics = Self {
            registry,
            reviews: Family::default(),
            findings: Family::default(),
            durations: Histogram::new(DURATIONS),
            in_flight: Gauge::default(),
            bodies: Histogram::new(SIZES),
            expiry: Gauge::default(),
            ready: Gauge::default(),
            large_bodies: Gauge::default(),
            crowded_out: Counter::default(),
            reload_failures: Counter::default(),
            handshake_failures: Counter::default(),
            panics: Counter::default(),
            errors: Family::default(),
        };
        metrics.name_reviews();
        metrics.name_server();
        metrics.begin_at_zero();
        metrics
    }

    /// The metrics in the `OpenMetrics` text format.
    pub(super) fn encode(&self, now: Snapshot) -> String {
        let Snapshot { expiry, ready, large_bodies } = now;
        self.ready.set(ready.into());
        self.large_bodies.set(i64::try_from(large_bodies).unwrap_or(i64::MAX));
        // Not a number while there is no certificate: unlike zero it does not look like one that has expired.
        self.expiry.set(expiry.map_or(f64::NAN, |expiry| Duration::from_secs(seconds(expiry)).as_secs_f64()));
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }

    /// Counts a review in.
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight { metrics: self, began: Instant::now() }
    }

    /// Counts an answer.
    pub(super) fn answered(&self, reviewed: &Reviewed) {
        self.reviews.get_or_create(&DecisionLabel { decision: reviewed.decision }).inc();
        for finding in &reviewed.findings {
            self.findings.get_or_create(&CodeLabel { code: finding.code.as_str() }).inc();
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

    /// Counts an answer that is an HTTP error; one that is not our own counts as 500.
    pub(super) fn refused(&self, status: StatusCode) {
        let known = STATUSES.contains(&status);
        let status = if known { status } else { StatusCode::INTERNAL_SERVER_ERROR };
        self.errors.get_or_create(&StatusLabel { status: status.as_u16() }).inc();
    }

    /// Counts a certificate or client CA that could not be put to use.
    pub fn reload_failed(&self) {
        self.reload_failures.inc();
    }

    /// Counts a connection that was closed for the sake of others.
    pub(super) fn crowded_out(&self) {
        self.crowded_out.inc();
    }

    /// Counts a connection that ended in the TLS handshake.
    pub(super) fn handshake_failed(&self) {
        self.handshake_failures.inc();
    }

    fn name_reviews(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("native_sidecar");
        registry.register("reviews", "AdmissionReviews answered, by decision", self.reviews.clone());
        registry.register("findings", "Findings about pods, by code", self.findings.clone());
        registry.register_with_unit(
            "review_duration",
            "Time from the last byte of a request to its answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("reviews_in_flight", "AdmissionReviews being answered", self.in_flight.clone());
        registry.register_with_unit("request_body", "Size of request bodies", Unit::Bytes, self.bodies.clone());
        registry.register_with_unit(
            "large_bodies",
            "Memory given to request bodies above 64 KiB, of the third of --large-body-memory that is for them",
            Unit::Bytes,
            self.large_bodies.clone(),
        );
        registry.register("panics", "Requests whose handling panicked", self.panics.clone());
        registry.register("http_errors", "Requests answered with an HTTP error, by status", self.errors.clone());
    }

    fn name_server(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("native_sidecar");
        registry.register("ready", "Whether /readyz answers 200: 1 or 0", self.ready.clone());
        let crowded_out = "Connections closed for others' sake: too many, or one that does not take a large answer";
        registry.register("connections_crowded_out", crowded_out, self.crowded_out.clone());
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
        let build = vec![
            ("version", env!("CARGO_PKG_VERSION")),
            ("os", std::env::consts::OS),
            ("arch", std::env::consts::ARCH),
        ];
        registry.register("build", "The running build of native-sidecar", Info::new(build));
    }

    fn begin_at_zero(&self) {
        for decision in DECISIONS {
            drop(self.reviews.get_or_create(&DecisionLabel { decision }));
        }
        for code in Code::ALL {
            drop(self.findings.get_or_create(&CodeLabel { code: code.as_str() }));
        }
        for status in STATUSES {
            drop(self.errors.get_or_create(&StatusLabel { status: status.as_u16() }));
        }
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

// === impl InFlight ===

impl InFlight<'_> {
    /// The time since the review began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.durations.observe(self.elapsed().as_secs_f64());
        self.metrics.in_flight.dec();
    }
}
