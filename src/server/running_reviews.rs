//! The reviews that run at the moment, so that one that does not end is noticed.
//!
//! A review is plain computation: nothing can interrupt one that does not end because of a bug. What can be done is to
//! keep it from taking the others with it, and to tell the kubelet.
//!
//! An ordinary review takes a fraction of a millisecond and runs on one of the runtime's workers. One that stays there
//! would stop more than that worker: of those that have nothing to do, only one waits for the sockets, and the others
//! wait for it to wake them. So whoever is left has to be woken, and later reviews have to leave it alone.

use axum::body::Bytes;
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::Notify, time::sleep};

/// A small review that has run for longer than this has met a bug, or a machine that is very busy.
const SLOW: Duration = Duration::from_millis(100);

/// The reviews that run at the moment.
#[derive(Debug, Default)]
pub struct RunningReviews {
    reviews: Mutex<Reviews>,
    /// There was no review, and now there is one.
    first: Notify,
}

/// Where a review runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunsOn {
    /// One of the runtime's workers, on which nothing else gets on meanwhile.
    Worker,
    /// A thread for what takes long.
    BlockingThread,
}

/// A review that runs; over when dropped.
#[derive(Debug)]
#[must_use = "the review counts as running until this is dropped"]
pub(super) struct RunningReview<'r> {
    running: &'r RunningReviews,
    id: u64,
    began: Instant,
}

/// A few at most: each takes a thread. So looking through all of them is the fastest.
#[derive(Debug, Default)]
struct Reviews {
    next_id: u64,
    running: Vec<Review>,
}

struct Review {
    id: u64,
    began: Instant,
    runs_on: RunsOn,
    body: Bytes,
    reported: bool,
}

// === impl RunningReviews ===

impl RunningReviews {
    /// A review of `body` begins.
    pub(super) fn begin(&self, body: Bytes, runs_on: RunsOn) -> RunningReview<'_> {
        let began = Instant::now();
        let (id, count) = self.reviews().add(Review { id: 0, began, runs_on, body, reported: false });
        if count == 1 {
            self.first.notify_one();
        }
        RunningReview { running: self, id, began }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.reviews().running.len()
    }

    /// How many have run for longer than `limit`.
    pub(super) fn longer_than(&self, limit: Duration) -> usize {
        self.reviews().longer_than(limit).count()
    }

    /// Where the next small review should run: on another thread once slow ones have all workers but one.
    pub(super) fn thread_for_small(&self) -> RunsOn {
        let taken = self.workers_taken(SLOW);
        if taken == 0 || taken + 1 < Handle::current().metrics().num_workers() {
            RunsOn::Worker
        } else {
            RunsOn::BlockingThread
        }
    }

    /// Wakes a worker of `runtime` whenever a slow review has one, for ever. Has to run outside of that runtime.
    pub(super) async fn wake_workers(&self, runtime: &Handle) {
        loop {
            self.first.notified().await;
            loop {
                sleep(SLOW).await;
                if self.count() == 0 {
                    break;
                }
                if self.workers_taken(SLOW) > 0 {
                    drop(runtime.spawn(async {}));
                }
            }
        }
    }

    fn workers_taken(&self, limit: Duration) -> usize {
        self.reviews().longer_than(limit).filter(|review| review.runs_on == RunsOn::Worker).count()
    }

    /// The bodies of those that have run for longer than `limit`, each only once.
    pub(super) fn report(&self, limit: Duration) -> Vec<Bytes> {
        let mut reviews = self.reviews();
        let unreported = reviews.running.iter_mut().filter(|review| !review.reported && review.began.elapsed() > limit);
        unreported
            .map(|review| {
                review.reported = true;
                review.body.clone()
            })
            .collect()
    }

    fn reviews(&self) -> MutexGuard<'_, Reviews> {
        // Nothing that is done with them can panic half way.
        self.reviews.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl RunningReview ===

impl RunningReview<'_> {
    /// The time since the review began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for RunningReview<'_> {
    fn drop(&mut self) {
        self.running.reviews().remove(self.id);
    }
}

// === impl Reviews ===

impl Reviews {
    /// Its id, and how many there are now.
    fn add(&mut self, review: Review) -> (u64, usize) {
        let id = self.next_id;
        self.next_id += 1;
        self.running.push(Review { id, ..review });
        (id, self.running.len())
    }

    fn remove(&mut self, id: u64) {
        if let Some(index) = self.running.iter().position(|review| review.id == id) {
            self.running.swap_remove(index);
        }
    }

    fn longer_than(&self, limit: Duration) -> impl Iterator<Item = &Review> {
        self.running.iter().filter(move |review| review.began.elapsed() > limit)
    }
}

// === impl Review ===

/// Without the body.
impl fmt::Debug for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { began, runs_on, reported, .. } = self;
        f.debug_struct("Review").field("began", began).field("runs_on", runs_on).field("reported", reported).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_hours(1);

    #[test]
    fn a_review_runs_until_it_is_dropped() {
        let running = RunningReviews::default();
        let (first, second) =
            (running.begin(Bytes::new(), RunsOn::Worker), running.begin(Bytes::new(), RunsOn::BlockingThread));
        assert_eq!((running.count(), running.longer_than(NEVER)), (2, 0));
        drop(first);
        assert_eq!(running.count(), 1);
        drop(second);
        assert_eq!(running.count(), 0);
    }

    #[test]
    fn only_workers_are_taken() {
        let running = RunningReviews::default();
        let _both = [RunsOn::Worker, RunsOn::BlockingThread].map(|runs_on| running.begin(Bytes::new(), runs_on));
        // Any time at all has passed only once the clock has moved on.
        while running.longer_than(Duration::ZERO) < 2 {}
        assert_eq!((running.workers_taken(Duration::ZERO), running.workers_taken(NEVER)), (1, 0));
    }

    #[test]
    fn a_long_review_is_reported_once() {
        let running = RunningReviews::default();
        let _long = running.begin(Bytes::from_static(b"{}"), RunsOn::Worker);
        while running.longer_than(Duration::ZERO) == 0 {}
        assert!(running.report(NEVER).is_empty());
        assert_eq!(running.report(Duration::ZERO), ["{}"]);
        assert!(running.report(Duration::ZERO).is_empty());
    }
}
