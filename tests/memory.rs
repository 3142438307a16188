//! What large requests leave behind: memory that nobody uses goes back to the system.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other test programs")]
#[path = "server/support.rs"]
mod support;

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use support::{Client, post, review};
use tempfile::TempDir;
use tokio::time::sleep;

const MIB: usize = 1024 * 1024;

/// Large bodies at once, and how often.
const BODIES: usize = 20;
const ROUNDS: usize = 3;

/// Ordinary reviews between the bursts, each connection of which takes some.
const ORDINARY: usize = 400;
const CONNECTIONS: usize = 16;
const EACH: usize = 25;

/// A minute after the last request, without the pages of the program's own file: with the 11 MiB of these that the release
/// build has, well below 30 MiB.
const LIMIT: usize = 10 * MIB;
const REST: Duration = Duration::from_mins(1);

/// `native-sidecar serve`; killed when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::var("NATIVE_SIDECAR").unwrap_or_else(|_| env!("CARGO_BIN_EXE_native-sidecar").into());
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0", "--throwaway-ca"])
            .arg(folder.path().join("ca.crt"))
            // Busy machines take their time; and no answer that is given up is one that takes memory.
            .args(["handshake", "header", "body", "request"].map(|limit| format!("--{limit}-timeout=10m")))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let serving = log.by_ref().lines().map(|line| line.unwrap()).find(|line| line.contains("health")).unwrap();
        let serving: Value = serde_json::from_str(&serving).unwrap();
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { address: serving["address"].as_str().unwrap().parse().unwrap(), child, folder }
    }

    fn client(&self) -> Client {
        Client::new(&fs::read_to_string(self.folder.path().join("ca.crt")).unwrap(), "http/1.1", None)
    }

    /// Resident memory in bytes: `RssAnon`, what is not in files, or `VmRSS`, all of it.
    fn memory(&self, field: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    fn say(&self, when: &str) {
        let [all, own] = ["VmRSS", "RssAnon"].map(|field| self.memory(field) * 10 / MIB);
        println!("{when}: {}.{} MiB, {}.{} MiB of it not in files", all / 10, all % 10, own / 10, own % 10);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A review of 8 MiB, the last one that is not refused as too large: one long text, or many short ones.
fn large(number: usize) -> String {
    let mut review = review(&format!("u-{number}"));
    let object = &mut review["request"]["object"];
    if number.is_multiple_of(2) {
        object["metadata"]["annotations"]["long"] = "x".repeat(8 * MIB - 4096).into();
    } else {
        let variables = (0..100_000)
            .map(|variable| json!({"name": format!("VARIABLE_{variable}"), "value": "a value of thirty characters.."}));
        object["spec"]["containers"][0]["env"] = variables.collect();
    }
    review.to_string()
}

async fn burst(client: &Client, address: SocketAddr) {
    let answers = (0..BODIES).map(async |number| {
        let mut connection = client.connect(address).await.unwrap();
        let answer = connection.send(post(large(number))).await.unwrap();
        let status = answer.status().as_u16();
        support::text(answer).await.unwrap();
        // There is memory for some at a time; who waits for too long on a busy machine gets 503.
        assert!(matches!(status, 200 | 413 | 503), "{status}");
        status
    });
    let statuses = futures::future::join_all(answers).await;
    println!("{} of {BODIES} were answered 200", statuses.iter().filter(|status| **status == 200).count());
}

async fn ordinary(client: &Client, address: SocketAddr) {
    let connections = (0..CONNECTIONS).map(async |_| {
        for _ in 0..ORDINARY / CONNECTIONS / EACH {
            let mut connection = client.connect(address).await.unwrap();
            for number in 0..EACH {
                let answer = connection.send(support::request(&format!("u-{number}"))).await.unwrap();
                assert_eq!(answer.status(), 200);
                support::text(answer).await.unwrap();
            }
        }
    });
    futures::future::join_all(connections).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_large_requests_is_given_back() {
    let server = Server::start();
    let client = server.client();
    server.say("begin");
    for _ in 0..ROUNDS {
        burst(&client, server.address).await;
        server.say("after a burst");
        ordinary(&client, server.address).await;
        server.say("after ordinary reviews");
    }
    let rests_since = Instant::now();
    while server.memory("RssAnon") > LIMIT && rests_since.elapsed() < REST {
        sleep(Duration::from_secs(1)).await;
    }
    server.say(&format!("{} s later", rests_since.elapsed().as_secs()));
    assert!(server.memory("RssAnon") <= LIMIT);
}
