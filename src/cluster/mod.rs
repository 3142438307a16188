//! The API server as seen from inside the cluster: certificates that need no other tool, and what is known of the cluster.
//!
//! Two loops, each started once per replica and ended by a future that is given to it:
//!
//! | Loop | What it does | What it publishes |
//! |---|---|---|
//! | [`certificates::Keeper`] | keeps a CA and a serving pair in one Secret, and `caBundle` right | the pair, through a [`certificates::CertificateSink`]; readiness |
//! | [`facts::Surveyor`] | asks for versions and tries a native sidecar in a dry run | [`ClusterFacts`](native_sidecar_core::conversion::ClusterFacts) |
//!
//! Neither is in the way of an admission request, and neither ends when the API server is away: what is known stays in use.

mod api;
pub mod certificates;
pub mod facts;
mod pace;
mod reporter;

pub use api::Failure;

use kube::{Client, Config};

/// A connection to the API server, and the namespace this process runs in.
#[derive(Clone)]
pub struct Connection {
    /// The client; cheap to clone.
    pub client: Client,
    /// The namespace of the service account, or of the kubeconfig's context.
    pub namespace: String,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a service account was found.
    #[error("no API server to talk to: {0}; run in a pod with a service-account token, or set KUBECONFIG")]
    Config(#[source] kube::config::InferConfigError),
    /// What was found cannot be used.
    #[error("the API server's address or credentials cannot be used: {0}")]
    Client(#[source] kube::Error),
}

// === impl Connection ===

impl Connection {
    /// Connects as the kubeconfig says, else as the pod's service account.
    ///
    /// # Errors
    ///
    /// When neither is there, or it cannot be used. An API server that does not answer is no error here.
    pub async fn open() -> Result<Self, ConnectError> {
        let config = Config::infer().await.map_err(ConnectError::Config)?;
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(ConnectError::Client)?;
        Ok(Self { client, namespace })
    }
}
