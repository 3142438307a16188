//! The second port: `/livez`, `/readyz` and `/metrics`, over plain HTTP.
//!
//! Apart from the webhook so that probes and scrapes need no certificate, and still answer when TLS is what
//! is broken. And on a thread of its own, so that they still answer when reviews hold all other threads.

use super::{
    certificate::CertificateStore,
    connection::{ConnectionSettings, Listener},
    lifecycle::{Lifecycle, Phase},
    listen::Sockets,
    metrics::Snapshot,
    webhook::Webhook,
};
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header::CONTENT_TYPE};
use jiff::Timestamp;
use std::{io, net::TcpListener, sync::Arc, thread, time::Duration};
use tokio::{
    runtime::{self, Handle},
    sync::{oneshot, watch},
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the answers rest on.
#[derive(Clone, Debug)]
pub(super) struct Health {
    /// What is asked about.
    pub(super) webhook: Arc<Webhook>,
    /// The serving certificate.
    pub(super) certificates: Arc<CertificateStore>,
    /// Whether the API server trusts the certificate; it does where nobody is there to tell.
    pub(super) trusted: Option<watch::Receiver<bool>>,
}

/// The thread that serves health; over when dropped.
#[derive(Debug)]
pub(super) struct HealthThread {
    ended: oneshot::Receiver<()>,
    _stop: oneshot::Sender<()>,
}

/// Why the server is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unready {
    #[error("the server was told to stop and is draining")]
    Draining,
    #[error("there is no serving certificate yet")]
    NoCertificate,
    #[error("the API server does not trust the serving certificate yet")]
    Untrusted,
    #[error("the serving certificate expired at {0}")]
    Expired(Timestamp),
}

/// Reviews that will not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reviews that have run for more than {} s because of a bug: {count}; the log says for which requests", limit.as_secs_f64())]
struct EndlessReviews {
    count: usize,
    limit: Duration,
}

fn router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, "this port serves /livez, /readyz and /metrics\n"))
        .with_state(health)
}

async fn livez(State(health): State<Health>) -> Response {
    health.webhook.report_endless_reviews();
    answer(health.liveness())
}

async fn readyz(State(health): State<Health>) -> Response {
    answer(health.readiness(Timestamp::now()))
}

async fn metrics(State(health): State<Health>) -> Response {
    let text = health.webhook.metrics.encode(health.snapshot(Timestamp::now()));
    ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}

fn answer(outcome: Result<(), impl std::error::Error>) -> Response {
    match outcome {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

// === impl Health ===

impl Health {
    fn liveness(&self) -> Result<(), EndlessReviews> {
        let (count, limit) = (self.webhook.endless_reviews(), self.webhook.timeouts.review);
        if count == 0 { Ok(()) } else { Err(EndlessReviews { count, limit }) }
    }

    fn readiness(&self, now: Timestamp) -> Result<(), Unready> {
        if self.webhook.lifecycle.phase() > Phase::Serving {
            return Err(Unready::Draining);
        }
        let expiry = self.certificates.expiry().ok_or(Unready::NoCertificate)?;
        if expiry < now {
            return Err(Unready::Expired(expiry));
        }
        let trusted = self.trusted.as_ref().is_none_or(|trusted| *trusted.borrow());
        if trusted { Ok(()) } else { Err(Unready::Untrusted) }
    }

    fn snapshot(&self, now: Timestamp) -> Snapshot {
        Snapshot {
            expiry: self.certificates.expiry(),
            ready: self.readiness(now).is_ok(),
            large_bodies: self.webhook.memory.large_body_bytes(),
            in_flight: self.webhook.running.count(),
            endless: self.webhook.endless_reviews(),
        }
    }
}

// === impl HealthThread ===

impl HealthThread {
    /// Serves `health` on `sockets`, and keeps the runtime that this is called in going when a review does not end.
    ///
    /// # Errors
    ///
    /// When the system has no thread for it.
    pub(super) fn begin(sockets: Vec<TcpListener>, settings: ConnectionSettings, health: Health) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (running, ended) = oneshot::channel();
        let reviews = Handle::current();
        thread::Builder::new().name("health".to_owned()).spawn(move || {
            // Dropped at the end, whichever that is.
            let _running = running;
            if let Err(error) = serve(sockets, settings, health, &reviews, stopped) {
                tracing::error!(error = error.to_string(), "health and metrics cannot be served");
            }
        })?;
        Ok(Self { ended, _stop: stop })
    }

    /// Waits until the thread has ended.
    pub(super) async fn ended(self) {
        let _ = self.ended.await;
    }
}

/// Serves until `stop`'s other end is dropped.
fn serve(
    sockets: Vec<TcpListener>,
    settings: ConnectionSettings,
    health: Health,
    reviews: &Handle,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let webhook = Arc::clone(&health.webhook);
        let listener = Listener {
            sockets: Sockets::of(sockets)?,
            tls: None,
            router: router(health),
            settings,
            // Its own: probes and scrapes are answered until all the rest is over.
            lifecycle: Lifecycle::new(),
            metrics: Arc::clone(&webhook.metrics),
        };
        tokio::select! {
            () = webhook.running.wake_workers(reviews) => {}
            _ = listener.serve() => {}
            _ = stop => {}
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use native_sidecar_core::catalogue::Catalogue;

    fn health() -> Health {
        let certificates = Arc::new(CertificateStore::new());
        let webhook = Arc::new(Webhook::new(Arc::new(Catalogue::built_in()), Arc::default()));
        Health { webhook, certificates, trusted: None }
    }

    /// A socket that blocks is none that the runtime takes.
    #[tokio::test]
    async fn the_end_of_the_thread_is_noticed() {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let thread = HealthThread::begin(vec![socket], ConnectionSettings::default(), health()).unwrap();
        thread.ended().await;
    }

    #[test]
    fn readiness_follows_the_certificate_and_the_phase() {
        let health = health();
        let now = Timestamp::now();
        assert_eq!(health.readiness(now), Err(Unready::NoCertificate));

        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = pair.signing_key.serialize_pem();
        health.certificates.install(pair.cert.pem().as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(health.readiness(now), Ok(()));

        let (tell, trusted) = watch::channel(false);
        let health = Health { trusted: Some(trusted), ..health };
        assert_eq!(health.readiness(now), Err(Unready::Untrusted));
        tell.send(true).unwrap();
        assert_eq!(health.readiness(now), Ok(()));

        let expiry = health.certificates.expiry().unwrap();
        let later = expiry + jiff::SignedDuration::from_secs(1);
        assert_eq!(health.readiness(later), Err(Unready::Expired(expiry)));

        health.webhook.lifecycle.advance(Phase::Draining);
        assert_eq!(health.readiness(now), Err(Unready::Draining));
    }
}
