//! Certificates and keys of each kind, as PEM and as DER; whole Secrets, and halves that do not belong together.

use crate::certificates::{NOW, SEPARATOR};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use std::time::{Duration, SystemTime};

/// All of them.
pub(super) fn all() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut before: Option<[Vec<u8>; 4]> = None;
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        for days in [-400, 30, 3_650] {
            let secret = secret(algorithm, days);
            let der = secret.clone().map(|pem| of_pem(&pem));
            seeds.extend([secret.join(SEPARATOR), der.join(SEPARATOR)]);
            if let Some(other) = &before {
                let [crt, key, ca, ca_key] = secret.clone();
                let [other_crt, other_key, other_ca, _] = other.clone();
                seeds.push(
                    [[crt.clone(), other_crt].concat(), key.clone(), [other_ca, ca.clone()].concat(), ca_key]
                        .join(SEPARATOR),
                );
                seeds.push([crt, other_key, ca, Vec::new()].join(SEPARATOR));
            }
            before = Some(secret);
        }
    }
    seeds
}

/// `tls.crt`, `tls.key`, `ca.crt` and `ca.key` that end in so many days, as PEM.
fn secret(algorithm: &'static SignatureAlgorithm, days: i64) -> [Vec<u8>; 4] {
    let day = Duration::from_hours(24);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.as_second().unsigned_abs());
    let dated = |mut params: CertificateParams| {
        let end = if days < 0 { now - day } else { now + day * u32::try_from(days).expect("it is positive") };
        (params.not_before, params.not_after) = ((now - 3 * day).into(), end.into());
        params
    };
    let made = "a certificate is made of these";
    let mut params = dated(CertificateParams::default());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca_key = KeyPair::generate_for(algorithm).expect(made);
    let ca = params.self_signed(&ca_key).expect(made);
    let names = ["native-sidecar.sidecars.svc", "native-sidecar.sidecars.svc.cluster.local", "127.0.0.1", "::1"];
    let params = dated(CertificateParams::new(names.map(str::to_owned)).expect(made));
    let key = KeyPair::generate_for(algorithm).expect(made);
    let serving = params.signed_by(&key, &Issuer::from_ca_cert_pem(&ca.pem(), &ca_key).expect(made)).expect(made);
    [serving.pem(), key.serialize_pem(), ca.pem(), ca_key.serialize_pem()].map(String::into_bytes)
}

/// A PEM text in the form that `certificates::run` makes PEM of.
fn of_pem(pem: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(pem);
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let form = if text.contains("CERTIFICATE") { b'C' } else { b'K' };
    [vec![form], STANDARD.decode(body).expect("PEM is base64")].concat()
}
