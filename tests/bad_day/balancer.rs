//! A balancer between the API server and two replicas, as a Service is: it knows connections only, tries each on one
//! replica, and learns late that one has gone.

use super::{program::Program, support::get};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long a probe may take, as the manifests have it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Ends with all its connections when dropped.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    replicas: Arc<Replicas>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Replicas {
    all: Mutex<Vec<Replica>>,
    turn: AtomicUsize,
}

#[derive(Clone, Copy)]
struct Replica {
    address: SocketAddr,
    health: SocketAddr,
    is_sent_to: bool,
}

// === impl Balancer ===

impl Balancer {
    pub(crate) async fn between(programs: &[Program]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let replicas = Arc::new(Replicas::default());
        *replicas.all.lock().unwrap() = programs.iter().map(Replica::of).collect();
        let mut tasks = JoinSet::new();
        tasks.spawn(balance(listener, Arc::clone(&replicas)));
        Self { address, replicas, tasks }
    }

    /// From now on new connections go there, or no longer.
    pub(crate) fn send_to(&self, index: usize, is_sent_to: bool) {
        self.replicas.all.lock().unwrap()[index].is_sent_to = is_sent_to;
    }

    /// Another process in its place.
    pub(crate) fn replace(&self, index: usize, program: &Program) {
        self.replicas.all.lock().unwrap()[index] = Replica::of(program);
    }

    /// Asks each replica this often whether it is ready, and sends to those that are.
    pub(crate) fn watch(&mut self, period: Duration) {
        let replicas = Arc::clone(&self.replicas);
        self.tasks.spawn(async move {
            loop {
                sleep(period).await;
                let all = replicas.all.lock().unwrap().clone();
                for (index, replica) in all.into_iter().enumerate() {
                    let is_ready = replica.is_ready().await;
                    replicas.all.lock().unwrap()[index].is_sent_to = is_ready;
                }
            }
        });
    }
}

async fn balance(listener: TcpListener, replicas: Arc<Replicas>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                // A Service tries no second one: the client sees what the replica does.
                if let Some(address) = replicas.next() {
                    connections.spawn(forward(stream, address));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn forward(mut client: TcpStream, address: SocketAddr) -> io::Result<()> {
    let mut replica = TcpStream::connect(address).await?;
    client.set_nodelay(true)?;
    replica.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut replica).await?;
    Ok(())
}

// === impl Replicas ===

impl Replicas {
    fn next(&self) -> Option<SocketAddr> {
        let all = self.all.lock().unwrap();
        let mut there = all.iter().filter(|replica| replica.is_sent_to);
        let count = there.clone().count();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(count)?;
        there.nth(turn).map(|replica| replica.address)
    }
}

// === impl Replica ===

impl Replica {
    const fn of(program: &Program) -> Self {
        Self { address: program.address, health: program.health, is_sent_to: true }
    }

    async fn is_ready(&self) -> bool {
        let health = self.health;
        let asked = async move {
            TcpStream::connect(health).await?;
            Ok::<_, io::Error>(get(health, "/readyz").await.0 == 200)
        };
        matches!(timeout(PROBE_TIMEOUT, tokio::spawn(asked)).await, Ok(Ok(Ok(true))))
    }
}
