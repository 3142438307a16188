//! The clients: as many keep-alive connections as asked for, each with its next request as soon as it has an answer.
//!
//! Written for little CPU a request, so that the webhook is what is measured: the request's bytes are made once, and
//! of an answer only the end is looked for. That an answer is right is checked before, with hyper.

use crate::{
    certificate::Certificate,
    table::Turn,
    webhooks::{Running, Webhook},
};
use futures::future::try_join_all;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use native_sidecar_core::admission::decoded_patch;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use std::{
    error::Error,
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task,
    time::{sleep, sleep_until},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What is posted, 9 KB.
const REVIEW: &str = include_str!("../../samples/istio-deployment.json");
/// The part of a turn before it that does not count: caches, and clients that are all under way.
const WARM_UP: Duration = Duration::from_millis(100);
/// However fast a webhook is, this is the most that one connection asks in a turn.
const REQUESTS: usize = 200_000;
/// Longer than any webhook takes to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that an answer's headers and a patch take.
const ANSWER: usize = 64 * 1024;

pub(crate) struct Client {
    tls: TlsConnector,
    request: Bytes,
}

/// A request that was answered.
struct Answered {
    at: Instant,
    after: Duration,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(certificate: &Certificate) -> Result<Self, Box<dyn Error>> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.authority.clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let head = format!(
            "POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            REVIEW.len()
        );
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), request: (head + REVIEW).into() })
    }

    /// Waits until `webhook` answers, and looks at what it says.
    pub(crate) async fn check(&self, webhook: &mut Running) -> Result<(), Box<dyn Error>> {
        let stream = self.connect_to_starting(webhook).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = task::spawn(connection);
        let request = Request::post("/mutate")
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from_static(REVIEW.as_bytes())))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        drop(sender);
        connection.await??;
        verify(webhook.kind, status, &body).map_err(|what| format!("{}: {what}", webhook.kind.name()).into())
    }

    async fn connect_to_starting(&self, webhook: &mut Running) -> Result<TlsStream<TcpStream>, Box<dyn Error>> {
        let begin = Instant::now();
        loop {
            match self.connect(webhook).await {
                Ok(stream) => return Ok(stream),
                Err(error) if begin.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => webhook.require_running()?,
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Loads `webhook` over `connections` for `turn`.
    pub(crate) async fn load(
        &self,
        webhook: &Running,
        connections: usize,
        turn: Duration,
    ) -> Result<Turn, Box<dyn Error>> {
        let streams = try_join_all((0..connections).map(|_| self.connect(webhook))).await?;
        let end = Instant::now() + WARM_UP + turn;
        let clients: Vec<_> =
            streams.into_iter().map(|stream| task::spawn(ask(stream, self.request.clone(), end))).collect();
        sleep(WARM_UP).await;
        let (begin, before) = (Instant::now(), webhook.process.cpu()?);
        sleep_until(end.into()).await;
        let (end, after) = (Instant::now(), webhook.process.cpu()?);
        let mut latencies = Vec::new();
        for client in clients {
            let answered = client.await??.into_iter().filter(|answered| (begin..end).contains(&answered.at));
            latencies.extend(answered.map(|answered| answered.after));
        }
        let resident = webhook.process.memory()?.resident;
        Ok(Turn { latencies, elapsed: end - begin, cpu: after.saturating_sub(before), resident })
    }

    async fn connect(&self, webhook: &Running) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(webhook.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        self.tls.connect(name, stream).await
    }
}

fn verify(webhook: Webhook, status: StatusCode, answer: &[u8]) -> Result<(), String> {
    let review: serde_json::Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let moves =
        decoded_patch(answer)?.iter().any(|operation| operation.path().as_str().starts_with("/spec/initContainers"));
    let is_allowed = review["response"]["allowed"] == true
        && review["response"]["uid"].as_str().is_some_and(|uid| REVIEW.contains(uid));
    if status == StatusCode::OK && is_allowed && moves == webhook.moves() {
        return Ok(());
    }
    Err(format!("not the answer that was expected: {status}, {review}"))
}

/// One request after another until `end`, and one at least.
async fn ask(mut stream: TlsStream<TcpStream>, request: Bytes, end: Instant) -> io::Result<Vec<Answered>> {
    let (mut buffer, mut answered) = (vec![0; ANSWER], Vec::new());
    while answered.is_empty() || (Instant::now() < end && answered.len() < REQUESTS) {
        let begin = Instant::now();
        stream.write_all(&request).await?;
        stream.flush().await?;
        read_answer(&mut stream, &mut buffer).await?;
        let at = Instant::now();
        answered.push(Answered { at, after: at - begin });
    }
    Ok(answered)
}

async fn read_answer(stream: &mut TlsStream<TcpStream>, buffer: &mut [u8]) -> io::Result<()> {
    let mut read = 0;
    while !is_whole(&buffer[..read])? {
        match stream.read(&mut buffer[read..]).await? {
            0 => return Err(io::Error::other("an answer was cut off, or is larger than expected")),
            more => read += more,
        }
    }
    Ok(())
}

/// Whether `answer` is all of an answer with status 200.
fn is_whole(answer: &[u8]) -> io::Result<bool> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let (head, body) = answer.split_at(head + 4);
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other(format!("refused: {}", String::from_utf8_lossy(answer))));
    }
    let head = str::from_utf8(head).map_err(io::Error::other)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    // Else in chunks, as Go does; the last is empty, and nothing in an answer's JSON looks like it.
    Ok(length.map_or_else(|| body.ends_with(b"\r\n0\r\n\r\n"), |length| body.len() >= length))
}
