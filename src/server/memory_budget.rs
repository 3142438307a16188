//! Memory for requests, acquired before it is used.
//!
//! Anybody who reaches the port can send bodies that are large, slow, many at a time, or small and expensive to parse.
//! So no part of a body is kept before there is memory for it, and nothing is parsed before there is memory for what
//! parsing may take. What the API server sends all day never waits for what is large.
//!
//! | Pool | For | Released |
//! |---|---|---|
//! | beginnings | the first [`BEGINNING`] of any body | after the review, or once there is more of it |
//! | small bodies | a body of which more than that has come, up to [`SMALL_BODY`] | the same |
//! | large bodies | a body of which more than that has come, with all that it may become | after the review |
//! | small reviews | reviews of bodies up to [`SMALL_BODY`] | after the review |
//! | large reviews | all others, two at a time, by what [`memory_needed`] says | after the review |
//! | answers | answers above [`SMALL_ANSWER`] | once the client has taken them |
//!
//! Each is a [`FairPool`], shared out between the addresses of the clients.
//!
//! Nearly every review needs next to nothing beside its body, since it points into it. The pools for reviews are for
//! those who send bodies that are made to need more, and a large one may be made to need many times its size.
//!
//! They are acquired in this order and never the other way round, so there is no deadlock. A body counts by what has come
//! of it, and not by what it is said to become, so that who promises much and sends little holds little.

use super::fair_pool::{Activity, FairPermit, FairPool, Holder, Patience, Progress};
use axum::body::Bytes;
use native_sidecar_core::admission::memory_needed;
use std::{fmt, net::IpAddr, pin::Pin, str::FromStr, sync::Arc, time::Duration};

/// The largest body that is read. A client may send the API server 3 MiB, possibly as protobuf, which grows as
/// JSON; and nothing but a pod is ever sent here.
pub const BODY_LIMIT: usize = 8 * MIB;
/// A body above this size is a large one.
const SMALL_BODY: usize = 64 * KIB;
/// What the first part of a body may take. An ordinary one is all of it.
const BEGINNING: usize = 16 * KIB;
/// What the beginnings of all bodies together may take: one for each of as many connections as there are by default.
const BEGINNINGS: usize = 16 * MIB;
/// What all small bodies together may take.
const SMALL_BODIES: usize = 16 * MIB;
/// Answers above this size are counted; smaller ones find room in what the system sends at a time. An ordinary one takes
/// less than 1 KiB.
const SMALL_ANSWER: usize = 16 * KIB;
/// What all larger answers together may take. One that is larger than this alone is sent when there is no other.
const ANSWERS: usize = 4 * MIB;
/// Answers that may wait to be sent, since each takes memory meanwhile.
const WAITING_ANSWERS: usize = 16;
/// What the review of a small body may need: 1,000 containers that all move, for example.
const SMALL_REVIEW: usize = 4 * MIB;
/// What all small reviews together may take: enough for 16 processors, since a review does not wait while it runs.
const SMALL_REVIEWS: usize = 16 * SMALL_REVIEW;
/// Large reviews at a time, whatever memory they need, since they need processors too.
const LARGE_REVIEWS: usize = 2;

/// How long whoever holds memory may keep others waiting. A large body that does come has all the time of a body.
const PATIENCE: Patience = Patience { silent: Duration::from_millis(750), slow: Duration::MAX };

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
    beginnings: Arc<FairPool>,
    small_bodies: Arc<FairPool>,
    large_bodies: Arc<FairPool>,
    small_reviews: Arc<FairPool>,
    large_reviews: Arc<FairPool>,
    answers: Arc<FairPool>,
}

/// How much of a body has come, by which its memory is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Beginning,
    Small,
    Large,
}

/// Memory that was acquired; released when dropped.
#[derive(Debug)]
#[must_use = "the memory is released when this is dropped"]
pub(super) struct MemoryPermit(Option<FairPermit>);

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
    _until_taken: Box<dyn Send>,
}

// === impl MemoryBudget ===

impl MemoryBudget {
    /// A budget with `memory` for large bodies and their reviews.
    #[must_use]
    pub fn new(LargeBodyMemory(memory): LargeBodyMemory) -> Self {
        let bodies = memory / 3;
        Self {
            beginnings: FairPool::new(BEGINNINGS, PATIENCE),
            small_bodies: FairPool::new(SMALL_BODIES, PATIENCE),
            large_bodies: FairPool::new(bodies, PATIENCE),
            small_reviews: FairPool::new(SMALL_REVIEWS, PATIENCE),
            large_reviews: FairPool::new(memory - bodies, PATIENCE),
            answers: FairPool::new(ANSWERS, PATIENCE),
        }
    }

    /// Waits for the memory for a body of `declared` bytes that has come to `stage`. One whose length is not declared
    /// counts as the longest.
    pub(super) async fn acquire_for_body(&self, stage: Stage, declared: Option<usize>, client: IpAddr) -> MemoryPermit {
        let pool = match stage {
            Stage::Beginning => &self.beginnings,
            Stage::Small => &self.small_bodies,
            Stage::Large => &self.large_bodies,
        };
        MemoryPermit::of(pool, client, declared.unwrap_or(BODY_LIMIT).min(stage.limit())).await
    }

    /// Waits for the memory for the review of `body`. `None` where the whole pool is not enough.
    pub(super) async fn acquire_for_review(&self, body: &[u8], client: IpAddr) -> Option<ReviewPermit> {
        if body.len() <= SMALL_BODY {
            let permit = MemoryPermit::of(&self.small_reviews, client, SMALL_REVIEW).await;
            return Some(ReviewPermit::Small(permit.for_work()));
        }
        let (need, all) = (memory_needed(body), self.large_reviews.capacity());
        if need > all {
            return None;
        }
        let amount = need.max(all / LARGE_REVIEWS);
        let permit = MemoryPermit::of(&self.large_reviews, client, amount).await;
        Some(ReviewPermit::Large(permit.for_work()))
    }

    /// Waits for the memory for an answer of so many bytes. `None` where there is none and too many wait for it already.
    pub(super) async fn acquire_for_answer(&self, bytes: usize, client: IpAddr) -> Option<MemoryPermit> {
        if bytes <= SMALL_ANSWER {
            return Some(MemoryPermit(None));
        }
        if let Some(permit) = self.answers.try_acquire(client, bytes) {
            return Some(MemoryPermit(Some(permit)));
        }
        // Whoever has several wait makes room for the others.
        if self.answers.waiting() >= WAITING_ANSWERS && !self.answers.turn_away_from_most(1) {
            return None;
        }
        Some(MemoryPermit(Some(self.answers.acquire(client, bytes).await?)))
    }

    /// Bytes that large bodies have acquired.
    pub(super) fn large_body_bytes(&self) -> usize {
        self.large_bodies.used()
    }
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(LargeBodyMemory::default())
    }
}

// === impl Stage ===

impl Stage {
    pub(super) const ALL: [Self; 3] = [Self::Beginning, Self::Small, Self::Large];

    /// The most bytes of it.
    pub(super) const fn limit(self) -> usize {
        match self {
            Self::Beginning => BEGINNING,
            Self::Small => SMALL_BODY,
            Self::Large => BODY_LIMIT,
        }
    }
}

// === impl MemoryPermit ===

impl MemoryPermit {
    async fn of(pool: &Arc<FairPool>, client: IpAddr, bytes: usize) -> Self {
        Self(pool.acquire(client, bytes).await)
    }

    /// Runs `future`, which is what the memory is for, to its end. `None` if the memory has to be given up for others.
    pub(super) async fn unless_given_up<F: Future>(
        &self,
        future: Pin<&mut F>,
        client: &impl Progress,
    ) -> Option<F::Output> {
        match &self.0 {
            Some(permit) => permit.holder().unless_given_up(future, client).await,
            None => Some(future.await),
        }
    }

    /// From now on it is the server that is waited for.
    pub(super) fn begin_work(&self) {
        if let Some(permit) = &self.0 {
            permit.holder().begin(Activity::Working);
        }
    }

    fn for_work(self) -> Self {
        self.begin_work();
        self
    }

    /// Keeps the memory for as long as anybody needs the bytes of `answer`. Then, what `until_taken` has returned is
    /// dropped too; it is called for large answers only.
    pub(super) fn keep_for<T: Send + 'static>(self, answer: Vec<u8>, until_taken: impl FnOnce(Holder) -> T) -> Bytes {
        let Some(permit) = &self.0 else { return answer.into() };
        let until_taken = Box::new(until_taken(permit.holder().clone()));
        Bytes::from_owner(LargeAnswer { bytes: answer, _permit: self, _until_taken: until_taken })
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
    use std::{iter, net::Ipv4Addr};

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

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn small_bodies_do_not_wait_for_large_ones() {
        let budget = MemoryBudget::new(LargeBodyMemory::mebibytes(LEAST / MIB).unwrap());
        let large = budget.acquire_for_body(Stage::Large, None, HERE).await;
        assert_eq!(budget.large_body_bytes(), BODY_LIMIT);
        assert!(budget.acquire_for_body(Stage::Large, Some(SMALL_BODY + 1), HERE).now_or_never().is_none());
        for stage in [Stage::Beginning, Stage::Small] {
            assert!(budget.acquire_for_body(stage, Some(BODY_LIMIT), HERE).now_or_never().is_some());
        }
        drop(large);
        assert_eq!(budget.large_body_bytes(), 0);
    }

    #[tokio::test]
    async fn two_large_reviews_at_a_time() {
        let budget = MemoryBudget::default();
        let body = vec![b' '; SMALL_BODY + 1];
        let large = [(); 2].map(|()| budget.acquire_for_review(&body, HERE).now_or_never().unwrap().unwrap());
        assert!(large.iter().all(|permit| matches!(permit, ReviewPermit::Large(_))));
        assert!(budget.acquire_for_review(&body, HERE).now_or_never().is_none());
        assert!(matches!(budget.acquire_for_review(b"{}", HERE).now_or_never(), Some(Some(ReviewPermit::Small(_)))));
    }

    #[rstest]
    #[case::text(vec![b'a'; BODY_LIMIT], true)]
    #[case::containers(b"{},".repeat(BODY_LIMIT / 3), false)]
    #[case::numbers(b"0,".repeat(BODY_LIMIT / 2), false)]
    #[case::some_numbers(b"0,".repeat(100_000), true)]
    #[case::variables(br#"{"name":"V00000","value":"b"},"#.repeat(100_000), true)]
    fn a_review_has_to_fit(#[case] body: Vec<u8>, #[case] fits: bool) {
        let permit = MemoryBudget::default().acquire_for_review(&body, HERE).now_or_never();
        assert_eq!(permit.unwrap().is_some(), fits);
    }

    #[tokio::test]
    async fn a_large_answer_keeps_its_memory_until_it_is_taken() {
        let budget = MemoryBudget::default();
        let acquire = |size| budget.acquire_for_answer(size, HERE).now_or_never();
        let first = acquire(2 * ANSWERS).unwrap().unwrap().keep_for(vec![b'a'; 2 * ANSWERS], |_| ());
        assert_eq!(first.len(), 2 * ANSWERS);
        assert!(acquire(SMALL_ANSWER).unwrap().is_some());
        let part = first.slice(..10);
        drop(first);
        assert!(acquire(SMALL_ANSWER + 1).is_none(), "a part of it is still there");
        drop(part);
        assert!(acquire(SMALL_ANSWER + 1).unwrap().is_some());
    }

    #[tokio::test]
    async fn answers_that_wait_are_few() {
        let budget = MemoryBudget::default();
        let _all = budget.acquire_for_answer(ANSWERS, HERE).await.unwrap();
        let mut waiting = Vec::new();
        let mut wait = |client: IpAddr| {
            let mut answer = Box::pin(budget.acquire_for_answer(SMALL_ANSWER + 1, client));
            let outcome = answer.as_mut().now_or_never().map(|permit| permit.is_some());
            waiting.push(answer);
            outcome
        };
        let others = || (1..).map(|host| IpAddr::from([10, 0, 0, host]));
        for client in iter::repeat_n(HERE, WAITING_ANSWERS).chain(others().take(WAITING_ANSWERS - 1)) {
            assert_eq!(wait(client), None, "{client} has to wait");
        }
        let one_more = others().nth(WAITING_ANSWERS).unwrap();
        assert_eq!(wait(one_more), Some(false), "each has one that waits");
        // The others have come in the place of all but the first of the one who had all.
        let turned_away: Vec<_> = waiting[..WAITING_ANSWERS]
            .iter_mut()
            .map(|answer| answer.as_mut().now_or_never().map(|permit| permit.is_some()))
            .collect();
        assert_eq!(turned_away[0], None);
        assert_eq!(turned_away[1..], [Some(false); WAITING_ANSWERS - 1]);
    }
}
