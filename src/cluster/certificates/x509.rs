//! Certificates and keys: made, read and checked. No clock: every time is given.

use super::KeeperSettings;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls::{
    RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use std::{
    collections::BTreeSet,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime},
};
use x509_parser::{extensions::GeneralName, parse_x509_certificate, prelude::X509Certificate};

/// One certificate, and what this module wants to know of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    der: CertificateDer<'static>,
    public_key: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) is_ca: bool,
    /// The DNS names and IP addresses it is for.
    pub(super) names: BTreeSet<String>,
}

/// A certificate with its key, and the intermediate certificates where there are any.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) certificate: Certificate,
    intermediates: Vec<Certificate>,
    key_pem: String,
}

/// What is wrong with a certificate or key that was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    /// No PEM block of the kind looked for.
    #[error("holds no PEM {0}")]
    NoPem(&'static str),
    /// A PEM certificate that is none.
    #[error("holds a certificate that cannot be read")]
    Unreadable,
    /// A key of a kind that cannot be used.
    #[error("holds a private key that cannot be used: {0}")]
    Key(String),
    /// Certificate and key do not belong together.
    #[error("consists of a certificate and a private key that do not belong together")]
    Mismatch,
    /// A certificate that may not sign others.
    #[error("is a certificate that may not sign others")]
    NotCa,
}

/// A certificate could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot make a certificate: {0}")]
pub(super) struct MakeError(#[from] rcgen::Error);

// === impl Certificate ===

impl Certificate {
    fn read(der: &CertificateDer<'static>) -> Result<Self, Flaw> {
        let (_, x509) = parse_x509_certificate(der).map_err(|_| Flaw::Unreadable)?;
        let at = |seconds| Timestamp::from_second(seconds).map_err(|_| Flaw::Unreadable);
        Ok(Self {
            public_key: x509.public_key().raw.to_vec(),
            not_before: at(x509.validity().not_before.timestamp())?,
            not_after: at(x509.validity().not_after.timestamp())?,
            is_ca: x509.is_ca(),
            names: names(&x509),
            der: der.clone(),
        })
    }

    /// The certificates in `pem`; none in an empty text.
    pub(super) fn read_all(pem: &[u8]) -> Result<Vec<Self>, Flaw> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .map(|der| Self::read(&der.map_err(|_| Flaw::Unreadable)?))
            .collect::<Result<Vec<_>, _>>()?;
        let nothing = certificates.is_empty() && !pem.trim_ascii().is_empty();
        if nothing { Err(Flaw::NoPem("certificate")) } else { Ok(certificates) }
    }

    /// The certificate's bytes: what tells it from others.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM.
    pub(super) fn pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        // Base64 is ASCII, so that every piece of 64 bytes is text.
        let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// Whether `now` is past its end.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// Whether `now` is before its beginning: a clock is wrong, here or where it was made.
    pub(super) fn is_early(&self, now: Timestamp) -> bool {
        now < self.not_before
    }

    /// Whether `now` is within its dates.
    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        !self.is_early(now) && !self.is_expired(now)
    }

    /// When to replace it: after two thirds of its life, and a little later by `jitter` (0 to 1).
    ///
    /// The jitter spreads replicas over a twentieth of the life, so that one replaces it and the others find it done.
    pub(super) fn due(&self, jitter: f64) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before).unsigned_abs();
        later(self.not_before, life.mul_f64(2.0 / 3.0 + jitter.clamp(0.0, 1.0) / 20.0))
    }

    /// Whether it is for `name`.
    fn covers(&self, name: &str) -> bool {
        let certificate = ParsedCertificate::try_from(&self.der);
        let (Ok(certificate), Ok(name)) = (certificate, ServerName::try_from(name)) else { return false };
        verify_server_name(&certificate, &name).is_ok()
    }
}

/// Its dates; the rest is bytes.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} to {}, {:?})", self.not_before, self.not_after, self.names)
    }
}

// === impl Pair ===

impl Pair {
    /// Reads a pair, and checks that certificate and key belong together.
    pub(super) fn read(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, Flaw> {
        let mut chain = Certificate::read_all(chain_pem)?.into_iter();
        let certificate = chain.next().ok_or(Flaw::NoPem("certificate"))?;
        Self::join(certificate, chain.collect(), key_pem)
    }

    /// The pair of the certificate among `certificates` that `key_pem` is the key of, and the other certificates.
    pub(super) fn pick(certificates: &[Certificate], key_pem: &[u8]) -> Result<(Self, Vec<Certificate>), Flaw> {
        let key = read_key(key_pem)?.subject_public_key_info();
        let found = certificates.iter().position(|certificate| certificate.public_key == key);
        let mut others = certificates.to_vec();
        let certificate = others.remove(found.ok_or(Flaw::Mismatch)?);
        if !certificate.is_ca {
            return Err(Flaw::NotCa);
        }
        Ok((Self::join(certificate, Vec::new(), key_pem)?, others))
    }

    fn join(certificate: Certificate, intermediates: Vec<Certificate>, key_pem: &[u8]) -> Result<Self, Flaw> {
        let key = read_key(key_pem)?;
        if key.subject_public_key_info() != certificate.public_key {
            return Err(Flaw::Mismatch);
        }
        Ok(Self { certificate, intermediates, key_pem: one_form(&String::from_utf8_lossy(key_pem)) })
    }

    /// The certificate and its intermediates as PEM.
    pub(super) fn chain_pem(&self) -> String {
        self.intermediates.iter().fold(self.certificate.pem(), |pem, next| pem + &next.pem())
    }

    /// The private key as PEM.
    pub(super) fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The names among `wanted` that the certificate is not for.
    pub(super) fn lacks(&self, wanted: &BTreeSet<String>) -> Vec<String> {
        wanted.iter().filter(|name| !self.certificate.covers(name)).cloned().collect()
    }

    /// The one of `roots` that a TLS client would trust this pair by at `now`, the root's own dates included.
    ///
    /// The check is a TLS client's own (rustls-webpki). It ignores the dates of a root, while Go, and so the API server,
    /// does not (`isValid` in crypto/x509/verify.go); hence each root is tried alone, and its dates are looked at here.
    pub(super) fn issuer<'r>(&self, roots: &'r [Certificate], now: Timestamp) -> Option<&'r Certificate> {
        roots.iter().find(|root| root.is_current(now) && self.chains_to(root, now))
    }

    fn chains_to(&self, root: &Certificate, now: Timestamp) -> bool {
        let mut store = RootCertStore::empty();
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let intermediates: Vec<_> = self.intermediates.iter().map(|next| next.der.clone()).collect();
        let algorithms = default_provider().signature_verification_algorithms.all;
        let Ok(certificate) = ParsedCertificate::try_from(&self.certificate.der) else { return false };
        store.add(root.der.clone()).is_ok()
            && verify_server_cert_signed_by_trust_anchor(&certificate, &store, &intermediates, now, algorithms).is_ok()
    }
}

/// Its certificate: a key never reaches a log.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

// === Making ===

/// A new CA: ECDSA P-256, self-signed, able to sign serving certificates only.
pub(super) fn make_authority(now: Timestamp, settings: &KeeperSettings) -> Result<Pair, MakeError> {
    let mut params = dated(now, settings, later(now, settings.authority_lifetime));
    // Each CA has a name of its own, so that a client with two in its bundle never tries the wrong one first.
    params.distinguished_name = named(&format!("native-sidecar CA {now:.0}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    made(certificate.der(), &key)
}

/// A new serving pair for `names`, signed by `authority`, which it does not outlive.
pub(super) fn make_serving(
    now: Timestamp,
    settings: &KeeperSettings,
    names: &BTreeSet<String>,
    authority: &Pair,
) -> Result<Pair, MakeError> {
    let end = later(now, settings.serving_lifetime).min(authority.certificate.not_after);
    let mut params = dated(now, settings, end);
    let names: Vec<String> = names.iter().cloned().collect();
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    params.distinguished_name = named("native-sidecar");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let signer = read_key(authority.key_pem.as_bytes()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    if !has_writable_name(&authority.certificate.der) {
        return Err(MakeError(rcgen::Error::CouldNotParseCertificate));
    }
    let issuer = Issuer::from_ca_cert_der(&authority.certificate.der, signer)?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    made(certificate.der(), &key)
}

/// Valid from a little before `now`, for clients whose clocks are behind, to `end`.
fn dated(now: Timestamp, settings: &KeeperSettings, end: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = SystemTime::from(earlier(now, settings.backdate)).into();
    params.not_after = SystemTime::from(end).into();
    params
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Whether the name of a CA can be written into what it signs. rcgen panics where a part of it is empty, or of a type that
/// no object identifier can be (ITU-T X.660: the first number is at most 2, and below 2 the second is at most 39).
fn has_writable_name(der: &CertificateDer<'_>) -> bool {
    let Ok((_, x509)) = parse_x509_certificate(der) else { return false };
    let is_type = |numbers: &[u64]| matches!(numbers, [0 | 1, 0..40, ..] | [2, 0..=0xffff_ffff, ..]);
    x509.subject().iter_rdn().all(|part| {
        let mut attributes = part.iter().peekable();
        attributes.peek().is_some()
            && attributes.all(|attribute| {
                attribute.attr_type().iter().is_some_and(|numbers| is_type(&numbers.collect::<Vec<_>>()))
            })
    })
}

/// What was made, read back: it is exactly what another replica will see.
fn made(der: &CertificateDer<'static>, key: &KeyPair) -> Result<Pair, MakeError> {
    let unreadable = MakeError(rcgen::Error::CouldNotParseCertificate);
    let certificate = Certificate::read(der).map_err(|_| unreadable)?;
    Ok(Pair { certificate, intermediates: Vec::new(), key_pem: one_form(&key.serialize_pem()) })
}

// === Reading ===

/// White space around a key makes no other key of it.
fn one_form(key_pem: &str) -> String {
    format!("{}\n", key_pem.trim())
}

fn read_key(pem: &[u8]) -> Result<KeyPair, Flaw> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| Flaw::NoPem("private key"))?;
    KeyPair::try_from(&key).map_err(|error| Flaw::Key(error.to_string()))
}

fn names(x509: &X509Certificate<'_>) -> BTreeSet<String> {
    let extension = x509.subject_alternative_name().ok().flatten();
    let names = extension.map(|extension| &*extension.value.general_names).unwrap_or_default();
    names.iter().filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) if bytes.len() == 4 => {
            <[u8; 4]>::try_from(*bytes).ok().map(|bytes| Ipv4Addr::from(bytes).to_string())
        }
        GeneralName::IPAddress(bytes) => {
            <[u8; 16]>::try_from(*bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string())
        }
        _ => None,
    }
}

// === Time ===

/// `duration` after `time`, or the end of time.
pub(super) fn later(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// `duration` before `time`, or the beginning of time.
pub(super) fn earlier(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_sub(duration).unwrap_or(Timestamp::MIN)
}
