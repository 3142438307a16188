//! A certificate for one run on one machine, so that a single command starts the server.

use super::certificate::{CertificateError, CertificateStore};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::time::{Duration, SystemTime};

/// What the certificate is valid for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Long enough for a development server that is forgotten over the holidays.
const VALIDITY: Duration = Duration::from_hours(30 * 24);
/// Clocks of two machines, or of a machine and its virtual one, are never quite the same.
const CLOCK_SKEW: Duration = Duration::from_hours(1);

/// Why there is no throw-away certificate.
#[derive(Debug, thiserror::Error)]
pub enum ThrowawayError {
    /// It could not be made.
    #[error("cannot make a throw-away certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// It could not be served.
    #[error("cannot serve the throw-away certificate: {0}")]
    Serve(#[from] CertificateError),
}

/// Installs a certificate for this machine in `store`, and returns the PEM of the CA that signed it.
///
/// The CA is real, since not every client accepts a serving certificate as its own CA; its key is gone when
/// this function returns, so it can never sign anything else.
///
/// # Errors
///
/// When the system gives no randomness.
pub(super) fn install(store: &CertificateStore) -> Result<String, ThrowawayError> {
    let ca = CertifiedIssuer::self_signed(authority()?, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = leaf()?.signed_by(&key, &ca)?;
    store.install(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())?;
    Ok(ca.pem())
}

fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut params = limited(CertificateParams::new([])?);
    params.distinguished_name.push(DnType::CommonName, "native-sidecar throw-away CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

fn leaf() -> Result<CertificateParams, rcgen::Error> {
    let mut params = limited(CertificateParams::new(NAMES.map(str::to_owned))?);
    params.distinguished_name.push(DnType::CommonName, "native-sidecar");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn limited(mut params: CertificateParams) -> CertificateParams {
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + VALIDITY).into();
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_for_this_machine_only() {
        let store = CertificateStore::new();
        let ca = install(&store).unwrap();
        assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));
        assert_eq!(store.description().unwrap().names, NAMES);
    }
}
