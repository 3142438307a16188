//! What `serve` does when it runs in a cluster: its own certificates, and facts about the cluster.

use super::ServeError;
use crate::{
    cluster::{
        Connection,
        certificates::{self, CertificateSink, Keeper},
        facts::{self, Surveyor},
    },
    server::{BackgroundTasks, CertificateStore},
};
use arc_swap::ArcSwap;
use clap::{ArgAction, Args};
use native_sidecar_core::conversion::{ClusterFacts, Version};
use prometheus_client::registry::Registry;
use std::{error::Error, future, sync::Arc, time::Duration};
use tokio::sync::watch;

const CLUSTER: &str = "In the cluster";

/// What is asked of the API server.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// Manage the serving certificate in this Secret, shared by all replicas, and keep `caBundle` right.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["tls_cert", "throwaway_ca"])]
    #[arg(env = "NATIVE_SIDECAR_CERTIFICATE_SECRET", help_heading = CLUSTER)]
    pub certificate_secret: Option<String>,

    /// The Service by which the API server calls the webhook; managed certificates are for its name.
    #[arg(long, value_name = "NAME", default_value = "native-sidecar", env = "NATIVE_SIDECAR_SERVICE")]
    #[arg(help_heading = CLUSTER)]
    pub service: String,

    /// The MutatingWebhookConfiguration whose `caBundle` is kept right.
    #[allow(clippy::doc_markdown, reason = "the text is the command's help")]
    #[arg(long, value_name = "NAME", default_value = "zz-native-sidecar")]
    #[arg(env = "NATIVE_SIDECAR_WEBHOOK_CONFIGURATION", help_heading = CLUSTER)]
    pub webhook_configuration: String,

    /// Namespace of the Secret, the Service and the dry run; the service account's own when not given.
    #[arg(long, value_name = "NAME", env = "NATIVE_SIDECAR_NAMESPACE", help_heading = CLUSTER)]
    pub namespace: Option<String>,

    /// How long a managed CA lives. It is replaced well before its end, and trusted until its certificates are gone.
    #[arg(long, value_name = "TIME", default_value = "8760h", value_parser = super::period)]
    #[arg(env = "NATIVE_SIDECAR_CA_LIFETIME", help_heading = CLUSTER)]
    pub ca_lifetime: Duration,

    /// How long a managed serving certificate lives. It is replaced well before its end.
    #[arg(long, value_name = "TIME", default_value = "2160h", value_parser = super::period)]
    #[arg(env = "NATIVE_SIDECAR_CERTIFICATE_LIFETIME", help_heading = CLUSTER)]
    pub certificate_lifetime: Duration,

    /// How long `caBundle` has to hold a new CA before certificates signed by it are served.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = super::period)]
    #[arg(env = "NATIVE_SIDECAR_CA_PROPAGATION", help_heading = CLUSTER)]
    pub ca_propagation: Duration,

    /// Ask the API server for its version, whether it keeps native sidecars, and the nodes' kubelets.
    #[arg(long, value_name = "BOOL", default_value = "false", action = ArgAction::Set)]
    #[arg(env = "NATIVE_SIDECAR_CLUSTER_FACTS", help_heading = CLUSTER)]
    pub cluster_facts: bool,

    /// How often the facts are asked for.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = super::period)]
    #[arg(env = "NATIVE_SIDECAR_FACTS_INTERVAL", help_heading = CLUSTER)]
    pub facts_interval: Duration,
}

/// The tasks that talk to the API server, and what the server needs of them.
#[derive(Debug, Default)]
pub(super) struct ClusterTasks {
    /// The store of managed certificates, where they are managed.
    pub(super) certificates: Option<Arc<CertificateStore>>,
    /// Whether the bundle trusts the certificate in use, where certificates are managed.
    pub(super) trusted: Option<watch::Receiver<bool>>,
    pub(super) background: BackgroundTasks,
}

/// The server's store, as the keeper of certificates sees it.
struct Sink(Arc<CertificateStore>);

// === impl ClusterArgs ===

impl ClusterArgs {
    /// Starts what was asked for, and names its metrics in `registry`.
    ///
    /// # Errors
    ///
    /// When there is no API server to talk to, or a setting cannot work. One that does not answer is no error.
    pub(super) async fn begin(
        &self,
        floor: Version,
        published: &Arc<ArcSwap<ClusterFacts>>,
        registry: &mut Registry,
    ) -> Result<ClusterTasks, ServeError> {
        let mut tasks = ClusterTasks::default();
        if self.certificate_secret.is_none() && !self.cluster_facts {
            return Ok(tasks);
        }
        let Connection { client, namespace } = Connection::open().await?;
        let namespace = self.namespace.clone().unwrap_or(namespace);
        if let Some(secret) = &self.certificate_secret {
            let store = Arc::new(CertificateStore::new());
            let settings = self.certificates(&namespace, secret);
            let metrics = certificates::Metrics::register(registry);
            let keeper = Keeper::new(client.clone(), settings, Sink(Arc::clone(&store)), metrics)?;
            tasks.trusted = Some(keeper.ready());
            tasks.certificates = Some(store);
            tasks.background.spawn("certificate-keeper", keeper.run(future::pending()));
        }
        if self.cluster_facts {
            let settings = facts::SurveyorSettings {
                configuration: self.webhook_configuration.clone(),
                kubelet_floor: floor,
                interval: self.facts_interval,
                ..facts::SurveyorSettings::new(&namespace)
            };
            let metrics = facts::Metrics::register(registry);
            let surveyor = Surveyor::new(client, settings, Arc::clone(published), metrics);
            tasks.background.spawn("cluster-surveyor", surveyor.run(future::pending()));
        }
        Ok(tasks)
    }

    fn certificates(&self, namespace: &str, secret: &str) -> certificates::KeeperSettings {
        certificates::KeeperSettings {
            secret: secret.to_owned(),
            service: self.service.clone(),
            configuration: self.webhook_configuration.clone(),
            authority_lifetime: self.ca_lifetime,
            serving_lifetime: self.certificate_lifetime,
            propagation: self.ca_propagation,
            ..certificates::KeeperSettings::new(namespace)
        }
    }
}

// === impl Sink ===

impl CertificateSink for Sink {
    fn install(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.install(chain_pem, key_pem)?;
        Ok(())
    }
}
