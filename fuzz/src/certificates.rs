//! Certificates, keys and what a Secret holds: up to four parts, each a byte for its form and what follows. Nothing
//! panics, what cannot be served leaves what was served before, and a Secret that was mended needs nothing more.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use native_sidecar::{
    cluster::certificates::fuzzed::keep_secret,
    server::{CertificateStore, Tls},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

/// What stands between two parts: eight bytes that no certificate is likely to hold.
pub const SEPARATOR: &[u8] = b"\n--8<--\n";
/// The keys of the Secret, in the order of the parts.
const KEYS: [&str; 4] = ["tls.crt", "tls.key", "ca.crt", "ca.key"];
/// When the seeds are valid, so that an input always means the same.
pub const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

static TLS: LazyLock<Tls> =
    LazyLock::new(|| Tls::new(Arc::new(CertificateStore::new()), Vec::new()).expect("TLS can be set up"));

/// Runs one input.
///
/// # Panics
///
/// When a promise is broken.
#[must_use]
pub fn run(bytes: &[u8]) -> &'static str {
    let parts = parts(bytes);
    let part = |number: usize| parts.get(number).map(Vec::as_slice).unwrap_or_default();
    let store = CertificateStore::new();
    match store.install(part(0), part(1)) {
        Ok(description) => assert_eq!(store.description(), Some(description)),
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            assert_eq!(store.description(), None, "nothing is served");
        }
    }
    if let Err(error) = TLS.require_clients_of(part(2)) {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    let data: BTreeMap<_, _> =
        KEYS.iter().zip(&parts).map(|(key, part)| ((*key).to_owned(), ByteString(part.clone()))).collect();
    keep_secret(data, NOW)
}

/// The parts as the files or the Secret would have them. A certificate that is given as DER is put into PEM here, so
/// that a change of it is not lost in the base64.
fn parts(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut rest = Some(bytes);
    while let Some(text) = rest.take().filter(|_| parts.len() < KEYS.len()) {
        let end = text.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
        let (part, behind) = end.map_or((text, None), |at| (&text[..at], Some(&text[at + SEPARATOR.len()..])));
        rest = behind;
        parts.push(match part.split_first() {
            Some((b'C', der)) => pem("CERTIFICATE", der),
            Some((b'K', der)) => pem("PRIVATE KEY", der),
            Some((b'E', der)) => pem("EC PRIVATE KEY", der),
            Some((b'R', der)) => pem("RSA PRIVATE KEY", der),
            _ => part.to_vec(),
        });
    }
    parts
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)).into_bytes()
}
