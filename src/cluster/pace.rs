//! When to do it again: at an interval, later while it fails, and never in step with the other replicas.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The first wait after a failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait after failures: how late a replica notices that the API server is back.
const LONGEST: Duration = Duration::from_mins(1);

/// How long to wait until the next attempt.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    interval: Duration,
    failures: u32,
}

// === impl Pace ===

impl Pace {
    /// Every `interval` while all goes well.
    pub(super) const fn every(interval: Duration) -> Self {
        Self { interval, failures: 0 }
    }

    /// The wait after a success: the interval, give or take a tenth.
    pub(super) fn after_success(&mut self) -> Duration {
        self.failures = 0;
        self.interval.mul_f64(0.9 + 0.2 * fraction())
    }

    /// The wait after a failure: doubled with each, half of it random.
    pub(super) fn after_failure(&mut self) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(0.5 + 0.5 * fraction())
    }
}

/// A random number of at least 0 and below 1. It spreads replicas out and guards nothing, so that the randomness of the
/// standard library's hash maps is enough.
pub(super) fn fraction() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_double_the_wait_up_to_a_minute() {
        let mut pace = Pace::every(Duration::from_secs(10));
        let waits: Vec<_> = (0..40).map(|_| pace.after_failure()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2);
        assert!(waits[3] <= Duration::from_secs(8) && waits[3] >= Duration::from_secs(4));
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        assert!(*waits.last().unwrap() >= LONGEST / 2);
    }

    #[test]
    fn success_goes_back_to_the_interval() {
        let mut pace = Pace::every(Duration::from_secs(10));
        pace.after_failure();
        let wait = pace.after_success();
        assert!(wait >= Duration::from_secs(9) && wait <= Duration::from_secs(11));
        assert!(pace.after_failure() <= FIRST);
    }

    #[test]
    fn fractions_differ() {
        let some: Vec<_> = (0..8).map(|_| fraction()).collect();
        assert!(some.iter().all(|fraction| (0.0..1.0).contains(fraction)));
        assert!(some.windows(2).any(|pair| pair[0].total_cmp(&pair[1]).is_ne()));
    }
}
