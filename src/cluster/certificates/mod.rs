//! Certificates that need no other tool: a CA and a serving pair in one Secret that all replicas share.
//!
//! # The Secret
//!
//! | Key | What it holds |
//! |---|---|
//! | `tls.crt`, `tls.key` | the serving certificate and its key |
//! | `ca.crt` | every CA to trust: the one that signs, and those before it while they may be in use. This is `caBundle` |
//! | `ca.key` | the key of the CA that signs; the CA is the one in `ca.crt` that this key belongs to |
//!
//! The Secret may be shipped empty (no `data`); then no right to create Secrets is needed but for one that is deleted. Other
//! keys, labels, annotations and its type are left as they are. To ask for a new CA, remove `ca.key` and leave `ca.crt`.
//!
//! # How replicas agree
//!
//! There is no leader. Every replica reads the Secret, decides alone (`decide.rs`, which has neither clock nor network), and writes with the `resourceVersion` it has read: of two that write, the API server refuses one, which
//! reads again and uses what the other has written. A pair is used only after it is in the Secret.
//!
//! # How trust is never lost
//!
//! A CA is replaced in two steps. First the new CA joins `ca.crt` and so `caBundle`, and the old serving pair goes on.
//! Once a replica has seen `caBundle` hold the new CA for the propagation time, it signs a new serving pair with it. Each
//! replica takes that pair into use only when `caBundle` trusts it. The old CA leaves `ca.crt` after the overlap.
//! The wait is counted from what is seen in the cluster, not from what was written: API servers read `caBundle` from a
//! watch, and a bundle that someone emptied in between starts the wait anew.
//!
//! `caBundle` is set by server-side apply. The patch holds only `name` and `clientConfig.caBundle` of each entry, and so
//! does what the field manager owns (tried with 1.29 and 1.37): whoever applies the rest of the configuration keeps it.
//! It is forced, since a manifest with `caBundle: ""` owns the field too, and carries the `resourceVersion` that was read.
//!
//! The two objects are polled, not watched: two small reads each interval cost less than a watch's rights (`list`, `watch`)
//! and its ways to fall silent, and whatever a read may miss, the next one heals.

mod bundle;
mod contents;
mod decide;
#[cfg(fuzzing)]
pub mod fuzzed;
mod keeper;
mod metrics;
#[cfg(test)]
mod tests;
mod x509;

pub use keeper::{Error, Keeper};
pub use metrics::Metrics;

use rustls::pki_types::ServerName;
use std::{collections::BTreeSet, time::Duration};

const DAY: Duration = Duration::from_hours(24);

/// Which objects are kept, and for how long certificates live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperSettings {
    /// The namespace of the Secret and the Service.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// The name of the Service that the webhook configuration names.
    pub service: String,
    /// The name of the `MutatingWebhookConfiguration`; `caBundle` is set in each of its entries.
    pub configuration: String,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Further DNS names or IP addresses for the serving certificate.
    pub names: BTreeSet<String>,
    /// How long a CA lives.
    pub authority_lifetime: Duration,
    /// How long a serving certificate lives.
    pub serving_lifetime: Duration,
    /// How far before its making a certificate is valid: how far behind a client's clock may be.
    pub backdate: Duration,
    /// How long `caBundle` has to hold a new CA before certificates signed by it are used.
    pub propagation: Duration,
    /// How long a replaced CA stays trusted after a certificate of the new one is in the Secret.
    pub overlap: Duration,
    /// How often the Secret and the webhook configuration are looked at.
    pub interval: Duration,
}

/// Settings that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A name for the serving certificate is neither a DNS name nor an IP address.
    #[error("{0:?} is neither a DNS name nor an IP address, so no certificate can be made for it; correct the name")]
    Name(String),
    /// Certificates would be replaced before anybody trusts them.
    #[error(
        "a serving certificate that lives {} s is too short with a propagation time of {} s; it needs at least {} s",
        .serving.as_secs(), .propagation.as_secs(), .least.as_secs()
    )]
    ServingLifetime {
        /// How long a serving certificate would live.
        serving: Duration,
        /// How long a new CA waits.
        propagation: Duration,
        /// The shortest life that works.
        least: Duration,
    },
    /// The CA would be replaced before its certificates.
    #[error(
        "a CA that lives {} s is too short for serving certificates that live {} s; it needs at least three times as long",
        .authority.as_secs(), .serving.as_secs()
    )]
    AuthorityLifetime {
        /// How long a CA would live.
        authority: Duration,
        /// How long a serving certificate would live.
        serving: Duration,
    },
    /// The end of a certificate could not be written down.
    #[error("a certificate cannot live for more than 100 years; choose a shorter life")]
    TooLong,
}

/// Where serving pairs go: the TLS server.
pub trait CertificateSink: Send + Sync {
    /// Serves with this pair from the next connection on. A pair that is refused leaves the one in use as it is.
    ///
    /// # Errors
    ///
    /// When the pair cannot be used.
    fn install(
        &self,
        chain_pem: &[u8],
        key_pem: &[u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>>;
}

// === impl KeeperSettings ===

impl KeeperSettings {
    /// The settings of the manifests, in `namespace`.
    ///
    /// A CA lives a year, so that replacing one is nothing rare, and a serving pair 90 days: they are replaced after
    /// eight and two months.
    #[must_use]
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            secret: "native-sidecar-tls".to_owned(),
            service: "native-sidecar".to_owned(),
            configuration: "zz-native-sidecar".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            names: BTreeSet::new(),
            authority_lifetime: 365 * DAY,
            serving_lifetime: 90 * DAY,
            backdate: Duration::from_hours(1),
            propagation: Duration::from_mins(5),
            overlap: DAY,
            interval: Duration::from_secs(10),
        }
    }

    /// The name that the API server asks for: `<service>.<namespace>.svc`.
    fn service_name(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// Every name the serving certificate has to be for.
    fn all_names(&self) -> BTreeSet<String> {
        let short = self.service_name();
        let long = format!("{short}.{}", self.cluster_domain.trim_matches('.'));
        self.names.iter().cloned().chain([short, long]).collect()
    }

    /// # Errors
    ///
    /// When a name is none, or certificates would be replaced faster than they can be trusted.
    fn check(&self) -> Result<(), SettingsError> {
        if let Some(name) = self.all_names().into_iter().find(|name| ServerName::try_from(name.as_str()).is_err()) {
            return Err(SettingsError::Name(name));
        }
        let (authority, serving, propagation) = (self.authority_lifetime, self.serving_lifetime, self.propagation);
        // The last third of its life has to be long enough for a new CA to be trusted.
        let least = propagation.saturating_mul(6);
        if serving < least {
            return Err(SettingsError::ServingLifetime { serving, propagation, least });
        }
        if authority < serving.saturating_mul(3) {
            return Err(SettingsError::AuthorityLifetime { authority, serving });
        }
        if authority.saturating_add(self.backdate).saturating_add(self.overlap) > 36525 * DAY {
            return Err(SettingsError::TooLong);
        }
        Ok(())
    }
}
