//! A failure is told once, not at every attempt, and so is its end.

use std::time::{Duration, Instant};

/// How long a failure that goes on is not told again.
const REMINDER: Duration = Duration::from_hours(1);

/// How long another text for what is likely the same failure is not told: an API server that starts gives several in turn.
const SAME: Duration = Duration::from_mins(1);

/// What was last told of one kind of failure.
#[derive(Debug)]
pub(super) struct Reporter {
    what: &'static str,
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    text: String,
    at: Instant,
    times: u64,
}

// === impl Reporter ===

impl Reporter {
    /// A reporter about `what`, which begins a sentence.
    pub(super) const fn new(what: &'static str) -> Self {
        Self { what, told: None }
    }

    /// Logs the failure unless it has been told already. Whether it was logged.
    pub(super) fn failed(&mut self, failure: &str) -> bool {
        let now = Instant::now();
        if let Some(told) = &mut self.told {
            told.times += 1;
            let since = now.duration_since(told.at);
            if since < SAME || (since < REMINDER && told.text == failure) {
                tracing::debug!("{}: {failure}", self.what);
                return false;
            }
        }
        let times = self.told.as_ref().map_or(1, |told| told.times);
        self.told = Some(Told { text: failure.to_owned(), at: now, times });
        tracing::warn!(times, "{}: {failure}", self.what);
        true
    }

    /// Logs the end of a failure, where there was one.
    pub(super) fn succeeded(&mut self) {
        if let Some(Told { times, .. }) = self.told.take() {
            tracing::info!(times, "{}: works again", self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_until_it_ends() {
        let mut reporter = Reporter::new("the test");
        assert!(reporter.failed("refused"));
        assert!(!reporter.failed("refused"));
        assert!(!reporter.failed("timed out"));
        reporter.succeeded();
        assert!(reporter.failed("refused"));
    }
}
