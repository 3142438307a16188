//! Metrics about the certificates that are kept here.

use super::decide::SecretPart;
use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Metrics about the certificates that are kept in the Secret.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    expiry: Family<Label, Gauge>,
    rotations: Family<Label, Counter>,
    restorations: Counter,
    failures: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Label {
    certificate: Kind,
}

/// Which certificate a figure is about.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub(super) enum Kind {
    #[allow(non_camel_case_types, reason = "the label's value, as it is printed")]
    ca,
    #[allow(non_camel_case_types, reason = "the label's value, as it is printed")]
    serving,
}

// === impl Metrics ===

impl Metrics {
    /// Registers the metrics under their full names, so `registry` should have no prefix.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "native_sidecar_managed_certificate_expiry_timestamp_seconds",
            "When the CA in the Secret and the certificate in use expire",
            metrics.expiry.clone(),
        );
        registry.register(
            "native_sidecar_managed_certificate_rotations",
            "Certificates that this replica has made",
            metrics.rotations.clone(),
        );
        registry.register(
            "native_sidecar_ca_bundle_restorations",
            "How often this replica has restored a caBundle that somebody else had changed",
            metrics.restorations.clone(),
        );
        registry.register(
            "native_sidecar_managed_certificate_failures",
            "How often looking after certificates and caBundle has failed",
            metrics.failures.clone(),
        );
        metrics
    }

    pub(super) fn expires(&self, kind: Kind, at: Timestamp) {
        self.expiry.get_or_create(&Label { certificate: kind }).set(at.as_second());
    }

    pub(super) fn made(&self, kind: Kind) {
        self.rotations.get_or_create(&Label { certificate: kind }).inc();
    }

    pub(super) fn restored(&self) {
        self.restorations.inc();
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }
}

// === impl Kind ===

impl From<SecretPart> for Kind {
    fn from(subject: SecretPart) -> Self {
        match subject {
            SecretPart::Authority | SecretPart::Previous => Self::ca,
            SecretPart::Serving => Self::serving,
        }
    }
}
