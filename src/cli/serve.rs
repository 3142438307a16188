//! `native-sidecar serve`: the webhook.

mod cluster;
mod listen;

pub use cluster::ClusterArgs;
pub use listen::{ListenAddress, NotAnAddress};

use super::known::{self, LoadError};
use crate::{
    cluster::{ConnectError, certificates::SettingsError},
    server::{
        self, CertificateSource, ConnectionSettings, Drain, LargeBodyMemory, MemoryBudget, Metrics, Port,
        RequestTimeouts, Reviewer, Server, ServerSettings, Webhook,
        logging::{self, NotAFilter},
    },
};
use arc_swap::ArcSwap;
use clap::{ArgAction, Args, ValueEnum, value_parser};
use cluster::ClusterTasks;
use jiff::SignedDuration;
use native_sidecar_core::conversion::{ClusterFacts, Version};
use prometheus_client::registry::Registry;
use std::{
    env,
    io::{self, IsTerminal},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::runtime;

/// Serve the admission webhook.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Address or name, and port, for admission reviews, over HTTPS. `[::]` is all addresses, of IPv4 as well; of a name,
    /// all that it has. Port 0 takes any that is free; the log says which. By default it is `[::]:8443`, and with a
    /// throw-away certificate port 8443 of this machine's own addresses, `127.0.0.1` and `::1`.
    #[arg(long, value_name = "ADDRESS", env = "NATIVE_SIDECAR_LISTEN", help_heading = LISTENING)]
    pub listen: Option<ListenAddress>,

    /// Address or name, and port, for /livez, /readyz and /metrics, over plain HTTP. By default `[::]:8080`, and with a
    /// throw-away certificate port 8080 of `127.0.0.1` and `::1`.
    #[arg(long, value_name = "ADDRESS", env = "NATIVE_SIDECAR_HEALTH_LISTEN", help_heading = LISTENING)]
    pub health_listen: Option<ListenAddress>,

    /// Certificate chain to serve, as PEM, the server's own certificate first. Looked at for changes. Without
    /// it, and outside a cluster, a throw-away certificate for localhost is made.
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "NATIVE_SIDECAR_TLS_CERT")]
    #[arg(help_heading = CERTIFICATES)]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate, as PEM: PKCS#8, SEC1 or PKCS#1.
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "NATIVE_SIDECAR_TLS_KEY")]
    #[arg(help_heading = CERTIFICATES)]
    pub tls_key: Option<PathBuf>,

    /// Write the CA of the throw-away certificate to this file, so that clients can be told to trust it.
    #[arg(long, value_name = "FILE", conflicts_with = "tls_cert", env = "NATIVE_SIDECAR_THROWAWAY_CA")]
    #[arg(help_heading = CERTIFICATES)]
    pub throwaway_ca: Option<PathBuf>,

    /// CAs, as PEM, of which clients need a certificate. Looked at for changes. The API server has a client
    /// certificate only if its admission configuration gives it one.
    #[arg(long, value_name = "FILE", env = "NATIVE_SIDECAR_CLIENT_CA")]
    #[arg(help_heading = CERTIFICATES)]
    pub client_ca: Option<PathBuf>,

    /// Common names or DNS names of which a client's certificate needs one. Any will do when none is given.
    #[arg(long = "client-name", value_name = "NAME", requires = "client_ca", value_delimiter = ',')]
    #[arg(env = "NATIVE_SIDECAR_CLIENT_NAME", help_heading = CERTIFICATES)]
    pub client_names: Vec<String>,

    /// How often the files above are looked at for changes.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = period)]
    #[arg(env = "NATIVE_SIDECAR_RELOAD_INTERVAL", help_heading = CERTIFICATES)]
    pub reload_interval: Duration,

    /// Catalogue of known sidecars that adds to the built-in one and overrides it.
    #[arg(long, value_name = "FILE", env = "NATIVE_SIDECAR_CATALOGUE")]
    #[arg(help_heading = CONVERSION)]
    pub catalogue: Option<PathBuf>,

    /// Oldest kubelet that may run a converted pod.
    #[arg(long, value_name = "VERSION", default_value = "1.29", env = "NATIVE_SIDECAR_KUBELET_FLOOR")]
    #[arg(help_heading = CONVERSION)]
    pub kubelet_floor: Version,

    /// Only observe: every pod is reviewed, and none is changed or refused, whatever it asks for itself. The decisions
    /// are `would-convert` and `would-block`, in metrics, log and audit annotations.
    #[arg(long, env = "NATIVE_SIDECAR_OBSERVE", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    #[arg(default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    #[arg(help_heading = CONVERSION)]
    pub observe: bool,

    /// How log lines look: by default `text` where standard error is a terminal, and `json` elsewhere.
    #[arg(long, value_name = "FORMAT", value_enum, env = "NATIVE_SIDECAR_LOG_FORMAT", help_heading = LOGS)]
    pub log_format: Option<LogFormat>,

    /// What is logged: a level, or levels by module such as `info,native_sidecar=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "NATIVE_SIDECAR_LOG_LEVEL")]
    #[arg(help_heading = LOGS)]
    pub log_level: String,

    /// How long to keep serving once told to stop, while the Service's endpoints are being updated. Ctrl-C at a terminal
    /// does not wait for it.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    #[arg(env = "NATIVE_SIDECAR_DRAIN_DELAY", help_heading = SHUTDOWN)]
    pub drain_delay: Duration,

    /// How long to wait after that for requests under way. Both together must be less than the pod's
    /// `terminationGracePeriodSeconds`.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    #[arg(env = "NATIVE_SIDECAR_DRAIN_TIMEOUT", help_heading = SHUTDOWN)]
    pub drain_timeout: Duration,

    /// Longest TLS handshake.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = period)]
    #[arg(env = "NATIVE_SIDECAR_HANDSHAKE_TIMEOUT", help_heading = LIMITS)]
    pub handshake_timeout: Duration,

    /// Longest time from the handshake to the end of the first request's headers.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = period)]
    #[arg(env = "NATIVE_SIDECAR_HEADER_TIMEOUT", help_heading = LIMITS)]
    pub header_timeout: Duration,

    /// Longest time that a request's body may take to arrive once there is memory for it, and that a client may take to
    /// read a large answer.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = period)]
    #[arg(env = "NATIVE_SIDECAR_BODY_TIMEOUT", help_heading = LIMITS)]
    pub body_timeout: Duration,

    /// Longest time from a request's headers to its answer.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = period)]
    #[arg(env = "NATIVE_SIDECAR_REQUEST_TIMEOUT", help_heading = LIMITS)]
    pub request_timeout: Duration,

    /// How long an HTTP/1.1 connection may wait for its next request. The API server keeps connections for 90
    /// seconds; a shorter time here makes calls fail now and then.
    #[arg(long, value_name = "TIME", default_value = "150s", value_parser = period)]
    #[arg(env = "NATIVE_SIDECAR_IDLE_TIMEOUT", help_heading = LIMITS)]
    pub idle_timeout: Duration,

    /// Connections for admission reviews at a time, each of which takes a file descriptor. More of them wait until one
    /// ends; idle ones are closed for them.
    #[arg(long, value_name = "NUMBER", default_value = "1024", value_parser = value_parser!(u16).range(8..))]
    #[arg(env = "NATIVE_SIDECAR_MAX_CONNECTIONS", help_heading = LIMITS)]
    pub max_connections: u16,

    /// Memory for request bodies above 64 KiB (a third of it) and for their reviews (the rest).
    /// A body that gets none within half of the body's time is answered 503. At least 24Mi.
    #[arg(long, value_name = "SIZE", default_value_t, env = "NATIVE_SIDECAR_LARGE_BODY_MEMORY")]
    #[arg(help_heading = LIMITS)]
    pub large_body_memory: LargeBodyMemory,

    /// What is asked of the API server.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For reading at a terminal.
    Text,
}

/// Why the webhook could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// No certificate was given where a throw-away one is of no use.
    #[error(
        "no serving certificate: inside a cluster the API server has to trust it, so a throw-away one is of no use; \
         give --certificate-secret to have one managed, or --tls-cert and --tls-key from a mounted Secret"
    )]
    NoCertificate,
    /// `--log-level` is no filter.
    #[error("--log-level {given:?} is not understood: {source}")]
    LogLevel {
        /// What was given.
        given: String,
        /// What is expected.
        source: NotAFilter,
    },
    /// The system has no thread for log lines.
    #[error("cannot start the thread that writes log lines: {0}")]
    Log(io::Error),
    /// The catalogue could not be used.
    #[error(transparent)]
    Catalogue(#[from] LoadError),
    /// The system does not let us handle signals.
    #[error("cannot handle signals: {0}")]
    Signals(io::Error),
    /// The runtime could not be started.
    #[error("cannot start the threads that serve requests: {0}")]
    Runtime(io::Error),
    /// A name that is to be listened at has no address.
    #[error("cannot find the address of {name}: {source}; give an address, or another name, with {flag}")]
    Resolve {
        /// The name, and its port.
        name: String,
        /// What the system said.
        source: io::Error,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The address that was bound cannot be told.
    #[error("cannot tell the address that was bound: {0}")]
    Address(io::Error),
    /// There is no API server to talk to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Settings of managed certificates cannot work.
    #[error(transparent)]
    Certificates(#[from] SettingsError),
    /// A port could not be had.
    #[error("{source}; choose another address with {flag}")]
    Listen {
        /// Which, and why.
        source: server::Error,
        /// The flag that sets its address.
        flag: &'static str,
    },
    /// The server could not start, or did not stop in order.
    #[error(transparent)]
    Server(server::Error),
}

/// What refusals advise to raise.
const MEMORY_FLAG: &str = "--large-body-memory";

const LISTENING: &str = "Listening";
const CERTIFICATES: &str = "Certificates";
const CONVERSION: &str = "Conversion";
const LOGS: &str = "Logs";
const SHUTDOWN: &str = "Shutdown";
const LIMITS: &str = "Limits";

const REVIEWS_PORT: u16 = 8443;
const HEALTH_PORT: u16 = 8080;

/// Workers of the runtime. A review that does not end because of a bug takes one, so there are two at least.
const FEWEST_WORKERS: usize = 2;

/// Serves until SIGTERM or SIGINT, then drains; at a terminal SIGINT does so without a delay. A second signal ends at once.
///
/// # Errors
///
/// When the server cannot start, a second signal cuts the drain short, or something has ended that has to run all the
/// time.
pub fn run(args: ServeArgs) -> Result<(), ServeError> {
    let workers =
        thread::available_parallelism().map_or(FEWEST_WORKERS, |processors| processors.get().max(FEWEST_WORKERS));
    let runtime = runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = runtime.map_err(ServeError::Runtime)?;
    let outcome = runtime.block_on(serve(args));
    // Without waiting for a review that does not end.
    runtime.shutdown_background();
    outcome
}

async fn serve(args: ServeArgs) -> Result<(), ServeError> {
    let given = || args.log_level.clone();
    let format = args.log_format.unwrap_or_else(LogFormat::for_standard_error);
    logging::begin(format.of_lines(), &args.log_level).map_err(|error| match error {
        logging::Error::Filter(source) => ServeError::LogLevel { given: given(), source },
        logging::Error::Thread(source) => ServeError::Log(source),
    })?;
    let at_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
    let stop = server::signals(at_terminal).map_err(ServeError::Signals)?;
    let mut webhook = args.webhook()?;
    let mut registry = Registry::default();
    let tasks = args.cluster.begin(args.kubelet_floor, &webhook.facts, &mut registry).await?;
    webhook.metrics = Arc::new(Metrics::beside(registry));
    let observe = args.observe;
    let server = Server::bind(args.settings(in_cluster(), tasks).await?, webhook).await?;
    let address = listed(&server.addresses().map_err(ServeError::Address)?);
    let health = listed(&server.health_addresses().map_err(ServeError::Address)?);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, %health, observe, "serving");
    Ok(server.run(stop).await?)
}

/// The addresses as the log has them: mostly it is one.
fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The kubelet sets this variable in every container.
fn in_cluster() -> bool {
    env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

// === impl ServeArgs ===

impl ServeArgs {
    /// The webhook that these arguments ask for.
    ///
    /// # Errors
    ///
    /// When the catalogue cannot be used.
    pub fn webhook(&self) -> Result<Webhook, ServeError> {
        let catalogue = known::load(self.catalogue.as_deref())?;
        let facts = ClusterFacts::default().with_kubelet_floor(self.kubelet_floor);
        let webhook = Webhook::new(Arc::new(catalogue), Arc::new(ArcSwap::from_pointee(facts)));
        let timeouts = RequestTimeouts {
            // So that a body gets an answer within the request's time even if there is memory for it only in the end.
            memory: self.body_timeout / 2,
            body: self.body_timeout,
            answer: self.body_timeout,
            request: self.request_timeout,
            ..RequestTimeouts::default()
        };
        let memory = MemoryBudget::new(self.large_body_memory);
        let reviewer = if self.observe { Reviewer::observing() } else { Reviewer::default() };
        Ok(Webhook { reviewer, memory, memory_setting: MEMORY_FLAG, timeouts, ..webhook })
    }

    /// The server that these arguments ask for.
    ///
    /// # Errors
    ///
    /// When they give no certificate `in_cluster`, or a name that has no address.
    async fn settings(self, in_cluster: bool, tasks: ClusterTasks) -> Result<ServerSettings, ServeError> {
        let certificate = self.certificate(in_cluster, &tasks)?;
        // Nobody else can trust a throw-away certificate, so nobody else needs to reach the server.
        let is_throwaway = matches!(certificate, CertificateSource::Throwaway { .. });
        let unless_given = if is_throwaway { listen::Default::ThisMachine } else { listen::Default::All };
        let listen = addresses(self.listen.as_ref(), unless_given.at(REVIEWS_PORT), Port::Reviews).await?;
        let health_listen = addresses(self.health_listen.as_ref(), unless_given.at(HEALTH_PORT), Port::Health).await?;
        Ok(ServerSettings {
            trusted: tasks.trusted,
            background: tasks.background,
            listen,
            health_listen,
            certificate,
            client_ca: self.client_ca,
            client_names: self.client_names,
            reload_interval: self.reload_interval,
            connections: ConnectionSettings {
                max_connections: self.max_connections.into(),
                handshake_timeout: self.handshake_timeout,
                header_timeout: self.header_timeout,
                idle_timeout: self.idle_timeout,
                ..ConnectionSettings::default()
            },
            drain: Drain { delay: self.drain_delay, timeout: self.drain_timeout },
        })
    }

    fn certificate(&self, in_cluster: bool, tasks: &ClusterTasks) -> Result<CertificateSource, ServeError> {
        if let Some(store) = &tasks.certificates {
            return Ok(CertificateSource::Given(Arc::clone(store)));
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Ok(CertificateSource::Files { certificate: certificate.clone(), key: key.clone() })
            }
            _ if in_cluster => Err(ServeError::NoCertificate),
            _ => Ok(CertificateSource::Throwaway { ca: self.throwaway_ca.clone() }),
        }
    }
}

/// The addresses that were given for `port`, or those that are listened on otherwise.
async fn addresses(
    given: Option<&ListenAddress>,
    otherwise: Vec<SocketAddr>,
    port: Port,
) -> Result<Vec<SocketAddr>, ServeError> {
    let Some(given) = given else { return Ok(otherwise) };
    let unknown = |source| ServeError::Resolve { name: given.to_string(), source, flag: flag_of(port) };
    given.resolved().await.map_err(unknown)
}

const fn flag_of(port: Port) -> &'static str {
    match port {
        Port::Reviews => "--listen",
        Port::Health => "--health-listen",
    }
}

// === impl LogFormat ===

impl LogFormat {
    fn for_standard_error() -> Self {
        if io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }

    const fn of_lines(self) -> logging::Format {
        match self {
            Self::Json => logging::Format::Json,
            Self::Text => logging::Format::Text,
        }
    }
}

// === impl ServeError ===

impl From<server::Error> for ServeError {
    fn from(error: server::Error) -> Self {
        let server::Error::Listen { port, .. } = error else { return Self::Server(error) };
        Self::Listen { source: error, flag: flag_of(port) }
    }
}

/// `500ms`, `10s`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.ok_or_else(|| "expected a time such as 500ms, 10s or 2m".to_owned())
}

/// A duration that is not zero.
fn period(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        period => Ok(period),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use native_sidecar_core::admission::{Context, Route};
    use rstest::rstest;

    #[derive(Parser)]
    struct Serve {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn parse(arguments: &[&str]) -> Result<ServeArgs, clap::Error> {
        Serve::try_parse_from([&["serve"], arguments].concat()).map(|serve| serve.args)
    }

    async fn settings(arguments: &[&str], in_cluster: bool) -> Result<ServerSettings, ServeError> {
        parse(arguments).unwrap().settings(in_cluster, ClusterTasks::default()).await
    }

    #[tokio::test]
    async fn a_single_command_is_enough_outside_a_cluster() {
        let settings = settings(&[], false).await.unwrap();
        assert!(matches!(settings.certificate, CertificateSource::Throwaway { ca: None }));
        assert_eq!(settings.drain, Drain::default());
        assert_eq!(settings.connections, ConnectionSettings::default());
    }

    #[rstest]
    #[case::throwaway(&[], false, "127.0.0.1:8443, [::1]:8443", "127.0.0.1:8080, [::1]:8080")]
    #[case::throwaway_for_others(&["--listen", "[::]:443"], false, "[::]:443", "127.0.0.1:8080, [::1]:8080")]
    #[case::health_for_others(&["--health-listen", "0.0.0.0:1"], false, "127.0.0.1:8443, [::1]:8443", "0.0.0.0:1")]
    #[case::files(&["--tls-cert", "c", "--tls-key", "k"], false, "[::]:8443", "[::]:8080")]
    #[case::in_a_cluster(&["--tls-cert", "c", "--tls-key", "k"], true, "[::]:8443", "[::]:8080")]
    #[tokio::test]
    async fn only_this_machine_reaches_a_throw_away_certificate(
        #[case] arguments: &[&str],
        #[case] in_cluster: bool,
        #[case] reviews: &str,
        #[case] health: &str,
    ) {
        let settings = settings(arguments, in_cluster).await.unwrap();
        assert_eq!((&*listed(&settings.listen), &*listed(&settings.health_listen)), (reviews, health));
    }

    #[tokio::test]
    async fn a_managed_certificate_is_for_all_addresses() {
        let tasks = ClusterTasks { certificates: Some(Arc::default()), ..ClusterTasks::default() };
        let settings = parse(&[]).unwrap().settings(true, tasks).await.unwrap();
        assert_eq!(listed(&settings.listen), "[::]:8443");
    }

    #[rstest]
    #[case("--listen")]
    #[case("--health-listen")]
    #[tokio::test]
    async fn a_name_that_nobody_has_is_told_with_its_flag(#[case] flag: &str) {
        let told = settings(&[flag, "nobody.invalid:8443"], false).await.unwrap_err().to_string();
        assert!(told.starts_with("cannot find the address of nobody.invalid:8443: "), "{told}");
        assert!(told.ends_with(&format!("with {flag}")), "{told}");
    }

    #[test]
    fn refusals_name_a_flag_that_there_is() {
        use clap::CommandFactory;
        let named = parse(&[]).unwrap().webhook().unwrap().memory_setting;
        let serve = Serve::command();
        assert!(serve.get_arguments().any(|argument| argument.get_long() == named.strip_prefix("--")), "{named}");
    }

    #[test]
    fn defaults_are_the_librarys_own() {
        let webhook = parse(&[]).unwrap().webhook().unwrap();
        assert_eq!(webhook.timeouts, RequestTimeouts::default());
        assert_eq!(**webhook.facts.load(), ClusterFacts::default());
    }

    #[rstest]
    #[case(&[], false)]
    #[case(&["--observe"], true)]
    #[case(&["--observe=true"], true)]
    #[case(&["--observe=false"], false)]
    fn only_a_server_that_is_told_to_observes(#[case] arguments: &[&str], #[case] observes: bool) {
        let webhook = parse(arguments).unwrap().webhook().unwrap();
        let body = include_bytes!("../../samples/pi-job.json");
        let facts = webhook.facts.load();
        let context = Context { catalogue: &webhook.catalogue, facts: &facts };
        let reviewed = (webhook.reviewer.review)(body, Route::Annotated, context).unwrap();
        assert_eq!(reviewed.decision, if observes { "would-convert" } else { "converted" });
    }

    #[rstest]
    #[case(Port::Reviews, "--listen")]
    #[case(Port::Health, "--health-listen")]
    fn a_port_that_is_taken_is_told_with_its_flag(#[case] port: Port, #[case] flag: &str) {
        let address = SocketAddr::from(([127, 0, 0, 1], 8443));
        let error = server::Error::Listen { address, port, source: io::ErrorKind::AddrInUse.into() };
        let told = ServeError::from(error).to_string();
        assert!(
            told.contains("127.0.0.1:8443") && told.ends_with(&format!("; choose another address with {flag}")),
            "{told}"
        );
    }

    #[tokio::test]
    async fn no_throw_away_certificate_in_a_cluster() {
        let refused = settings(&[], true).await.unwrap_err().to_string();
        assert!(refused.contains("--tls-cert"), "{refused}");
        let files = ["--tls-cert", "tls.crt", "--tls-key", "tls.key"];
        let settings = settings(&files, true).await.unwrap();
        assert!(matches!(settings.certificate, CertificateSource::Files { .. }));
    }

    #[rstest]
    #[case::half_a_pair(&["--tls-cert", "tls.crt"])]
    #[case::the_other_half(&["--tls-key", "tls.key"])]
    #[case::two_certificates(&["--tls-cert", "c", "--tls-key", "k", "--throwaway-ca", "ca"])]
    #[case::names_without_a_ca(&["--client-name", "kube-apiserver"])]
    #[case::no_version(&["--kubelet-floor", "latest"])]
    #[case::no_port(&["--listen", "localhost"])]
    #[case::no_address(&["--health-listen", ":8080"])]
    #[case::no_time(&["--drain-delay", "soon"])]
    #[case::back_in_time(&["--drain-delay=-5s"])]
    #[case::never(&["--reload-interval", "0s"])]
    #[case::two_sources(&["--certificate-secret", "s", "--tls-cert", "c", "--tls-key", "k"])]
    #[case::too_few(&["--max-connections", "7"])]
    #[case::too_little(&["--large-body-memory", "23Mi"])]
    #[case::no_size(&["--large-body-memory", "much"])]
    #[case::no_bool(&["--cluster-facts", "yes"])]
    fn refused(#[case] arguments: &[&str]) {
        assert!(parse(arguments).is_err());
    }

    #[test]
    fn every_flag_is_an_environment_variable_too() {
        use clap::CommandFactory;
        for argument in Serve::command().get_arguments() {
            let flag = argument.get_long().unwrap();
            let variable = format!("NATIVE_SIDECAR_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().unwrap(), variable.as_str());
        }
    }
}
