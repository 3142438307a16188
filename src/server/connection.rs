//! Accepting connections, and ending them without losing a request.
//!
//! Unlike a plain accept loop this one tells apart three ways to stop. While the server drains it still
//! accepts, and ends each connection at the moment at which no request can be lost: HTTP/1.1 with the answer
//! that says `Connection: close`, HTTP/2 with GOAWAY. Only what is idle after that is closed from our side,
//! and a connection that was accepted may always finish its first request, unless it keeps others waiting.
//!
//! The API server opens a connection for each call that is under way, hundreds at once. So a connection for which there
//! is no place waits for one, here or in the system's backlog, and the places are those of a [`FairPool`].

use super::{
    connection_permit::{Connection, ConnectionPermit, Watched},
    fair_pool::{FairPool, Patience, Place},
    lifecycle::{Lifecycle, Phase},
    listen::Sockets,
    metrics::Metrics,
    refusal::Refusal,
    strangers::{Kind, STRANGERS},
    tls::{ClientCertificates, Tls},
};
use axum::{
    BoxError, Router,
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use futures::{FutureExt, TryFutureExt};
use http::{HeaderValue, Request, header};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use socket2::SockRef;
use std::{
    convert::Infallible,
    future,
    io::{self, ErrorKind},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Notify, Semaphore},
    task::{JoinSet, unconstrained},
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

/// How much a request line and headers may take. The API server's take less than 1 KiB.
const HEADER_BYTES: u32 = 16 * 1024;
/// HTTP/2 is for clients that are no API servers: those speak HTTP/1.1 to webhooks. Each of its connections may keep many
/// times as much waiting, so they are at most one in so many.
const CONNECTIONS_FOR_ONE_OF_HTTP2: usize = 16;
/// Requests at a time on one HTTP/2 connection; clients open another where these are not enough.
const HTTP2_STREAMS: u32 = 32;
/// How much of one HTTP/2 request's body may be under way before it is read: an ordinary pod in one go.
const HTTP2_STREAM_WINDOW: u32 = 32 * 1024;
/// The same for all requests of a connection. It is memory that any client can make us use, so there is just enough for
/// some requests to wait for memory without the others having to wait with them.
const HTTP2_CONNECTION_WINDOW: u32 = 2 * HTTP2_STREAM_WINDOW;
/// An HTTP/2 client that has not answered a ping for this long is gone.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How often an HTTP/2 client is pinged.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// What TLS keeps of an answer that the client does not take.
const TLS_BUFFER: usize = 16 * 1024;
/// How long an idle connection that makes room for another may take to finish what its client has just sent.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long the requests that are under way may take of a client whose CA was withdrawn: longer than any takes by default.
const LAST_REQUESTS: Duration = Duration::from_secs(30);
/// File descriptors for what is no connection of a client: sockets that listen, the runtimes, files that are looked at,
/// and calls to the API server. A server that has just started has 17 open.
const OTHER_DESCRIPTORS: usize = 24;
/// Connections for health and metrics at a time, more than all kubelets and Prometheus have.
const HEALTH_CONNECTIONS: usize = 128;
/// One in so many of those that are served: more than these that wait and are of one address are a crowd.
const CONNECTIONS_FOR_ONE_OF_A_CROWD: usize = 10;
/// The least and the most of them.
const A_CROWD: (usize, usize) = (8, 96);
/// Pause after a failed accept: out of file descriptors, most likely, which does not get better by trying harder.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many connections there may be, and how long each may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Connections at a time that are served.
    pub max_connections: usize,
    /// Connections that are accepted and wait to be served. More of them wait in the system's backlog.
    pub max_waiting: usize,
    /// Longest TLS handshake.
    pub handshake_timeout: Duration,
    /// Longest time from the handshake to the end of the first request's headers.
    pub header_timeout: Duration,
    /// Longest time from one answer to the end of the next request's headers. The API server keeps idle connections for
    /// 90 seconds; whoever closes first while the other is sending costs that request, so let it be the API server.
    pub idle_timeout: Duration,
    /// How long a closing server waits for the first request of a connection that it has accepted.
    pub closing_timeout: Duration,
    /// How long a client that sends nothing may keep another waiting; one that sends slowly, twice as long.
    pub patience: Duration,
    /// How long the system waits for a client to take what was sent to it, before it ends the connection.
    pub unread_timeout: Duration,
}

/// The sockets of one port and what is served there.
pub(super) struct Listener {
    pub(super) sockets: Sockets,
    /// `None` serves plain HTTP.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) router: Router,
    pub(super) settings: ConnectionSettings,
    pub(super) lifecycle: Lifecycle,
    pub(super) metrics: Arc<Metrics>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// How a connection ends that has not ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LetGo {
    AtOnce,
    /// Once those are answered that are under way, or this has passed.
    AfterRequests {
        within: Duration,
    },
}

/// A service that answers every request.
trait Answers<B>: tower::Service<Request<B>, Response = Response, Error = Infallible, Future: Send> + Clone + Send {}

/// What every connection of a listener needs.
struct Service {
    tls: Option<Arc<Tls>>,
    router: Router,
    settings: ConnectionSettings,
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    places: Arc<FairPool>,
    http2_places: Semaphore,
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
}

impl<B, S> Answers<B> for S where
    S: tower::Service<Request<B>, Response = Response, Error = Infallible, Future: Send> + Clone + Send
{
}

// === impl Listener ===

impl Listener {
    /// Serves until the server closes, then returns the connections that are not finished yet.
    pub(super) async fn serve(self) -> JoinSet<()> {
        let Self { mut sockets, tls, router, settings, lifecycle, metrics } = self;
        let closing = lifecycle.clone();
        let mut closing = pin!(closing.reached(Phase::Closing));
        let service = Arc::new(Service::new(tls, router, settings, lifecycle, metrics));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = service.accept(&mut sockets) => begin(accepted, &service, &mut connections).await,
                Some(ended) = connections.join_next() => log_panic(ended),
                () = &mut closing => break,
            }
            // All of them: what has ended takes memory until it is joined, and in a flood there is always one to accept.
            while let Some(ended) = connections.try_join_next() {
                log_panic(ended);
            }
        }
        // The system has accepted these on our behalf, so their clients may have sent a request already.
        let _ = timeout(settings.closing_timeout, async {
            while let Some(accepted) = service.accept_waiting(&mut sockets).await {
                begin(accepted, &service, &mut connections).await;
            }
        })
        .await;
        connections
    }
}

async fn begin(accepted: io::Result<(TcpStream, SocketAddr)>, service: &Arc<Service>, all: &mut JoinSet<()>) {
    match accepted {
        Ok((stream, peer)) => {
            // Answers are small and awaited; without this they wait for more to come.
            let _ = stream.set_nodelay(true);
            let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(service.settings.unread_timeout));
            let peer = canonical(peer);
            // Now, or more would be accepted than are to wait.
            let place = service.places.place(peer.ip(), 1);
            all.spawn(Arc::clone(service).handle(stream, peer, place));
        }
        // Its client gave it up before we came to it.
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
        Err(error) => {
            tracing::warn!(error = error.to_string(), "cannot accept a connection");
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// An IPv4 peer of a socket that serves IPv6 as well has an address such as `::ffff:10.0.0.1`.
const fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// Waits until everything is read that has come from the client of a connection, or a request is under way.
async fn until_read(connection: &Connection) {
    while connection.is_idle() && connection.has_unread() {
        sleep(Duration::from_millis(1)).await;
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = error.to_string(), "a connection ended in a panic; please report this bug");
    }
}

// === impl Service ===

impl Service {
    fn new(
        tls: Option<Arc<Tls>>,
        router: Router,
        settings: ConnectionSettings,
        lifecycle: Lifecycle,
        metrics: Arc<Metrics>,
    ) -> Self {
        let builder = builder(settings);
        let (http1, http2) = (builder.clone().http1_only(), builder.http2_only());
        let patience = Patience { silent: settings.patience, slow: 2 * settings.patience };
        let places = FairPool::new(settings.max_connections, patience);
        let http2_places = Semaphore::new((settings.max_connections / CONNECTIONS_FOR_ONE_OF_HTTP2).max(1));
        Self { tls, router, settings, lifecycle, metrics, places, http2_places, http1, http2 }
    }

    /// The next connection, once those that wait for a place are not too many.
    async fn accept(&self, sockets: &mut Sockets) -> io::Result<(TcpStream, SocketAddr)> {
        self.until_fewer_wait().await;
        sockets.accept().await
    }

    /// The same, if there is one at once.
    async fn accept_waiting(&self, sockets: &mut Sockets) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        self.until_fewer_wait().await;
        // However many there have been: they are not to be taken for the last.
        unconstrained(sockets.accept()).now_or_never()
    }

    /// Where too many wait, the last of a crowd is turned away: otherwise all others would have to wait behind it in the
    /// backlog.
    async fn until_fewer_wait(&self) {
        if self.places.waiting() >= self.settings.max_waiting {
            let (least, most) = A_CROWD;
            let crowd = self.settings.max_connections / CONNECTIONS_FOR_ONE_OF_A_CROWD;
            self.places.turn_away_from_most(crowd.clamp(least, most));
        }
        self.places.until_fewer_wait(self.settings.max_waiting).await;
    }

    async fn handle(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, place: Place) {
        let Some(place) = place.granted().await else {
            return self.note_eviction(peer);
        };
        let (permit, stream) = ConnectionPermit::new(peer, place, stream);
        let connection = permit.connection();
        let Some(tls) = &self.tls else {
            return self.serve_http(stream, Protocol::Http1, None, connection).await;
        };
        let mut http2_place = self.http2_places.try_acquire().ok();
        let acceptor = tls.acceptor(http2_place.is_some());
        let mut handshake = pin!(timeout(self.settings.handshake_timeout, acceptor.accept(stream)));
        match connection.unless_it_has_to_end(handshake.as_mut()).await {
            Some(Ok(Ok(mut stream))) => {
                stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
                let (protocol, client) = (Protocol::of(&stream), tls.client(stream.get_ref().1));
                http2_place = http2_place.filter(|_| protocol == Protocol::Http2);
                self.serve_http(stream, protocol, Some(client), connection).await;
                drop(http2_place);
            }
            Some(Ok(Err(error))) => self.note_failed_handshake(&error, peer),
            Some(Err(_)) => self.note_failed_handshake(&io::Error::from(ErrorKind::TimedOut), peer),
            None => self.note_eviction(peer),
        }
    }

    fn note_eviction(&self, peer: SocketAddr) {
        self.metrics.connection_evicted();
        tracing::debug!(%peer, "closed for another connection, or as an answer was not read");
    }

    /// What hyper answers by itself, since no request could be made out.
    fn note_protocol_error(&self, error: &BoxError, peer: SocketAddr) {
        let Some(refusal) = error.downcast_ref::<hyper::Error>().and_then(Refusal::of_protocol_error) else { return };
        self.metrics.refused(&refusal);
        refusal.log(Some(peer));
    }

    fn note_failed_handshake(&self, error: &io::Error, peer: SocketAddr) {
        // Load balancers and `tcpSocket` probes connect and leave without a word.
        if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) {
            return;
        }
        self.metrics.handshake_failed();
        let reason = error.to_string();
        let distrusts_us = ["BadCertificate", "UnknownCA"].iter().any(|alert| reason.contains(alert));
        let advice =
            distrusts_us.then_some("the client does not trust our certificate; the API server has it from caBundle");
        if STRANGERS.is_news(Kind::FailedHandshake, peer.ip(), &reason) {
            tracing::info!(%peer, reason, advice, "TLS handshake failed");
        }
    }

    async fn serve_http<S>(
        &self,
        stream: S,
        protocol: Protocol,
        client: Option<ClientCertificates>,
        known: &Arc<Connection>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // A connection that begins while the server drains is not ended with its first answer: clients tend to lose a
        // request when a connection ends that they have only just made.
        let draining = self.lifecycle.phase() > Phase::Serving;
        let last_phase = if draining { Phase::Closing } else { protocol.last_phase() };
        let begun = Arc::new(Notify::new());
        let service = self.requests(&begun, protocol, known);
        let connection =
            self.builder(protocol).serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = pin!(connection);
        let withdrawn = async {
            match client {
                Some(client) => client.withdrawn().await,
                None => future::pending().await,
            }
        };
        let let_go = async {
            tokio::select! {
                let_go = self.let_go(&begun, last_phase) => let_go,
                () = withdrawn => LetGo::AfterRequests { within: LAST_REQUESTS },
            }
        };
        // The connection comes first: what it has already received must not be lost to a shutdown.
        let ended = tokio::select! {
            biased;
            ended = known.unless_it_has_to_end(connection.as_mut()) => Ok(ended),
            let_go = let_go => Err(let_go),
        };
        let ended = match ended {
            Ok(ended) => ended,
            Err(LetGo::AtOnce) => return,
            Err(LetGo::AfterRequests { within }) => {
                // hyper closes an idle connection without looking whether a request has come meanwhile.
                let unread = timeout(LAST_WORDS, until_read(known));
                tokio::select! {
                    biased;
                    ended = known.unless_it_has_to_end(connection.as_mut()) => ended,
                    _ = unread => {
                        connection.as_mut().graceful_shutdown();
                        let last = timeout(within, known.unless_it_has_to_end(connection.as_mut()));
                        // An HTTP/2 client may go on as if it had not been told.
                        let Ok(ended) = last.await else { return };
                        ended
                    }
                }
            }
        };
        match ended {
            Some(Ok(())) => {}
            // Other errors are the client's too: it went away, or broke the protocol further down.
            Some(Err(error)) => self.note_protocol_error(&error, known.peer),
            None => {
                self.note_eviction(known.peer);
                connection.as_mut().graceful_shutdown();
                // Enough to send GOAWAY, and no time for a client that keeps others waiting.
                let time = if known.is_idle() { LAST_WORDS } else { Duration::ZERO };
                let _ = timeout(time, connection).await;
            }
        }
    }

    /// What answers the requests of a connection. HTTP/1.1 clients are asked to end it where the server drains or other
    /// connections wait: no request is lost by that. HTTP/2 has no such header; its connections are sent GOAWAY.
    fn requests<B>(
        &self,
        begun: &Arc<Notify>,
        protocol: Protocol,
        connection: &Arc<Connection>,
    ) -> impl Answers<B> + use<B>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let (begun, connection, counted) = (Arc::clone(begun), Arc::clone(connection), Arc::clone(connection));
        let lifecycle = self.lifecycle.clone();
        let router = ServiceExt::<Request<Body>>::map_future(self.router.clone(), move |answer| {
            let (active, lifecycle) = (counted.begin_request(), lifecycle.clone());
            answer.map_ok(move |mut response: Response| {
                let is_last = lifecycle.phase() > Phase::Serving || active.connection().others_wait();
                if protocol == Protocol::Http1 && is_last {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                response
            })
        });
        router.map_request(move |request: Request<B>| {
            begun.notify_one();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Arc::clone(&connection));
            request
        })
    }

    /// Waits until a connection is to end, of which `begun` says when its first request begins.
    async fn let_go(&self, begun: &Notify, last_phase: Phase) -> LetGo {
        tokio::select! {
            () = begun.notified() => {}
            () = self.first_request_is_overdue() => return LetGo::AtOnce,
        }
        self.lifecycle.reached(last_phase).await;
        // The server's own drain has a limit.
        LetGo::AfterRequests { within: Duration::MAX }
    }

    /// When a connection has had enough time for its first request.
    async fn first_request_is_overdue(&self) {
        let closed = async {
            self.lifecycle.reached(Phase::Closing).await;
            sleep(self.settings.closing_timeout).await;
        };
        tokio::select! {
            () = sleep(self.settings.header_timeout) => {}
            () = closed => {}
        }
    }

    const fn builder(&self, protocol: Protocol) -> &auto::Builder<TokioExecutor> {
        match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        }
    }
}

fn builder(settings: ConnectionSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Runs from the end of the last answer, not from a request's first byte.
        .header_read_timeout(settings.idle_timeout)
        .max_buf_size(HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .max_concurrent_streams(HTTP2_STREAMS)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_header_list_size(HEADER_BYTES);
    builder
}

// === impl Protocol ===

impl Protocol {
    /// What the two sides agreed on; HTTP/1.1 where the client had no say.
    fn of(stream: &TlsStream<Watched>) -> Self {
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() == Some(b"h2") { Self::Http2 } else { Self::Http1 }
    }

    /// When a connection without a request is ended from our side. GOAWAY loses nothing; closing an HTTP/1.1
    /// connection may cross a request on its way, so it has the whole drain to end with an answer instead.
    const fn last_phase(self) -> Phase {
        match self {
            Self::Http1 => Phase::Closing,
            Self::Http2 => Phase::Draining,
        }
    }
}

// === impl ConnectionSettings ===

impl ConnectionSettings {
    /// As many connections as fit in so many file descriptors, for admission reviews and for health.
    pub(super) fn within(self, descriptors: usize) -> (Self, Self) {
        let all = descriptors.saturating_sub(OTHER_DESCRIPTORS);
        let places = (all / 8).clamp(2, HEALTH_CONNECTIONS);
        let health = Self { max_connections: places, max_waiting: places, ..self };
        let left = all.saturating_sub(2 * places).max(2);
        let max_connections = self.max_connections.min(left - (left / 4).max(1));
        let max_waiting = self.max_waiting.min(left - max_connections);
        (Self { max_connections, max_waiting, ..self }, health)
    }
}

/// A handshake takes the API server at most 10 seconds, and it has a connection for each call that is under way: 600 at
/// most where nobody has set its `--max-requests-inflight` and `--max-mutating-requests-inflight`.
impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_waiting: 1536,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(150),
            closing_timeout: Duration::from_secs(1),
            patience: Duration::from_millis(750),
            unread_timeout: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plenty(1_000_000, (1024, 1536), (128, 128))]
    #[case::usual(4096, (1024, 1536), (128, 128))]
    #[case::less_than_wanted(1024, (563, 187), (125, 125))]
    #[case::few(64, (23, 7), (5, 5))]
    #[case::next_to_none(32, (3, 1), (2, 2))]
    fn connections_fit_in_descriptors(
        #[case] descriptors: usize,
        #[case] reviews: (usize, usize),
        #[case] health: (usize, usize),
    ) {
        let both = ConnectionSettings::default().within(descriptors);
        let places = |settings: ConnectionSettings| (settings.max_connections, settings.max_waiting);
        assert_eq!((places(both.0), places(both.1)), (reviews, health));
    }
}
