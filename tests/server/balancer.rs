//! What stands between an API server and replicas: each connection goes to one of them, in turn.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{self, Runtime},
    spawn,
};

/// More than come at once: none has to try again.
const BACKLOG: u32 = 4096;

/// Like a Service's proxy it looks at no request and tries nothing twice: a connection that the chosen replica does not
/// take is closed. It has threads of its own: the end of a connection must not wait behind the test's thousand requests,
/// or the API server would go on using what a replica has closed.
pub(crate) struct Balancer {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct State {
    endpoints: Mutex<Vec<SocketAddr>>,
    next: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
}

/// One connection, for as long as it is open.
struct Open(Arc<State>);

// === impl Balancer ===

impl Balancer {
    /// Listens where the API server looks for the webhook. There are no replicas yet.
    pub(crate) fn listen(address: SocketAddr) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let state = Arc::new(State::default());
        let listener = {
            let _inside = runtime.enter();
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(BACKLOG).unwrap()
        };
        let address = listener.local_addr().unwrap();
        runtime.spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, runtime: Some(runtime) }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to these; those that are open stay where they are.
    pub(crate) fn choose_from(&self, endpoints: &[SocketAddr]) {
        *self.state.endpoints.lock().unwrap() = endpoints.to_vec();
    }

    /// The most connections that were open at a time.
    pub(crate) fn most_open(&self) -> usize {
        self.state.most.load(Ordering::Relaxed)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // One must not wait for threads within another runtime.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        // Out of descriptors, most likely: the test fails by what is missed.
        let Ok((stream, _)) = listener.accept().await else { continue };
        spawn(pass_on(stream, Open::new(Arc::clone(&state))));
    }
}

async fn pass_on(mut client: TcpStream, open: Open) -> io::Result<()> {
    let endpoint = open.0.next().ok_or(ErrorKind::ConnectionRefused)?;
    let mut replica = TcpStream::connect(endpoint).await?;
    client.set_nodelay(true)?;
    replica.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut replica).await?;
    Ok(())
}

// === impl State ===

impl State {
    fn next(&self) -> Option<SocketAddr> {
        let endpoints = self.endpoints.lock().unwrap();
        let turn = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(endpoints.len())?;
        endpoints.get(turn).copied()
    }
}

// === impl Open ===

impl Open {
    fn new(state: Arc<State>) -> Self {
        let now = state.open.fetch_add(1, Ordering::Relaxed) + 1;
        state.most.fetch_max(now, Ordering::Relaxed);
        Self(state)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
