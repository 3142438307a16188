//! `caBundle` in the webhook configuration: what it holds, since when, and how it is set.

use super::x509::Certificate;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The webhook configuration, as far as it concerns certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Configuration {
    name: String,
    version: Option<String>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    bundle: Vec<u8>,
}

/// Which CAs the configuration has been seen to hold, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trust {
    since: BTreeMap<Vec<u8>, Timestamp>,
    /// Without a configuration no API server calls, so that there is nobody to wait for.
    nobody_calls: bool,
}

// === impl Configuration ===

impl Configuration {
    pub(super) fn read(object: &MutatingWebhookConfiguration) -> Self {
        let entries = object.webhooks.iter().flatten().map(Entry::read).collect();
        let (name, version) = (object.metadata.name.clone(), object.metadata.resource_version.clone());
        Self { name: name.unwrap_or_default(), version, entries }
    }

    /// Whether there is an entry at all.
    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries whose bundle is another one.
    pub(super) fn unlike(&self, bundle: &str) -> Vec<&str> {
        let unlike = self.entries.iter().filter(|entry| entry.bundle != bundle.as_bytes());
        unlike.map(|entry| entry.name.as_str()).collect()
    }

    /// The CAs that every entry trusts.
    pub(super) fn trusted(&self) -> Vec<Certificate> {
        let mut bundles = self.entries.iter().map(|entry| Certificate::read_all(&entry.bundle).unwrap_or_default());
        let mut common = bundles.next().unwrap_or_default();
        for bundle in bundles {
            common.retain(|certificate| bundle.contains(certificate));
        }
        common
    }

    /// The patch for a server-side apply that sets the bundle of each entry, and owns nothing else.
    ///
    /// The entries are merged by `name` (`+listMapKey=name` in the API's types), and required fields are looked for in
    /// the merged object only. An entry that has been removed since would come back without them, which the API server
    /// refuses; with the version that was read, it is a conflict instead, and read again.
    pub(super) fn patch(&self, bundle: &str) -> Value {
        let bundle = STANDARD.encode(bundle);
        let entries =
            self.entries.iter().map(|entry| json!({"name": entry.name, "clientConfig": {"caBundle": bundle}}));
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": self.name, "resourceVersion": self.version},
            "webhooks": entries.collect::<Vec<_>>(),
        })
    }
}

// === impl Entry ===

impl Entry {
    fn read(webhook: &MutatingWebhook) -> Self {
        let bundle = webhook.client_config.ca_bundle.as_ref().map(|bytes| bytes.0.clone());
        Self { name: webhook.name.clone(), bundle: bundle.unwrap_or_default() }
    }
}

// === impl Trust ===

impl Trust {
    /// Takes note of the configuration seen at `now`; `None` where there is none.
    pub(super) fn observe(&mut self, now: Timestamp, configuration: Option<&Configuration>) {
        let trusted = configuration.map(Configuration::trusted).unwrap_or_default();
        let since = |certificate: &Certificate| {
            let before = self.since.get(certificate.der()).copied().unwrap_or(now);
            // A clock that was put back must not make the wait longer than it is.
            (certificate.der().to_vec(), before.min(now))
        };
        self.since = trusted.iter().map(since).collect();
        self.nobody_calls = configuration.is_none();
    }

    /// Since when the CA has been trusted without a break, if it is.
    pub(super) fn since(&self, certificate: &Certificate) -> Option<Timestamp> {
        if self.nobody_calls { Some(Timestamp::MIN) } else { self.since.get(certificate.der()).copied() }
    }
}
