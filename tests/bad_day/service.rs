//! What the API server calls where there are two replicas: a Service, which learns late that one of them has gone.

use super::{balancer::Balancer, program::Program, support::get};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long a probe may take, as the manifests have it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Ends with all its connections when dropped.
pub(crate) struct Service {
    replicas: Arc<Replicas>,
    probes: JoinSet<()>,
}

struct Replicas {
    balancer: Balancer,
    all: Mutex<Vec<Replica>>,
}

#[derive(Clone, Copy)]
struct Replica {
    address: SocketAddr,
    health: SocketAddr,
    is_sent_to: bool,
}

// === impl Service ===

impl Service {
    pub(crate) fn of(programs: &[Program]) -> Self {
        let balancer = Balancer::listen((Ipv4Addr::LOCALHOST, 0).into());
        let all = Mutex::new(programs.iter().map(Replica::of).collect());
        let replicas = Arc::new(Replicas { balancer, all });
        replicas.change(|_| ());
        Self { replicas, probes: JoinSet::new() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.replicas.balancer.address()
    }

    /// From now on no new connections go there.
    pub(crate) fn leave_out(&self, index: usize) {
        self.replicas.change(|all| all[index].is_sent_to = false);
    }

    /// Another process in its place.
    pub(crate) fn replace(&self, index: usize, program: &Program) {
        self.replicas.change(|all| all[index] = Replica::of(program));
    }

    /// Asks each replica this often whether it is ready, and sends to those that are.
    pub(crate) fn watch(&mut self, period: Duration) {
        let replicas = Arc::clone(&self.replicas);
        self.probes.spawn(async move {
            loop {
                sleep(period).await;
                let all = replicas.all.lock().unwrap().clone();
                for (index, replica) in all.into_iter().enumerate() {
                    let is_ready = replica.is_ready().await;
                    replicas.change(|all| all[index].is_sent_to = is_ready);
                }
            }
        });
    }
}

// === impl Replicas ===

impl Replicas {
    fn change(&self, change: impl FnOnce(&mut Vec<Replica>)) {
        let mut all = self.all.lock().unwrap();
        change(&mut all);
        let there: Vec<_> = all.iter().filter(|replica| replica.is_sent_to).map(|replica| replica.address).collect();
        self.balancer.choose_from(&there);
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
