//! The serving certificate: checked, installed, and replaced without a restart.

use super::crypto::provider;
use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{fmt, sync::Arc};
use x509_parser::{extensions::GeneralName, parse_x509_certificate, prelude::X509Certificate};

/// The serving certificate now in use.
///
/// Whoever has certificates (a watched pair of files, the throw-away one, the cluster's Secret) hands them to
/// [`install`](Self::install); every TLS handshake from then on uses the new one. Connections that are open
/// keep theirs, as TLS has it.
#[derive(Default)]
pub struct CertificateStore {
    served: ArcSwapOption<Served>,
}

struct Served {
    key: Arc<CertifiedKey>,
    description: Description,
}

/// What a certificate says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The DNS names and IP addresses that it is valid for.
    pub names: Vec<String>,
    /// Valid from then on.
    pub not_before: Timestamp,
    /// Valid until then.
    pub not_after: Timestamp,
}

/// Why a certificate and its key cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No `CERTIFICATE` block.
    #[error("the certificate has no PEM block `CERTIFICATE`")]
    NoCertificate,
    /// A damaged PEM block, or one that is no X.509 certificate.
    #[error("the certificate is not understood: {0}")]
    BadCertificate(String),
    /// A key behind a passphrase.
    #[error("the private key is encrypted; store it without a passphrase (`openssl pkey -in KEY`)")]
    EncryptedKey,
    /// No private key block.
    #[error("the private key has no PEM block `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`")]
    NoKey,
    /// A damaged key, or of a kind that TLS does not know.
    #[error("the private key is not understood: {0}")]
    BadKey(String),
    /// Two halves of different pairs.
    #[error("the private key does not belong to the certificate (the first one, where there is a chain)")]
    Mismatch,
    /// A certificate that has expired, in place of one that has not.
    #[error("the certificate expired at {0}, unlike the one that is served; renew it, or check the clock")]
    Expired(Timestamp),
}

// === impl CertificateStore ===

impl CertificateStore {
    /// A store without a certificate: handshakes fail, and the server is not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `chain` (PEM, the server's own certificate first) with `key` (PEM: PKCS#8, SEC1 or PKCS#1) from
    /// now on. A certificate that has expired or is not valid yet is served all the same, with a warning in the
    /// log: the clock may be what is wrong. But one that has expired does not replace one that has not.
    ///
    /// # Errors
    ///
    /// When the two cannot be served together, or have expired; what was served before stays.
    pub fn install(&self, chain: &[u8], key: &[u8]) -> Result<Description, CertificateError> {
        let chain = read_chain(chain)?;
        let key = read_key(key)?;
        // `read_chain` gives at least one.
        let leaf = chain.first().ok_or(CertificateError::NoCertificate)?;
        let description = Description::of(leaf)?;
        let key = Arc::new(pair(chain, key)?);
        let now = Timestamp::now();
        if description.not_after < now && self.expiry().is_some_and(|expiry| expiry >= now) {
            return Err(CertificateError::Expired(description.not_after));
        }
        description.log(now);
        self.served.store(Some(Arc::new(Served { key, description: description.clone() })));
        Ok(description)
    }

    /// When the certificate in use expires; `None` while there is none.
    #[must_use]
    pub fn expiry(&self) -> Option<Timestamp> {
        self.description().map(|description| description.not_after)
    }

    /// What the certificate in use says about itself; `None` while there is none.
    #[must_use]
    pub fn description(&self) -> Option<Description> {
        self.served.load().as_ref().map(|served| served.description.clone())
    }
}

impl ResolvesServerCert for CertificateStore {
    /// Always the same, whatever name the client asks for: there is only one.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.served.load().as_ref().map(|served| Arc::clone(&served.key))
    }
}

/// Without the key.
impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateStore").field("description", &self.description()).finish_non_exhaustive()
    }
}

// === impl Description ===

impl Description {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, certificate) = parse_x509_certificate(certificate).map_err(bad_certificate)?;
        let time = |seconds| Timestamp::from_second(seconds).map_err(bad_certificate);
        Ok(Self {
            names: names(&certificate),
            not_before: time(certificate.validity().not_before.timestamp())?,
            not_after: time(certificate.validity().not_after.timestamp())?,
        })
    }

    fn log(&self, now: Timestamp) {
        let Self { names, not_before, not_after } = self;
        tracing::info!(names = names.join(","), %not_before, %not_after, "serving certificate installed");
        if *not_after < now {
            tracing::warn!(%not_after, "the serving certificate has expired; renew it, or check the clock");
        }
        if *not_before > now {
            tracing::warn!(%not_before, "the serving certificate is not valid yet; check the clock");
        }
        if names.is_empty() {
            tracing::warn!("the serving certificate has no subjectAltName; the API server will not accept it");
        }
    }
}

/// The certificates in a PEM text, at least one.
pub(super) fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(bad_certificate)?;
    if chain.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(chain) }
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound if is_encrypted(pem) => CertificateError::EncryptedKey,
        Error::NoItemsFound => CertificateError::NoKey,
        // Not the error's own words: they may quote the key.
        _ => CertificateError::BadKey("it is no well-formed PEM".to_owned()),
    })
}

fn is_encrypted(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).contains("ENCRYPTED")
}

fn pair(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<CertifiedKey, CertificateError> {
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch,
        rustls::Error::InvalidCertificate(error) => bad_certificate(error),
        error => CertificateError::BadKey(error.to_string()),
    })
}

fn bad_certificate(error: impl fmt::Display) -> CertificateError {
    CertificateError::BadCertificate(error.to_string())
}

/// The DNS names and IP addresses in a certificate's subjectAltName.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    names.filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rstest::rstest;

    fn signed() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_is_installed_and_described() {
        let store = CertificateStore::new();
        let (cert, key) = signed();
        let description = store.install(cert.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(description.names, ["localhost", "127.0.0.1"]);
        assert_eq!(store.expiry(), Some(description.not_after));
    }

    #[test]
    fn a_bad_pair_leaves_the_one_before() {
        let store = CertificateStore::new();
        let ((cert, key), (_, other)) = (signed(), signed());
        store.install(cert.as_bytes(), key.as_bytes()).unwrap();
        let before = store.description();
        assert_eq!(store.install(cert.as_bytes(), other.as_bytes()), Err(CertificateError::Mismatch));
        assert_eq!(store.description(), before);
    }

    fn expired(month: u8) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, month, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn an_expired_certificate_replaces_none_that_is_valid() {
        let store = CertificateStore::new();
        for month in [3, 2] {
            let (cert, key) = expired(month);
            let installed = store.install(cert.as_bytes(), key.as_bytes()).unwrap();
            assert_eq!(store.expiry(), Some(installed.not_after), "better than none, and no worse than another");
        }
        let ((valid, valid_key), (cert, key)) = (signed(), expired(2));
        store.install(valid.as_bytes(), valid_key.as_bytes()).unwrap();
        let before = store.description();
        let refused = store.install(cert.as_bytes(), key.as_bytes());
        assert_eq!(refused, Err(CertificateError::Expired("2020-02-01T00:00:00Z".parse().unwrap())));
        assert_eq!(store.description(), before);
    }

    #[rstest]
    #[case::empty("", CertificateError::NoKey)]
    #[case::text("none", CertificateError::NoKey)]
    #[case::encrypted(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        CertificateError::EncryptedKey
    )]
    fn keys_that_are_none(#[case] key: &str, #[case] error: CertificateError) {
        let (cert, _) = signed();
        assert_eq!(CertificateStore::new().install(cert.as_bytes(), key.as_bytes()), Err(error));
    }

    #[test]
    fn certificates_that_are_none() {
        let (_, key) = signed();
        let install = |cert: &str| CertificateStore::new().install(cert.as_bytes(), key.as_bytes());
        assert_eq!(install(""), Err(CertificateError::NoCertificate));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(install(garbage), Err(CertificateError::BadCertificate(_))));
    }

    #[test]
    fn the_key_is_not_in_the_debug_output() {
        let store = CertificateStore::new();
        let (cert, key) = signed();
        store.install(cert.as_bytes(), key.as_bytes()).unwrap();
        assert!(!format!("{store:?}").contains("key"));
    }
}
