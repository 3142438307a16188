//! A limit to the connections at a time that is fair between addresses.
//!
//! Unlike a plain limit, which keeps everybody out once it is reached, this one evicts: a new connection takes the place
//! of one from the address that has the most. So whoever opens too many loses its own, and the API server always gets
//! in.

use super::memory_budget::ConnectionBudget;
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// The connections of a listener, of which there may be so many.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    limit: usize,
    /// How often a request or a connection has begun or ended, on any connection.
    events: Arc<AtomicU64>,
    connections: Mutex<BTreeMap<u64, Arc<Connection>>>,
}

/// Allows one connection, which no longer counts when this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    id: u64,
    connection: Arc<Connection>,
}

/// One connection, as its requests know it: each has it as an extension.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    /// The memory for its small bodies.
    pub(super) budget: ConnectionBudget,
    events: Arc<AtomicU64>,
    active_requests: AtomicUsize,
    /// Which event was the last one on this connection.
    last_event: AtomicU64,
    evicted: AtomicBool,
    eviction: Notify,
}

/// A request under way; over when dropped.
#[derive(Debug)]
#[must_use = "the request is under way until this is dropped"]
pub(super) struct ActiveRequest(Arc<Connection>);

// === impl ConnectionLimit ===

impl ConnectionLimit {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, events: Arc::default(), connections: Mutex::default() })
    }

    /// Allows a connection from `peer`, for which another is evicted where the limit is reached. `None` where the
    /// peer's own address has the most connections, and a request under way on each.
    pub(super) fn acquire(self: &Arc<Self>, peer: SocketAddr) -> Option<ConnectionPermit> {
        let mut connections = self.connections();
        let staying = staying(&connections).count();
        // Evicted ones are gone in no time, unless there are so many that they are not.
        let too_many = connections.len() >= 2 * self.limit;
        if too_many || (staying >= self.limit && !evict_one_for(peer.ip(), &connections)) {
            return None;
        }
        let connection = Arc::new(Connection::new(peer, Arc::clone(&self.events)));
        let id = connection.last_event();
        connections.insert(id, Arc::clone(&connection));
        Some(ConnectionPermit { limit: Arc::clone(self), id, connection })
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
        // Nothing that is done with them can panic half way.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn staying(connections: &BTreeMap<u64, Arc<Connection>>) -> impl Iterator<Item = &Arc<Connection>> {
    connections.values().filter(|connection| !connection.evicted.load(Ordering::Relaxed))
}

/// Evicts a connection of the address that has the most, for a new one from `address`: the one that has been idle for
/// longest. One with a request under way only if `address` has fewer connections even with the new one.
fn evict_one_for(address: IpAddr, connections: &BTreeMap<u64, Arc<Connection>>) -> bool {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for connection in staying(connections) {
        *counts.entry(connection.peer.ip()).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let fewer = counts.get(&address).copied().unwrap_or_default() + 1 < most;
    let candidates = staying(connections)
        .filter(|connection| counts[&connection.peer.ip()] == most)
        .filter(|connection| fewer || !connection.is_active());
    let chosen = candidates.min_by_key(|connection| (connection.is_active(), connection.last_event()));
    chosen.is_some_and(|connection| {
        connection.evict();
        true
    })
}

// === impl ConnectionPermit ===

impl ConnectionPermit {
    pub(super) const fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Waits until the connection has to end, for the sake of another or because its client does not read an answer.
    pub(super) async fn evicted(&self) {
        self.connection.eviction.notified().await;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limit.connections().remove(&self.id);
    }
}

// === impl Connection ===

impl Connection {
    fn new(peer: SocketAddr, events: Arc<AtomicU64>) -> Self {
        let last_event = AtomicU64::new(events.fetch_add(1, Ordering::Relaxed));
        Self {
            peer,
            budget: ConnectionBudget::new(),
            events,
            active_requests: AtomicUsize::new(0),
            last_event,
            evicted: AtomicBool::new(false),
            eviction: Notify::new(),
        }
    }

    /// A request begins.
    pub(super) fn begin_request(self: &Arc<Self>) -> ActiveRequest {
        self.active_requests.fetch_add(1, Ordering::Relaxed);
        self.note_event();
        ActiveRequest(Arc::clone(self))
    }

    /// Tells the connection to end.
    pub(super) fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.eviction.notify_one();
    }

    fn note_event(&self) {
        self.last_event.store(self.events.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn last_event(&self) -> u64 {
        self.last_event.load(Ordering::Relaxed)
    }

    fn is_active(&self) -> bool {
        self.active_requests.load(Ordering::Relaxed) > 0
    }
}

// === impl ActiveRequest ===

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.active_requests.fetch_sub(1, Ordering::Relaxed);
        self.0.note_event();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn from(address: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, address], 40_000))
    }

    fn is_evicted(permit: &ConnectionPermit) -> bool {
        permit.evicted().now_or_never().is_some()
    }

    #[test]
    fn a_connection_that_ended_does_not_count() {
        let limit = ConnectionLimit::new(1);
        let first = limit.acquire(from(1)).unwrap();
        let busy = first.connection().begin_request();
        assert!(limit.acquire(from(2)).is_none(), "one each, and the other is busy");
        drop((busy, first));
        assert!(limit.acquire(from(2)).is_some());
    }

    #[test]
    fn the_longest_idle_is_evicted() {
        let limit = ConnectionLimit::new(3);
        let [first, second, third] = [(); 3].map(|()| limit.acquire(from(1)).unwrap());
        drop(first.connection().begin_request());
        let _busy = second.connection().begin_request();
        let _newcomer = limit.acquire(from(1)).unwrap();
        assert_eq!([&first, &second, &third].map(is_evicted), [false, false, true]);
    }

    #[test]
    fn busy_connections_are_not_evicted_for_their_own_address() {
        let limit = ConnectionLimit::new(2);
        let all = [(); 2].map(|()| limit.acquire(from(1)).unwrap());
        let _busy = all.each_ref().map(|permit| permit.connection().begin_request());
        assert!(limit.acquire(from(1)).is_none());
        let other = limit.acquire(from(2)).unwrap();
        let _busy_too = other.connection().begin_request();
        assert_eq!(all.each_ref().map(is_evicted), [true, false]);
        assert!(limit.acquire(from(2)).is_none(), "one each");
    }

    #[test]
    fn the_address_with_the_most_loses_one() {
        let limit = ConnectionLimit::new(3);
        let quiet = limit.acquire(from(1)).unwrap();
        let loud = [(); 2].map(|()| limit.acquire(from(2)).unwrap());
        let _newcomer = limit.acquire(from(2)).unwrap();
        assert!(!is_evicted(&quiet) && is_evicted(&loud[0]));
    }
}
