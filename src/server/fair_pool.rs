//! Something of which there is only so much, shared out fairly between addresses.
//!
//! Connections, memory for bodies and memory for answers are all given out by the same rule. Who finds none left waits:
//! first come, first served, but an address that has less than its fair share comes before those that have more. While
//! somebody waits, others are asked to give up theirs, in this order:
//!
//! 1. Who has been idle for [`IDLE`], the longest first, once somebody has waited for as long: clients that come in a crowd
//!    use what they have idle too, and on a busy machine not at once.
//! 2. Who has waited for its client for longer than the pool's patience, the longest first. An ordinary request is over
//!    in a fraction of that. Where only others of its address wait, it has [`OWN`] times as long: then it is a crowd of
//!    one client's, which may be slow to serve all its connections.
//! 3. For somebody with less than a fair share: the address that has most and more than a fair share, and of what it
//!    has, what has waited for its client for longest, but at least for [`GRACE`].
//!
//! While anybody is idle, the others are asked only once somebody has waited for twice [`IDLE`].
//!
//! Who is idle gives up at once, unless something has just come from its client. Others have another [`CHANCE`]: whose client
//! sends something meanwhile need not give up, nor whose client has sent something that was not read yet (then it is the
//! server that is slow), unless it has been at it for as long as the pool excuses.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{self, Notify, oneshot},
    time::{Instant, sleep, sleep_until},
};

/// How long somebody may be idle while others wait for as long.
const IDLE: Duration = Duration::from_millis(500);
/// How many times as long a client may be silent while nobody but its own address waits.
const OWN: u32 = 2;
/// How long a client may be waited for whose address has more than its fair share, while an address with less waits for
/// what it has.
const GRACE: Duration = Duration::from_millis(100);
/// How long after that a client has for something to come from it.
const CHANCE: Duration = Duration::from_millis(250);
/// How long something that comes excuses a client whose address has more than its fair share.
const EXCUSE: Duration = Duration::from_secs(2);
/// How often one of those who wait looks for others who have become too slow.
const LOOK: Duration = Duration::from_millis(50);
/// A fair share is at least the whole divided by this, however many addresses there are: otherwise whoever has many
/// addresses would leave nothing to an API server, which has one.
const MOST_SHARES: usize = 16;

/// How long clients are waited for while somebody else waits for what they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// With a client from which nothing comes.
    pub(super) silent: Duration,
    /// With a client from which something comes now and then.
    pub(super) slow: Duration,
}

/// So much of something, shared out between addresses.
#[derive(Debug)]
pub(super) struct FairPool {
    state: Mutex<State>,
    /// Somebody has stopped to wait.
    fewer_wait: Notify,
    /// Held by the one who looks, for all who wait.
    lookout: sync::Mutex<()>,
}

/// A part of the pool; goes back when dropped.
#[derive(Debug)]
#[must_use = "it goes back to the pool when this is dropped"]
pub(super) struct FairPermit(Holder);

/// One who has a part of the pool.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pool: Arc<FairPool>,
    id: u64,
    asked: Arc<Notify>,
}

/// What a holder is doing with what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// Nothing at the moment.
    Idle,
    /// It waits for its client.
    Waiting,
    /// It is being worked for, and not asked to give up.
    Working,
}

/// What comes from the client of a holder.
pub(super) trait Progress {
    /// A number that grows with what is read.
    fn progress(&self) -> usize;

    /// Whether something has come that is not read yet.
    fn has_unread(&self) -> bool {
        false
    }
}

/// Why a holder is asked to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Idle,
    Slow,
    MoreThanFairShare,
}

/// A place among those who wait; given up when dropped.
#[derive(Debug)]
#[must_use = "the place is given up when this is dropped"]
pub(super) struct Place {
    pool: Arc<FairPool>,
    id: u64,
    granted: oneshot::Receiver<FairPermit>,
}

#[derive(Debug)]
struct State {
    patience: Patience,
    capacity: usize,
    free: usize,
    next_id: u64,
    held: BTreeMap<u64, Held>,
    /// By number, and so in the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    addresses: HashMap<IpAddr, Address>,
    /// The amounts of all who wait.
    wanted: usize,
    /// What may be wanted by those who wait where they are not counted.
    behind: usize,
    /// The amounts of all who were asked to give up.
    asked: usize,
    last_look: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    address: IpAddr,
    amount: usize,
    activity: Activity,
    /// When that began.
    began: Instant,
    /// When that began, or something came after it was asked to give up.
    since: Instant,
    reason: Option<Reason>,
    asked: Arc<Notify>,
}

#[derive(Debug)]
struct Waiting {
    address: IpAddr,
    amount: usize,
    since: Instant,
    grant: oneshot::Sender<FairPermit>,
}

/// What one address has and waits for. Forgotten once it is neither.
#[derive(Debug, Default)]
struct Address {
    held: usize,
    /// The numbers of those who wait.
    waiting: BTreeSet<u64>,
}

/// Somebody's wait is over, as [`State`] knows it.
struct Grant {
    id: u64,
    asked: Arc<Notify>,
    to: oneshot::Sender<FairPermit>,
}

// === impl FairPool ===

impl FairPool {
    /// A pool of `capacity`, in any unit.
    pub(super) fn new(capacity: usize, patience: Patience) -> Arc<Self> {
        let state = Mutex::new(State::new(capacity, patience));
        Arc::new(Self { state, fewer_wait: Notify::new(), lookout: sync::Mutex::default() })
    }

    /// Waits for `amount`, or for all of the pool where that is less. `None` if it was
    /// [turned away](Self::turn_away_from_most).
    pub(super) async fn acquire(self: &Arc<Self>, address: IpAddr, amount: usize) -> Option<FairPermit> {
        if let Some(permit) = self.try_acquire(address, amount) {
            return Some(permit);
        }
        self.place(address, amount).granted().await
    }

    /// A place among those who wait for `amount`, if only for a moment.
    pub(super) fn place(self: &Arc<Self>, address: IpAddr, amount: usize) -> Place {
        let (grant, granted) = oneshot::channel();
        let id = self.settle(|state| state.wait(address, amount, grant, Instant::now()));
        Place { pool: Arc::clone(self), id, granted }
    }

    /// The same where there is enough at the moment, and nobody waits.
    pub(super) fn try_acquire(self: &Arc<Self>, address: IpAddr, amount: usize) -> Option<FairPermit> {
        let (id, asked) = self.state().take_if_free(address, amount, Instant::now())?;
        Some(FairPermit(Holder { pool: Arc::clone(self), id, asked }))
    }

    /// How much is given out.
    pub(super) fn used(&self) -> usize {
        let state = self.state();
        state.capacity - state.free
    }

    pub(super) fn capacity(&self) -> usize {
        self.state().capacity
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// Waits until fewer than `limit` wait. Meanwhile there may be any number behind them that nobody has counted.
    pub(super) async fn until_fewer_wait(&self, limit: usize) {
        while self.is_full(limit) {
            self.fewer_wait.notified().await;
        }
    }

    fn is_full(&self, limit: usize) -> bool {
        let mut state = self.state();
        let is_full = state.waiting.len() >= limit;
        state.behind = if is_full { state.capacity } else { 0 };
        is_full
    }

    /// Ends the wait of the last who came from the address from which most wait, if these are more than `limit`. Whether
    /// there was one.
    pub(super) fn turn_away_from_most(self: &Arc<Self>, limit: usize) -> bool {
        let turned_away = self.settle(|state| state.turn_away_from_most(limit));
        if turned_away.is_some() {
            self.fewer_wait.notify_one();
        }
        turned_away.is_some()
    }

    /// Looks for those who have become too slow, for as long as nobody else does it.
    async fn look_out(&self) -> Infallible {
        let _lookout = self.lookout.lock().await;
        loop {
            let next = self.state().look(Instant::now());
            sleep_until(next).await;
        }
    }

    /// Changes something, and then gives out what there is.
    fn settle<T>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let outcome = change(&mut state);
        let grants = state.grants(Instant::now());
        drop(state);
        for Grant { id, asked, to } in grants {
            // What nobody takes any more is dropped, and so goes to the next.
            drop(to.send(FairPermit(Holder { pool: Arc::clone(self), id, asked })));
            self.fewer_wait.notify_one();
        }
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done with it can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl FairPermit ===

impl FairPermit {
    pub(super) const fn holder(&self) -> &Holder {
        &self.0
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        let Holder { pool, id, .. } = &self.0;
        pool.settle(|state| state.give_back(*id));
    }
}

// === impl Holder ===

impl Holder {
    /// Runs `future`, which is what it has its part for, to its end. `None` if it has to give up.
    pub(super) async fn unless_given_up<F: Future>(
        &self,
        future: Pin<&mut F>,
        client: &impl Progress,
    ) -> Option<F::Output> {
        tokio::select! {
            // What has come already comes first.
            biased;
            outcome = future => Some(outcome),
            () = self.has_to_give_up(client) => None,
        }
    }

    /// Waits until it is asked to give up what it has, and nothing excuses it.
    async fn has_to_give_up(&self, client: &impl Progress) {
        loop {
            let reason = self.asked().await;
            let mut has_come = client.has_unread();
            if reason != Reason::Idle {
                let before = client.progress();
                sleep(CHANCE).await;
                has_come = client.has_unread() || client.progress() != before;
            }
            let excused = self.pool.state().excuse(self.id, has_come, Instant::now());
            if !excused {
                return;
            }
        }
    }

    /// Waits until it is asked to give up what it has.
    async fn asked(&self) -> Reason {
        loop {
            if let Some(reason) = self.pool.state().held.get(&self.id).and_then(|held| held.reason) {
                return reason;
            }
            self.asked.notified().await;
        }
    }

    /// Waits until it is asked to give up what it has, whether or not there is an excuse.
    pub(super) async fn is_wanted(&self) {
        self.asked().await;
    }

    /// Whether somebody waits for what it has.
    pub(super) fn others_wait(&self) -> bool {
        self.pool.waiting() > 0
    }

    /// Begins to do something else, or the same once more. It need not give up any more if it was asked to.
    pub(super) fn begin(&self, activity: Activity) {
        self.pool.state().begin(self.id, activity, Instant::now());
    }
}

// === impl Place ===

impl Place {
    /// Waits for what it is a place for. `None` if it was [turned away](FairPool::turn_away_from_most).
    pub(super) async fn granted(mut self) -> Option<FairPermit> {
        let pool = Arc::clone(&self.pool);
        tokio::select! {
            biased;
            granted = &mut self.granted => granted.ok(),
            never = pool.look_out() => match never {},
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nearly all have been given what they waited for.
        let waited = self.pool.state().leave(self.id).is_some();
        if waited {
            self.pool.settle(|_| ());
            self.pool.fewer_wait.notify_one();
        }
    }
}

// === impl State ===

impl State {
    fn new(capacity: usize, patience: Patience) -> Self {
        Self {
            patience,
            capacity,
            free: capacity,
            next_id: 0,
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            addresses: HashMap::new(),
            wanted: 0,
            behind: 0,
            asked: 0,
            last_look: None,
        }
    }

    fn take_if_free(&mut self, address: IpAddr, amount: usize, now: Instant) -> Option<(u64, Arc<Notify>)> {
        let amount = amount.min(self.capacity);
        if !self.waiting.is_empty() || amount > self.free {
            return None;
        }
        self.next_id += 1;
        Some((self.next_id, self.take(self.next_id, address, amount, now)))
    }

    fn take(&mut self, id: u64, address: IpAddr, amount: usize, now: Instant) -> Arc<Notify> {
        let asked = Arc::new(Notify::new());
        self.free -= amount;
        self.addresses.entry(address).or_default().held += amount;
        let (activity, reason) = (Activity::Waiting, None);
        let held = Held { address, amount, activity, began: now, since: now, reason, asked: Arc::clone(&asked) };
        self.held.insert(id, held);
        asked
    }

    fn give_back(&mut self, id: u64) {
        let Some(held) = self.held.remove(&id) else { return };
        self.free += held.amount;
        if held.reason.is_some() {
            self.asked -= held.amount;
        }
        self.change_address(held.address, |address| address.held -= held.amount);
    }

    fn wait(&mut self, address: IpAddr, amount: usize, grant: oneshot::Sender<FairPermit>, since: Instant) -> u64 {
        let amount = amount.min(self.capacity);
        self.next_id += 1;
        self.wanted += amount;
        self.addresses.entry(address).or_default().waiting.insert(self.next_id);
        self.waiting.insert(self.next_id, Waiting { address, amount, since, grant });
        self.next_id
    }

    fn leave(&mut self, id: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.wanted -= waiting.amount;
        self.change_address(waiting.address, |address| _ = address.waiting.remove(&id));
        Some(waiting)
    }

    fn turn_away_from_most(&mut self, limit: usize) -> Option<Waiting> {
        // Asked for each connection, of which nearly none finds so many waiting.
        if self.waiting.len() <= limit {
            return None;
        }
        let most = self.addresses.values().map(|address| &address.waiting).max_by_key(|waiting| waiting.len())?;
        let last = *most.last().filter(|_| most.len() > limit)?;
        self.leave(last)
    }

    fn change_address(&mut self, ip: IpAddr, change: impl FnOnce(&mut Address)) {
        let address = self.addresses.entry(ip).or_default();
        change(address);
        if address.held == 0 && address.waiting.is_empty() {
            self.addresses.remove(&ip);
        }
    }

    fn begin(&mut self, id: u64, activity: Activity, now: Instant) {
        let Some(held) = self.held.get_mut(&id) else { return };
        if held.reason.take().is_some() {
            self.asked -= held.amount;
        }
        (held.activity, held.began, held.since) = (activity, now, now);
    }

    /// Whether a holder that was asked to give up need not, where something has come from its client or not.
    fn excuse(&mut self, id: u64, has_come: bool, now: Instant) -> bool {
        let Some(held) = self.held.get_mut(&id) else { return true };
        let excused_for = match held.reason {
            // It has begun something else meanwhile.
            None => return true,
            Some(Reason::Idle) => Duration::MAX,
            Some(Reason::Slow) => self.patience.slow,
            Some(Reason::MoreThanFairShare) => EXCUSE,
        };
        let excused = has_come && now.saturating_duration_since(held.began) < excused_for;
        if excused {
            (held.activity, held.since) = (Activity::Waiting, now);
        }
        // Those for whom it was asked may have been given others meanwhile.
        let stays = excused || self.waiting.is_empty();
        if stays {
            held.reason = None;
            self.asked -= held.amount;
        }
        stays
    }

    /// Gives out what there is to those who wait.
    fn grants(&mut self, now: Instant) -> Vec<Grant> {
        let mut grants = Vec::new();
        while let Some((id, address, amount)) = self.next_in_line().filter(|(.., amount)| *amount <= self.free) {
            let Some(Waiting { grant: to, .. }) = self.leave(id) else { break };
            grants.push(Grant { id, asked: self.take(id, address, amount, now), to });
        }
        grants
    }

    /// Asks others to give up for those who wait, unless that was just done. When to do it the next time.
    fn look(&mut self, now: Instant) -> Instant {
        let due = self.last_look.map_or(now, |last| last + LOOK);
        if now < due {
            return due;
        }
        self.last_look = Some(now);
        if let Some((_, address, amount)) = self.next_in_line() {
            self.ask_idle(now);
            self.ask_slow(now);
            self.ask_address_with_most(address, amount, now);
        }
        now + LOOK
    }

    fn fair_share(&self) -> usize {
        self.capacity / self.addresses.len().clamp(1, MOST_SHARES)
    }

    fn held_by(&self, address: IpAddr) -> usize {
        self.addresses.get(&address).map_or(0, |address| address.held)
    }

    /// The first who has less than a fair share; else the first.
    fn next_in_line(&self) -> Option<(u64, IpAddr, usize)> {
        let first = self.waiting.keys().next()?;
        let fair_share = self.fair_share();
        let with_less = self.addresses.values().filter(|address| address.held < fair_share);
        let first_with_less = with_less.filter_map(|address| address.waiting.first()).min();
        let id = first_with_less.unwrap_or(first);
        let waiting = self.waiting.get(id)?;
        Some((*id, waiting.address, waiting.amount))
    }

    /// As many as would be enough for all who wait.
    fn ask_idle(&mut self, now: Instant) {
        if !self.somebody_waits_for(IDLE, now) {
            return;
        }
        let fair_share = self.fair_share();
        let idle = self.unasked().filter(|(_, held)| held.activity == Activity::Idle && held.is_for(IDLE, now));
        let idle = idle.map(|(id, held)| ((self.held_by(held.address) <= fair_share, held.since), id)).collect();
        self.ask(idle, Reason::Idle, (self.wanted + self.behind).saturating_sub(self.free + self.asked));
    }

    /// As many as would be enough for all who wait.
    fn ask_slow(&mut self, now: Instant) {
        let enough = self.free + self.asked + self.soon_asked(now);
        let missing = (self.wanted + self.behind).saturating_sub(enough);
        let alone = self.only_address_that_waits();
        let slow = self.unasked().filter(|(_, held)| {
            let silent = if Some(held.address) == alone { OWN * self.patience.silent } else { self.patience.silent };
            held.is_waiting_for(silent, now)
        });
        let slow = slow.map(|(id, held)| (held.since, id)).collect();
        self.ask(slow, Reason::Slow, missing);
    }

    /// As much as `amount` for `address`, of which so much waits.
    fn ask_address_with_most(&mut self, address: IpAddr, amount: usize, now: Instant) {
        let missing = amount.saturating_sub(self.free + self.asked + self.soon_asked(now));
        let fair_share = self.fair_share();
        if missing == 0 || self.held_by(address) >= fair_share {
            return;
        }
        let Some((&most, has)) = self.addresses.iter().max_by_key(|(_, address)| address.held) else { return };
        let above = has.held.saturating_sub(fair_share);
        let of_most = self.unasked().filter(|(_, held)| held.address == most && held.is_waiting_for(GRACE, now));
        let of_most = of_most.map(|(id, held)| (held.since, id)).collect();
        self.ask(of_most, Reason::MoreThanFairShare, missing.min(above));
    }

    fn somebody_waits_for(&self, time: Duration, now: Instant) -> bool {
        self.waiting.values().next().is_some_and(|first| is_past(first.since, time, now))
    }

    /// What those have who are idle: they are asked before any others, unless they keep becoming idle anew.
    fn soon_asked(&self, now: Instant) -> usize {
        if self.somebody_waits_for(2 * IDLE, now) {
            return 0;
        }
        self.unasked().filter(|(_, held)| held.activity == Activity::Idle).map(|(_, held)| held.amount).sum()
    }

    fn only_address_that_waits(&self) -> Option<IpAddr> {
        let mut waiting = self.addresses.iter().filter(|(_, address)| !address.waiting.is_empty());
        let (first, _) = waiting.next()?;
        waiting.next().is_none().then_some(*first)
    }

    fn unasked(&self) -> impl Iterator<Item = (u64, &Held)> {
        self.held.iter().filter(|(_, held)| held.reason.is_none()).map(|(id, held)| (*id, held))
    }

    /// Asks one after another, by their rank, until they have `missing` together.
    fn ask<R: Ord>(&mut self, mut candidates: Vec<(R, u64)>, reason: Reason, missing: usize) {
        let mut left = missing;
        if left > 0 {
            candidates.sort_unstable();
        }
        for (_, id) in candidates {
            let Some(held) = self.held.get_mut(&id).filter(|_| left > 0) else { return };
            held.reason = Some(reason);
            held.asked.notify_one();
            self.asked += held.amount;
            left = left.saturating_sub(held.amount);
        }
    }
}

fn is_past(since: Instant, time: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) >= time
}

// === impl Held ===

impl Held {
    fn is_waiting_for(&self, time: Duration, now: Instant) -> bool {
        self.activity == Activity::Waiting && self.is_for(time, now)
    }

    fn is_for(&self, time: Duration, now: Instant) -> bool {
        is_past(self.since, time, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, future::join_all};
    use std::{
        future::{pending, poll_fn},
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
    };

    const MOMENT: Duration = Duration::from_millis(1);
    const SILENT: Duration = Duration::from_secs(1);
    const PATIENCE: Patience = Patience { silent: SILENT, slow: Duration::from_secs(3) };

    fn from(address: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, address])
    }

    /// As many of one each as there are.
    async fn fill(pool: &Arc<FairPool>, address: u8, count: usize) -> Vec<FairPermit> {
        let mut permits = Vec::new();
        for _ in 0..count {
            permits.push(pool.acquire(from(address), 1).await.unwrap());
            // So that each has held for longer than the next.
            sleep(MOMENT).await;
        }
        permits
    }

    fn is_asked(permit: &FairPermit) -> bool {
        permit.holder().asked().now_or_never().is_some()
    }

    fn are_asked(permits: &[FairPermit]) -> Vec<bool> {
        permits.iter().map(is_asked).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_none_waits_until_one_is_given_back() {
        let pool = FairPool::new(2, PATIENCE);
        let mut held = fill(&pool, 1, 2).await;
        let mut newcomer = pin!(pool.acquire(from(1), 1));
        assert!(newcomer.as_mut().now_or_never().is_none());
        assert!(pool.try_acquire(from(1), 1).is_none());
        drop(held.pop());
        assert!(newcomer.now_or_never().unwrap().is_some());
        assert_eq!((pool.used(), pool.waiting()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_all_is_all() {
        let pool = FairPool::new(2, PATIENCE);
        let all = pool.acquire(from(1), 5).await;
        assert!(all.is_some() && pool.used() == 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_any_more_goes_to_the_next() {
        let pool = FairPool::new(1, PATIENCE);
        let held = fill(&pool, 1, 1).await;
        let mut first = Box::pin(pool.acquire(from(1), 1));
        let mut second = pin!(pool.acquire(from(1), 1));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(held);
        drop(first);
        assert!(second.now_or_never().is_some());
        assert_eq!((pool.used(), pool.state().addresses.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_lets_the_next_go_ahead() {
        let pool = FairPool::new(2, PATIENCE);
        let _held = fill(&pool, 1, 1).await;
        let mut large = Box::pin(pool.acquire(from(1), 2));
        let mut small = pin!(pool.acquire(from(1), 1));
        assert!(large.as_mut().now_or_never().is_none() && small.as_mut().now_or_never().is_none());
        drop(large);
        assert!(small.now_or_never().unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_ones_are_asked_first() {
        let pool = FairPool::new(3, PATIENCE);
        let held = fill(&pool, 1, 3).await;
        sleep(SILENT).await;
        held[2].holder().begin(Activity::Idle);
        let mut newcomer = pin!(pool.acquire(from(1), 1));
        assert!(tokio::time::timeout(IDLE / 2, newcomer.as_mut()).await.is_err());
        assert_eq!(are_asked(&held), [false; 3]);
        assert!(tokio::time::timeout(IDLE, newcomer.as_mut()).await.is_err());
        assert_eq!(are_asked(&held), [false, false, true]);
    }

    /// Whoever is idle for a moment now and then does not save those that are slow.
    #[tokio::test(start_paused = true)]
    async fn those_that_become_idle_again_and_again_are_not_waited_for() {
        let pool = FairPool::new(2, PATIENCE);
        let held = fill(&pool, 1, 2).await;
        sleep(2 * SILENT).await;
        let mut newcomer = pin!(pool.acquire(from(1), 1));
        for _ in 0..5 {
            held[1].holder().begin(Activity::Idle);
            assert!(tokio::time::timeout(IDLE / 2, newcomer.as_mut()).await.is_err());
        }
        assert_eq!(are_asked(&held), [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_is_asked() {
        let pool = FairPool::new(3, PATIENCE);
        let held = fill(&pool, 1, 3).await;
        for index in [1, 0, 2] {
            held[index].holder().begin(Activity::Idle);
            sleep(MOMENT).await;
        }
        sleep(IDLE).await;
        let mut newcomer = pin!(pool.acquire(from(2), 1));
        assert!(tokio::time::timeout(IDLE + LOOK, newcomer.as_mut()).await.is_err());
        assert_eq!(are_asked(&held), [false, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn then_the_slowest_once_it_is_too_slow() {
        let pool = FairPool::new(3, PATIENCE);
        let held = fill(&pool, 1, 3).await;
        held[0].holder().begin(Activity::Working);
        let mut newcomer = pin!(pool.acquire(from(1), 1));
        assert!(tokio::time::timeout(SILENT + SILENT / 2, newcomer.as_mut()).await.is_err());
        assert_eq!(are_asked(&held), [false; 3]);
        assert!(tokio::time::timeout(SILENT / 2 + LOOK, newcomer.as_mut()).await.is_err());
        assert_eq!(are_asked(&held), [false, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn sooner_where_others_wait() {
        let pool = FairPool::new(2, PATIENCE);
        let held = fill(&pool, 1, 1).await;
        let others = fill(&pool, 2, 1).await;
        others[0].holder().begin(Activity::Working);
        let mut newcomer = pin!(pool.acquire(from(2), 1));
        assert!(tokio::time::timeout(SILENT / 2, newcomer.as_mut()).await.is_err());
        assert_eq!(are_asked(&held), [false]);
        assert!(tokio::time::timeout(SILENT / 2 + LOOK, newcomer.as_mut()).await.is_err());
        assert_eq!(are_asked(&held), [true]);
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_are_asked_as_wait() {
        let pool = FairPool::new(3, PATIENCE);
        let held = fill(&pool, 1, 3).await;
        sleep(OWN * SILENT).await;
        let mut newcomers = [(); 2].map(|()| Box::pin(pool.acquire(from(1), 1)));
        for newcomer in &mut newcomers {
            assert!(newcomer.as_mut().now_or_never().is_none());
        }
        sleep(LOOK).await;
        pool.state().look(Instant::now());
        assert_eq!(are_asked(&held), [true, true, false]);
    }

    /// Whoever has many wait does not thereby keep the processors busy.
    #[tokio::test(start_paused = true)]
    async fn one_looks_for_all_who_wait() {
        const WAITING: usize = 1_000;
        let pool = FairPool::new(1, PATIENCE);
        let held = fill(&pool, 1, 1).await;
        held[0].holder().begin(Activity::Working);
        let polls = AtomicUsize::new(0);
        let newcomers = (0..WAITING).map(|_| {
            let (mut newcomer, polls) = (Box::pin(pool.acquire(from(1), 1)), &polls);
            poll_fn(move |context| {
                polls.fetch_add(1, Ordering::Relaxed);
                newcomer.poll_unpin(context)
            })
        });
        assert!(tokio::time::timeout(10 * LOOK, join_all(newcomers)).await.is_err());
        let polls = polls.into_inner();
        assert!((WAITING..WAITING + 12).contains(&polls), "{polls} polls");
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_are_slow_are_asked_where_nobody_knows_how_many_wait() {
        let pool = FairPool::new(3, PATIENCE);
        let held = fill(&pool, 1, 3).await;
        sleep(OWN * SILENT).await;
        let mut newcomer = pin!(pool.acquire(from(1), 1));
        assert!(newcomer.as_mut().now_or_never().is_none());
        assert_eq!(are_asked(&held), [true, false, false]);
        assert!(pool.until_fewer_wait(1).now_or_never().is_none());
        assert!(tokio::time::timeout(2 * LOOK, newcomer.as_mut()).await.is_err());
        assert_eq!(are_asked(&held), [true; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_less_than_a_fair_share_need_not_wait_for_the_slowest() {
        let pool = FairPool::new(4, PATIENCE);
        let quiet = fill(&pool, 2, 1).await;
        let loud = fill(&pool, 1, 3).await;
        let mut newcomer = pin!(pool.acquire(from(2), 1));
        assert!(tokio::time::timeout(GRACE + LOOK, newcomer.as_mut()).await.is_err());
        assert_eq!((are_asked(&quiet), are_asked(&loud)), (vec![false], vec![true, false, false]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_more_than_a_fair_share_waits_behind_those_with_less() {
        let pool = FairPool::new(4, PATIENCE);
        let mut loud = fill(&pool, 1, 4).await;
        let mut again = pin!(pool.acquire(from(1), 1));
        let mut other = pin!(pool.acquire(from(2), 1));
        assert!(again.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
        drop(loud.pop());
        assert!(again.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_some());
    }

    /// Whoever has very many addresses does not thereby take all from those that have one.
    #[tokio::test(start_paused = true)]
    async fn a_fair_share_does_not_vanish() {
        let pool = FairPool::new(64, PATIENCE);
        let _one_each: Vec<_> = (0..64).map(|address| pool.try_acquire(from(address), 1)).collect();
        assert_eq!(pool.state().fair_share(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_of_too_many_are_turned_away() {
        let pool = FairPool::new(1, PATIENCE);
        let _held = fill(&pool, 1, 1).await;
        let mut waiting = [1, 1, 2].map(|address| Box::pin(pool.acquire(from(address), 1)));
        for place in &mut waiting {
            assert!(place.as_mut().now_or_never().is_none());
        }
        assert!(!pool.turn_away_from_most(2));
        assert!(pool.turn_away_from_most(1));
        let outcomes = waiting.each_mut().map(|place| place.as_mut().now_or_never().map(|permit| permit.is_some()));
        assert_eq!(outcomes, [None, Some(false), None]);
        pool.until_fewer_wait(3).await;
    }

    /// One from which something comes each time that somebody looks, or never.
    struct Client {
        sends: bool,
        looks: AtomicUsize,
    }

    impl Progress for Client {
        fn progress(&self) -> usize {
            if self.sends { self.looks.fetch_add(1, Ordering::Relaxed) } else { 0 }
        }
    }

    /// How long a holder keeps what it has while another waits for it.
    async fn kept(pool: &Arc<FairPool>, address: u8, activity: Activity, sends: bool) -> Duration {
        let began = Instant::now();
        let held = pool.try_acquire(from(1), pool.capacity()).unwrap();
        held.holder().begin(activity);
        let newcomer = tokio::spawn({
            let pool = Arc::clone(pool);
            async move { pool.acquire(from(address), 1).await.is_some() }
        });
        let client = Client { sends, looks: AtomicUsize::new(0) };
        let outcome = held.holder().unless_given_up(pin!(pending::<()>()), &client).await;
        assert!(outcome.is_none());
        drop(held);
        assert!(newcomer.await.unwrap());
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_asked_gives_up_unless_something_comes() {
        let pool = FairPool::new(2, PATIENCE);
        let about = |time: Duration| time..time + 2 * CHANCE;
        assert!(kept(&pool, 1, Activity::Idle, true).await < IDLE + 2 * LOOK);
        assert!(about(OWN * SILENT + CHANCE).contains(&kept(&pool, 1, Activity::Waiting, false).await));
        // Asked again and again.
        let slow = kept(&pool, 1, Activity::Waiting, true).await;
        assert!((PATIENCE.slow..PATIENCE.slow + OWN * SILENT + 2 * CHANCE).contains(&slow), "{slow:?}");
        assert!(about(GRACE + CHANCE).contains(&kept(&pool, 2, Activity::Waiting, false).await));
        assert!(about(EXCUSE).contains(&kept(&pool, 2, Activity::Waiting, true).await));
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_is_not_given_up() {
        let pool = FairPool::new(1, PATIENCE);
        let held = fill(&pool, 1, 1).await;
        let client = Client { sends: false, looks: AtomicUsize::new(0) };
        assert_eq!(held[0].holder().unless_given_up(pin!(async { 1 }), &client).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn whose_work_begins_need_not_give_up() {
        let pool = FairPool::new(1, PATIENCE);
        let held = fill(&pool, 1, 1).await;
        sleep(OWN * SILENT).await;
        let mut newcomer = pin!(pool.acquire(from(1), 1));
        assert!(newcomer.as_mut().now_or_never().is_none() && is_asked(&held[0]));
        held[0].holder().begin(Activity::Working);
        assert!(!is_asked(&held[0]));
        assert!(tokio::time::timeout(2 * SILENT, newcomer.as_mut()).await.is_err());
        assert!(!is_asked(&held[0]));
    }
}
