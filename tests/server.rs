//! The server over real sockets: TLS, certificates that change, limits, health, and shutdown.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "server/support.rs"]
mod support;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use native_sidecar::server::{
    BackgroundTasks, CertificateSource, CertificateStore, ConnectionSettings, Drain, Error, LargeBodyMemory,
    MemoryBudget, Phase, Port, RequestTimeouts, Reviewer, Server, ServerSettings, Stop, Webhook,
};
use rstest::rstest;
use rustls::NamedGroup;
use std::{
    fs, future,
    io::{BufRead, BufReader, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use support::{
    AnyError, Authority, CONNECTIONS, Client, Connection, NEVER, Pair, TIMEOUTS, eventually, files, get, request,
    settings, soon, start, start_with,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// A folder with the certificate of a CA.
fn certified() -> (Authority, TempDir) {
    let (ca, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    ca.server().write(folder.path());
    (ca, folder)
}

// === TLS ===

#[rstest]
#[case::http1("http/1.1")]
#[case::http2("h2")]
#[tokio::test]
async fn reviews_are_answered(#[case] protocol: &str) {
    let (ca, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    let client = Client::new(&ca.pem(), protocol, None);
    let answer = client.ask(server.address, "u-7").await.unwrap();
    assert_eq!(answer["response"]["uid"], "u-7");
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    assert_eq!(server.metric(r#"native_sidecar_reviews_total{decision="converted"}"#).await, 1);
    server.finish().await.unwrap();
}

#[tokio::test]
async fn key_exchange_is_post_quantum() {
    let (ca, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    let stream = Client::new(&ca.pem(), "http/1.1", None).handshake(server.address).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn a_throw_away_certificate_is_made_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    let server = start(settings(CertificateSource::Throwaway { ca: Some(ca.clone()) })).await;
    let client = Client::new(&fs::read_to_string(ca).unwrap(), "http/1.1", None);
    client.ask(server.address, "u-1").await.unwrap();
}

/// What somebody who tries the webhook out has at hand.
#[rstest]
#[case::http1("--http1.1", "1.1")]
#[case::http2("--http2", "2")]
#[case::tls12("--tls-max=1.2", "2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_is_a_client(#[case] option: &str, #[case] version: &str) {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    let server = start(settings(CertificateSource::Throwaway { ca: Some(ca.clone()) })).await;
    let body = folder.path().join("review.json");
    fs::write(&body, support::review("u-curl").to_string()).unwrap();
    let option: Vec<_> = option.split('=').collect();
    let shown = curl(&option, &ca, &body, server.address);
    assert!(shown.ends_with(&format!("\n{version} 200")), "{shown}");
    assert!(shown.contains(r#""uid":"u-curl""#), "{shown}");

    fs::write(&body, vec![b' '; 9 * 1024 * 1024]).unwrap();
    let shown = curl(&option, &ca, &body, server.address);
    assert!(shown.ends_with(&format!("\n{version} 413")), "{shown}");
    assert!(shown.contains("larger than 8388608 bytes"), "{shown}");
}

fn curl(options: &[&str], ca: &Path, body: &Path, address: SocketAddr) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "120", "--noproxy", "*"])
        .args(["--header", "Content-Type: application/json", "--write-out", "\n%{http_version} %{http_code}"])
        .args(options)
        .arg("--cacert")
        .arg(ca)
        .arg("--data-binary")
        .arg(format!("@{}", body.display()))
        .arg(format!("https://localhost:{}/mutate", address.port()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

// === Certificates ===

/// A Secret's volume as the kubelet writes it: `tls.crt -> ..data/tls.crt`, `..data -> ..1/`.
struct SecretVolume {
    folder: TempDir,
    version: usize,
}

impl SecretVolume {
    fn new(pair: &Pair) -> Self {
        let mut volume = Self { folder: tempfile::tempdir().unwrap(), version: 0 };
        volume.update(pair);
        for file in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(file), volume.path().join(file)).unwrap();
        }
        volume
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The new version beside the old, then one rename, then the old one is removed.
    fn update(&mut self, pair: &Pair) {
        let (old, new) = (self.version_path(), {
            self.version += 1;
            self.version_path()
        });
        fs::create_dir(&new).unwrap();
        pair.write(&new);
        symlink(new.file_name().unwrap(), self.path().join("..data_tmp")).unwrap();
        fs::rename(self.path().join("..data_tmp"), self.path().join("..data")).unwrap();
        let _ = fs::remove_dir_all(old);
    }

    fn version_path(&self) -> PathBuf {
        self.path().join(format!("..{}", self.version))
    }
}

const RELOAD_FAILURES: &str = "native_sidecar_certificate_reload_failures_total";

#[tokio::test]
async fn a_renewed_secret_is_served_without_a_restart() {
    let ca = Authority::new();
    let (first, second) = (ca.server(), ca.server());
    let mut volume = SecretVolume::new(&first);
    let server = start(settings(files(volume.path()))).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);
    assert_eq!(client.shown(server.address).await, first.der());
    let mut open = client.connect(server.address).await.unwrap();

    volume.update(&second);
    eventually(async || client.shown(server.address).await == second.der()).await;
    assert_eq!(server.metric(RELOAD_FAILURES).await, 0);
    // A connection from before the renewal goes on.
    assert_eq!(open.send(request("u-1")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_bad_pair_keeps_the_one_before_and_is_counted_once() {
    let ca = Authority::new();
    let (first, second) = (ca.server(), ca.server());
    let mut volume = SecretVolume::new(&first);
    let server = start(settings(files(volume.path()))).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);

    volume.update(&Pair { key: first.key.clone(), ..second.clone() });
    eventually(async || server.metric(RELOAD_FAILURES).await >= 1).await;
    assert_eq!(client.shown(server.address).await, first.der());
    assert_eq!(get(server.health, "/readyz").await.0, 200);

    fs::remove_file(volume.path().join("tls.key")).unwrap();
    eventually(async || server.metric(RELOAD_FAILURES).await >= 2).await;
    assert_eq!(client.shown(server.address).await, first.der());

    symlink("..data/tls.key", volume.path().join("tls.key")).unwrap();
    volume.update(&second);
    eventually(async || client.shown(server.address).await == second.der()).await;
    // The files were looked at many times meanwhile.
    assert_eq!(server.metric(RELOAD_FAILURES).await, 2);
}

#[rstest]
#[case::mismatch("tls.key", Some(Authority::new().server().key), "does not belong")]
#[case::garbage("tls.crt", Some("no certificate".to_owned()), "PEM block `CERTIFICATE`")]
#[case::missing("tls.key", None, "tls.key: No such file")]
#[tokio::test]
async fn a_bad_first_pair_is_told_in_one_line(
    #[case] file: &str,
    #[case] content: Option<String>,
    #[case] expected: &str,
) {
    let (_, folder) = certified();
    let file = folder.path().join(file);
    content.map_or_else(|| fs::remove_file(&file), |content| fs::write(&file, content)).unwrap();
    let error = Server::bind(settings(files(folder.path())), support::webhook()).await.unwrap_err().to_string();
    assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let (_, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    let taken = ServerSettings { health_listen: vec![server.health], ..settings(files(folder.path())) };
    let error = Server::bind(taken, support::webhook()).await.unwrap_err();
    let told = error.to_string();
    assert!(told.starts_with(&format!("cannot listen on {} for health and metrics: ", server.health)), "{told}");
    assert!(matches!(error, Error::Listen { port: Port::Health, .. }), "{error:?}");
}

#[tokio::test]
async fn a_given_certificate_makes_the_server_ready() {
    let (ca, store) = (Authority::new(), Arc::new(CertificateStore::new()));
    let server = start(settings(CertificateSource::Given(Arc::clone(&store)))).await;
    let client = Client::new(&ca.pem(), "h2", None);
    let (status, reason) = get(server.health, "/readyz").await;
    assert_eq!((status, reason.as_str()), (503, "there is no serving certificate yet\n"));
    assert_eq!(server.metric("native_sidecar_ready").await, 0);
    assert!(client.handshake(server.address).await.is_err());
    assert!(server.metrics().await.contains("certificate_expiry_timestamp_seconds NaN"));

    let pair = ca.server();
    store.install(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap();
    assert_eq!(get(server.health, "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.metric("native_sidecar_ready").await, 1);
    client.ask(server.address, "u-1").await.unwrap();
    let expiry = store.expiry().unwrap().as_second();
    let line = format!("native_sidecar_certificate_expiry_timestamp_seconds {expiry}.0\n");
    assert!(server.metrics().await.contains(&line), "{line}");
}

// === Clients ===

#[tokio::test]
async fn only_clients_of_the_ca_get_in() {
    let (ca, folder) = certified();
    let (clients, others) = (Authority::new(), Authority::new());
    let bundle = folder.path().join("clients.crt");
    fs::write(&bundle, clients.pem()).unwrap();
    let settings = ServerSettings { client_ca: Some(bundle.clone()), ..settings(files(folder.path())) };
    let server = start(settings).await;
    let ask = async |identity: Option<&Pair>| {
        let client = Client::new(&ca.pem(), "http/1.1", identity);
        Box::pin(client.ask(server.address, "u-1")).await.is_ok()
    };
    let (known, other) = (clients.client("kube-apiserver"), others.client("kube-apiserver"));
    assert!(ask(Some(&known)).await);
    assert!(!ask(None).await);
    assert!(!ask(Some(&other)).await);
    eventually(async || server.metric("native_sidecar_tls_handshake_failures_total").await >= 2).await;

    // The CA is replaced: who was known is no longer, who was not is.
    fs::write(&bundle, others.pem()).unwrap();
    eventually(async || ask(Some(&other)).await).await;
    assert!(!ask(Some(&known)).await);

    fs::write(&bundle, "no CA").unwrap();
    eventually(async || server.metric(RELOAD_FAILURES).await >= 1).await;
    assert!(ask(Some(&other)).await);
    assert!(!ask(None).await);
}

#[tokio::test]
async fn only_clients_with_a_listed_name_get_in() {
    let (ca, folder) = certified();
    let clients = Authority::new();
    let bundle = folder.path().join("clients.crt");
    fs::write(&bundle, clients.pem()).unwrap();
    let client_names = vec!["kube-apiserver".to_owned()];
    let server =
        start(ServerSettings { client_ca: Some(bundle), client_names, ..settings(files(folder.path())) }).await;
    let ask = async |name: &str| {
        Client::new(&ca.pem(), "h2", Some(&clients.client(name))).ask(server.address, "u-1").await.is_ok()
    };
    assert!(ask("kube-apiserver").await);
    assert!(!ask("kubelet").await);
}

// === Limits ===

/// A limit that a test waits for.
const SHORT: Duration = Duration::from_millis(50);

/// As much of a body as makes it a large one.
const BEGINNING: usize = 64 * 1024 + 1;

/// Sends the first [`BEGINNING`] bytes of a body of `length`, and waits until the server has seen them.
async fn begin_large_request(stream: &mut TlsStream<TcpStream>, server: &support::Running, length: usize) {
    let head = format!("POST /mutate HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; BEGINNING]).await.unwrap();
    eventually(async || server.metric("native_sidecar_large_bodies_bytes").await > 0).await;
}

fn limited(folder: &Path, connections: ConnectionSettings) -> ServerSettings {
    ServerSettings { connections, ..settings(files(folder)) }
}

#[tokio::test]
async fn a_client_that_never_begins_tls_is_dropped() {
    let (_, folder) = certified();
    let connections = ConnectionSettings { handshake_timeout: SHORT, ..CONNECTIONS };
    let server = start(limited(folder.path(), connections)).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let read = soon(stream.read(&mut [0; 64])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    eventually(async || server.metric("native_sidecar_tls_handshake_failures_total").await == 1).await;
}

#[rstest]
#[case::nothing("")]
#[case::half_a_header("POST /mutate HTTP/1.1\r\nhost: loc")]
#[case::half_a_preface("PRI * HTTP")]
#[tokio::test]
async fn a_client_that_never_ends_its_headers_is_dropped(#[case] sent: &str) {
    let (ca, folder) = certified();
    let connections = ConnectionSettings { header_timeout: SHORT, ..CONNECTIONS };
    let server = start(limited(folder.path(), connections)).await;
    let mut stream = Client::new(&ca.pem(), "http/1.1", None).handshake(server.address).await.unwrap();
    // On a busy machine the connection may have ended before this.
    let _ = stream.write_all(sent.as_bytes()).await;
    let mut answer = Vec::new();
    let ended = soon(stream.read_to_end(&mut answer)).await.map_err(|error| error.kind());
    let closed = matches!(ended, Ok(_) | Err(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset));
    assert!(closed && answer.is_empty(), "{ended:?} {}", String::from_utf8_lossy(&answer));
}

/// The limit for headers is for the first request; between requests the API server may take its time.
#[tokio::test]
async fn an_idle_connection_is_kept_until_its_own_limit() {
    let (ca, folder) = certified();
    let connections = ConnectionSettings { header_timeout: SHORT, ..CONNECTIONS };
    let server = start(limited(folder.path(), connections)).await;
    let mut connection = first_answered(&ca, &server, "http/1.1").await;
    // Another one, of which no request comes, meets the limit meanwhile.
    let mut other = Client::new(&ca.pem(), "http/1.1", None).handshake(server.address).await.unwrap();
    let ended = soon(other.read(&mut [0; 1])).await.map_err(|error| error.kind());
    assert!(matches!(ended, Ok(0) | Err(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)), "{ended:?}");
    assert_eq!(connection.send(request("u-2")).await.unwrap().status(), 200);

    let connections = ConnectionSettings { idle_timeout: SHORT, ..CONNECTIONS };
    let server = start(limited(folder.path(), connections)).await;
    let mut connection = first_answered(&ca, &server, "http/1.1").await;
    eventually(async || connection.is_let_go().await).await;
}

/// A connection on which one request was answered. Tried again, since with short limits a busy machine may be
/// too slow for the first.
async fn first_answered(ca: &Authority, server: &support::Running, protocol: &str) -> Connection {
    let client = Client::new(&ca.pem(), protocol, None);
    soon(async {
        loop {
            let mut connection = client.connect(server.address).await.unwrap();
            if let Ok(response) = connection.send(request("u-1")).await {
                support::text(response).await.unwrap();
                return connection;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused() {
    let (ca, folder) = certified();
    let timeouts = RequestTimeouts { body: SHORT, ..TIMEOUTS };
    let webhook = Webhook { timeouts, ..support::webhook() };
    let server = start_with(settings(files(folder.path())), webhook).await;
    let mut stream = Client::new(&ca.pem(), "http/1.1", None).handshake(server.address).await.unwrap();
    stream.write_all(b"POST /mutate HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    let mut answer = [0; 512];
    let length = soon(stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("did not arrive in time"), "{answer}");
}

/// A review of `size` bytes, most of them in one text of the pod.
fn large_review(uid: &str, size: usize) -> String {
    let mut review = support::review(uid);
    let length = review.to_string().len();
    review["request"]["object"]["metadata"]["annotations"]["note"] = "x".repeat(size - length - 10).into();
    review.to_string()
}

/// There is memory for two of them at a time; the others wait.
#[rstest]
#[case::http1("http/1.1")]
#[case::http2("h2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_bodies_at_once_are_all_answered(#[case] protocol: &str) {
    let (ca, folder) = certified();
    let memory = MemoryBudget::new(LargeBodyMemory::mebibytes(48).unwrap());
    let server = start_with(settings(files(folder.path())), Webhook { memory, ..support::webhook() }).await;
    let client = Client::new(&ca.pem(), protocol, None);
    let body = large_review("u-large", 8 * 1024 * 1024 - 100);
    let send_large = async |client: Client, address, body| {
        let mut connection = client.connect(address).await?;
        let response = connection.send(support::post(body)).await?;
        Ok::<_, AnyError>((response.status().as_u16(), support::text(response).await?))
    };
    let large: Vec<_> =
        (0..6).map(|_| tokio::spawn(send_large(client.clone(), server.address, body.clone()))).collect();
    // Small ones do not wait for the memory of large ones.
    while !large.iter().all(tokio::task::JoinHandle::is_finished) {
        soon(client.ask(server.address, "u-small")).await.unwrap();
    }
    for answer in large {
        let (status, answer) = answer.await.unwrap().unwrap();
        assert!(status == 200 && answer.contains("u-large"), "{status} {answer}");
    }
    assert_eq!(server.metric("native_sidecar_large_bodies_bytes").await, 0);
}

#[rstest]
#[case::declared("content-length: 8000000", " ".repeat(BEGINNING))]
#[case::not_declared("transfer-encoding: chunked", format!("{BEGINNING:x}\r\n{}", " ".repeat(BEGINNING)))]
#[tokio::test]
async fn without_memory_a_large_body_is_refused_and_a_small_one_is_not(
    #[case] length: &str,
    #[case] beginning: String,
) {
    let (ca, folder) = certified();
    let timeouts = RequestTimeouts { memory: SHORT, ..TIMEOUTS };
    // One body of the largest size.
    let memory = MemoryBudget::new(LargeBodyMemory::mebibytes(24).unwrap());
    let webhook = Webhook { memory, memory_setting: "--the-setting", timeouts, ..support::webhook() };
    let server = start_with(settings(files(folder.path())), webhook).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);
    let mut slow = client.handshake(server.address).await.unwrap();
    slow.write_all(format!("POST /mutate HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n").as_bytes()).await.unwrap();
    slow.write_all(beginning.as_bytes()).await.unwrap();
    eventually(async || server.metric("native_sidecar_large_bodies_bytes").await > 7_000_000).await;

    let mut other = client.connect(server.address).await.unwrap();
    let refused = other.send(support::post(large_review("u-large", 4 * 1024 * 1024))).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(support::text(refused).await.unwrap().ends_with("or give more --the-setting\n"));
    assert_eq!(server.metric(r#"native_sidecar_http_errors_total{status="503"}"#).await, 1);
    client.ask(server.address, "u-small").await.unwrap();

    drop(slow);
    eventually(async || server.metric("native_sidecar_large_bodies_bytes").await == 0).await;
    let mut other = client.connect(server.address).await.unwrap();
    let answered = other.send(support::post(large_review("u-large", 4 * 1024 * 1024))).await.unwrap();
    assert_eq!(answered.status(), 200);
}

/// Few bytes can take much memory: each of these would be a value of its own.
#[tokio::test]
async fn a_body_that_is_dear_to_review_is_refused() {
    let (ca, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    let mut connection = Client::new(&ca.pem(), "h2", None).connect(server.address).await.unwrap();
    let mut review = support::review("u-1");
    review["request"]["object"]["spec"]["extra"] = vec![serde_json::json!({}); 2_000_000].into();
    let refused = connection.send(support::post(review.to_string())).await.unwrap();
    assert_eq!(refused.status(), 413);
    assert!(support::text(refused).await.unwrap().contains("more memory than memory for large bodies allows"));
}

/// All that a client may send the API server, made of the smallest things that a pod has.
#[tokio::test]
async fn a_pod_of_three_million_bytes_is_converted() {
    let (ca, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    let mut connection = Client::new(&ca.pem(), "http/1.1", None).connect(server.address).await.unwrap();
    let mut review = support::review("u-1");
    let env = (0..100_000).map(|number| serde_json::json!({"name": format!("V{number}"), "value": "b"}));
    review["request"]["object"]["spec"]["containers"][0]["env"] = env.collect();
    let body = review.to_string();
    assert!(body.len() > 2_900_000, "{}", body.len());
    let answer = connection.send(support::post(body)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(support::text(answer).await.unwrap().contains("\"patch\":"));
}

#[tokio::test]
async fn when_there_are_too_many_connections_idle_ones_are_closed() {
    let (ca, folder) = certified();
    let connections = ConnectionSettings { max_connections: 3, ..CONNECTIONS };
    let server = start(limited(folder.path(), connections)).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);
    let mut idle = first_answered(&ca, &server, "h2").await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut busy = client.handshake(server.address).await.unwrap();
    begin_large_request(&mut busy, &server, 100_000).await;

    client.ask(server.address, "u-1").await.unwrap();
    client.ask(server.address, "u-2").await.unwrap();
    eventually(async || idle.is_let_go().await).await;
    eventually(async || server.metric("native_sidecar_connections_evicted_total").await >= 1).await;
    busy.write_all(&vec![b' '; 100_000 - BEGINNING]).await.unwrap();
    let mut answer = [0; 12];
    soon(busy.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    drop(silent);
}

#[tokio::test]
async fn health_is_answered_while_all_connections_are_taken() {
    let (ca, folder) = certified();
    let connections = ConnectionSettings { max_connections: 2, patience: SHORT, ..CONNECTIONS };
    let server = start(limited(folder.path(), connections)).await;
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push((
            TcpStream::connect(server.address).await.unwrap(),
            TcpStream::connect(server.health).await.unwrap(),
        ));
    }
    assert_eq!(soon(get(server.health, "/readyz")).await.0, 200);
    soon(Client::new(&ca.pem(), "h2", None).ask(server.address, "u-1")).await.unwrap();
}

/// Its connection is ended, and with it what its answer holds.
#[tokio::test]
async fn a_client_that_does_not_take_a_large_answer_is_let_go() {
    let (ca, folder) = certified();
    let timeouts = RequestTimeouts { answer: SHORT, ..TIMEOUTS };
    let webhook = Webhook { timeouts, ..support::webhook() };
    let server = start_with(settings(files(folder.path())), webhook).await;
    let stream = Client::new(&ca.pem(), "h2", None).handshake(server.address).await.unwrap();
    let mut narrow = http2::Builder::new(TokioExecutor::new());
    narrow.initial_stream_window_size(1024);
    let (sender, driver) = narrow.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    let mut connection = Connection::Http2(sender);
    let mut review = support::review("u-1");
    let names: Vec<_> = (0..990).map(|index| format!("n{index}")).collect();
    review["request"]["object"]["metadata"]["annotations"]["native-sidecar.io/containers"] = names.join(",").into();
    let containers = review["request"]["object"]["spec"]["containers"].as_array_mut().unwrap();
    containers.extend(names.iter().map(|name| serde_json::json!({"name": name, "image": "busybox"})));
    let _untaken = connection.send(support::post(review.to_string())).await.unwrap();
    eventually(async || server.metric("native_sidecar_connections_evicted_total").await == 1).await;
    eventually(async || connection.is_let_go().await).await;
}

#[tokio::test]
async fn a_panic_costs_nobody_else_an_answer() {
    let (ca, folder) = certified();
    let reviewer = Reviewer {
        review: |body, route, context| {
            assert!(!String::from_utf8_lossy(body).contains("u-bad"), "a bug");
            (Reviewer::default().review)(body, route, context)
        },
        ..Reviewer::default()
    };
    let server = start_with(settings(files(folder.path())), Webhook { reviewer, ..support::webhook() }).await;
    let mut connection = Client::new(&ca.pem(), "http/1.1", None).connect(server.address).await.unwrap();
    for (uid, patched) in [("u-1", true), ("u-bad", false), ("u-2", true)] {
        let answer = support::text(connection.send(request(uid)).await.unwrap()).await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["response"]["uid"], uid);
        assert_eq!(answer["response"]["allowed"], true);
        assert_eq!(answer["response"]["patch"].is_string(), patched);
    }
    assert_eq!(server.metric("native_sidecar_panics_total").await, 1);
    assert_eq!(server.metric("native_sidecar_reviews_in_flight").await, 0);
}

// === Bugs ===

/// Pods whose review goes on for ever, until they are named here.
static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Ends the review of a pod when dropped, so that the test's runtime can end.
struct Endless(&'static str);

impl Drop for Endless {
    fn drop(&mut self) {
        ENDED.lock().unwrap().push(self.0.to_owned());
    }
}

/// A webhook with a bug: the review of a request whose uid begins with `endless-` does not end.
fn endless_webhook() -> Webhook {
    let reviewer = Reviewer {
        review: |body, route, context| {
            let review: serde_json::Value = serde_json::from_slice(body).unwrap();
            let uid = review["request"]["uid"].as_str().unwrap();
            // It holds its thread as a loop would, and leaves the processor to other tests.
            while uid.starts_with("endless-") && !ENDED.lock().unwrap().iter().any(|ended| uid.starts_with(ended)) {
                thread::sleep(Duration::from_millis(1));
            }
            (Reviewer::default().review)(body, route, context)
        },
        ..Reviewer::default()
    };
    let timeouts = RequestTimeouts { review: Duration::from_millis(200), ..TIMEOUTS };
    Webhook { reviewer, timeouts, ..support::webhook() }
}

#[rstest]
#[case::http1("http/1.1", "endless-http1")]
#[case::http2("h2", "endless-http2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_that_does_not_end_fails_livez_and_nothing_else(#[case] protocol: &str, #[case] uid: &'static str) {
    let (ca, folder) = certified();
    let server = start_with(settings(files(folder.path())), endless_webhook()).await;
    let client = Client::new(&ca.pem(), protocol, None);
    assert_eq!(get(server.health, "/livez").await, (200, "ok\n".to_owned()));
    let endless = Endless(uid);
    let mut connection = client.connect(server.address).await.unwrap();
    let asked = tokio::spawn(connection.send_later(request(uid)));

    eventually(async || get(server.health, "/livez").await.0 == 503).await;
    let (_, reason) = get(server.health, "/livez").await;
    assert_eq!(
        reason,
        "reviews that have run for more than 0.2 s because of a bug: 1; the log says for which requests\n"
    );
    assert_eq!(get(server.health, "/readyz").await.0, 200);
    assert_eq!(server.metric("native_sidecar_reviews_in_flight").await, 1);
    assert_eq!(server.metric("native_sidecar_reviews_endless").await, 1);
    soon(client.ask(server.address, "u-1")).await.unwrap();
    if protocol == "h2" {
        assert_eq!(soon(connection.send(request("u-2"))).await.unwrap().status(), 200);
    }

    drop(endless);
    assert_eq!(soon(asked).await.unwrap().unwrap().status(), 200);
    eventually(async || get(server.health, "/livez").await.0 == 200).await;
    assert_eq!(server.metric("native_sidecar_reviews_endless").await, 0);
}

/// The first takes one of the two workers; more of them do not take the other.
#[rstest]
#[case::http1("http/1.1", "endless-many-http1")]
#[case::http2("h2", "endless-many-http2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reviews_that_do_not_end_leave_a_worker(#[case] protocol: &str, #[case] uid: &'static str) {
    let (ca, folder) = certified();
    let server = start_with(settings(files(folder.path())), endless_webhook()).await;
    let client = Client::new(&ca.pem(), protocol, None);
    let endless = Endless(uid);
    let mut asked = Vec::new();
    for number in 1..=5 {
        let mut connection = client.connect(server.address).await.unwrap();
        asked.push(tokio::spawn(connection.send_later(request(&format!("{uid}-{number}")))));
        eventually(async || server.metric("native_sidecar_reviews_endless").await == number).await;
    }
    soon(client.ask(server.address, "u-1")).await.unwrap();
    assert_eq!(get(server.health, "/readyz").await.0, 200);
    drop(endless);
    for answer in asked {
        assert_eq!(soon(answer).await.unwrap().unwrap().status(), 200);
    }
}

#[rstest]
#[case::ended(false, "the background task keeper ended, so the server stopped")]
#[case::panicked(true, "the background task keeper failed: task ")]
#[tokio::test]
async fn the_end_of_a_background_task_ends_the_server_in_order(#[case] panics: bool, #[case] expected: &str) {
    let (ca, folder) = certified();
    let (end, told) = tokio::sync::oneshot::channel::<()>();
    let mut background = BackgroundTasks::default();
    background.spawn("surveyor", future::pending());
    background.spawn("keeper", async move {
        told.await.unwrap();
        assert!(!panics, "a bug");
    });
    let server = start(ServerSettings { background, ..settings(files(folder.path())) }).await;
    for task in ["keeper", "surveyor", "file-watch", "listener", "health"] {
        let failures = format!("native_sidecar_task_failures_total{{task=\"{task}\"}}");
        assert_eq!(server.metric(&failures).await, 0);
    }
    // A request under way, which the server waits for.
    let mut stream = Client::new(&ca.pem(), "http/1.1", None).handshake(server.address).await.unwrap();
    begin_large_request(&mut stream, &server, 100_000).await;

    end.send(()).unwrap();
    eventually(async || get(server.health, "/readyz").await.0 == 503).await;
    assert_eq!(server.metric(r#"native_sidecar_task_failures_total{task="keeper"}"#).await, 1);
    assert_eq!(server.metric(r#"native_sidecar_task_failures_total{task="surveyor"}"#).await, 0);
    stream.write_all(&vec![b' '; 100_000 - BEGINNING]).await.unwrap();
    let mut answer = [0; 12];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    let error = soon(server.ended).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Task(_)), "{error:?}");
    let told = error.to_string();
    assert!(told.starts_with(expected) && told.lines().count() == 1, "{told}");
}

// === Health ===

#[tokio::test]
async fn the_second_port_serves_health_and_metrics() {
    let (_, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    assert_eq!(get(server.health, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(get(server.health, "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(server.health, "/mutate").await.0, 404);
    assert_eq!(server.metric("native_sidecar_ready").await, 1);
    assert!(server.metrics().await.ends_with("# EOF\n"));
}

// === Shutdown ===

/// What clients saw that kept sending.
#[derive(Default)]
struct Traffic {
    stop: AtomicBool,
    answers: AtomicUsize,
    connections: AtomicUsize,
}

/// Sends reviews one after the other over one connection for as long as the server keeps it, then over the next.
/// Every request that was sent must be answered.
async fn keep_sending(client: Client, address: SocketAddr, traffic: Arc<Traffic>) -> Result<(), AnyError> {
    while !traffic.stop.load(Ordering::Relaxed) {
        let mut connection = client.connect(address).await?;
        traffic.connections.fetch_add(1, Ordering::Relaxed);
        while !traffic.stop.load(Ordering::Relaxed) && !connection.is_let_go().await {
            if send_or_give_back(&mut connection).await? {
                traffic.answers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// Whether a request was answered; not, where the connection said before it was sent that it takes no more.
async fn send_or_give_back(connection: &mut Connection) -> Result<bool, AnyError> {
    let sent = match connection {
        Connection::Http1(sender) => sender.try_send_request(request("u-1")).await,
        Connection::Http2(sender) => sender.try_send_request(request("u-1")).await,
    };
    match sent {
        Ok(response) => {
            assert_eq!(response.status(), 200);
            support::text(response).await?;
            Ok(true)
        }
        Err(mut error) => match error.take_message() {
            Some(_) => Ok(false),
            None => Err(error.into_error().into()),
        },
    }
}

#[rstest]
#[case::http1("http/1.1")]
#[case::http2("h2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_the_server_drains(#[case] protocol: &str) {
    let (ca, folder) = certified();
    let webhook = support::webhook();
    let lifecycle = webhook.lifecycle.clone();
    let server = start_with(settings(files(folder.path())), webhook).await;
    let traffic = Arc::new(Traffic::default());
    let client = Client::new(&ca.pem(), protocol, None);
    let clients = [(); 2].map(|()| tokio::spawn(keep_sending(client.clone(), server.address, Arc::clone(&traffic))));
    eventually(async || traffic.answers.load(Ordering::Relaxed) > 20).await;
    assert_eq!(traffic.connections.load(Ordering::Relaxed), 2, "keep-alive does not work");

    // As when told to stop, but for as long as this takes.
    lifecycle.advance(Phase::Draining);
    assert_eq!(get(server.health, "/readyz").await.0, 503);
    // Endpoints are updated some time later; until then requests keep coming, over new connections too: both clients
    // have made one at least.
    eventually(async || traffic.connections.load(Ordering::Relaxed) >= 4).await;
    traffic.stop.store(true, Ordering::Relaxed);
    for client in clients {
        soon(client).await.unwrap().unwrap();
    }
    assert_eq!(get(server.health, "/livez").await.0, 200);
    let address = server.address;
    server.finish().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// A client that has connected, or sent half a request, when the server closes still gets its answer.
#[rstest]
#[case::connected(0)]
#[case::half_sent(40)]
#[tokio::test]
async fn what_has_begun_is_finished(#[case] sent: usize) {
    let (ca, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    let mut stream = Client::new(&ca.pem(), "http/1.1", None).handshake(server.address).await.unwrap();
    let review = support::review("u-1").to_string();
    let request =
        format!("POST /mutate HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{review}", review.len());
    stream.write_all(&request.as_bytes()[..sent]).await.unwrap();

    server.stop.send(Stop::WithDelay).await.unwrap();
    eventually(async || TcpStream::connect(server.address).await.is_err()).await;
    stream.write_all(&request.as_bytes()[sent..]).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close\r\n"), "{answer}");
    soon(server.ended).await.unwrap().unwrap();
}

/// The answer says it to HTTP/1.1; HTTP/2 has frames for that.
#[rstest]
#[case::http1("http/1.1", true)]
#[case::http2("h2", false)]
#[tokio::test]
async fn a_draining_server_asks_clients_to_let_go(#[case] protocol: &str, #[case] asked: bool) {
    let (ca, folder) = certified();
    let drain = Drain { delay: NEVER, timeout: NEVER };
    let server = start(ServerSettings { drain, ..settings(files(folder.path())) }).await;
    let answered = async || {
        let client = Client::new(&ca.pem(), protocol, None);
        client.connect(server.address).await.unwrap().send(request("u-1")).await.unwrap()
    };
    assert!(!answered().await.headers().contains_key("connection"));
    server.stop.send(Stop::WithDelay).await.unwrap();
    eventually(async || get(server.health, "/readyz").await.0 == 503).await;
    assert_eq!(answered().await.headers().contains_key("connection"), asked);
}

/// Idle connections of the API server must not keep a pod from ending.
#[rstest]
#[case::http1("http/1.1")]
#[case::http2("h2")]
#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end(#[case] protocol: &str) {
    let (ca, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    let mut connection = first_answered(&ca, &server, protocol).await;
    server.finish().await.unwrap();
    eventually(async || connection.is_let_go().await).await;
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let (ca, folder) = certified();
    let drain = Drain { delay: Duration::ZERO, timeout: SHORT };
    let server = start(ServerSettings { drain, ..settings(files(folder.path())) }).await;
    let mut stream = Client::new(&ca.pem(), "http/1.1", None).handshake(server.address).await.unwrap();
    begin_large_request(&mut stream, &server, 100_000).await;
    server.finish().await.unwrap();
    let mut answer = Vec::new();
    let ended = soon(stream.read_to_end(&mut answer)).await.map_err(|error| error.kind());
    let cut_off = matches!(ended, Ok(_) | Err(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset));
    assert!(cut_off && answer.is_empty(), "{ended:?} {}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn told_twice_it_ends_at_once() {
    let (_, folder) = certified();
    let drain = Drain { delay: NEVER, timeout: NEVER };
    let server = start(ServerSettings { drain, ..settings(files(folder.path())) }).await;
    server.stop.send(Stop::WithDelay).await.unwrap();
    eventually(async || get(server.health, "/readyz").await.0 == 503).await;
    server.stop.send(Stop::WithDelay).await.unwrap();
    assert!(matches!(soon(server.ended).await.unwrap(), Err(Error::CutShort)));
    eventually(async || TcpStream::connect(server.address).await.is_err()).await;
}

#[tokio::test]
async fn told_not_to_wait_it_ends_without_the_delay() {
    let (ca, folder) = certified();
    let drain = Drain { delay: NEVER, timeout: NEVER };
    let server = start(ServerSettings { drain, ..settings(files(folder.path())) }).await;
    let mut connection = Client::new(&ca.pem(), "http/1.1", None).connect(server.address).await.unwrap();
    assert_eq!(connection.send(support::post("{}")).await.unwrap().status(), 400);
    server.stop.send(Stop::WithoutDelay).await.unwrap();
    soon(server.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn several_addresses_are_served_alike() {
    let (ca, folder) = certified();
    let loopbacks = ["127.0.0.1:0", "127.0.0.2:0"].map(|address| address.parse().unwrap());
    let listen = ServerSettings {
        listen: loopbacks.to_vec(),
        health_listen: loopbacks.to_vec(),
        ..settings(files(folder.path()))
    };
    let server = start(listen).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);
    for loopback in loopbacks.map(|address| address.ip()) {
        assert_eq!(get(SocketAddr::new(loopback, server.health.port()), "/readyz").await.0, 200);
        client.ask(SocketAddr::new(loopback, server.address.port()), "u-9").await.unwrap();
    }
}

// === The program ===

/// `native-sidecar serve` as a process of its own; killed when dropped.
struct Process {
    child: Child,
    lines: mpsc::Receiver<serde_json::Value>,
    address: SocketAddr,
    health: SocketAddr,
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut child = serve().args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let lines = log_lines(child.stderr.take().unwrap());
        let serving = log_line(&lines, "serving");
        let address = |field: &str| serving[field].as_str().unwrap().split(", ").next().unwrap().parse().unwrap();
        Self { address: address("address"), health: address("health"), child, lines }
    }

    /// The next log line that says `message`.
    fn log_line(&self, message: &str) -> serde_json::Value {
        log_line(&self.lines, message)
    }

    fn signal(&self, name: &str) {
        support::signal(&self.child, name);
    }

    async fn ended(&mut self) -> ExitStatus {
        support::ended(&mut self.child).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command, without what the tests' own environment says.
fn serve() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_native-sidecar"));
    command.env_clear().arg("serve");
    command.env("NATIVE_SIDECAR_LISTEN", "127.0.0.1:0").env("NATIVE_SIDECAR_HEALTH_LISTEN", "127.0.0.1:0");
    command
}

/// Read as they come, so that the program never waits for somebody to read them.
fn log_lines(stderr: ChildStderr) -> mpsc::Receiver<serde_json::Value> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(stderr).lines().map_while(Result::ok);
        for line in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
            let _ = sender.send(line);
        }
    });
    lines
}

fn log_line(lines: &mpsc::Receiver<serde_json::Value>, message: &str) -> serde_json::Value {
    lines.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("no log line {message:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_serves_and_drains() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    let mut process = Process::start(&["--throwaway-ca", ca.to_str().unwrap(), "--drain-delay", "0s"]);
    let client = Client::new(&fs::read_to_string(&ca).unwrap(), "http/1.1", None);
    client.ask(process.address, "u-9").await.unwrap();
    let line = process.log_line("reviewed");
    for (field, value) in [
        ("uid", "u-9"),
        ("namespace", "default"),
        ("pod", "pi-"),
        ("owner", "Job/pi"),
        ("decision", "converted"),
        ("route", "/mutate"),
        ("level", "INFO"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert!(line["findings"].as_str().unwrap().contains("job-exit-codes"), "{line}");
    assert!(line["dry_run"] == false && line["duration_ms"].as_f64().unwrap() > 0.0, "{line}");

    let mut connection = client.connect(process.address).await.unwrap();
    assert_eq!(connection.send(support::post("{}")).await.unwrap().status(), 400);
    let line = process.log_line("request refused");
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert!(line["status"] == 400 && line["reason"].as_str().unwrap().contains("AdmissionReview"), "{line}");

    process.signal("TERM");
    assert!(process.ended().await.success());
}

/// As it is by default with a throw-away certificate, with free ports.
#[tokio::test]
async fn a_name_is_listened_at_with_all_its_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    let arguments =
        ["--listen", "localhost:0", "--health-listen", "localhost:0", "--throwaway-ca", ca.to_str().unwrap()];
    let process = Process::start(&arguments);
    let client = Client::new(&fs::read_to_string(&ca).unwrap(), "http/1.1", None);
    let (port, health) = (process.address.port(), process.health.port());
    let names: Vec<_> = ("localhost", port).to_socket_addrs().unwrap().collect();
    let own = |address: &&SocketAddr| std::net::TcpListener::bind((address.ip(), 0)).is_ok();
    for address in names.iter().filter(own) {
        assert!(address.ip().is_loopback());
        client.ask(*address, "u-9").await.unwrap();
        assert_eq!(get(SocketAddr::new(address.ip(), health), "/readyz").await.0, 200);
    }
}

/// The default addresses in a cluster, with free ports. Machines without IPv6 have IPv4 alone.
#[tokio::test]
async fn all_addresses_are_those_of_ipv4_too() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    let arguments = ["--listen", "[::]:0", "--health-listen", "[::]:0", "--throwaway-ca", ca.to_str().unwrap()];
    let process = Process::start(&arguments);
    let client = Client::new(&fs::read_to_string(&ca).unwrap(), "http/1.1", None);
    let (port, health) = (process.address.port(), process.health.port());
    let mut loopbacks = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        assert!(process.address.is_ipv6());
        loopbacks.push(Ipv6Addr::LOCALHOST.into());
    }
    for loopback in loopbacks {
        assert_eq!(get(SocketAddr::new(loopback, health), "/readyz").await.0, 200);
        let mut connection = client.connect(SocketAddr::new(loopback, port)).await.unwrap();
        assert_eq!(connection.send(support::post("{}")).await.unwrap().status(), 400);
        let peer: SocketAddr = process.log_line("request refused")["peer"].as_str().unwrap().parse().unwrap();
        assert_eq!(peer.ip(), loopback, "IPv4 peers are shown as such");
    }
}

#[rstest]
#[case::terminate("TERM")]
#[case::interrupt("INT")]
#[tokio::test]
async fn the_program_serves_while_it_drains_until_a_second_signal(#[case] signal: &str) {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    let mut process = Process::start(&["--throwaway-ca", ca.to_str().unwrap(), "--drain-delay", "1h"]);
    let client = Client::new(&fs::read_to_string(&ca).unwrap(), "http/1.1", None);
    process.signal(signal);
    process.log_line("draining: no longer ready, serving while endpoints are updated");
    eventually(async || get(process.health, "/readyz").await.0 == 503).await;
    client.ask(process.address, "u-9").await.unwrap();
    process.signal(signal);
    assert_eq!(process.ended().await.code(), Some(1));
}

#[rstest]
#[case::in_a_cluster(&[], "--tls-cert and --tls-key")]
#[case::half_a_pair(&["--tls-cert", "tls.crt"], "--tls-key <FILE>")]
#[case::no_file(&["--tls-cert", "/nowhere/tls.crt", "--tls-key", "/nowhere/tls.key"], "cannot read /nowhere/tls.crt")]
#[case::no_catalogue(&["--catalogue", "/nowhere/known.yaml"], "/nowhere/known.yaml")]
#[case::no_filter(&["--log-level", "info,="], "--log-level")]
fn the_program_says_why_it_does_not_start(#[case] arguments: &[&str], #[case] expected: &str) {
    let output = serve().args(arguments).env("KUBERNETES_SERVICE_HOST", "10.0.0.1").output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(errors.contains(expected), "{errors}");
}

#[test]
fn settings_come_from_the_environment_too() {
    let output = serve().env("NATIVE_SIDECAR_DRAIN_DELAY", "soon").output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("'soon'") && errors.contains("expected a time"), "{errors}");
}
