//! Many callers at once, and callers that mean ill, over real sockets: who else has to wait, and who is let go.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "server/support.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod support;

use native_sidecar::server::{
    ConnectionSettings, LargeBodyMemory, MemoryBudget, RequestTimeouts, ServerSettings, Webhook,
};
use rstest::rstest;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};
use support::{AnyError, Authority, CONNECTIONS, Client, TIMEOUTS, eventually, files, settings, soon, start};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::client::TlsStream;

const GOOD: [u8; 4] = [127, 0, 0, 2];
const EVIL: [u8; 4] = [127, 0, 0, 3];

/// As much of a body as makes it a large one.
const LARGE: usize = 64 * 1024 + 1;

fn certified() -> (Authority, TempDir) {
    let (ca, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    ca.server().write(folder.path());
    (ca, folder)
}

fn limited(folder: &Path, connections: ConnectionSettings) -> ServerSettings {
    ServerSettings { connections, ..settings(files(folder)) }
}

async fn connect_from(address: [u8; 4], server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::from(address), 0))?;
    socket.connect(server).await
}

/// A request of which only `head` is ever sent.
async fn begin(client: &Client, address: [u8; 4], server: SocketAddr, head: &str) -> TlsStream<TcpStream> {
    let mut stream = client.handshake_on(connect_from(address, server).await.unwrap()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn ask_from(address: [u8; 4], client: &Client, server: SocketAddr, body: String) -> Result<u16, AnyError> {
    let mut connection = client.connect_on(connect_from(address, server).await?).await?;
    let response = connection.send(support::post(body)).await?;
    let status = response.status().as_u16();
    support::text(response).await?;
    Ok(status)
}

fn good_review() -> String {
    support::review("u-good").to_string()
}

fn large_review(size: usize) -> String {
    let mut review = support::review("u-large");
    review["request"]["object"]["metadata"]["annotations"]["note"] = "x".repeat(size).into();
    review.to_string()
}

fn slow_body(declared: &str, sent: usize) -> String {
    format!("POST /mutate HTTP/1.1\r\nhost: localhost\r\n{declared}\r\n\r\n{}", " ".repeat(sent))
}

/// Reads until the server ends the connection.
async fn rest(stream: &mut TlsStream<TcpStream>) -> String {
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The API server opens a connection for each call under way.
#[rstest]
#[case::they_wait_here(1024)]
#[case::they_wait_in_the_backlog(1)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_of_calls_waits_and_is_answered(#[case] max_waiting: usize) {
    let (ca, folder) = certified();
    let connections = ConnectionSettings { max_connections: 8, max_waiting, ..CONNECTIONS };
    let server = start(limited(folder.path(), connections)).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);
    let mut wave = JoinSet::new();
    for _ in 0..200 {
        let (client, address) = (client.clone(), server.address);
        wave.spawn(async move { ask_from(GOOD, &client, address, good_review()).await });
    }
    while let Some(answer) = wave.join_next().await {
        assert_eq!(answer.unwrap().unwrap(), 200);
    }
}

#[rstest]
#[case::one_address(|_| EVIL)]
#[case::an_address_each(|number| [127, 1, 0, number])]
#[case::the_good_callers_own(|_| GOOD)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_callers_make_room(#[case] address: fn(u8) -> [u8; 4]) {
    let (ca, folder) = certified();
    let patience = Duration::from_millis(100);
    let connections = ConnectionSettings { max_connections: 20, patience, ..CONNECTIONS };
    let server = start(limited(folder.path(), connections)).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);
    let mut slow = Vec::new();
    for number in 0..20 {
        slow.push(begin(&client, address(number), server.address, &slow_body("content-length: 100", 1)).await);
    }
    for _ in 0..10 {
        assert_eq!(soon(ask_from(GOOD, &client, server.address, good_review())).await.unwrap(), 200);
    }
    eventually(async || server.metric("native_sidecar_connections_evicted_total").await >= 1).await;
    // The oldest was let go, and no more than had to be.
    rest(&mut slow[0]).await;
    assert!(server.metric("native_sidecar_connections_evicted_total").await <= 12);
}

#[tokio::test]
async fn too_many_of_one_address_are_turned_away_and_others_are_not() {
    let (ca, folder) = certified();
    let connections = ConnectionSettings { max_connections: 4, max_waiting: 100, ..CONNECTIONS };
    let server = start(limited(folder.path(), connections)).await;
    let mut silent = Vec::new();
    for _ in 0..120 {
        silent.push(connect_from(EVIL, server.address).await.unwrap());
    }
    let client = Client::new(&ca.pem(), "http/1.1", None);
    assert_eq!(soon(ask_from(GOOD, &client, server.address, good_review())).await.unwrap(), 200);
    assert!(server.metric("native_sidecar_connections_evicted_total").await >= 11);
}

#[rstest]
#[case::declared("content-length: 8000000", String::new())]
#[case::chunked("transfer-encoding: chunked", format!("{:x}\r\n", 8_000_000))]
#[tokio::test]
async fn an_address_that_has_no_memory_finds_some(#[case] length: &str, #[case] chunk: String) {
    let (ca, folder) = certified();
    let memory = MemoryBudget::new(LargeBodyMemory::mebibytes(48).unwrap());
    let server = support::start_with(settings(files(folder.path())), Webhook { memory, ..support::webhook() }).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);
    let mut slow = Vec::new();
    for _ in 0..6 {
        let head = slow_body(length, 0) + &chunk + &" ".repeat(LARGE);
        slow.push(begin(&client, EVIL, server.address, &head).await);
    }
    eventually(async || server.metric("native_sidecar_large_bodies_bytes").await > 15_000_000).await;
    for _ in 0..3 {
        assert_eq!(soon(ask_from(GOOD, &client, server.address, large_review(1_000_000))).await.unwrap(), 200);
    }
    assert!(server.metric(r#"native_sidecar_http_errors_total{status="503"}"#).await >= 1);
}

#[tokio::test]
async fn a_body_that_is_declared_too_large_is_refused_at_once() {
    let (ca, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);
    let head = slow_body("content-length: 9437184", 0);
    let mut stream = begin(&client, EVIL, server.address, &head).await;
    let mut answer = [0; 12];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

/// Who sends all of it before looking for an answer finds one.
#[tokio::test]
async fn a_refusal_reaches_who_sends_a_body_that_is_too_large() {
    let (ca, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);
    let mut stream = begin(&client, EVIL, server.address, &slow_body("content-length: 9437184", 0)).await;
    soon(stream.write_all(&vec![b' '; 9 * 1024 * 1024])).await.unwrap();
    let mut answer = [0; 12];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[rstest]
#[case::no_http("RUBBISH\r\n\r\n".to_owned(), 400)]
#[case::large_headers(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(20_000)), 431)]
#[tokio::test]
async fn what_hyper_answers_by_itself_is_counted(#[case] sent: String, #[case] status: u16) {
    let (ca, folder) = certified();
    let server = start(settings(files(folder.path()))).await;
    let client = Client::new(&ca.pem(), "http/1.1", None);
    let mut stream = begin(&client, EVIL, server.address, &sent).await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let counted = format!("native_sidecar_http_errors_total{{status=\"{status}\"}}");
    eventually(async || server.metric(&counted).await == 1).await;
}

#[rstest]
#[case::http1("http/1.1")]
#[case::http2("h2")]
#[tokio::test]
async fn connections_end_when_the_ca_of_their_clients_is_withdrawn(#[case] protocol: &str) {
    let (ca, folder) = certified();
    let [withdrawn, kept] = [(); 2].map(|()| Authority::new());
    let bundle = folder.path().join("clients.pem");
    std::fs::write(&bundle, withdrawn.pem() + &kept.pem()).unwrap();
    let client_ca = Some(bundle.clone());
    let server = start(ServerSettings { client_ca, ..settings(files(folder.path())) }).await;
    let clients = [&withdrawn, &kept].map(|authority| {
        let identity = authority.client("kube-apiserver");
        Client::new(&ca.pem(), protocol, Some(&identity))
    });
    let mut connections = Vec::new();
    for client in &clients {
        let mut connection = client.connect(server.address).await.unwrap();
        assert_eq!(connection.send(support::request("u-1")).await.unwrap().status(), 200);
        connections.push(connection);
    }
    std::fs::write(&bundle, kept.pem()).unwrap();
    eventually(async || connections[0].is_let_go().await).await;
    assert_eq!(connections[1].send(support::request("u-2")).await.unwrap().status(), 200);
    assert!(clients[0].ask(server.address, "u-3").await.is_err());
}

/// Nobody can make the system keep what is not read for longer than that.
#[tokio::test]
async fn a_client_that_reads_nothing_is_let_go() {
    let (ca, folder) = certified();
    let connections = ConnectionSettings { unread_timeout: Duration::from_millis(500), ..CONNECTIONS };
    let timeouts = RequestTimeouts { answer: Duration::from_millis(500), ..TIMEOUTS };
    let webhook = Webhook { timeouts, ..support::webhook() };
    let server = support::start_with(limited(folder.path(), connections), webhook).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let client = Client::new(&ca.pem(), "http/1.1", None);
    let mut stream = client.handshake_on(socket.connect(server.address).await.unwrap()).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
    // Sends until the server, which cannot send its answers, takes no more and then ends the connection.
    soon(async { while stream.write_all(request.as_bytes()).await.is_ok() {} }).await;
}
