//! As many pods at once as one API server takes, and a rolling restart in between: every pod is converted.
//!
//! ```sh
//! tests/cluster/run 1.37 -- burst                                # as in CI
//! NATIVE_SIDECAR_BAD_DAY=long tests/cluster/run 1.37 -- burst    # ten thousand pods
//! ```

use super::{
    balancer::Balancer,
    cluster::{Cluster, Namespace, eventually, note},
    pods::{annotated, named},
    process::{Process, free_port},
    stand_in::{NAME, StandIn, converted},
    webhook::is_converted,
};
use futures::future::join_all;
use serde_json::json;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-native-sidecar";

/// Creations under way at the same time. The user of the test is one whom the API server does not hold back.
const AT_ONCE: usize = 1_000;

/// Two replicas, of which each listens on a port of its own.
struct Replicas<'s> {
    stand_in: &'s StandIn,
    balancer: Balancer,
    running: Vec<(Process, SocketAddr)>,
}

/// What became of the pods.
struct Burst {
    start: Instant,
    begun: Cell<usize>,
    converted: Cell<usize>,
    missed: Cell<usize>,
    /// What the API server did not take, by its HTTP status: not ours to convert.
    refused: RefCell<BTreeMap<u16, usize>>,
    restarted: Cell<bool>,
    /// When pods were missed and what was done to the replicas, to see whether one comes of the other.
    moments: RefCell<Vec<(Duration, &'static str)>>,
}

fn is_long() -> bool {
    env::var("NATIVE_SIDECAR_BAD_DAY").is_ok_and(|value| value == "long")
}

// === impl Replicas ===

impl<'s> Replicas<'s> {
    fn start(stand_in: &'s StandIn) -> Self {
        let running = vec![replica(stand_in), replica(stand_in)];
        let addresses: Vec<_> = running.iter().map(|(_, address)| *address).collect();
        // Where the API server looks for the webhook.
        let balancer = Balancer::listen((stand_in.address, 443).into());
        balancer.choose_from(&addresses);
        Self { stand_in, balancer, running }
    }

    /// As a Deployment with `maxSurge: 1` and `maxUnavailable: 0` does it.
    async fn restart(&mut self, note: impl Fn(&'static str)) {
        for _ in 0..self.running.len() {
            let stand_in = self.stand_in;
            self.running.push(replica(stand_in));
            let (mut old, _) = self.running.remove(0);
            let addresses: Vec<_> = self.running.iter().map(|(_, address)| *address).collect();
            old.terminate();
            note("SIGTERM");
            // Endpoints and the end of a pod are told at the same time, and endpoints arrive later.
            eventually("the replica says that it goes", || async { !old.is_ready() }).await;
            self.balancer.choose_from(&addresses);
            note("no more connections to the old replica");
            while !old.has_ended() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            note("the old replica has ended");
        }
    }
}

fn replica(stand_in: &StandIn) -> (Process, SocketAddr) {
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free_port(Ipv4Addr::LOCALHOST.into()));
    let pair = stand_in.authority.issue(NAME);
    (Process::start_with(address.ip(), address.port(), &pair, |_| ()), address)
}

// === impl Burst ===

impl Burst {
    fn begin() -> Self {
        Self {
            start: Instant::now(),
            begun: Cell::default(),
            converted: Cell::default(),
            missed: Cell::default(),
            refused: RefCell::default(),
            restarted: Cell::default(),
            moments: RefCell::default(),
        }
    }

    /// Creates pods until there are enough and the replicas have been restarted. Their names are counted: of five thousand
    /// that an API server makes up, two are often the same, and older ones refuse the second.
    async fn flow(&self, namespace: &Namespace<'_>, pods: usize) {
        while self.begun.get() < pods || !self.restarted.get() {
            self.begun.set(self.begun.get() + 1);
            let reply = namespace.create(named(annotated(), &format!("pod-{}", self.begun.get()))).await;
            if !reply.exists() {
                *self.refused.borrow_mut().entry(reply.status).or_default() += 1;
            } else if is_converted(&reply.object) {
                self.converted.set(self.converted.get() + 1);
            } else {
                self.missed.set(self.missed.get() + 1);
                self.note("a pod is missed");
            }
        }
    }

    /// Restarts the replicas once a quarter of the pods is there.
    async fn restart(&self, replicas: &mut Replicas<'_>, pods: usize) {
        eventually("a quarter of the pods is there", || async { self.answered() >= pods / 4 }).await;
        replicas.restart(|what| self.note(what)).await;
        self.restarted.set(true);
    }

    fn note(&self, what: &'static str) {
        self.moments.borrow_mut().push((self.start.elapsed(), what));
    }

    fn answered(&self) -> usize {
        self.converted.get() + self.missed.get() + self.refused.borrow().values().sum::<usize>()
    }
}

/// Waits for a slow machine rather than fail for it: what is looked at is whether an answer is lost, not when it comes.
async fn wait_longest(cluster: &Cluster) {
    let mut registration = cluster.get(REGISTRATION).await.created();
    for webhook in registration["webhooks"].as_array_mut().unwrap() {
        webhook["timeoutSeconds"] = 30.into();
    }
    cluster.merge(REGISTRATION, &json!({"webhooks": registration["webhooks"]})).await.created();
}

/// How often the API server could not call the webhook, by what it says, without the ports of connections.
fn reasons() -> BTreeMap<String, usize> {
    let log = env::var_os("CLUSTER_STATE").map(|state| Path::new(&state).join("logs/kube-apiserver.log"));
    let log = log.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default();
    let failed = log.lines().filter_map(|line| line.split_once("failed to call webhook: ")).map(|(_, reason)| reason);
    let mut reasons = BTreeMap::new();
    for reason in failed {
        let words = reason.split(' ').map(|word| word.split_once("->").map_or(word, |(from, _)| from));
        let words = words.map(|word| word.rsplit_once(':').map_or(word, |(address, _)| address));
        *reasons.entry(words.collect::<Vec<_>>().join(" ")).or_default() += 1;
    }
    reasons
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pods_at_once_and_a_rolling_restart_miss_no_pod() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(stand_in) = StandIn::with_files(&cluster).await else { return };
    wait_longest(&cluster).await;
    let mut replicas = Replicas::start(&stand_in);
    converted(&cluster, "the API server calls the webhook").await;
    let namespace = cluster.namespace().await;
    let burst = Burst::begin();
    let pods = if is_long() { 10_000 } else { 1_000 };
    let flows = join_all((0..AT_ONCE).map(|_| burst.flow(&namespace, pods)));
    tokio::join!(flows, burst.restart(&mut replicas, pods));
    let (created, time) = (burst.converted.get() + burst.missed.get(), burst.start.elapsed().as_secs_f32());
    let (missed, refused) = (burst.missed.get(), burst.refused.take());
    note(&format!(
        "burst: {created} pods created, {AT_ONCE} at a time, two replicas restarted one after the other meanwhile: \
         {missed} missed, refused by the API server {refused:?}, at most {} connections at a time, {time:.1} s",
        replicas.balancer.most_open(),
    ));
    assert_eq!(missed, 0, "pods were missed; the API server says why: {:#?}\n{:#?}", reasons(), burst.moments.take());
    assert!(refused.is_empty(), "the API server refused pods: {refused:?}");
}
