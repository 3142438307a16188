//! Standard error of the program: a reader that stalls stops nobody, the last lines of a process are not lost, and
//! strangers do not fill it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other test programs")]
#[path = "server/support.rs"]
mod support;

use native_sidecar::server::logging;
use native_sidecar_core::text::is_invisible;
use rstest::rstest;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};
use support::{Client, eventually, get, post, review, soon};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const DROPPED: &str = "native_sidecar_log_lines_dropped_total";

/// So many reviews, of which each line is as long as a line may be, are more than the pipe and the queue take.
const REVIEWS: usize = 1000;
const CONNECTIONS: usize = 8;

/// `native-sidecar serve` whose log is read only when a test says so; killed when dropped.
struct Unread {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
    address: SocketAddr,
    health: SocketAddr,
    folder: TempDir,
}

impl Unread {
    /// Reads as far as the line that says where it serves.
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_native-sidecar"))
            .env_clear()
            .args(["serve", "--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0", "--throwaway-ca"])
            .arg(folder.path().join("ca.crt"))
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.by_ref().lines().map(|line| line.unwrap());
        let serving = lines.find(|line| line.contains("health")).unwrap();
        let address = |field: &str| address(&serving, field);
        Self { address: address("address"), health: address("health"), child, log: Some(log), folder }
    }

    /// Sends reviews until the log's reader is more than a queue behind; all of them have to be answered.
    async fn flood(&self) {
        let client = self.client("http/1.1");
        let connections = (0..CONNECTIONS).map(async |connection| {
            let mut open = client.connect(self.address).await.unwrap();
            for number in (connection..REVIEWS).step_by(CONNECTIONS) {
                let answer = open.send(post(long_review(number).to_string())).await.unwrap();
                assert_eq!(answer.status(), 200);
                let answer: Value = serde_json::from_str(&support::text(answer).await.unwrap()).unwrap();
                assert_eq!(answer["response"]["uid"], format!("u-{number}"));
            }
        });
        soon(futures::future::join_all(connections)).await;
    }

    fn client(&self, protocol: &str) -> Client {
        Client::new(&fs::read_to_string(self.folder.path().join("ca.crt")).unwrap(), protocol, None)
    }

    /// What is left to read, up to the end of the process.
    fn rest(&mut self) -> String {
        let mut log = String::new();
        self.log.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }

    fn signal(&self, name: &str) {
        support::signal(&self.child, name);
    }

    async fn ended(&mut self) -> ExitStatus {
        support::ended(&mut self.child).await
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `field` says in a line of either format.
fn address(line: &str, field: &str) -> SocketAddr {
    let json = serde_json::from_str::<Value>(line).ok();
    let text = || line.split(' ').find_map(|word| word.strip_prefix(field)?.strip_prefix('=')).unwrap();
    json.as_ref().map_or_else(text, |json| json[field].as_str().unwrap()).parse().unwrap()
}

/// A review whose log line has three texts of the length at which they are cut off.
fn long_review(number: usize) -> Value {
    let mut review = review(&format!("u-{number}"));
    let request = &mut review["request"];
    request["namespace"] = "n".repeat(512).into();
    request["object"]["metadata"]["generateName"] = "p".repeat(512).into();
    request["object"]["metadata"]["ownerReferences"][0]["name"] = "o".repeat(512).into();
    review
}

async fn metric(health: SocketAddr, name: &str) -> u64 {
    let (_, metrics) = get(health, "/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
}

/// How many lines there are, and the number of dropped ones that they say.
fn counted(log: &str, message: &str, field: Option<&str>) -> u64 {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    let said = lines.filter(|line| line["message"].as_str().unwrap().ends_with(message));
    said.map(|line| field.map_or(1, |field| line[field].as_u64().unwrap())).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stalls_stops_nobody_and_is_told_what_it_missed() {
    let mut server = Unread::start(&["--drain-delay", "0s"]);
    server.flood().await;
    assert_eq!(get(server.health, "/readyz").await.0, 200);
    assert_eq!(get(server.health, "/livez").await.0, 200);
    let dropped = metric(server.health, DROPPED).await;
    assert!(dropped > 0, "the queue is not bounded, or the test does not fill it");

    let mut log = String::new();
    while !log.contains("were dropped") {
        server.log.as_mut().unwrap().read_line(&mut log).unwrap();
    }
    server.signal("TERM");
    log += &server.rest();
    assert!(server.ended().await.success());
    assert_eq!(
        counted(&log, "log lines were dropped, since standard error did not take them fast enough", Some("lines")),
        dropped
    );
    assert_eq!(counted(&log, "reviewed", None) + dropped, REVIEWS as u64);
    assert!(log.lines().last().unwrap().contains("stopped"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_ends_though_nobody_reads_its_log() {
    let mut server = Unread::start(&["--drain-delay", "0s"]);
    server.flood().await;
    server.signal("TERM");
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn an_error_ends_the_process_behind_all_log_lines() {
    let mut server = Unread::start(&["--drain-delay", "1h"]);
    server.signal("TERM");
    eventually(async || get(server.health, "/readyz").await.0 == 503).await;
    server.signal("TERM");
    let log = server.rest();
    let lines: Vec<_> = log.lines().collect();
    let [draining, error] = lines[..] else { panic!("{log}") };
    assert!(draining.contains("draining"), "{log}");
    assert!(error.starts_with("native-sidecar: told to stop a second time"), "{log}");
    assert_eq!(server.ended().await.code(), Some(1));
}

/// The log reader may stall at the end, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_ends_the_process_though_nobody_reads_it() {
    let mut server = Unread::start(&["--drain-delay", "1h"]);
    server.flood().await;
    server.signal("TERM");
    eventually(async || get(server.health, "/readyz").await.0 == 503).await;
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_has_gone_stops_nobody_either() {
    let mut server = Unread::start(&["--drain-delay", "0s"]);
    drop(server.log.take());
    server.flood().await;
    eventually(async || metric(server.health, DROPPED).await == REVIEWS as u64).await;
    server.signal("TERM");
    assert!(server.ended().await.success());
}

/// What `curl http://…:8443` does.
async fn fail_a_handshake(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // An alert, or nothing where the rest of what we sent is thrown away with the connection.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn strangers_get_a_line_and_a_sum() {
    const EACH: u64 = 20;
    let mut server = Unread::start(&["--drain-delay", "0s"]);
    for _ in 0..EACH {
        soon(fail_a_handshake(server.address)).await;
        let mut connection = server.client("http/1.1").connect(server.address).await.unwrap();
        assert_eq!(soon(connection.send(post("{}"))).await.unwrap().status(), 400);
    }
    eventually(async || metric(server.health, "native_sidecar_tls_handshake_failures_total").await == EACH).await;
    server.signal("TERM");
    let log = server.rest();
    for (first, more) in
        [("TLS handshake failed", "more TLS handshakes failed"), ("request refused", "more requests refused")]
    {
        let lines = counted(&log, first, None);
        // One for each minute that this takes.
        assert!(lines > 0 && lines < EACH / 2, "{log}");
        assert_eq!(lines + counted(&log, more, Some("times")), EACH, "{log}");
    }
    assert!(server.ended().await.success());
}

#[rstest]
#[case::json("json")]
#[case::text("text")]
#[tokio::test]
async fn nothing_invisible_stands_in_a_line(#[case] format: &str) {
    let mut server = Unread::start(&["--drain-delay", "0s", "--log-format", format]);
    let odd = "x\u{202e}\u{200b}\u{2028}\u{7f}\u{9b}\u{1b}[2K\ny";
    let mut odd_review = review(odd);
    odd_review["request"]["namespace"] = odd.into();
    odd_review["request"]["object"]["metadata"]["generateName"] = odd.into();
    let mut connection = server.client("http/1.1").connect(server.address).await.unwrap();
    let mut status = async |body: &Value| connection.send(post(body.to_string())).await.unwrap().status();
    assert_eq!(status(&odd_review).await, 200);
    assert_eq!(status(&json!({"kind": odd, "apiVersion": odd})).await, 400);
    server.signal("TERM");
    let log = server.rest();
    assert!(server.ended().await.success());
    assert!(log.contains("reviewed") && log.contains("x\\") && log.contains("u{202e}"), "{log}");
    assert!(log.lines().all(|line| !line.chars().any(is_invisible)), "{log:?}");
}

/// The crate `h2` warns of each.
#[tokio::test]
async fn frames_that_are_odd_get_no_line() {
    let mut server = Unread::start(&["--drain-delay", "0s"]);
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let [ping, answer] =
        [(0, 9), (1, 7)].map(|(flags, byte)| [&[0, 0, 8, 6, flags, 0, 0, 0, 0][..], &[byte; 8]].concat());
    let frames = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &answer.repeat(10), &ping].concat();
    let mut stream = server.client("h2").handshake(server.address).await.unwrap();
    stream.write_all(&frames).await.unwrap();
    let mut answered = Vec::new();
    while !answered.ends_with(&[9; 8]) {
        answered.push(soon(stream.read_u8()).await.unwrap());
    }
    drop(stream);
    server.signal("TERM");
    let log = server.rest();
    assert!(!log.contains("PING"), "{log}");
    assert!(server.ended().await.success());
}

/// What `main` does, up to a panic.
#[test]
#[ignore = "the process of the test below"]
fn panics() {
    let _at_the_end = logging::written_when_dropped();
    logging::begin(logging::Format::Json, "info").unwrap();
    tracing::info!("the line before");
    panic!("the last line");
}

#[test]
fn the_last_line_of_a_panic_is_written() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "panics", "--nocapture"])
        .output()
        .unwrap();
    assert!(!output.status.success() && output.status.signal().is_none());
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert_eq!((&lines[0]["message"], &lines[1]["panic"]), (&"the line before".into(), &"the last line".into()));
}
