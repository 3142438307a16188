//! Accepting connections, and letting go of them without losing a request.
//!
//! Unlike a plain accept loop this one tells apart three ways to stop. While the server drains it still
//! accepts, and ends each connection at the moment at which no request can be lost: HTTP/1.1 with the answer
//! that says `Connection: close`, HTTP/2 with GOAWAY. Only what is idle after that is closed from our side,
//! and a connection that was accepted is always let to finish its first request, unless its [`Seats`] are needed
//! for somebody else.

use super::{
    lifecycle::{Lifecycle, Phase},
    metrics::Metrics,
    seats::{Seat, Seats},
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
/// The same for all requests of a connection. It is memory that any client can make us use, so it is no more than
/// lets some requests wait for room without the others having to wait with them.
const HTTP2_CONNECTION_WINDOW: u32 = 4 * HTTP2_STREAM_WINDOW;
/// An HTTP/2 client that has not answered a ping for this long is gone.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How often an HTTP/2 client is pinged.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long a closing server waits for a connection that it has accepted to come up with a request.
const LAST_CALL: Duration = Duration::from_secs(1);
/// Pause after a failed accept: out of file descriptors, most likely, which does not get better by trying harder.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection may take, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at a time.
    pub connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the handshake to the end of the first request's headers.
    pub headers: Duration,
    /// From one answer to the end of the next request's headers. The API server keeps idle connections for 90
    /// seconds; whoever closes first while the other is sending costs that request, so let it be the API server.
    pub idle: Duration,
}

/// One listening socket and what is served there.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    /// `None` serves plain HTTP.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) router: Router,
    pub(super) limits: ConnectionLimits,
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
    limits: ConnectionLimits,
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    seats: Arc<Seats>,
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
        let Self { socket, tls, router, limits, lifecycle, metrics } = self;
        let closing = lifecycle.clone();
        let mut closing = pin!(closing.reached(Phase::Closing));
        let service = Arc::new(Service::new(tls, router, limits, lifecycle, metrics));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = socket.accept() => welcome(accepted, &service, &mut connections).await,
                Some(ended) = connections.join_next() => note(ended),
                () = &mut closing => break,
            }
        }
        // Those whom the system has already let in on our behalf would find the door shut in their face.
        while let Some(Ok(accepted)) = socket.accept().now_or_never() {
            welcome(Ok(accepted), &service, &mut connections).await;
        }
        connections
    }
}

async fn welcome(accepted: io::Result<(TcpStream, SocketAddr)>, service: &Arc<Service>, all: &mut JoinSet<()>) {
    match accepted {
        Ok((stream, peer)) => {
            let peer = canonical(peer);
            let Some(seat) = service.seats.take(peer) else {
                tracing::debug!(%peer, "closed at once, as there are too many connections");
                return service.metrics.crowded_out();
            };
            // Answers are small and awaited; without this they wait for more to come.
            let _ = stream.set_nodelay(true);
            all.spawn(Arc::clone(service).handle(stream, seat));
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

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = error.to_string(), "a connection ended in a panic; please report this bug");
    }
}

// === impl Service ===

impl Service {
    fn new(
        tls: Option<Arc<Tls>>,
        router: Router,
        limits: ConnectionLimits,
        lifecycle: Lifecycle,
        metrics: Arc<Metrics>,
    ) -> Self {
        let builder = builder(limits);
        let (http1, http2) = (builder.clone().http1_only(), builder.http2_only());
        let seats = Seats::new(limits.connections);
        Self { tls, router, limits, lifecycle, metrics, seats, http1, http2 }
    }

    async fn handle(self: Arc<Self>, stream: TcpStream, seat: Arc<Seat>) {
        let Some(tls) = &self.tls else { return self.converse(stream, Protocol::Http1, seat).await };
        let handshake = timeout(self.limits.handshake, tls.acceptor().accept(stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = seat.wanted() => return self.crowded_out(&seat),
        };
        match shaken {
            Ok(Ok(stream)) => {
                let protocol = Protocol::of(&stream);
                self.converse(stream, protocol, seat).await;
            }
            Ok(Err(error)) => self.failed(&error, seat.caller().peer),
            Err(_) => self.failed(&io::Error::from(io::ErrorKind::TimedOut), seat.caller().peer),
        }
    }

    fn crowded_out(&self, seat: &Seat) {
        self.metrics.crowded_out();
        tracing::debug!(peer = %seat.caller().peer, "closed to make room, or as an answer was not taken");
    }

    fn failed(&self, error: &io::Error, peer: SocketAddr) {
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

    async fn converse<S>(&self, stream: S, protocol: Protocol, seat: Arc<Seat>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // Who comes while the server drains would be sent away with the first request already, and clients tend to lose
        // one when a connection ends that they have only just made.
        let draining = self.lifecycle.phase() > Phase::Serving;
        let last_phase = if draining { Phase::Closing } else { protocol.last_phase() };
        let begun = Arc::new(Notify::new());
        let service = self.requests(&begun, &seat);
        let connection =
            self.builder(protocol).serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = pin!(connection);
        // In both, the connection comes first: what it has already received must not be lost to a shutdown.
        tokio::select! {
            biased;
            _ = &mut connection => return,
            () = begun.notified() => {}
            () = self.given_up() => return,
            () = seat.wanted() => return self.crowded_out(&seat),
        }
        let wanted = tokio::select! {
            biased;
            _ = &mut connection => return,
            () = self.lifecycle.reached(last_phase) => false,
            () = seat.wanted() => true,
        };
        connection.as_mut().graceful_shutdown();
        if wanted {
            // Once: enough to say goodbye, and no time for a client that does not listen.
            let _ = connection.as_mut().now_or_never();
            return self.crowded_out(&seat);
        }
        tokio::select! {
            // An error here is the client's: it went away, or broke the protocol.
            _ = connection => {}
            () = seat.wanted() => self.crowded_out(&seat),
        }
    }

    /// What answers the requests of a connection.
    fn requests<B>(&self, begun: &Arc<Notify>, seat: &Arc<Seat>) -> impl Answers<B> + use<B>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let (first, caller, seat) = (Arc::clone(begun), seat.caller().clone(), Arc::clone(seat));
        let router = ServiceExt::<Request<Body>>::map_future(self.router.clone(), move |answer| {
            let busy = seat.busy();
            answer.inspect(move |_| drop(busy))
        });
        router.map_request(move |request: Request<B>| {
            first.notify_one();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(caller.clone());
            request
        })
    }

    /// When a connection has had enough time for its first request.
    async fn given_up(&self) {
        let last_call = async {
            self.lifecycle.reached(Phase::Closing).await;
            sleep(LAST_CALL).await;
        };
        tokio::select! {
            () = sleep(self.limits.headers) => {}
            () = last_call => {}
        }
    }

    const fn builder(&self, protocol: Protocol) -> &auto::Builder<TokioExecutor> {
        match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        }
    }
}

fn builder(limits: ConnectionLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Runs from the end of the last answer, not from a request's first byte.
        .header_read_timeout(limits.idle)
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

// === impl ConnectionLimits ===

/// A handshake takes the API server at most 10 seconds. It has few connections, with many requests on each; and
/// those of everybody else together must not fill the memory.
impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 128,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            idle: Duration::from_secs(150),
        }
    }
}
