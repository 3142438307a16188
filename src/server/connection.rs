//! Accepting connections, and ending them without losing a request.
//!
//! Unlike a plain accept loop this one tells apart three ways to stop. While the server drains it still
//! accepts, and ends each connection at the moment at which no request can be lost: HTTP/1.1 with the answer
//! that says `Connection: close`, HTTP/2 with GOAWAY. Only what is idle after that is closed from our side,
//! and a connection that was accepted may always finish its first request, unless the [`ConnectionLimit`] evicts it.

use super::{
    connection_limit::{Connection, ConnectionLimit, ConnectionPermit},
    lifecycle::{Lifecycle, Phase},
    metrics::Metrics,
    tls::Tls,
};
use axum::{
    BoxError, Router,
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use futures::FutureExt;
use http::Request;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

/// How much a request line and headers may take. The API server's take less than 1 KiB.
const HEADER_BYTES: u32 = 16 * 1024;
/// Requests at a time on one HTTP/2 connection; the API server opens another where these are not enough.
const HTTP2_STREAMS: u32 = 32;
/// How much of one HTTP/2 request's body may be under way before it is read: an ordinary pod in one go.
const HTTP2_STREAM_WINDOW: u32 = 32 * 1024;
/// The same for all requests of a connection. It is memory that any client can make us use, so there is just enough for
/// some requests to wait for memory without the others having to wait with them.
const HTTP2_CONNECTION_WINDOW: u32 = 4 * HTTP2_STREAM_WINDOW;
/// An HTTP/2 client that has not answered a ping for this long is gone.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How often an HTTP/2 client is pinged.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// Pause after a failed accept: out of file descriptors, most likely, which does not get better by trying harder.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many connections there may be, and how long each may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Connections at a time.
    pub max_connections: usize,
    /// Longest TLS handshake.
    pub handshake_timeout: Duration,
    /// Longest time from the handshake to the end of the first request's headers.
    pub header_timeout: Duration,
    /// Longest time from one answer to the end of the next request's headers. The API server keeps idle connections for
    /// 90 seconds; whoever closes first while the other is sending costs that request, so let it be the API server.
    pub idle_timeout: Duration,
    /// How long a closing server waits for the first request of a connection that it has accepted.
    pub closing_timeout: Duration,
}

/// One listening socket and what is served there.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
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

/// A service that answers every request.
trait Answers<B>: tower::Service<Request<B>, Response = Response, Error = Infallible, Future: Send> + Clone + Send {}

/// What every connection of a listener needs.
struct Service {
    tls: Option<Arc<Tls>>,
    router: Router,
    settings: ConnectionSettings,
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    connections: Arc<ConnectionLimit>,
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
        let Self { socket, tls, router, settings, lifecycle, metrics } = self;
        let closing = lifecycle.clone();
        let mut closing = pin!(closing.reached(Phase::Closing));
        let service = Arc::new(Service::new(tls, router, settings, lifecycle, metrics));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = socket.accept() => begin(accepted, &service, &mut connections).await,
                Some(ended) = connections.join_next() => log_panic(ended),
                () = &mut closing => break,
            }
        }
        // The system has accepted these on our behalf, so their clients may have sent a request already.
        while let Some(Ok(accepted)) = socket.accept().now_or_never() {
            begin(Ok(accepted), &service, &mut connections).await;
        }
        connections
    }
}

async fn begin(accepted: io::Result<(TcpStream, SocketAddr)>, service: &Arc<Service>, all: &mut JoinSet<()>) {
    match accepted {
        Ok((stream, peer)) => {
            let peer = canonical(peer);
            let Some(permit) = service.connections.acquire(peer) else {
                tracing::debug!(%peer, "closed at once, as there are too many connections");
                return service.metrics.connection_evicted();
            };
            // Answers are small and awaited; without this they wait for more to come.
            let _ = stream.set_nodelay(true);
            all.spawn(Arc::clone(service).handle(stream, permit));
        }
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
        let connections = ConnectionLimit::new(settings.max_connections);
        Self { tls, router, settings, lifecycle, metrics, connections, http1, http2 }
    }

    async fn handle(self: Arc<Self>, stream: TcpStream, permit: ConnectionPermit) {
        let Some(tls) = &self.tls else { return self.serve_http(stream, Protocol::Http1, permit).await };
        let handshake = timeout(self.settings.handshake_timeout, tls.acceptor().accept(stream));
        let accepted = tokio::select! {
            accepted = handshake => accepted,
            () = permit.evicted() => return self.note_eviction(&permit),
        };
        match accepted {
            Ok(Ok(stream)) => {
                let protocol = Protocol::of(&stream);
                self.serve_http(stream, protocol, permit).await;
            }
            Ok(Err(error)) => self.note_failed_handshake(&error, permit.connection().peer),
            Err(_) => self.note_failed_handshake(&io::Error::from(io::ErrorKind::TimedOut), permit.connection().peer),
        }
    }

    fn note_eviction(&self, permit: &ConnectionPermit) {
        self.metrics.connection_evicted();
        tracing::debug!(peer = %permit.connection().peer, "closed for another connection, or as an answer was not read");
    }

    fn note_failed_handshake(&self, error: &io::Error, peer: SocketAddr) {
        // Load balancers and `tcpSocket` probes connect and leave without a word.
        if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) {
            return;
        }
        self.metrics.handshake_failed();
        let reason = error.to_string();
        let distrusts_us = ["BadCertificate", "UnknownCA"].iter().any(|alert| reason.contains(alert));
        let advice =
            distrusts_us.then_some("the client does not trust our certificate; the API server has it from caBundle");
        tracing::info!(%peer, reason, advice, "TLS handshake failed");
    }

    async fn serve_http<S>(&self, stream: S, protocol: Protocol, permit: ConnectionPermit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // A connection that begins while the server drains is not ended with its first answer: clients tend to lose a
        // request when a connection ends that they have only just made.
        let draining = self.lifecycle.phase() > Phase::Serving;
        let last_phase = if draining { Phase::Closing } else { protocol.last_phase() };
        let begun = Arc::new(Notify::new());
        let service = self.requests(&begun, permit.connection());
        let connection =
            self.builder(protocol).serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = pin!(connection);
        // In both, the connection comes first: what it has already received must not be lost to a shutdown.
        tokio::select! {
            biased;
            _ = &mut connection => return,
            () = begun.notified() => {}
            () = self.first_request_is_overdue() => return,
            () = permit.evicted() => return self.note_eviction(&permit),
        }
        let evicted = tokio::select! {
            biased;
            _ = &mut connection => return,
            () = self.lifecycle.reached(last_phase) => false,
            () = permit.evicted() => true,
        };
        connection.as_mut().graceful_shutdown();
        if evicted {
            // Polled once: enough to send GOAWAY, and no time for a client that does not read.
            let _ = connection.as_mut().now_or_never();
            return self.note_eviction(&permit);
        }
        tokio::select! {
            // An error here is the client's: it went away, or broke the protocol.
            _ = connection => {}
            () = permit.evicted() => self.note_eviction(&permit),
        }
    }

    /// What answers the requests of a connection.
    fn requests<B>(&self, begun: &Arc<Notify>, connection: &Arc<Connection>) -> impl Answers<B> + use<B>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let (begun, connection, counted) = (Arc::clone(begun), Arc::clone(connection), Arc::clone(connection));
        let router = ServiceExt::<Request<Body>>::map_future(self.router.clone(), move |answer| {
            let active = counted.begin_request();
            answer.inspect(move |_| drop(active))
        });
        router.map_request(move |request: Request<B>| {
            begun.notify_one();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Arc::clone(&connection));
            request
        })
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
    fn of(stream: &TlsStream<TcpStream>) -> Self {
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

/// A handshake takes the API server at most 10 seconds. It has few connections, with many requests on each; and
/// those of everybody else together must not fill the memory.
impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            max_connections: 128,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(150),
            closing_timeout: Duration::from_secs(1),
        }
    }
}
