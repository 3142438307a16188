//! The good calls: as an API server makes them.
//!
//! `k8s.io/apiserver/pkg/util/webhook` speaks HTTP/1.1 alone (`NextProtos: http/1.1`), by Go's client: a connection for
//! each call under way, of which client-go keeps 25 for 90 seconds once they are idle. A call that was written to a
//! connection is not made again; one that found its connection closed before it was written is. Sessions are not resumed.

use super::{
    report::{Form, Outcome, Tally},
    support::{self, AnyError},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, client::Resumption, pki_types::ServerName};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// Where the API server is.
pub(crate) const API_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Idle connections that client-go keeps.
const IDLE_CONNECTIONS: usize = 25;
/// How long it keeps them.
const IDLE_TIME: Duration = Duration::from_secs(90);

/// Who is called.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    name: &'static str,
    config: Arc<ClientConfig>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An ordinary pod.
    #[default]
    Small,
    /// A pod of 100 KB.
    Large,
    /// A pod whose answer is above 4 KiB.
    LargeAnswer,
}

/// How many calls there are and how they are spread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) calls: usize,
    pub(crate) at_a_time: usize,
    /// Between an answer and the next call.
    pub(crate) pause: Duration,
}

/// Who calls.
pub(crate) struct Caller {
    target: Target,
    source: Ipv4Addr,
    patience: Duration,
    shape: Shape,
    /// Whether each call has a connection of its own.
    fresh: bool,
    idle: Mutex<Vec<Idle>>,
    next: AtomicUsize,
    expected: Mutex<Option<Value>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// Closed when dropped.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

// === impl Target ===

impl Target {
    pub(crate) fn new(address: SocketAddr, ca: &str) -> Self {
        Self::with_identity(address, ca, None)
    }

    pub(crate) fn with_identity(address: SocketAddr, ca: &str, identity: Option<&support::Pair>) -> Self {
        let mut config = support::client_config(ca, "http/1.1", identity);
        config.resumption = Resumption::disabled();
        Self { address, name: "localhost", config: Arc::new(config) }
    }

    /// The client's side of TLS.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    pub(crate) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}

// === impl Shape ===

impl Shape {
    pub(crate) fn review(self, uid: &str) -> Value {
        let mut review = support::review(uid);
        let pod = &mut review["request"]["object"];
        match self {
            Self::Small => {}
            Self::Large => pod["metadata"]["annotations"]["example.com/notes"] = "n".repeat(100_000).into(),
            Self::LargeAnswer => {
                let names: Vec<_> = (0..40).map(|index| format!("sidecar-{index}")).collect();
                let containers = pod["spec"]["containers"].as_array_mut().unwrap();
                containers.truncate(1);
                containers.extend(names.iter().map(|name| json!({"name": name, "image": "busybox"})));
                pod["metadata"]["annotations"]["native-sidecar.io/containers"] = names.join(",").into();
            }
        }
        review
    }
}

// === impl Load ===

impl Load {
    /// A few calls at a time, with time between them: bounded, as the good stream is to be.
    pub(crate) const fn steady(calls: usize) -> Self {
        Self { calls, at_a_time: 4, pause: Duration::from_millis(50) }
    }

    /// As many as get through.
    pub(crate) const fn brisk(calls: usize) -> Self {
        Self { calls, at_a_time: 4, pause: Duration::ZERO }
    }
}

// === impl Caller ===

impl Caller {
    pub(crate) fn new(target: Target, form: Form) -> Self {
        Self {
            target,
            source: API_SERVER,
            patience: form.patience(),
            shape: Shape::default(),
            fresh: false,
            idle: Mutex::default(),
            next: AtomicUsize::default(),
            expected: Mutex::default(),
        }
    }

    pub(crate) fn shaped(self: Arc<Self>, shape: Shape) -> Arc<Self> {
        Arc::new(Self { shape, ..self.again() })
    }

    /// Another API server.
    pub(crate) fn at(self: Arc<Self>, source: Ipv4Addr) -> Arc<Self> {
        Arc::new(Self { source, ..self.again() })
    }

    /// With a connection for each call.
    pub(crate) fn fresh(self: Arc<Self>) -> Arc<Self> {
        Arc::new(self.again().fresh_ones())
    }

    pub(crate) fn fresh_ones(self) -> Self {
        Self { fresh: true, ..self }
    }

    /// The same without connections.
    fn again(&self) -> Self {
        let Self { source, patience, shape, fresh, .. } = *self;
        let (target, expected) = (self.target.clone(), Mutex::default());
        Self { target, source, patience, shape, fresh, idle: Mutex::default(), next: AtomicUsize::default(), expected }
    }

    /// Learns in the calm what the answer has to be, and sees to it that it moves the sidecar.
    pub(crate) async fn learn(&self) {
        let review = self.shape.review("calm");
        let (status, answer) =
            timeout(Duration::from_mins(2), self.exchange(review.to_string())).await.unwrap().unwrap();
        assert_eq!(status, 200);
        assert!(self.shape != Shape::LargeAnswer || answer.len() > 4096, "{} bytes", answer.len());
        let patch = patch(&serde_json::from_slice(&answer).unwrap()).expect("a patch");
        let mut pod = review["request"]["object"].clone();
        json_patch::patch(&mut pod, &serde_json::from_value::<json_patch::Patch>(patch.clone()).unwrap()).unwrap();
        let moved = pod["spec"]["initContainers"].as_array().expect("init containers");
        assert!(moved.iter().all(|container| container["restartPolicy"] == "Always"), "{pod}");
        *self.expected.lock().unwrap() = Some(patch);
    }

    /// Makes all calls of a load.
    pub(crate) async fn stream(self: &Arc<Self>, load: Load) -> Tally {
        let left = Arc::new(AtomicUsize::new(load.calls));
        let mut workers = JoinSet::new();
        for _ in 0..load.at_a_time {
            let (caller, left) = (Arc::clone(self), Arc::clone(&left));
            workers.spawn(async move {
                let mut tally = Tally::default();
                let next =
                    || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
                while !tally.is_hopeless() && next() {
                    caller.call(&mut tally).await;
                    sleep(load.pause).await;
                }
                tally
            });
        }
        sum(workers).await
    }

    /// Makes as many calls at once.
    pub(crate) async fn wave(self: &Arc<Self>, calls: usize) -> Tally {
        let mut callers = JoinSet::new();
        for _ in 0..calls {
            let caller = Arc::clone(self);
            callers.spawn(async move {
                let mut tally = Tally::default();
                caller.call(&mut tally).await;
                tally
            });
        }
        sum(callers).await
    }

    /// Calls until `end`, and counts.
    pub(crate) async fn stream_until(self: &Arc<Self>, load: Load, end: impl Future<Output = ()>) -> Tally {
        let ended = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..load.at_a_time {
            let (caller, ended) = (Arc::clone(self), Arc::clone(&ended));
            workers.spawn(async move {
                let mut tally = Tally::default();
                while ended.load(Ordering::Relaxed) == 0 && !tally.is_hopeless() {
                    caller.call(&mut tally).await;
                    sleep(load.pause).await;
                }
                tally
            });
        }
        end.await;
        ended.store(1, Ordering::Relaxed);
        sum(workers).await
    }

    /// One call.
    pub(crate) async fn call(&self, tally: &mut Tally) {
        let uid = format!("good-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let body = self.shape.review(&uid).to_string();
        let begin = Instant::now();
        let outcome = match timeout(self.patience, self.exchange(body)).await {
            Err(_) => Outcome::Late,
            Ok(Err(error)) => Outcome::Lost(tell(&*error)),
            Ok(Ok((200, body))) => self.judge(&uid, &body),
            Ok(Ok((status, _))) => Outcome::Lost(format!("status {status}")),
        };
        tally.count(outcome, begin.elapsed());
    }

    fn judge(&self, uid: &str, body: &[u8]) -> Outcome {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else { return Outcome::Wrong("no JSON".to_owned()) };
        if answer["response"]["uid"] != uid {
            return Outcome::Wrong("another uid".to_owned());
        }
        if answer["response"]["allowed"] != true {
            return Outcome::Wrong("not allowed".to_owned());
        }
        match (patch(&answer), &*self.expected.lock().unwrap()) {
            (None, _) => Outcome::Wrong("no patch".to_owned()),
            (patch, expected) if patch == *expected => Outcome::Right,
            _ => Outcome::Wrong("another patch".to_owned()),
        }
    }

    async fn exchange(&self, body: String) -> Result<(u16, Bytes), AnyError> {
        let mut request = support::post(body);
        loop {
            let (mut connection, reused) = match self.take_idle() {
                Some(connection) => (connection, true),
                None => (self.dial().await?, false),
            };
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    let body = response.into_body().collect().await?.to_bytes();
                    self.give_back(connection);
                    return Ok((status, body));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(error.into_error().into()),
                },
            }
        }
    }

    async fn dial(&self) -> Result<Connection, AnyError> {
        let stream = connect(self.source, self.target.address).await?;
        let name = ServerName::try_from(self.target.name).unwrap();
        let stream = TlsConnector::from(Arc::clone(&self.target.config)).connect(name, stream).await?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(driver).abort_handle();
        Ok(Connection { sender, driver })
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap();
        idle.retain(|idle| !idle.connection.sender.is_closed() && idle.since.elapsed() < IDLE_TIME);
        idle.pop().map(|idle| idle.connection)
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap();
        if !self.fresh && idle.len() < IDLE_CONNECTIONS && !connection.sender.is_closed() {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Closes what is idle.
    pub(crate) fn hang_up(&self) {
        self.idle.lock().unwrap().clear();
    }
}

async fn sum(mut workers: JoinSet<Tally>) -> Tally {
    let mut tally = Tally::default();
    while let Some(part) = workers.join_next().await {
        tally.add(part.unwrap());
    }
    tally
}

/// A connection from an address of this machine.
pub(crate) async fn connect(source: Ipv4Addr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn patch(answer: &Value) -> Option<Value> {
    let bytes = BASE64_STANDARD.decode(answer["response"]["patch"].as_str()?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// An error with what caused it.
fn tell(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A GET of the second port, as a kubelet's probe: a connection each time.
pub(crate) async fn probe(health: SocketAddr, path: &'static str, patience: Duration, tally: &mut Tally) {
    let begin = Instant::now();
    let outcome = match timeout(patience, probe_once(health, path)).await {
        Err(_) => Outcome::Late,
        Ok(Err(error)) => Outcome::Lost(tell(&*error)),
        Ok(Ok(200)) => Outcome::Right,
        Ok(Ok(status)) => Outcome::Lost(format!("status {status}")),
    };
    tally.count(outcome, begin.elapsed());
}

async fn probe_once(health: SocketAddr, path: &str) -> Result<u16, AnyError> {
    let stream = connect(API_SERVER, health).await?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(driver).abort_handle();
    let request = Request::get(path).header("host", "localhost").body(Full::<Bytes>::default())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await?;
    driver.abort();
    Ok(status)
}

// === impl Connection ===

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
