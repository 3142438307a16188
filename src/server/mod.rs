//! The HTTPS server in front of [`admission`](native_sidecar_core::admission).
//!
//! Unlike an ordinary web server it is called by one client, the API server, for every pod that is created, and
//! a call that fails is a pod that is not converted. So it replaces its certificate without a restart, answers
//! whatever happens in a review, and never ends a connection on which a request may be under way.
//!
//! ```text
//! socket -> TLS -> connection -> router -> webhook -> admission::review
//!            ^          ^           ^
//!   CertificateStore    +-----------+--- Lifecycle: serving, draining, closing
//!            ^
//!   files, throw-away, or the cluster's Secret
//! ```

mod certificate;
mod connection;
mod health;
mod lifecycle;
mod listen;
pub mod logging;
mod metrics;
mod refusal;
mod reload;
mod room;
mod seats;
mod throwaway;
mod tls;
mod webhook;

pub use certificate::{CertificateError, CertificateStore, Description};
pub use connection::ConnectionLimits;
pub use health::{Health, router as health_router};
pub use lifecycle::{Drain, Lifecycle, Phase, signals};
pub use metrics::Metrics;
pub use refusal::{Refusal, STATUSES};
pub use reload::Unreadable;
pub use room::{Memory, Room};
pub use throwaway::ThrowawayError;
pub use tls::{Tls, TlsError};
pub use webhook::{BODY_LIMIT, Patience, Reviewer, Webhook, router};

use connection::Listener;
use reload::Reload;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Connections for health and metrics at a time: a few kubelets' and Prometheus' worth.
const HEALTH_CONNECTIONS: usize = 32;

/// How the server is set up.
#[derive(Debug)]
pub struct Settings {
    /// Where `AdmissionReview`s are served, over HTTPS. Port 0 takes any that is free, and `[::]` all addresses,
    /// of IPv4 as well.
    pub listen: SocketAddr,
    /// Where health and metrics are served, over HTTP.
    pub health_listen: SocketAddr,
    /// Where the serving certificate is from.
    pub certificate: CertificateSource,
    /// Whether the API server trusts the certificate; it does where nobody is there to tell.
    pub trusted: Option<watch::Receiver<bool>>,
    /// PEM bundle of the CAs whose clients may connect; everybody where there is none.
    pub client_ca: Option<PathBuf>,
    /// Common or DNS names that clients must bear; any of the CA's clients where there are none.
    pub client_names: Vec<String>,
    /// How often files are looked at for changes.
    pub reload_interval: Duration,
    /// How long a connection may take, and how many there may be.
    pub limits: ConnectionLimits,
    /// How long a shutdown may take.
    pub drain: Drain,
}

/// Where the serving certificate is from.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// Two PEM files, looked at for changes.
    Files {
        /// The certificate chain, the server's own certificate first.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made for this machine and this run.
    Throwaway {
        /// Where the PEM of its CA is written to.
        ca: Option<PathBuf>,
    },
    /// Installed and kept up to date by another part of the program. Until the first one is installed the
    /// server is not ready and its handshakes fail.
    Given(Arc<CertificateStore>),
}

/// A server that is bound to its ports. Requests wait until it [`run`](Self::run)s.
#[derive(Debug)]
pub struct Server {
    https: TcpListener,
    http: TcpListener,
    tls: Arc<Tls>,
    certificates: Arc<CertificateStore>,
    trusted: Option<watch::Receiver<bool>>,
    webhook: Arc<Webhook>,
    limits: ConnectionLimits,
    drain: Drain,
    /// Looking at files; over when dropped.
    watches: JoinSet<()>,
}

/// Tasks that look at files, as they come up while the server is being set up.
struct Watches {
    tasks: JoinSet<()>,
    period: Duration,
    metrics: Arc<Metrics>,
}

/// Why the server could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A port could not be had.
    #[error("cannot listen on {address}: {source}; choose another address with {flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a certificate could not be read.
    #[error("{0}")]
    Unreadable(Unreadable),
    /// The certificate in two files cannot be served.
    #[error("cannot serve {} with {}: {source}", certificate.display(), key.display())]
    Certificate {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        source: CertificateError,
    },
    /// The client CA cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    ClientAuthority {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        source: TlsError,
    },
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no throw-away certificate.
    #[error(transparent)]
    Throwaway(#[from] ThrowawayError),
    /// The throw-away CA could not be written.
    #[error("cannot write the CA of the throw-away certificate to {}: {source}", path.display())]
    WriteAuthority {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A second signal came while draining.
    #[error("told to stop a second time: ended at once, and cut off whatever was under way")]
    CutShort,
}

// === impl Server ===

impl Server {
    /// Loads the certificate, then binds the ports.
    ///
    /// # Errors
    ///
    /// When the certificate, the client CA or a port cannot be had.
    pub async fn bind(settings: Settings, webhook: Webhook) -> Result<Self, Error> {
        let Settings { listen, health_listen, certificate, client_ca, client_names, reload_interval, .. } = settings;
        let mut watches = Watches { tasks: JoinSet::new(), period: reload_interval, metrics: webhook.metrics.clone() };
        let certificates = watches.certificates(certificate).await?;
        let tls = Arc::new(Tls::new(Arc::clone(&certificates), client_names)?);
        if let Some(path) = client_ca {
            watches.client_authority(path, Arc::clone(&tls)).await?;
        }
        Ok(Self {
            https: listen_on(listen, "--listen")?,
            http: listen_on(health_listen, "--health-listen")?,
            tls,
            certificates,
            trusted: settings.trusted,
            webhook: Arc::new(webhook),
            limits: settings.limits,
            drain: settings.drain,
            watches: watches.tasks,
        })
    }

    /// Where `AdmissionReview`s are served.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.https.local_addr()
    }

    /// Where health and metrics are served.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn health_address(&self) -> io::Result<SocketAddr> {
        self.http.local_addr()
    }

    /// Serves until the first message from `stop`, then drains. See [`signals`].
    ///
    /// # Errors
    ///
    /// When a second message comes before the drain is over.
    pub async fn run(self, mut stop: mpsc::Receiver<()>) -> Result<(), Error> {
        let Self { https, http, tls, certificates, trusted, webhook, limits, drain, watches: _watches } = self;
        let (metrics, lifecycle) = (Arc::clone(&webhook.metrics), webhook.lifecycle.clone());
        let room = Arc::clone(&webhook.room);
        let health =
            Health { metrics: Arc::clone(&metrics), room, lifecycle: lifecycle.clone(), certificates, trusted };
        let https = Listener {
            socket: https,
            tls: Some(tls),
            router: router(webhook),
            limits,
            lifecycle: lifecycle.clone(),
            metrics: Arc::clone(&metrics),
        };
        // Its own lifecycle: probes and scrapes are answered until all the rest is over.
        let http = Listener {
            socket: http,
            tls: None,
            router: health_router(health),
            limits: ConnectionLimits { connections: HEALTH_CONNECTIONS, ..limits },
            lifecycle: Lifecycle::new(),
            metrics,
        };
        // Sets, because dropping them ends their tasks; so does dropping this future.
        let (mut serving, mut probed) = (JoinSet::new(), JoinSet::new());
        serving.spawn(https.serve());
        probed.spawn(http.serve());
        lifecycle::asked(&mut stop).await;
        tokio::select! {
            () = shut_down(&lifecycle, drain, &mut serving) => Ok(()),
            () = lifecycle::asked(&mut stop) => Err(Error::CutShort),
        }
    }
}

fn listen_on(address: SocketAddr, flag: &'static str) -> Result<TcpListener, Error> {
    listen::on(address).map_err(|source| Error::Listen { address, flag, source })
}

async fn shut_down(lifecycle: &Lifecycle, drain: Drain, serving: &mut JoinSet<JoinSet<()>>) {
    tracing::info!(delay = ?drain.delay, "told to stop: no longer ready, serving while endpoints are updated");
    lifecycle.advance(Phase::Draining);
    sleep(drain.delay).await;
    tracing::info!(timeout = ?drain.timeout, "closing: waiting for requests under way");
    lifecycle.advance(Phase::Closing);
    let Some(Ok(mut connections)) = serving.join_next().await else { return };
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(drain.timeout, finished).await.is_err() {
        tracing::warn!(connections = connections.len(), "some connections did not finish in time and are cut off");
    }
    tracing::info!("stopped");
}

// === impl Watches ===

impl Watches {
    async fn certificates(&mut self, source: CertificateSource) -> Result<Arc<CertificateStore>, Error> {
        let store = Arc::new(CertificateStore::new());
        match source {
            CertificateSource::Given(store) => return Ok(store),
            CertificateSource::Throwaway { ca } => throw_away(&store, ca.as_deref())?,
            CertificateSource::Files { certificate, key } => {
                let files = vec![certificate.clone(), key.clone()];
                let installed = Arc::clone(&store);
                self.watch(files, move |contents| install(&installed, &certificate, &key, contents)).await?;
            }
        }
        Ok(store)
    }

    async fn client_authority(&mut self, path: PathBuf, tls: Arc<Tls>) -> Result<(), Error> {
        let files = vec![path.clone()];
        self.watch(files, move |contents| {
            tls.require_clients_of(&contents.concat())
                .map_err(|source| Error::ClientAuthority { path: path.clone(), source })?;
            tracing::info!(path = %path.display(), "client CA installed; clients need a certificate of it");
            Ok(())
        })
        .await
    }

    async fn watch(
        &mut self,
        files: Vec<PathBuf>,
        apply: impl Fn(&[Vec<u8>]) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let reload = Reload::begin(files, apply).await?;
        let (period, metrics) = (self.period, Arc::clone(&self.metrics));
        self.tasks.spawn(async move { reload.run(period, &metrics).await });
        Ok(())
    }
}

fn install(store: &CertificateStore, certificate: &Path, key: &Path, contents: &[Vec<u8>]) -> Result<(), Error> {
    // `Reload` passes one content for each file, in their order.
    let [chain, private] = contents else { return Ok(()) };
    let installed = store.install(chain, private);
    installed.map(drop).map_err(|source| Error::Certificate {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn throw_away(store: &CertificateStore, ca: Option<&Path>) -> Result<(), Error> {
    let pem = throwaway::install(store)?;
    tracing::warn!("serving with a throw-away certificate, for trying things out on this machine only");
    let Some(path) = ca else { return Ok(()) };
    fs::write(path, pem).map_err(|source| Error::WriteAuthority { path: path.to_owned(), source })?;
    tracing::info!(path = %path.display(), "the CA of the throw-away certificate is here");
    Ok(())
}
