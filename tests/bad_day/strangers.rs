//! Those who call beside the API server: many, slow, or of ill will. Each has an address; loopback has 16 million.

use super::{
    caller::{Target, connect},
    program::Program,
    support::soon,
};
use rustls::ClientConfig;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long the good calls wait for strangers to be where they want to be. Those that wait in the backlog never are.
const UNTIL_IN_PLACE: Duration = Duration::from_secs(3);
/// Before a stranger comes again that was turned away.
const AGAIN: Duration = Duration::from_millis(100);
/// The pace of the slow: what they send each time is one byte.
const SLOW: Duration = Duration::from_millis(500);

/// All of them; gone when dropped.
pub(crate) struct Strangers {
    /// Held, not looked at: those that it holds end with it.
    _tasks: JoinSet<()>,
    count: u32,
    in_place: Arc<Semaphore>,
    came: Arc<AtomicUsize>,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Stranger {
    pub(crate) source: Ipv4Addr,
    target: SocketAddr,
    config: Arc<ClientConfig>,
    is_in_place: Arc<AtomicBool>,
    in_place: Arc<Semaphore>,
}

/// The address of a stranger, from 127.1.0.1 on.
pub(crate) fn anywhere(index: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x7f01_0001 + u32::try_from(index).unwrap())
}

// === impl Strangers ===

impl Strangers {
    /// As many of them come, each from `source`, do what they do again and again, and are in place.
    pub(crate) async fn come<F>(
        count: usize,
        program: &Program,
        source: impl Fn(usize) -> Ipv4Addr,
        act: impl Fn(Stranger) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send,
    {
        let (mut tasks, came) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        let (in_place, config) = (Arc::new(Semaphore::new(0)), program_config(program));
        for index in 0..count {
            let stranger = Stranger {
                source: source(index),
                target: program.address,
                config: Arc::clone(&config),
                is_in_place: Arc::default(),
                in_place: Arc::clone(&in_place),
            };
            let (act, came) = (act.clone(), Arc::clone(&came));
            tasks.spawn(async move {
                loop {
                    came.fetch_add(1, Ordering::Relaxed);
                    let outcome = act(stranger.clone()).await;
                    stranger.in_place();
                    if outcome.is_err() {
                        sleep(AGAIN).await;
                    }
                }
            });
        }
        let strangers = Self { _tasks: tasks, count: u32::try_from(count).unwrap(), in_place, came };
        let _ = timeout(UNTIL_IN_PLACE, strangers.all_in_place()).await;
        strangers
    }

    pub(crate) async fn all_in_place(&self) {
        let _ = soon(self.in_place.acquire_many(self.count)).await.unwrap();
    }

    /// How often they have come.
    pub(crate) fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }
}

fn program_config(program: &Program) -> Arc<ClientConfig> {
    Target::new(program.address, program.ca()).config()
}

// === impl Stranger ===

impl Stranger {
    /// Has done what the good calls have to cope with, for the first time.
    pub(crate) fn in_place(&self) {
        if !self.is_in_place.swap(true, Ordering::Relaxed) {
            self.in_place.add_permits(1);
        }
    }

    pub(crate) fn at(self, source: Ipv4Addr) -> Self {
        Self { source, ..self }
    }

    pub(crate) async fn tcp(&self) -> io::Result<TcpStream> {
        connect(self.source, self.target).await
    }

    /// A TCP connection to somewhere else.
    pub(crate) async fn tcp_to(&self, target: SocketAddr) -> io::Result<TcpStream> {
        connect(self.source, target).await
    }

    pub(crate) async fn tls(&self, protocol: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.tcp().await?;
        self.tls_over(stream, protocol).await
    }

    pub(crate) async fn tls_over(&self, stream: TcpStream, protocol: &str) -> io::Result<TlsStream<TcpStream>> {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
    }
}

/// The head of a POST of JSON, with `length` such as `Content-Length: 7`.
pub(crate) fn head(length: &str) -> String {
    format!("POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}\r\n\r\n")
}

/// Sends `piece` again and again, slowly, until the other side is tired of it.
pub(crate) async fn slowly<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, piece: &[u8]) -> io::Result<()> {
    let mut answer = [0; 1024];
    loop {
        stream.write_all(piece).await?;
        stream.flush().await?;
        // An end is seen at once.
        if let Ok(read) = timeout(SLOW, stream.read(&mut answer)).await
            && read? == 0
        {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

/// Sends one request after the other and takes what is answered, with a pause in between, until the other side is tired of
/// it or there are no more. In place with the first answer.
pub(crate) async fn ask_on_and_on<S: AsyncRead + AsyncWrite + Unpin>(
    stranger: &Stranger,
    mut stream: S,
    requests: impl IntoIterator<Item: AsRef<[u8]>>,
    pause: Option<Duration>,
) -> io::Result<()> {
    let mut answer = vec![0; 64 * 1024];
    for request in requests {
        stream.write_all(request.as_ref()).await?;
        if stream.read(&mut answer).await? == 0 {
            break;
        }
        stranger.in_place();
        if let Some(pause) = pause {
            sleep(pause).await;
        }
    }
    Ok(())
}

/// Says nothing until the other side is tired of it.
pub(crate) async fn silently<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<()> {
    let mut answer = [0; 1024];
    while stream.read(&mut answer).await? > 0 {}
    Err(io::ErrorKind::ConnectionAborted.into())
}
