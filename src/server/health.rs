//! The second port: `/livez`, `/readyz` and `/metrics`, over plain HTTP.
//!
//! Apart from the webhook so that probes and scrapes need no certificate, and still answer when TLS is what
//! is broken.

use super::{
    certificate::CertificateStore,
    lifecycle::{Lifecycle, Phase},
    metrics::{Metrics, Snapshot},
    room::Room,
};
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header::CONTENT_TYPE};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::watch;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the answers rest on.
#[derive(Clone, Debug)]
pub struct Health {
    /// The server's metrics.
    pub metrics: Arc<Metrics>,
    /// The memory that requests may use.
    pub room: Arc<Room>,
    /// The server's phase.
    pub lifecycle: Lifecycle,
    /// The serving certificate.
    pub certificates: Arc<CertificateStore>,
    /// Whether the API server trusts the certificate; it does where nobody is there to tell.
    pub trusted: Option<watch::Receiver<bool>>,
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

/// The routes of the second port.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, "this port serves /livez, /readyz and /metrics\n"))
        .with_state(health)
}

async fn readyz(State(health): State<Health>) -> Response {
    match health.readiness(Timestamp::now()) {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    let text = health.metrics.encode(health.snapshot(Timestamp::now()));
    ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}

// === impl Health ===

impl Health {
    fn readiness(&self, now: Timestamp) -> Result<(), Unready> {
        if self.lifecycle.phase() > Phase::Serving {
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
            large_bodies: self.room.used_by_bodies(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        let certificates = Arc::new(CertificateStore::new());
        Health {
            metrics: Arc::default(),
            room: Arc::default(),
            lifecycle: Lifecycle::new(),
            certificates,
            trusted: None,
        }
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

        health.lifecycle.advance(Phase::Draining);
        assert_eq!(health.readiness(now), Err(Unready::Draining));
    }
}
