//! When each container runs, in ticks: the order is true, the lengths are not to scale.

use super::End;
use crate::lifecycle::{
    Event, Lifecycle, Role, Step, Takes,
    schedule::{Schedule, schedule},
};
use std::collections::BTreeSet;

/// A life along ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chart {
    /// One for each container, in the order in which they start.
    pub lanes: Vec<Lane>,
    /// How many ticks there are.
    pub ticks: usize,
    /// Where all have started and the next ones wait for nothing any more.
    pub all_run: usize,
    /// Where the application ends by itself, or the deletion begins.
    pub ends: usize,
}

/// When one container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// It starts.
    pub starts: usize,
    /// The next one may start.
    pub opens: usize,
    /// It is told to stop; `None` where it ends by itself, or nobody tells it.
    pub told: Option<usize>,
    /// It has ended; `None` where it goes on.
    pub ends: Option<usize>,
}

/// So long all run together.
const TOGETHER: usize = 4;

// === impl Chart ===

impl Chart {
    /// The life of a pod that ends as `end` says, or else is deleted.
    pub(super) fn of(life: &Lifecycle<'_>, end: Option<&End>) -> Self {
        let start = in_ticks(&life.start());
        let all_run = start.values().copied().fold(0.0, f64::max);
        let all_run = ticks(all_run);
        let ends = all_run + TOGETHER;
        let hangs = end.is_some_and(|end| end.latest_seconds.is_none());
        let stop = if end.is_some() { in_ticks(&life.after_the_application()) } else { in_ticks(&life.deletion()) };
        let stopped = |event: Event| stop.get(&event).map(|at| ends + ticks(*at));
        let endless: BTreeSet<&str> = end.into_iter().flat_map(|end| &end.endless).map(String::as_str).collect();
        let lane = |(index, role, name): (usize, Role, &str)| {
            let starts = at(&start, Event::Starts(index)).unwrap_or_default();
            let opened = [Event::PostStartReturned(index), Event::Started(index), Event::Ends(index)];
            let opens = opened.into_iter().filter_map(|event| at(&start, event)).max().unwrap_or(starts);
            let (told, ended) = match role {
                Role::RunOnce => (None, Some(opens)),
                Role::Sidecar if hangs => (None, None),
                Role::Regular if end.is_some() => (None, (!endless.contains(name)).then_some(ends)),
                Role::Sidecar | Role::Regular => (stopped(Event::Term(index)), stopped(Event::Ends(index))),
            };
            Lane { starts, opens, told, ends: ended }
        };
        let members = life.members().iter().enumerate();
        let lanes: Vec<_> = members.map(|(index, member)| lane((index, member.role, member.name()))).collect();
        let last = lanes.iter().filter_map(|lane| lane.ends).max().unwrap_or(ends).max(ends);
        Self { lanes, ticks: if hangs { last + 2 } else { last }, all_run, ends }
    }
}

/// When the steps come if what a program or hook takes is one tick each.
fn in_ticks(steps: &[Step]) -> Schedule {
    let takes = |event| {
        matches!(event, Event::PostStartReturned(_) | Event::Started(_) | Event::PreStopReturned(_) | Event::Ends(_))
    };
    let in_ticks = |step: &Step| Step {
        takes: Takes::Seconds(i64::from(takes(step.event))),
        at_the_latest: None,
        not_before: None,
        since: None,
        ..step.clone()
    };
    let steps: Vec<_> = steps.iter().filter(|step| !matches!(step.event, Event::Kill(_))).map(in_ticks).collect();
    schedule(&steps, |_| 0.0)
}

fn at(schedule: &Schedule, event: Event) -> Option<usize> {
    schedule.get(&event).map(|at| ticks(*at))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of steps")]
const fn ticks(at: f64) -> usize {
    at as usize
}
