//! How connections are encrypted, and who may connect.

use super::{
    certificate::{self, CertificateError, CertificateStore},
    crypto::provider,
};
use arc_swap::ArcSwap;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::{TLS12, TLS13},
};
use std::{future, sync::Arc};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use x509_parser::parse_x509_certificate;

/// The server's side of TLS: 1.2 and 1.3, HTTP/2 and HTTP/1.1, and the certificate that is in the store at the
/// moment of each handshake.
#[derive(Debug)]
pub struct Tls {
    configs: ArcSwap<Configs>,
    certificates: Arc<CertificateStore>,
    client_names: Vec<String>,
    /// Who vouches for clients at the moment; nobody where they need no certificate.
    clients: watch::Sender<Option<Arc<dyn ClientCertVerifier>>>,
}

/// The same with and without HTTP/2, and with one cache of sessions.
#[derive(Debug)]
struct Configs {
    both: Arc<ServerConfig>,
    http1_only: Arc<ServerConfig>,
}

/// How the client of a connection has proved who it is.
#[derive(Debug)]
pub(super) struct ClientCertificates {
    /// Its own first; empty where it has shown none.
    chain: Vec<CertificateDer<'static>>,
    clients: watch::Receiver<Option<Arc<dyn ClientCertVerifier>>>,
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The client CA bundle is no PEM.
    #[error("the client CA cannot be used: {0}")]
    Bundle(#[from] CertificateError),
    /// The client CA bundle cannot be trusted.
    #[error("the client CA cannot be used: {0}")]
    Authority(String),
    /// The TLS library refuses its settings.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] Error),
}

/// Lets in the clients that `inner` lets in and whose certificate bears one of `names`.
#[derive(Debug)]
struct NamedClients {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

// === impl Tls ===

impl Tls {
    /// TLS with the certificate in `certificates` and without client certificates. Once
    /// [`require_clients_of`](Self::require_clients_of) is called, a client must bear one of `client_names` as
    /// its common name or DNS name; any, where there are none.
    ///
    /// # Errors
    ///
    /// When the TLS library refuses its settings.
    pub fn new(certificates: Arc<CertificateStore>, client_names: Vec<String>) -> Result<Self, TlsError> {
        let configs = Configs::new(Arc::clone(&certificates), WebPkiClientVerifier::no_client_auth())?;
        Ok(Self {
            configs: ArcSwap::from_pointee(configs),
            certificates,
            client_names,
            clients: watch::Sender::new(None),
        })
    }

    /// From now on only clients with a certificate of one of the CAs in `bundle` (PEM) may connect. Connections that
    /// others have open are ended.
    ///
    /// # Errors
    ///
    /// When `bundle` is no bundle of CAs; what was required before stays.
    pub fn require_clients_of(&self, bundle: &[u8]) -> Result<(), TlsError> {
        let clients = self.verifier(bundle)?;
        // A new configuration comes with a new session cache, so no client gets in by resuming a session
        // which a CA that is no longer trusted has opened.
        self.configs.store(Arc::new(Configs::new(Arc::clone(&self.certificates), Arc::clone(&clients))?));
        self.clients.send_replace(Some(clients));
        Ok(())
    }

    /// The client of a connection whose handshake is over.
    pub(super) fn client(&self, session: &ServerConnection) -> ClientCertificates {
        let chain = session.peer_certificates().unwrap_or_default();
        let mut clients = self.clients.subscribe();
        // The handshake may have begun under another CA.
        clients.mark_changed();
        ClientCertificates { chain: chain.iter().map(|part| part.clone().into_owned()).collect(), clients }
    }

    /// What accepts the next connection.
    pub(super) fn acceptor(&self, offers_http2: bool) -> TlsAcceptor {
        let configs = self.configs.load();
        TlsAcceptor::from(Arc::clone(if offers_http2 { &configs.both } else { &configs.http1_only }))
    }

    fn verifier(&self, bundle: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificate::read_chain(bundle)? {
            roots.add(certificate).map_err(|error| TlsError::Authority(error.to_string()))?;
        }
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| TlsError::Authority(error.to_string()))?;
        if self.client_names.is_empty() {
            return Ok(inner);
        }
        Ok(Arc::new(NamedClients { inner, names: self.client_names.clone() }))
    }
}

// === impl Configs ===

impl Configs {
    fn new(certificates: Arc<CertificateStore>, clients: Arc<dyn ClientCertVerifier>) -> Result<Self, TlsError> {
        let mut http1_only = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(certificates);
        http1_only.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut both = http1_only.clone();
        both.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self { both: Arc::new(both), http1_only: Arc::new(http1_only) })
    }
}

// === impl ClientCertificates ===

impl ClientCertificates {
    /// Waits until nobody vouches for the client any more.
    pub(super) async fn withdrawn(mut self) {
        while self.clients.changed().await.is_ok() {
            let clients = self.clients.borrow_and_update().clone();
            if clients.is_some_and(|clients| !self.is_admitted_by(&*clients)) {
                return;
            }
        }
        future::pending::<()>().await;
    }

    fn is_admitted_by(&self, clients: &dyn ClientCertVerifier) -> bool {
        let Some((own, intermediates)) = self.chain.split_first() else { return false };
        clients.verify_client_cert(own, intermediates, UnixTime::now()).is_ok()
    }
}

// === impl NamedClients ===

impl NamedClients {
    fn admits(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = parse_x509_certificate(certificate) else { return false };
        let subject = certificate.subject();
        let mut common_names = subject.iter_common_name().filter_map(|name| name.as_str().ok());
        common_names.any(|name| self.lists(name)) || certificate::names(&certificate).iter().any(|n| self.lists(n))
    }

    fn lists(&self, name: &str) -> bool {
        self.names.iter().any(|listed| listed == name)
    }
}

impl ClientCertVerifier for NamedClients {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        // Only now: what an unverified certificate says about itself is worth nothing.
        if self.admits(end_entity) {
            return Ok(verified);
        }
        Err(Error::InvalidCertificate(rustls::CertificateError::NotValidForName))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_must_hold_certificates() {
        let tls = Tls::new(Arc::new(CertificateStore::new()), Vec::new()).unwrap();
        assert!(matches!(tls.require_clients_of(b""), Err(TlsError::Bundle(CertificateError::NoCertificate))));
    }
}
