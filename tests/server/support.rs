//! What the server tests share: certificates, a running server, and clients that talk to it over real sockets.

#![allow(unreachable_pub, reason = "shared by test programs, of which none is a library")]

use arc_swap::ArcSwap;
use futures::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Body, Bytes},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use native_sidecar::server::{
    BackgroundTasks, CertificateSource, ConnectionSettings, Drain, Error, RequestTimeouts, Server, ServerSettings,
    Stop, Webhook,
};
use native_sidecar_core::catalogue::Catalogue;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use std::{
    error, io,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle, time};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long anything may take that is expected to happen; generous, since machines can be busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// A limit that no test meets, however busy the machine is.
pub const NEVER: Duration = Duration::from_hours(1);

/// Limits of connections that no test meets.
pub const CONNECTIONS: ConnectionSettings = ConnectionSettings {
    max_connections: 1024,
    max_waiting: 1024,
    handshake_timeout: NEVER,
    header_timeout: NEVER,
    idle_timeout: NEVER,
    closing_timeout: NEVER,
    patience: NEVER,
    unread_timeout: NEVER,
};

/// Timeouts that no test meets.
pub const TIMEOUTS: RequestTimeouts =
    RequestTimeouts { memory: NEVER, body: NEVER, answer: NEVER, request: NEVER, review: NEVER };

pub type AnyError = Box<dyn error::Error + Send + Sync>;

/// A CA.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// A server that runs in this process.
pub struct Running {
    pub address: SocketAddr,
    pub health: SocketAddr,
    pub stop: mpsc::Sender<Stop>,
    pub ended: JoinHandle<Result<(), Error>>,
}

/// A client's side of TLS.
#[derive(Clone)]
pub struct Client {
    config: ClientConfig,
}

/// A keep-alive connection.
pub enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

// === impl Authority ===

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn server(&self) -> Pair {
        self.sign("native-sidecar", ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub fn client(&self, common_name: &str) -> Pair {
        self.sign(common_name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, common_name: &str, usage: ExtendedKeyUsagePurpose) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

// === impl Pair ===

impl Pair {
    /// Writes the pair into `folder` as a Secret of type `kubernetes.io/tls` has it.
    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("tls.crt"), &self.certificate).unwrap();
        std::fs::write(folder.join("tls.key"), &self.key).unwrap();
    }

    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

// === impl Running ===

impl Running {
    /// Stops it and waits for its end.
    pub async fn finish(self) -> Result<(), Error> {
        self.stop.send(Stop::WithDelay).await.unwrap();
        soon(self.ended).await.unwrap()
    }

    pub async fn metrics(&self) -> String {
        let (status, body) = get(self.health, "/metrics").await;
        assert_eq!(status, 200);
        body
    }

    /// What a counter or gauge stands at, written as in `name{label="value"}`.
    pub async fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
    }
}

/// Settings for a test: free ports of this machine, no waiting where that is the setting, and no limits.
pub fn settings(certificate: CertificateSource) -> ServerSettings {
    ServerSettings {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        health_listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        certificate,
        trusted: None,
        client_ca: None,
        client_names: Vec::new(),
        reload_interval: Duration::from_millis(20),
        connections: CONNECTIONS,
        drain: Drain { delay: Duration::ZERO, timeout: NEVER },
        background: BackgroundTasks::default(),
    }
}

/// A certificate in files.
pub fn files(folder: &Path) -> CertificateSource {
    CertificateSource::Files { certificate: folder.join("tls.crt"), key: folder.join("tls.key") }
}

pub fn webhook() -> Webhook {
    let webhook = Webhook::new(Arc::new(Catalogue::built_in()), Arc::new(ArcSwap::default()));
    Webhook { timeouts: TIMEOUTS, ..webhook }
}

pub async fn start(settings: ServerSettings) -> Running {
    start_with(settings, webhook()).await
}

pub async fn start_with(settings: ServerSettings, webhook: Webhook) -> Running {
    let server = Server::bind(settings, webhook).await.unwrap();
    let (address, health) = (server.addresses().unwrap()[0], server.health_addresses().unwrap()[0]);
    let (stop, stopped) = mpsc::channel(2);
    Running { address, health, stop, ended: tokio::spawn(server.run(stopped)) }
}

/// A review of a pod whose `sidecar` is to be moved.
pub fn review(uid: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": uid, "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE", "namespace": "default", "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"generateName": "pi-", "annotations": {"native-sidecar.io/containers": "sidecar"},
                             "ownerReferences": [{"kind": "Job", "name": "pi", "controller": true}]},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "pi", "image": "perl"}, {"name": "sidecar", "image": "busybox"}]}
            }
        }
    })
}

/// A POST of a review.
pub fn request(uid: &str) -> Request<Full<Bytes>> {
    post(review(uid).to_string())
}

/// A POST of anything.
pub fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post("https://localhost/mutate?timeout=3s")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

// === impl Client ===

impl Client {
    /// Trusts `ca`, speaks `protocol` (`h2` or `http/1.1`), and shows `identity` if the server asks for one.
    pub fn new(ca: &str, protocol: &str, identity: Option<&Pair>) -> Self {
        Self { config: client_config(ca, protocol, identity) }
    }

    /// The TLS handshake alone.
    pub async fn handshake(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        self.handshake_on(TcpStream::connect(address).await?).await
    }

    /// The TLS handshake alone, on a connection that is there already.
    pub async fn handshake_on(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(self.config.clone())).connect(name, stream).await
    }

    /// A keep-alive connection.
    pub async fn connect(&self, address: SocketAddr) -> Result<Connection, AnyError> {
        Box::pin(self.connect_on(TcpStream::connect(address).await?)).await
    }

    /// The same, on a connection that is there already.
    pub async fn connect_on(&self, stream: TcpStream) -> Result<Connection, AnyError> {
        let stream = self.handshake_on(stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        Ok(if http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Connection::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Connection::Http1(sender)
        })
    }

    /// The certificate that the server shows.
    pub async fn shown(&self, address: SocketAddr) -> CertificateDer<'static> {
        let stream = self.handshake(address).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// One review on a connection of its own.
    pub async fn ask(&self, address: SocketAddr, uid: &str) -> Result<Value, AnyError> {
        let response = self.connect(address).await?.send(request(uid)).await?;
        assert_eq!(response.status(), 200);
        Ok(serde_json::from_str(&text(response).await?)?)
    }
}

// === impl Connection ===

impl Connection {
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<hyper::body::Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// What sends `request` when it is polled; the connection stays for more.
    #[allow(clippy::needless_pass_by_ref_mut, reason = "HTTP/1.1 takes one request at a time")]
    pub fn send_later(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = hyper::Result<Response<hyper::body::Incoming>>> + use<> {
        match self {
            Self::Http1(sender) => sender.send_request(request).boxed(),
            Self::Http2(sender) => sender.send_request(request).boxed(),
        }
    }

    /// Whether the server has announced that it will close.
    pub async fn is_let_go(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_err(),
            Self::Http2(sender) => sender.ready().await.is_err(),
        }
    }
}

pub async fn text<B: Body<Error: Into<AnyError>>>(response: Response<B>) -> Result<String, AnyError> {
    let bytes = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec())?)
}

/// A plain HTTP request to the second port.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").body(Full::<Bytes>::default()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    (response.status().as_u16(), text(response).await.unwrap())
}

/// Waits for what should not take long.
pub async fn soon<F: Future>(future: F) -> F::Output {
    time::timeout(PATIENCE, future).await.expect("this should have ended long ago")
}

/// Tries again until `holds` holds.
pub async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    soon(async {
        while !holds().await {
            time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Waits until a program has ended by itself.
pub async fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    eventually(async || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    status.unwrap()
}

/// Sends a program a signal, called as `kill` calls it.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A client's side of TLS: trusts all of `ca`, speaks `protocol`, and shows `identity` if the server asks for one.
pub fn client_config(ca: &str, protocol: &str, identity: Option<&Pair>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca.as_bytes()).map(Result::unwrap));
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![pair.der()], key).unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config
}
