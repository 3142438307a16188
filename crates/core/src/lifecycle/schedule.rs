//! When the steps of an order come, given how long the programs take.

use super::event::{Event, Step, Takes};
use std::collections::BTreeMap;

/// When each event comes, in seconds from the beginning of the order.
pub type Schedule = BTreeMap<Event, f64>;

/// When the steps come if each takes as long as it says, and `program` says how long those take that are a program's own
/// affair: how long a run-once init container runs, a startup probe needs to succeed, a process needs to end after
/// SIGTERM. `steps` stand in an order in which they can happen.
///
/// An event that never comes (`program` says infinity) delays what waits for it to its own latest time, if it has one.
#[must_use]
pub fn schedule(steps: &[Step], program: impl Fn(Event) -> f64) -> Schedule {
    let mut schedule = Schedule::new();
    let mut kills = BTreeMap::new();
    for step in steps {
        let mut at = step.comes(|event| schedule.get(&event).copied(), program(step.event));
        match step.event {
            Event::Kill(index) => {
                kills.insert(index, at);
            }
            // Whoever does not end by itself is ended.
            Event::Ends(index) => at = kills.get(&index).map_or(at, |kill| at.min(*kill)),
            _ => {}
        }
        schedule.insert(step.event, at);
    }
    schedule
}

// === impl Step ===

impl Step {
    /// When the step comes, in seconds from the beginning of the order: `at` says when what it depends on came, and
    /// `program` how long it takes where that is the program's own affair.
    #[must_use]
    pub fn comes(&self, at: impl Fn(Event) -> Option<f64>, program: f64) -> f64 {
        let caused = self.after.iter().filter_map(|event| at(*event)).fold(0.0, f64::max);
        let takes = match self.takes {
            Takes::Seconds(whole) => seconds(whole),
            Takes::AtLeast(whole) => seconds(whole).max(program),
        };
        let since = self.since.and_then(|(event, whole)| Some(at(event)? + seconds(whole)));
        let earliest = self.not_before.map_or(0.0, seconds).max(since.unwrap_or(0.0));
        let comes = (caused + takes).max(earliest);
        self.at_the_latest.map_or(comes, |latest| comes.min(seconds(latest)))
    }
}

/// Whole seconds, of which no order has so many that a float cannot count them.
fn seconds(whole: i64) -> f64 {
    f64::from(i32::try_from(whole).unwrap_or(i32::MAX))
}
