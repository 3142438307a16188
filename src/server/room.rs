//! Memory for requests, given out before it is used.
//!
//! Whoever reaches the port can send bodies that are large, slow, many at a time, or small and dear to parse. So
//! nothing is kept of a body before there is room for it, and nothing is parsed before there is room for what
//! parsing may take. What the API server sends all day needs none of the shared room: a small body has its place
//! in its connection's own share, where only other requests of that connection can be in the way.
//!
//! | Room | For | Given back |
//! |---|---|---|
//! | share of a connection | bodies up to [`SHARE`] | after the review |
//! | bodies | all others | after the review |
//! | small reviews | reviews that need little | after the review |
//! | large reviews | all others, two at a time | after the review |
//! | answers | answers above [`SMALL_ANSWER`] | once the client has taken them |
//!
//! They are asked for in this order and never the other way round, so nobody waits for somebody who waits. Nobody
//! waits for the last one: answers are refused instead.

use super::webhook::BODY_LIMIT;
use axum::body::Bytes;
use std::{fmt, str::FromStr, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of small bodies at a time on one connection.
pub(super) const SHARE: usize = 64 * KIB;
/// Answers above this size need room. An ordinary one takes less than 1 KiB.
const SMALL_ANSWER: usize = 4 * KIB;
/// What all larger answers together may take; one that is larger still is sent when there is no other.
const ANSWERS: usize = 4 * MIB;
/// A review that may need more than this is a large one.
const SMALL_REVIEW: usize = 512 * KIB;
/// What all small reviews together may take. They do not wait for anything, so it is enough for 16 processors.
const SMALL_REVIEWS: usize = 16 * SMALL_REVIEW;
/// Large reviews at a time, whatever they need: they take processors too.
const LARGE_REVIEWS: usize = 2;

/// A third is for bodies, which must fit the largest one, and the rest for reviews, where it is needed twice.
const LEAST: usize = 3 * BODY_LIMIT;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes for what is large, as in `--large-body-memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(usize);

/// The memory that requests may use.
#[derive(Debug)]
pub struct Room {
    bodies: Pool,
    small_reviews: Pool,
    large_reviews: Pool,
    answers: Pool,
}

/// KiB that can be taken.
#[derive(Clone, Debug)]
struct Pool {
    free: Arc<Semaphore>,
    size: u32,
}

/// The small bodies of one connection.
#[derive(Clone, Debug)]
pub(super) struct Share(Pool);

/// Room that was given; free again when dropped.
#[derive(Debug)]
#[must_use = "the room is free again when this is dropped"]
pub(super) struct Place(#[allow(dead_code, reason = "held, not looked at")] Option<OwnedSemaphorePermit>);

/// How a body is to be reviewed.
#[derive(Debug)]
pub(super) enum Size {
    Small(Place),
    Large(Place),
}

/// An answer that gives its room back once nobody needs its bytes any more.
struct Kept {
    bytes: Vec<u8>,
    _place: Place,
    _taken: Box<dyn Send>,
}

// === impl Room ===

impl Room {
    /// Room for requests, `memory` of it for large bodies and their reviews.
    #[must_use]
    pub fn new(Memory(memory): Memory) -> Self {
        let bodies = memory / 3;
        Self {
            bodies: Pool::of(bodies),
            small_reviews: Pool::of(SMALL_REVIEWS),
            large_reviews: Pool::of(memory - bodies),
            answers: Pool::of(ANSWERS),
        }
    }

    /// Waits for room for a body of `declared` bytes. One that does not say is taken for the largest.
    pub(super) async fn for_body(&self, declared: Option<usize>, share: &Share) -> Place {
        match declared {
            Some(length) if length <= SHARE => share.0.take(length).await,
            Some(length) => self.bodies.take(length).await,
            None => self.bodies.take(BODY_LIMIT).await,
        }
    }

    /// Waits for room for the review of `body`. `None` where there is never enough.
    pub(super) async fn for_review(&self, body: &[u8]) -> Option<Size> {
        let need = need(body);
        if need <= SMALL_REVIEW {
            return Some(Size::Small(self.small_reviews.take(need).await));
        }
        let all = self.large_reviews.bytes();
        if need > all {
            return None;
        }
        Some(Size::Large(self.large_reviews.take(need.max(all / LARGE_REVIEWS)).await))
    }

    /// The bytes to send for `answer`; `None` where there is no room for them now, since an answer that waits takes it
    /// all the same. Its room is free again, and `taken` is dropped, when the client has taken it.
    pub(super) fn for_answer<T: Send + 'static>(&self, answer: Vec<u8>, taken: impl FnOnce() -> T) -> Option<Bytes> {
        if answer.len() <= SMALL_ANSWER {
            return Some(answer.into());
        }
        let place = self.answers.try_take(answer.len())?;
        Some(Bytes::from_owner(Kept { bytes: answer, _place: place, _taken: Box::new(taken()) }))
    }

    /// Bytes that large bodies have been given.
    pub(super) fn used_by_bodies(&self) -> usize {
        self.bodies.used()
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new(Memory::default())
    }
}

/// What the review of `body` may need at most. Each object, list and value becomes a value of its own, most of all
/// in a container; bytes outnumber that only in long texts, of which there are two copies for a while.
///
/// Marks inside texts count as well: a list of names in an annotation is taken apart too, and whoever counts
/// them all cannot be fooled about where a text ends.
fn need(body: &[u8]) -> usize {
    let weights = body.iter().map(|byte| match byte {
        b'{' => OBJECT,
        b'[' => LIST,
        b',' => VALUE,
        _ => 0,
    });
    2 * body.len() + weights.sum::<usize>()
}

/// Measured with pods of 2.9 MB: 690 bytes for a variable with name and value, which is an object and two values; 105
/// for a number in a list; less for empty objects and lists.
const OBJECT: usize = 500;
const LIST: usize = 200;
const VALUE: usize = 105;

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

    async fn take(&self, bytes: usize) -> Place {
        // A pool is never closed.
        Place(Arc::clone(&self.free).acquire_many_owned(self.permits(bytes)).await.ok())
    }

    fn try_take(&self, bytes: usize) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(self.permits(bytes)).ok()?;
        Some(Place(Some(permit)))
    }

    /// What is more than there is has to do with all of it.
    fn permits(&self, bytes: usize) -> u32 {
        kib(bytes).min(self.size)
    }
}

/// In KiB, rounded up.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX)
}

// === impl Share ===

impl Share {
    pub(super) fn new() -> Self {
        Self(Pool::of(SHARE))
    }
}

// === impl Kept ===

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

// === impl Memory ===

impl Memory {
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
impl Default for Memory {
    fn default() -> Self {
        Self(128 * MIB)
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = text.strip_suffix("Mi").and_then(|count| count.parse().ok());
        let memory = count.and_then(Self::mebibytes);
        memory.ok_or_else(|| format!("expected a size between {}Mi and 4095Mi", LEAST / MIB))
    }
}

impl fmt::Display for Memory {
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
        assert_eq!(text.parse::<Memory>().ok(), expected.and_then(Memory::mebibytes), "{text}");
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        assert_eq!(Memory::default().to_string().parse(), Ok(Memory::default()));
    }

    #[test]
    fn small_bodies_do_not_wait_for_large_ones() {
        let least = Memory::mebibytes(LEAST / MIB).unwrap();
        let (room, share, other) = (Room::new(least), Share::new(), Share::new());
        let large = room.for_body(None, &share).now_or_never();
        assert!(large.is_some());
        assert_eq!(room.used_by_bodies(), BODY_LIMIT);
        assert!(room.for_body(Some(BODY_LIMIT), &share).now_or_never().is_none());
        let small = room.for_body(Some(SHARE), &share).now_or_never();
        assert!(small.is_some());
        assert!(room.for_body(Some(1), &share).now_or_never().is_none(), "more than the connection's share");
        assert!(room.for_body(Some(1), &other).now_or_never().is_some(), "another connection's share");
        drop((large, small));
        assert_eq!(room.used_by_bodies(), 0);
        assert!(room.for_body(Some(SHARE), &share).now_or_never().is_some());
    }

    #[test]
    fn two_large_reviews_at_a_time() {
        let room = Room::default();
        let body = vec![b' '; SMALL_REVIEW];
        let large = [(); 2].map(|()| room.for_review(&body).now_or_never().unwrap().unwrap());
        assert!(large.iter().all(|size| matches!(size, Size::Large(_))));
        assert!(room.for_review(&body).now_or_never().is_none());
        assert!(matches!(room.for_review(b"{}").now_or_never(), Some(Some(Size::Small(_)))));
    }

    #[rstest]
    #[case::text(vec![b'a'; BODY_LIMIT], true)]
    #[case::containers(b"{},".repeat(BODY_LIMIT / 3), false)]
    #[case::numbers(b"0,".repeat(BODY_LIMIT / 2), false)]
    #[case::some_numbers(b"0,".repeat(100_000), true)]
    #[case::variables(br#"{"name":"V00000","value":"b"},"#.repeat(100_000), true)]
    fn a_review_has_to_fit(#[case] body: Vec<u8>, #[case] fits: bool) {
        assert_eq!(Room::default().for_review(&body).now_or_never().unwrap().is_some(), fits);
    }

    #[test]
    fn a_large_answer_keeps_its_room_until_it_is_taken() {
        let room = Room::default();
        let answer = |size| room.for_answer(vec![b'a'; size], || ());
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
