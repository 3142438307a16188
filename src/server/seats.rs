//! So many connections at a time, shared out fairly between addresses.
//!
//! Unlike a plain limit, this one keeps nobody out by being used up: a newcomer gets the seat of a connection of
//! the address that has the most. So who fills all seats loses its own, and the API server always finds one.

use super::room::Share;
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::Notify;

/// All seats of a listener.
#[derive(Debug)]
pub(super) struct Seats {
    limit: usize,
    table: Mutex<Table>,
}

/// One connection's seat; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    id: u64,
    caller: Caller,
}

/// Who sends a request: an extension of the request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    /// The room of its connection for small bodies.
    pub(super) share: Share,
    /// Ends its connection.
    pub(super) leave: Arc<Notify>,
}

/// A request under way; over when dropped.
#[derive(Debug)]
#[must_use = "the request is under way until this is dropped"]
pub(super) struct Busy(Arc<Seat>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    address: IpAddr,
    requests: usize,
    /// When a request last began or ended, or the connection.
    last: Instant,
    leave: Arc<Notify>,
    /// Told to leave, and about to.
    leaving: bool,
}

// === impl Seats ===

impl Seats {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, table: Mutex::default() })
    }

    /// A seat for a connection from `peer`; `None` where its own address has the most and needs them all.
    pub(super) fn take(self: &Arc<Self>, peer: SocketAddr) -> Option<Arc<Seat>> {
        let mut table = self.table();
        let staying = table.staying().count();
        // Those who are leaving are gone in no time, unless there are so many that they are not.
        if table.taken.len() >= 2 * self.limit || (staying >= self.limit && !table.make_room_for(peer.ip())) {
            return None;
        }
        let leave = Arc::new(Notify::new());
        let id = table.seat(peer.ip(), Arc::clone(&leave));
        Some(Arc::new(Seat { seats: Arc::clone(self), id, caller: Caller { peer, share: Share::new(), leave } }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that is done with it can panic half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Table ===

impl Table {
    fn staying(&self) -> impl Iterator<Item = &Taken> {
        self.taken.values().filter(|taken| !taken.leaving)
    }

    fn seat(&mut self, address: IpAddr, leave: Arc<Notify>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.taken.insert(id, Taken { address, requests: 0, last: Instant::now(), leave, leaving: false });
        id
    }

    /// Tells one connection to leave, if it is fair that a newcomer from `address` gets its seat: the one that has
    /// been idle for longest, else one that is busy, but only for the sake of an address that has fewer.
    fn make_room_for(&mut self, address: IpAddr) -> bool {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for taken in self.staying() {
            *counts.entry(taken.address).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or_default();
        let fewer = counts.get(&address).copied().unwrap_or_default() + 1 < most;
        let candidates = self.taken.values_mut().filter(|taken| !taken.leaving && counts[&taken.address] == most);
        let candidates = candidates.filter(|taken| taken.requests == 0 || fewer);
        let Some(leaving) = candidates.min_by_key(|taken| (taken.requests > 0, taken.last)) else { return false };
        leaving.leaving = true;
        leaving.leave.notify_one();
        true
    }
}

// === impl Seat ===

impl Seat {
    pub(super) const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// A request begins.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.update(|requests| requests + 1);
        Busy(Arc::clone(self))
    }

    /// When the connection has to go, to make room for another or because its client does not take an answer.
    pub(super) async fn wanted(&self) {
        self.caller.leave.notified().await;
    }

    fn update(&self, requests: impl FnOnce(usize) -> usize) {
        if let Some(taken) = self.seats.table().taken.get_mut(&self.id) {
            taken.requests = requests(taken.requests);
            taken.last = Instant::now();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.table().taken.remove(&self.id);
    }
}

// === impl Busy ===

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.update(|requests| requests.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn from(address: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, address], 40_000))
    }

    fn is_wanted(seat: &Seat) -> bool {
        seat.wanted().now_or_never().is_some()
    }

    #[test]
    fn a_seat_that_is_left_is_free() {
        let seats = Seats::new(1);
        let first = seats.take(from(1)).unwrap();
        let busy = first.busy();
        assert!(seats.take(from(2)).is_none(), "one each, and the other is busy");
        drop((busy, first));
        assert!(seats.take(from(2)).is_some());
    }

    #[test]
    fn the_longest_idle_gives_way() {
        let seats = Seats::new(3);
        let [first, second, third] = [(); 3].map(|()| seats.take(from(1)).unwrap());
        drop(first.busy());
        let _busy = second.busy();
        let _newcomer = seats.take(from(1)).unwrap();
        assert_eq!([&first, &second, &third].map(|seat| is_wanted(seat)), [false, false, true]);
    }

    #[test]
    fn nobody_makes_room_for_its_own_busy_connections() {
        let seats = Seats::new(2);
        let all = [(); 2].map(|()| seats.take(from(1)).unwrap());
        let _busy = all.each_ref().map(Seat::busy);
        assert!(seats.take(from(1)).is_none());
        let _busy_too = seats.take(from(2)).unwrap().busy();
        assert_eq!(all.each_ref().map(|seat| is_wanted(seat)), [true, false]);
        assert!(seats.take(from(2)).is_none(), "one each");
    }

    #[test]
    fn who_has_the_most_gives_way() {
        let seats = Seats::new(3);
        let quiet = seats.take(from(1)).unwrap();
        let loud = [(); 2].map(|()| seats.take(from(2)).unwrap());
        let _newcomer = seats.take(from(2)).unwrap();
        assert!(!is_wanted(&quiet) && is_wanted(&loud[0]));
    }
}
