//! The cryptography of TLS.

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::sync::Arc;

/// Cryptography by aws-lc; the feature `prefer-post-quantum` puts X25519MLKEM768, which Kubernetes' own clients
/// prefer as well, in front.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::NamedGroup;

    #[test]
    fn post_quantum_key_exchange_comes_first() {
        assert_eq!(provider().kx_groups[0].name(), NamedGroup::X25519MLKEM768);
    }
}
