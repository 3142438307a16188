//! Several ways to do the same, measured in turns.

use rustix::time::{ClockId, clock_gettime};
use std::{
    hint::black_box,
    iter,
    time::{Duration, Instant},
};

/// One way to answer.
pub(crate) type Way<'a> = Box<dyn Fn() -> Vec<u8> + 'a>;

/// How long one turn takes: long beside the clock's resolution, short beside the time for which a machine keeps its
/// speed.
const TURN: Duration = Duration::from_millis(4);

/// Seconds of CPU that one call took, by round and way. CPU, so that what else the machine does counts as little as
/// possible.
pub(crate) struct Rounds(Vec<Vec<f64>>);

// === impl Rounds ===

impl Rounds {
    /// Lets `ways` take turns for as long as `budget`, or once where that is longer.
    pub(crate) fn measure(ways: &[Way<'_>], budget: Duration) -> Self {
        // For caches and the allocator.
        for way in ways {
            drop(way());
        }
        let calls: Vec<_> = ways.iter().map(|way| calls(time(way, 1))).collect();
        let begin = Instant::now();
        let mut rounds = Vec::new();
        while rounds.is_empty() || begin.elapsed() < budget {
            // Who comes first changes, so that nobody has always the same neighbour's caches.
            let mut round = vec![0.0; ways.len()];
            for at in (0..ways.len()).map(|at| (at + rounds.len()) % ways.len()) {
                round[at] = time(&ways[at], calls[at]);
            }
            rounds.push(round);
        }
        Self(rounds)
    }

    /// Median time of one call.
    pub(crate) fn time(&self, way: usize) -> Duration {
        Duration::from_secs_f64(median(self.0.iter().map(|round| round[way])))
    }

    /// Median of the rounds' ratios of two ways.
    pub(crate) fn ratio(&self, way: usize, to: usize) -> f64 {
        median(self.0.iter().map(|round| round[way] / round[to]))
    }
}

/// Seconds of CPU that each of `calls` took.
fn time(way: &Way<'_>, calls: u32) -> f64 {
    let begin = cpu();
    iter::repeat_with(way).take(calls as usize).for_each(|answer| drop(black_box(answer)));
    cpu().saturating_sub(begin).as_secs_f64() / f64::from(calls)
}

/// CPU time of this thread so far.
fn cpu() -> Duration {
    // It is never negative.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Calls that fill a turn, where one takes `seconds`.
fn calls(seconds: f64) -> u32 {
    let calls = TURN.as_secs_f64() / seconds;
    // A few thousand at most: a call takes more than a microsecond.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let calls = calls as u32;
    calls.max(1)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
