//! Log lines that somebody who is no API server can cause, summed up by address and minute.
//!
//! Who sends 6,000 bad requests a second would write as many lines, and pay less for each than we do. So the first of a
//! kind from an address is logged, and what follows from there until the minute is over is one line with its number.
//! There is room for so many addresses; those that come later are summed up together, their first ones too.

use http::StatusCode;
use native_sidecar_core::text::{one_line, shorten};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Addresses, times the kinds of lines from each, that are remembered until the minute is over.
const ADDRESSES: usize = 256;

/// Characters of the last reason.
const REASON_LIMIT: usize = 256;

/// How often the sums are logged.
const PERIOD: Duration = Duration::from_mins(1);

/// Those of this process, as there is one log.
pub(super) static STRANGERS: LazyLock<Strangers> = LazyLock::new(Strangers::default);

/// What is not logged line by line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A TLS handshake that failed.
    FailedHandshake,
    /// A request that was answered with an HTTP error.
    RefusedRequest(StatusCode),
}

/// Counts the lines that are not logged.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    by_address: HashMap<(IpAddr, Kind), Sum>,
    /// Of the addresses for which there was no room.
    others: HashMap<Kind, Sum>,
}

#[derive(Debug)]
struct Sum {
    since: Instant,
    times: u64,
    /// The last one's.
    reason: String,
}

/// What has been counted of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Summary {
    /// None for all those for which there was no room.
    address: Option<IpAddr>,
    kind: Kind,
    times: u64,
    /// Since the first of them, or since the line that was logged.
    time: Duration,
    reason: String,
}

// === impl Strangers ===

impl Strangers {
    /// Whether this is to be logged now; otherwise it is counted, and `reason` logged with the sum if it is the last.
    pub(super) fn is_news(&self, kind: Kind, address: IpAddr, reason: &str) -> bool {
        self.note(kind, address, reason, Instant::now())
    }

    /// Logs the sums, each minute.
    pub(super) async fn log_each_minute(&self) {
        loop {
            sleep(PERIOD).await;
            self.log_sums();
        }
    }

    /// Logs what has been counted, and begins anew.
    pub(super) fn log_sums(&self) {
        self.take(Instant::now()).iter().for_each(Summary::log);
    }

    fn note(&self, kind: Kind, address: IpAddr, reason: &str, now: Instant) -> bool {
        let mut sums = self.sums();
        let has_room = sums.by_address.len() < ADDRESSES;
        if let Some(sum) = sums.by_address.get_mut(&(address, kind)) {
            sum.add(reason);
            return false;
        }
        if has_room {
            sums.by_address.insert((address, kind), Sum::since(now));
            return true;
        }
        sums.others.entry(kind).or_insert_with(|| Sum::since(now)).add(reason);
        false
    }

    fn take(&self, now: Instant) -> Vec<Summary> {
        let Sums { by_address, others } = std::mem::take(&mut *self.sums());
        let by_address = by_address.into_iter().map(|((address, kind), sum)| sum.summary(Some(address), kind, now));
        let others = others.into_iter().map(|(kind, sum)| sum.summary(None, kind, now));
        by_address.chain(others).filter(|summary| summary.times > 0).collect()
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        // Nothing that is done with them can panic half way.
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Sum ===

impl Sum {
    const fn since(now: Instant) -> Self {
        Self { since: now, times: 0, reason: String::new() }
    }

    fn add(&mut self, reason: &str) {
        self.times += 1;
        self.reason = shorten(&one_line(&shorten(reason, REASON_LIMIT)), REASON_LIMIT);
    }

    fn summary(self, address: Option<IpAddr>, kind: Kind, now: Instant) -> Summary {
        let Self { since, times, reason } = self;
        Summary { address, kind, times, time: now.saturating_duration_since(since), reason }
    }
}

// === impl Summary ===

impl Summary {
    fn log(&self) {
        let Self { address, kind, times, time, reason } = self;
        let address = address.map_or_else(|| "others".to_owned(), |address| address.to_string());
        let status = kind.status().map(|status| status.as_u16());
        tracing::info!(address, status, times, seconds = time.as_secs(), last_reason = reason, "{}", kind.more());
    }
}

// === impl Kind ===

impl Kind {
    /// What the line with the sum says.
    const fn more(self) -> &'static str {
        match self {
            Self::FailedHandshake => "more TLS handshakes failed",
            Self::RefusedRequest(_) => "more requests refused",
        }
    }

    const fn status(self) -> Option<StatusCode> {
        match self {
            Self::FailedHandshake => None,
            Self::RefusedRequest(status) => Some(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const REFUSED: Kind = Kind::RefusedRequest(StatusCode::BAD_REQUEST);

    fn address(number: usize) -> IpAddr {
        Ipv4Addr::from(u32::try_from(number).unwrap()).into()
    }

    fn summary(address: Option<IpAddr>, kind: Kind, times: u64, seconds: u64, reason: &str) -> Summary {
        Summary { address, kind, times, time: Duration::from_secs(seconds), reason: reason.to_owned() }
    }

    #[test]
    fn the_first_of_a_kind_from_an_address_is_logged() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        for (kind, from) in [(REFUSED, 1), (Kind::FailedHandshake, 1), (REFUSED, 2)] {
            assert!(strangers.note(kind, address(from), "first", now));
        }
        assert!(!strangers.note(REFUSED, address(1), "second", now));
        assert!(!strangers.note(REFUSED, address(1), "third", now + Duration::from_secs(7)));
        let later = now + Duration::from_mins(1);
        assert_eq!(strangers.take(later), [summary(Some(address(1)), REFUSED, 2, 60, "third")]);
    }

    #[test]
    fn after_the_minute_the_first_is_logged_again() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        strangers.note(REFUSED, address(1), "first", now);
        assert_eq!(strangers.take(now), [], "it was logged");
        assert!(strangers.note(REFUSED, address(1), "first", now));
    }

    #[test]
    fn addresses_without_room_are_summed_up_together() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let logged = (0..10 * ADDRESSES).filter(|number| strangers.note(REFUSED, address(*number), "first", now));
        assert_eq!(logged.count(), ADDRESSES);
        assert!(!strangers.note(REFUSED, address(0), "second", now));
        let sums = strangers.take(now);
        assert!(sums.contains(&summary(Some(address(0)), REFUSED, 1, 0, "second")));
        assert!(sums.contains(&summary(None, REFUSED, 9 * ADDRESSES as u64, 0, "first")));
        assert_eq!(sums.len(), 2);
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let reason = "two\nlines ".repeat(1000);
        strangers.note(REFUSED, address(1), "first", now);
        strangers.note(REFUSED, address(1), &reason, now);
        let sums = strangers.take(now);
        assert!(sums[0].reason.chars().count() == REASON_LIMIT && sums[0].reason.starts_with("two lines two"));
    }
}
