//! What the server knows of a connection while it lasts, and when that may be ended for the sake of others.

use super::fair_pool::{Activity, FairPermit, Holder, Progress};
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};

/// A connection's place among those that there may be; given up when dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    connection: Arc<Connection>,
    _place: FairPermit,
}

/// One connection, as its requests know it: each has it as an extension.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    place: Holder,
    requests: Mutex<Requests>,
    reads: Reads,
    end: Notify,
}

/// How often something has come from the client.
#[derive(Debug, Default)]
struct Reads(AtomicUsize);

/// The requests of a connection that are under way.
#[derive(Debug, Default)]
struct Requests {
    active: usize,
    /// Those of them whose body has arrived.
    reviewed: usize,
}

/// A request under way; over when dropped.
#[derive(Debug)]
#[must_use = "the request is under way until this is dropped"]
pub(super) struct ActiveRequest(Arc<Connection>);

/// A request that waits for the server and no longer for its client; over when dropped.
#[derive(Debug)]
#[must_use = "the request is being reviewed until this is dropped"]
pub(super) struct RequestReview(Arc<Connection>);

/// A socket that tells its [`Connection`] what arrives.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    connection: Arc<Connection>,
}

// === impl ConnectionPermit ===

impl ConnectionPermit {
    pub(super) fn new(peer: SocketAddr, place: FairPermit) -> Self {
        let connection = Connection {
            peer,
            place: place.holder().clone(),
            requests: Mutex::default(),
            reads: Reads::default(),
            end: Notify::new(),
        };
        Self { connection: Arc::new(connection), _place: place }
    }

    pub(super) const fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

// === impl Connection ===

impl Connection {
    /// A request begins.
    pub(super) fn begin_request(self: &Arc<Self>) -> ActiveRequest {
        let mut requests = self.requests();
        requests.active += 1;
        if requests.active == 1 {
            self.place.begin(requests.activity());
        }
        ActiveRequest(Arc::clone(self))
    }

    /// The body of a request has arrived, and its review begins.
    pub(super) fn begin_review(self: &Arc<Self>) -> RequestReview {
        let mut requests = self.requests();
        requests.reviewed += 1;
        self.place.begin(requests.activity());
        RequestReview(Arc::clone(self))
    }

    /// Whether other connections wait for its place.
    pub(super) fn others_wait(&self) -> bool {
        self.place.others_wait()
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.requests().activity() == Activity::Idle
    }

    /// Ends the connection, whatever it is doing.
    pub(super) fn end(&self) {
        self.end.notify_one();
    }

    /// Runs `future`, which is this connection's, to its end. `None` if the connection was told to end, or has to make
    /// room for another.
    pub(super) async fn unless_it_has_to_end<F: Future>(&self, future: Pin<&mut F>) -> Option<F::Output> {
        tokio::select! {
            biased;
            outcome = self.place.unless_given_up(future, &self.reads) => outcome,
            () = self.end.notified() => None,
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        // Nothing that is done with them can panic half way.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Reads ===

impl Progress for Reads {
    fn progress(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Requests ===

impl Requests {
    const fn activity(&self) -> Activity {
        match self {
            Self { reviewed: 1.., .. } => Activity::Working,
            Self { active: 1.., .. } => Activity::Waiting,
            _ => Activity::Idle,
        }
    }
}

// === impl ActiveRequest ===

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let mut requests = self.0.requests();
        requests.active -= 1;
        self.0.place.begin(requests.activity());
    }
}

// === impl RequestReview ===

impl Drop for RequestReview {
    fn drop(&mut self) {
        let mut requests = self.0.requests();
        requests.reviewed -= 1;
        self.0.place.begin(requests.activity());
    }
}

// === impl Watched ===

impl Watched {
    pub(super) fn new(stream: TcpStream, connection: &Arc<Connection>) -> Self {
        Self { stream, connection: Arc::clone(connection) }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if outcome.is_ready() {
            self.connection.reads.0.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
