//! The certificate that all of them serve with.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use std::{error::Error, fs, path::PathBuf};
use tempfile::TempDir;

/// `tls.crt` and `tls.key`, named as in a Secret of Kubernetes, and the CA that clients trust.
pub(crate) struct Certificate {
    folder: TempDir,
    pub(crate) authority: CertificateDer<'static>,
}

// === impl Certificate ===

impl Certificate {
    pub(crate) fn make() -> Result<Self, Box<dyn Error>> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &authority)?;
        let made = Self { folder: tempfile::tempdir()?, authority: authority.der().clone() };
        fs::write(made.chain(), leaf.pem())?;
        fs::write(made.key(), key.serialize_pem())?;
        Ok(made)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn chain(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("tls.key")
    }
}
