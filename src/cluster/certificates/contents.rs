//! What the Secret holds: read part by part, so that one bad part does not spoil the others.

use super::x509::{Certificate, Flaw, Pair};
use k8s_openapi::ByteString;
use std::collections::BTreeMap;

/// The data of a Secret.
pub(super) type Data = BTreeMap<String, ByteString>;

const SERVING_CERTIFICATE: &str = "tls.crt";
const SERVING_KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";

/// A complete set: what a Secret holds when all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Material {
    /// The CA that signs.
    pub(super) authority: Pair,
    /// CAs before it that may still be in use.
    pub(super) previous: Vec<Certificate>,
    /// The serving pair.
    pub(super) serving: Pair,
}

/// One part of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It is absent or empty.
    Missing,
    /// It is there and cannot be used.
    Flawed(Flaw),
    /// It is there.
    Good(Box<Pair>),
}

/// What a Secret holds, as far as it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// The CA that signs.
    pub(super) authority: Part,
    /// The other CAs in the bundle.
    pub(super) previous: Vec<Certificate>,
    /// The serving pair.
    pub(super) serving: Part,
    /// Whether the key of the CA was taken out of a bundle that is otherwise whole: someone asks for a new CA.
    pub(super) authority_asked: bool,
}

// === impl Material ===

impl Material {
    /// All CAs to trust, the one that signs first.
    pub(super) fn authorities(&self) -> Vec<Certificate> {
        std::iter::once(&self.authority.certificate).chain(&self.previous).cloned().collect()
    }

    /// The text of `ca.crt` and of `caBundle`.
    pub(super) fn bundle(&self) -> String {
        self.authorities().iter().map(Certificate::pem).collect()
    }

    /// Writes the set into a Secret's data and leaves other keys alone.
    pub(super) fn write(&self, data: &mut Data) {
        let parts = [
            (SERVING_CERTIFICATE, self.serving.chain_pem()),
            (SERVING_KEY, self.serving.key_pem().to_owned()),
            (AUTHORITIES, self.bundle()),
            (AUTHORITY_KEY, self.authority.key_pem().to_owned()),
        ];
        data.extend(parts.map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))));
    }
}

// === impl Contents ===

impl Contents {
    /// Reads a Secret's data.
    pub(super) fn read(data: &Data) -> Self {
        let get = |key| data.get(key).map_or(&[][..], |bytes| bytes.0.trim_ascii());
        let (authority, previous, asked) = read_authorities(get(AUTHORITIES), get(AUTHORITY_KEY));
        let serving = read_serving(get(SERVING_CERTIFICATE), get(SERVING_KEY));
        Self { authority, previous, serving, authority_asked: asked }
    }
}

fn read_authorities(bundle: &[u8], key: &[u8]) -> (Part, Vec<Certificate>, bool) {
    if bundle.is_empty() && key.is_empty() {
        return (Part::Missing, Vec::new(), false);
    }
    let authorities = match Certificate::read_all(bundle) {
        Ok(authorities) => authorities,
        Err(flaw) => return (Part::Flawed(flaw), Vec::new(), false),
    };
    if key.is_empty() {
        return (Part::Missing, only_authorities(authorities), true);
    }
    match Pair::pick(&authorities, key) {
        Ok((authority, others)) => (Part::Good(Box::new(authority)), only_authorities(others), false),
        Err(flaw) => (Part::Flawed(flaw), only_authorities(authorities), false),
    }
}

/// A client would trust any certificate in its bundle; only CAs belong there.
fn only_authorities(certificates: Vec<Certificate>) -> Vec<Certificate> {
    certificates.into_iter().filter(|certificate| certificate.is_ca).collect()
}

fn read_serving(chain: &[u8], key: &[u8]) -> Part {
    if chain.is_empty() && key.is_empty() {
        return Part::Missing;
    }
    Pair::read(chain, key).map_or_else(Part::Flawed, |pair| Part::Good(Box::new(pair)))
}
