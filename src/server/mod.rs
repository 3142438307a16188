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
//!
//! What a review does to the rest is bounded: [`MemoryBudget`] for its memory, [`RunningReviews`] for its time, and
//! health and log lines have threads of their own. Connections and memory are given out by one rule, that of
//! `FairPool`. What has to run all the time is among the [`BackgroundTasks`].

mod background;
mod certificate;
mod connection;
mod connection_permit;
mod crypto;
mod descriptors;
mod fair_pool;
mod health;
mod lifecycle;
mod listen;
pub mod logging;
mod memory_budget;
mod metrics;
mod refusal;
mod reload;
mod running_reviews;
mod strangers;
mod throwaway;
mod tls;
mod webhook;

pub use background::{BackgroundTasks, TaskFailure};
pub use certificate::{CertificateError, CertificateStore, Description};
pub use connection::ConnectionSettings;
pub use lifecycle::{Drain, Lifecycle, Phase, Stop, signals};
pub use memory_budget::{BODY_LIMIT, LargeBodyMemory, MemoryBudget};
pub use metrics::Metrics;
pub use refusal::{Refusal, STATUSES};
pub use reload::UnreadableFile;
pub use running_reviews::RunningReviews;
pub use throwaway::ThrowawayError;
pub use tls::{Tls, TlsError};
pub use webhook::{RequestTimeouts, Reviewer, Webhook, router};

use connection::Listener;
use health::{Health, HealthThread};
use listen::Sockets;
use reload::Reload;
use std::{
    fmt, fs, future, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use strangers::STRANGERS;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How the server is set up.
#[derive(Debug)]
pub struct ServerSettings {
    /// Where `AdmissionReview`s are served, over HTTPS. Port 0 takes any that is free, and `[::]` all addresses,
    /// of IPv4 as well. Of several addresses those are left out that this machine does not have.
    pub listen: Vec<SocketAddr>,
    /// Where health and metrics are served, over HTTP.
    pub health_listen: Vec<SocketAddr>,
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
    /// How many connections there may be, and how long each may take.
    pub connections: ConnectionSettings,
    /// How long a shutdown may take.
    pub drain: Drain,
    /// What the rest of the program does in the background: the end of such a task is the end of the server.
    pub background: BackgroundTasks,
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
    reviews: Vec<TcpListener>,
    health: Vec<TcpListener>,
    tls: Arc<Tls>,
    certificates: Arc<CertificateStore>,
    trusted: Option<watch::Receiver<bool>>,
    webhook: Arc<Webhook>,
    connections: ConnectionSettings,
    health_connections: ConnectionSettings,
    drain: Drain,
    background: BackgroundTasks,
}

/// Looks at files for changes, as they come up while the server is being set up.
struct FileWatches<'b> {
    background: &'b mut BackgroundTasks,
    period: Duration,
    metrics: Arc<Metrics>,
}

/// One of the server's two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// For admission reviews.
    Reviews,
    /// For health and metrics.
    Health,
}

/// Why the server could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A port could not be had.
    #[error("cannot listen on {address} for {port}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What is served there.
        port: Port,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a certificate could not be read.
    #[error(transparent)]
    UnreadableFile(#[from] UnreadableFile),
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
    /// The runtime does not take the sockets.
    #[error("cannot wait for connections: {0}")]
    Sockets(io::Error),
    /// The system has no thread for health and metrics.
    #[error("cannot start the thread that serves health and metrics: {0}")]
    HealthThread(io::Error),
    /// Something that has to run all the time has ended.
    #[error(transparent)]
    Task(#[from] TaskFailure),
}

// === impl Server ===

impl Server {
    /// Loads the certificate, then binds the ports.
    ///
    /// # Errors
    ///
    /// When the certificate, the client CA or a port cannot be had.
    pub async fn bind(settings: ServerSettings, webhook: Webhook) -> Result<Self, Error> {
        let ServerSettings { listen, health_listen, certificate, client_ca, client_names, mut background, .. } =
            settings;
        let metrics = Arc::clone(&webhook.metrics);
        let mut watches = FileWatches { background: &mut background, period: settings.reload_interval, metrics };
        let certificates = watches.certificates(certificate).await?;
        let tls = Arc::new(Tls::new(Arc::clone(&certificates), client_names)?);
        if let Some(path) = client_ca {
            watches.client_authority(path, Arc::clone(&tls)).await?;
        }
        let (connections, health_connections) = descriptors::fit(settings.connections);
        let reviews = |(address, source)| Error::Listen { address, port: Port::Reviews, source };
        let health = |(address, source)| Error::Listen { address, port: Port::Health, source };
        Ok(Self {
            reviews: listen::on(&listen).map_err(reviews)?,
            health: listen::on(&health_listen).map_err(health)?,
            tls,
            certificates,
            trusted: settings.trusted,
            webhook: Arc::new(webhook),
            connections,
            health_connections,
            drain: settings.drain,
            background,
        })
    }

    /// Where `AdmissionReview`s are served.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.reviews.iter().map(TcpListener::local_addr).collect()
    }

    /// Where health and metrics are served.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn health_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.health.iter().map(TcpListener::local_addr).collect()
    }

    /// Serves until the first message from `stop`, then drains. See [`signals`]. Drains too when a background task has
    /// ended.
    ///
    /// # Errors
    ///
    /// When a second message comes before the drain is over, or a background task has ended, or the runtime cannot take
    /// the sockets.
    pub async fn run(self, mut stop: mpsc::Receiver<Stop>) -> Result<(), Error> {
        let Self { reviews, health, tls, certificates, trusted, webhook, drain, mut background, .. } = self;
        let (metrics, lifecycle) = (Arc::clone(&webhook.metrics), webhook.lifecycle.clone());
        let answers = Health { webhook: Arc::clone(&webhook), certificates, trusted };
        let health = HealthThread::begin(health, self.health_connections, answers).map_err(Error::HealthThread)?;
        background.spawn("health", health.ended());
        let listener = Listener {
            sockets: Sockets::of(reviews).map_err(Error::Sockets)?,
            tls: Some(tls),
            router: router(webhook),
            settings: self.connections,
            lifecycle: lifecycle.clone(),
            metrics: Arc::clone(&metrics),
        };
        let (closed, unfinished) = oneshot::channel();
        background.spawn("listener", async {
            let _ = closed.send(listener.serve().await);
            future::pending::<()>().await;
        });
        background.spawn("log-summary", STRANGERS.log_each_minute());
        background.names().for_each(|name| metrics.task_began(name));

        let (stop_wanted, mut failure) = tokio::select! {
            wanted = lifecycle::requested(&mut stop) => (wanted, None),
            failure = next_failure(&mut background, &metrics) => (Stop::WithDelay, Some(failure)),
        };
        let mut shut_down = pin!(shut_down(&lifecycle, drain.of(stop_wanted), unfinished));
        loop {
            tokio::select! {
                () = &mut shut_down => return failure.map_or(Ok(()), |failure| Err(failure.into())),
                _ = lifecycle::requested(&mut stop) => return Err(Error::CutShort),
                another = next_failure(&mut background, &metrics) => failure = failure.or(Some(another)),
            }
        }
    }
}

async fn next_failure(background: &mut BackgroundTasks, metrics: &Metrics) -> TaskFailure {
    let failure = background.failure().await;
    metrics.task_failed(failure.name);
    tracing::error!(task = failure.name, how = failure.how, "a background task has ended; please report this bug");
    failure
}

async fn shut_down(lifecycle: &Lifecycle, drain: Drain, unfinished: oneshot::Receiver<JoinSet<()>>) {
    lifecycle.advance(Phase::Draining);
    if !drain.delay.is_zero() {
        tracing::info!(delay = ?drain.delay, "draining: no longer ready, serving while endpoints are updated");
        sleep(drain.delay).await;
    }
    tracing::info!(timeout = ?drain.timeout, "closing: waiting for requests under way");
    lifecycle.advance(Phase::Closing);
    let Ok(mut connections) = unfinished.await else { return };
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(drain.timeout, finished).await.is_err() {
        tracing::warn!(connections = connections.len(), "some connections did not finish in time and are cut off");
    }
    STRANGERS.log_sums();
    tracing::info!("stopped");
}

// === impl FileWatches ===

impl FileWatches<'_> {
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
        self.background.spawn("file-watch", async move { reload.run(period, &metrics).await });
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
    tracing::warn!("serving with a throw-away certificate, for trying things out only");
    let Some(path) = ca else { return Ok(()) };
    fs::write(path, pem).map_err(|source| Error::WriteAuthority { path: path.to_owned(), source })?;
    tracing::info!(path = %path.display(), "the CA of the throw-away certificate is here");
    Ok(())
}

// === impl Port ===

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reviews => "admission reviews",
            Self::Health => "health and metrics",
        })
    }
}
