//! What the server knows of a connection while it lasts, and when that may be ended for the sake of others.

use super::fair_pool::{Activity, FairPermit, Holder, Progress};
use socket2::SockRef;
use std::{
    io::{self, ErrorKind, IoSlice},
    mem::MaybeUninit,
    net::{Shutdown, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
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
    client: Client,
    end: Notify,
}

/// What has come from the client.
#[derive(Debug)]
struct Client {
    /// How often something was read.
    reads: AtomicUsize,
    stream: Weak<TcpStream>,
}

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

/// A connection's socket, which tells it what is read, and which it can look into.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Arc<TcpStream>,
    connection: Arc<Connection>,
}

// === impl ConnectionPermit ===

impl ConnectionPermit {
    /// A place for the connection from `peer`, and its socket.
    pub(super) fn new(peer: SocketAddr, place: FairPermit, stream: TcpStream) -> (Self, Watched) {
        let stream = Arc::new(stream);
        let connection = Connection {
            peer,
            place: place.holder().clone(),
            requests: Mutex::default(),
            client: Client { reads: AtomicUsize::new(0), stream: Arc::downgrade(&stream) },
            end: Notify::new(),
        };
        let connection = Arc::new(connection);
        let stream = Watched { stream, connection: Arc::clone(&connection) };
        (Self { connection, _place: place }, stream)
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

    /// Whether something has come from the client that is not read yet.
    pub(super) fn has_unread(&self) -> bool {
        self.client.has_unread()
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
            outcome = self.place.unless_given_up(future, &self.client) => outcome,
            () = self.end.notified() => None,
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        // Nothing that is done with them can panic half way.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Client ===

impl Progress for Client {
    fn progress(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// Asks the system: on a busy machine the runtime may not have come to look.
    fn has_unread(&self) -> bool {
        let stream = self.stream.upgrade();
        let peeked = stream.map(|stream| SockRef::from(&*stream).peek(&mut [MaybeUninit::uninit()]));
        matches!(peeked, Some(Ok(1..)))
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

impl ActiveRequest {
    pub(super) const fn connection(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let mut requests = self.0.requests();
        requests.active -= 1;
        // That one of several is over is no excuse for the others.
        if requests.active == 0 {
            self.0.place.begin(requests.activity());
        }
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

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => {
                    self.connection.client.reads.fetch_add(1, Ordering::Relaxed);
                    return Poll::Ready(outcome.map(|length| buffer.advance(length)));
                }
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write_when_ready(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_when_ready(context, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.stream).shutdown(Shutdown::Write))
    }
}

impl Watched {
    fn write_when_ready(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match write(&self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}
