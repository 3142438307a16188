//! Memory for requests, acquired before it is used.
//!
//! Anybody who reaches the port can send bodies that are large, slow, many at a time, or small and expensive to parse.
//! So no part of a body is kept before there is memory for it, and nothing is parsed before there is memory for what
//! parsing may take. What the API server sends all day never waits for what is large: a small body is counted against
//! the budget of its own connection, where only other requests of that connection can be in the way.
//!
//! | Pool | For | Released |
//! |---|---|---|
//! | a connection's own | bodies up to [`SMALL_BODY`] | after the review |
//! | bodies | all others | after the review |
//! | small reviews | reviews of bodies up to [`SMALL_BODY`] | after the review |
//! | large reviews | all others, two at a time, by what [`memory_needed`] says | after the review |
//! | answers | answers above [`SMALL_ANSWER`] | once the client has read them |
//!
//! Nearly every review needs next to nothing beside its body, since it points into it. The pools for reviews are for
//! those who send bodies that are made to need more, and a large one may be made to need many times its size.
//!
//! They are acquired in this order and never the other way round, so there is no deadlock. Nobody waits for the last
//! one: answers are refused instead.

use axum::body::Bytes;
use native_sidecar_core::admission::memory_needed;
use std::{fmt, str::FromStr, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest body that is read. A client may send the API server 3 MiB, possibly as protobuf, which grows as
/// JSON; and nothing but a pod is ever sent here.
pub const BODY_LIMIT: usize = 8 * MIB;
/// A body above this size is a large one. The small bodies of one connection share as many bytes.
const SMALL_BODY: usize = 64 * KIB;
/// Answers above this size are counted. An ordinary one takes less than 1 KiB.
const SMALL_ANSWER: usize = 4 * KIB;
/// What all larger answers together may take. One that is larger than this alone is sent when there is no other.
const ANSWERS: usize = 4 * MIB;
/// What the review of a small body may need: 1,000 containers that all move, for example.
const SMALL_REVIEW: usize = 4 * MIB;
/// What all small reviews together may take: enough for 16 processors, since a review does not wait while it runs.
const SMALL_REVIEWS: usize = 16 * SMALL_REVIEW;
/// Large reviews at a time, whatever memory they need, since they need processors too.
const LARGE_REVIEWS: usize = 2;

/// A third is for bodies, where the largest one must fit, and the rest for reviews.
const LEAST: usize = 3 * BODY_LIMIT;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How much memory large bodies and their reviews may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeBodyMemory(usize);

/// The memory that requests may use.
#[derive(Debug)]
pub struct MemoryBudget {
    bodies: Pool,
    small_reviews: Pool,
    large_reviews: Pool,
    answers: Pool,
}

/// Memory that can be acquired, in KiB.
#[derive(Clone, Debug)]
struct Pool {
    free: Arc<Semaphore>,
    size: u32,
}

/// The memory for the small bodies of one connection.
#[derive(Clone, Debug)]
pub(super) struct ConnectionBudget(Pool);

/// Memory that was acquired; released when dropped.
#[derive(Debug)]
#[must_use = "the memory is released when this is dropped"]
pub(super) struct MemoryPermit(#[allow(dead_code, reason = "held, not looked at")] Option<OwnedSemaphorePermit>);

/// The memory for a review, and by it how the review is to be run.
#[derive(Debug)]
pub(super) enum ReviewPermit {
    Small(MemoryPermit),
    Large(MemoryPermit),
}

/// A large answer. Its memory is released once nobody needs its bytes any more.
struct LargeAnswer {
    bytes: Vec<u8>,
    _permit: MemoryPermit,
    _until_read: Box<dyn Send>,
}

// === impl MemoryBudget ===

impl MemoryBudget {
    /// A budget with `memory` for large bodies and their reviews.
    #[must_use]
    pub fn new(LargeBodyMemory(memory): LargeBodyMemory) -> Self {
        let bodies = memory / 3;
        Self {
            bodies: Pool::of(bodies),
            small_reviews: Pool::of(SMALL_REVIEWS),
            large_reviews: Pool::of(memory - bodies),
            answers: Pool::of(ANSWERS),
        }
    }

    /// Waits for the memory for a body of `declared` bytes. One whose length is not declared counts as the largest.
    pub(super) async fn acquire_for_body(&self, declared: Option<usize>, own: &ConnectionBudget) -> MemoryPermit {
        match declared {
            Some(length) if length <= SMALL_BODY => own.0.acquire(length).await,
            Some(length) => self.bodies.acquire(length).await,
            None => self.bodies.acquire(BODY_LIMIT).await,
        }
    }

    /// Waits for the memory for the review of `body`. `None` where the whole pool is not enough.
    pub(super) async fn acquire_for_review(&self, body: &[u8]) -> Option<ReviewPermit> {
        if body.len() <= SMALL_BODY {
            return Some(ReviewPermit::Small(self.small_reviews.acquire(SMALL_REVIEW).await));
        }
        let (need, all) = (memory_needed(body), self.large_reviews.bytes());
        if need > all {
            return None;
        }
        Some(ReviewPermit::Large(self.large_reviews.acquire(need.max(all / LARGE_REVIEWS)).await))
    }

    /// The bytes to send for `answer`. `None` where there is no memory for them now: a large answer that waited for
    /// memory would use it all the same. Once the client has read the answer its memory is released, and what
    /// `until_read` has returned is dropped; it is called for large answers only.
    pub(super) fn acquire_for_answer<T: Send + 'static>(
        &self,
        answer: Vec<u8>,
        until_read: impl FnOnce() -> T,
    ) -> Option<Bytes> {
        if answer.len() <= SMALL_ANSWER {
            return Some(answer.into());
        }
        let permit = self.answers.try_acquire(answer.len())?;
        Some(Bytes::from_owner(LargeAnswer { bytes: answer, _permit: permit, _until_read: Box::new(until_read()) }))
    }

    /// Bytes that large bodies have acquired.
    pub(super) fn large_body_bytes(&self) -> usize {
        self.bodies.used()
    }
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(LargeBodyMemory::default())
    }
}

// === impl Pool ===

impl Pool {
    fn of(bytes: usize) -> Self {
        let size = kib(bytes);
        Self { free: Arc::new(Semaphore::new(size as usize)), size }
    }

    fn bytes(&self) -> usize {
        self.size as usize * KIB
    }

    fn used(&self) -> usize {
        self.bytes().saturating_sub(self.free.available_permits() * KIB)
    }

    async fn acquire(&self, bytes: usize) -> MemoryPermit {
        // The semaphore is never closed.
        MemoryPermit(Arc::clone(&self.free).acquire_many_owned(self.permits(bytes)).await.ok())
    }

    fn try_acquire(&self, bytes: usize) -> Option<MemoryPermit> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(self.permits(bytes)).ok()?;
        Some(MemoryPermit(Some(permit)))
    }

    /// A request for more than the whole pool gets the whole pool; it would wait for ever for more.
    fn permits(&self, bytes: usize) -> u32 {
        kib(bytes).min(self.size)
    }
}

/// In KiB, rounded up.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX)
}

// === impl ConnectionBudget ===

impl ConnectionBudget {
    pub(super) fn new() -> Self {
        Self(Pool::of(SMALL_BODY))
    }
}

// === impl LargeAnswer ===

impl AsRef<[u8]> for LargeAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

// === impl LargeBodyMemory ===

impl LargeBodyMemory {
    /// This many MiB; `None` where the largest body and its review would not fit.
    #[must_use]
    pub const fn mebibytes(count: usize) -> Option<Self> {
        match count.checked_mul(MIB) {
            Some(bytes) if bytes >= LEAST && bytes <= u32::MAX as usize => Some(Self(bytes)),
            _ => None,
        }
    }
}

/// Enough for the review of a pod of 3 MiB, which is all that a client may send, made of nothing but variables; in a pod
/// that is limited to 256 MiB.
impl Default for LargeBodyMemory {
    fn default() -> Self {
        Self(128 * MIB)
    }
}

impl FromStr for LargeBodyMemory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = text.strip_suffix("Mi").and_then(|count| count.parse().ok());
        let memory = count.and_then(Self::mebibytes);
        memory.ok_or_else(|| format!("expected a size between {}Mi and 4095Mi", LEAST / MIB))
    }
}

impl fmt::Display for LargeBodyMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Mi", self.0 / MIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use rstest::rstest;

    #[rstest]
    #[case("24Mi", Some(24))]
    #[case("4095Mi", Some(4095))]
    #[case("23Mi", None)]
    #[case("4096Mi", None)]
    #[case("32", None)]
    #[case("32M", None)]
    #[case("-1Mi", None)]
    fn sizes(#[case] text: &str, #[case] expected: Option<usize>) {
        assert_eq!(text.parse::<LargeBodyMemory>().ok(), expected.and_then(LargeBodyMemory::mebibytes), "{text}");
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        assert_eq!(LargeBodyMemory::default().to_string().parse(), Ok(LargeBodyMemory::default()));
    }

    #[test]
    fn small_bodies_do_not_wait_for_large_ones() {
        let least = LargeBodyMemory::mebibytes(LEAST / MIB).unwrap();
        let (budget, own) = (MemoryBudget::new(least), ConnectionBudget::new());
        let large = budget.acquire_for_body(None, &own).now_or_never();
        assert!(large.is_some());
        assert_eq!(budget.large_body_bytes(), BODY_LIMIT);
        assert!(budget.acquire_for_body(Some(BODY_LIMIT), &own).now_or_never().is_none());
        let small = budget.acquire_for_body(Some(SMALL_BODY), &own).now_or_never();
        assert!(small.is_some());
        assert!(budget.acquire_for_body(Some(1), &own).now_or_never().is_none(), "more than the connection has");
        assert!(
            budget.acquire_for_body(Some(1), &ConnectionBudget::new()).now_or_never().is_some(),
            "another connection"
        );
        drop((large, small));
        assert_eq!(budget.large_body_bytes(), 0);
        assert!(budget.acquire_for_body(Some(SMALL_BODY), &own).now_or_never().is_some());
    }

    #[test]
    fn two_large_reviews_at_a_time() {
        let budget = MemoryBudget::default();
        let body = vec![b' '; SMALL_BODY + 1];
        let large = [(); 2].map(|()| budget.acquire_for_review(&body).now_or_never().unwrap().unwrap());
        assert!(large.iter().all(|permit| matches!(permit, ReviewPermit::Large(_))));
        assert!(budget.acquire_for_review(&body).now_or_never().is_none());
        assert!(matches!(budget.acquire_for_review(b"{}").now_or_never(), Some(Some(ReviewPermit::Small(_)))));
    }

    #[rstest]
    #[case::text(vec![b'a'; BODY_LIMIT], true)]
    #[case::containers(b"{},".repeat(BODY_LIMIT / 3), false)]
    #[case::numbers(b"0,".repeat(BODY_LIMIT / 2), false)]
    #[case::some_numbers(b"0,".repeat(100_000), true)]
    #[case::variables(br#"{"name":"V00000","value":"b"},"#.repeat(100_000), true)]
    fn a_review_has_to_fit(#[case] body: Vec<u8>, #[case] fits: bool) {
        assert_eq!(MemoryBudget::default().acquire_for_review(&body).now_or_never().unwrap().is_some(), fits);
    }

    #[test]
    fn a_large_answer_keeps_its_memory_until_it_is_read() {
        let budget = MemoryBudget::default();
        let answer = |size| budget.acquire_for_answer(vec![b'a'; size], || ());
        let (first, small) = (answer(2 * ANSWERS).unwrap(), answer(SMALL_ANSWER));
        assert_eq!((first.len(), small.is_some()), (2 * ANSWERS, true));
        assert!(answer(SMALL_ANSWER + 1).is_none());
        let part = first.slice(..10);
        drop(first);
        assert!(answer(SMALL_ANSWER + 1).is_none(), "a part of it is still there");
        drop(part);
        assert!(answer(SMALL_ANSWER + 1).is_some());
    }
}
