//! The end of a Job and a deletion, with seconds.

use crate::lifecycle::{
    Event, Lifecycle, Member, Role, Step, describe, process,
    schedule::{Schedule, schedule},
};
use serde::Serialize;
use std::collections::BTreeSet;

/// How a pod ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// The containers that have to end before the pod has.
    pub waits_for: Vec<String>,
    /// Those of them that run until they are told to stop, which nobody does: the pod does not end.
    pub endless: Vec<String>,
    /// How the sidecars are stopped once all others have ended; seconds count from there.
    pub stops: Vec<Stop>,
    /// When the pod has ended at the latest; `None` where it does not.
    pub latest_seconds: Option<i64>,
}

/// How a pod is deleted; seconds count from its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// `spec.terminationGracePeriodSeconds`.
    pub grace_seconds: i64,
    /// How the containers are stopped: regular ones in the order of their list, then sidecars in reverse.
    pub stops: Vec<Stop>,
    /// When the pod has ended.
    pub ends: Span,
}

/// How one container is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// The container.
    pub container: String,
    /// Its place in the order of start.
    #[serde(skip)]
    pub index: usize,
    /// Its preStop hook, which runs from 0 s on.
    pub pre_stop: Option<Hook>,
    /// These have to end before it gets SIGTERM, unless the grace period is over.
    pub after: Vec<String>,
    /// When it gets SIGTERM: if all end at once, and if none ends by itself.
    pub term: Span,
    /// Its first process, where that is known not to act on SIGTERM.
    pub ignores_term: Option<String>,
    /// When it is killed if it still runs.
    pub kill: Span,
}

/// A preStop hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// What it does.
    pub what: String,
    /// How long it takes, in seconds, where it only waits and says how long.
    pub seconds: Option<i64>,
}

/// A time that depends on how long the programs take, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// At the earliest.
    pub earliest: i64,
    /// At the latest.
    pub latest: i64,
}

/// The same order with programs that end at once, unless they are known not to act on SIGTERM, and with such as never end
/// by themselves.
struct Times {
    earliest: Schedule,
    latest: Schedule,
}

// === impl End ===

impl End {
    /// `None` where all regular containers are restarted however they end.
    pub(super) fn of(life: &Lifecycle<'_>, endless: &BTreeSet<String>) -> Option<Self> {
        let restarts_always = life.rest().restart_policy.is_empty() || life.rest().restart_policy == "Always";
        if restarts_always || life.awaited_at_the_end().next().is_none() {
            return None;
        }
        let waits_for: Vec<_> = life.awaited_at_the_end().map(|member| member.name().to_owned()).collect();
        // Where nothing else is left, it is the application.
        let endless: Vec<_> = waits_for.iter().filter(|name| endless.contains(*name)).cloned().collect();
        let endless = if endless.len() == waits_for.len() { Vec::new() } else { endless };
        let steps = life.after_the_application();
        let times = Times::of(life, &steps);
        let ends = times.span(Event::PodEnds);
        let latest_seconds = endless.is_empty().then_some(ends.latest);
        Some(Self { waits_for, endless, stops: stops(life, &steps, &times), latest_seconds })
    }
}

// === impl Deletion ===

impl Deletion {
    pub(super) fn of(life: &Lifecycle<'_>) -> Self {
        let order = life.deletion();
        let times = Times::of(life, &order);
        let stops = stops(life, &order, &times);
        Self { grace_seconds: life.rest().grace_seconds, stops, ends: times.span(Event::PodEnds) }
    }
}

fn stops(life: &Lifecycle<'_>, order: &[Step], times: &Times) -> Vec<Stop> {
    let members = life.members();
    let stop = |step: &Step| {
        let Event::Term(index) = step.event else { return None };
        let member = members.get(index)?;
        let hook = member.pre_stop().filter(|_| times.earliest.contains_key(&Event::PreStop(index)));
        let hook = hook.map(|hook| Hook { what: describe::handler(hook), seconds: member.pre_stop_seconds() });
        Some(Stop {
            container: member.name().to_owned(),
            index,
            pre_stop: hook,
            after: step.after.iter().flat_map(|event| awaited(members, times, *event)).collect(),
            term: times.span(step.event),
            ignores_term: ignores_term(life, index).map(str::to_owned),
            kill: times.span(Event::Kill(index)),
        })
    };
    order.iter().filter_map(stop).collect()
}

/// The program that keeps the container from acting on SIGTERM: only a process namespace of its own shields it.
fn ignores_term<'l>(life: &'l Lifecycle<'_>, index: usize) -> Option<&'l str> {
    let member = life.members().get(index).filter(|_| !life.rest().shares_processes)?;
    process::deaf_to_term(member.container)
}

/// The containers whose end `event` is.
fn awaited(members: &[Member<'_>], times: &Times, event: Event) -> Vec<String> {
    let regular = |(index, member): &(usize, &Member<'_>)| {
        member.role == Role::Regular && times.earliest.contains_key(&Event::Ends(*index))
    };
    match event {
        Event::ApplicationEnded => {
            members.iter().enumerate().filter(regular).map(|(_, member)| member.name().to_owned()).collect()
        }
        Event::Ends(index) => members.get(index).map(|member| member.name().to_owned()).into_iter().collect(),
        _ => Vec::new(),
    }
}

// === impl Times ===

impl Times {
    fn of(life: &Lifecycle<'_>, order: &[Step]) -> Self {
        let at_once = |event: Event| match event {
            Event::Ends(index) if ignores_term(life, index).is_some() => f64::INFINITY,
            _ => 0.0,
        };
        Self { earliest: schedule(order, at_once), latest: schedule(order, |_| f64::INFINITY) }
    }

    fn span(&self, event: Event) -> Span {
        let at = |schedule: &Schedule| whole(schedule.get(&event).copied().unwrap_or_default());
        Span { earliest: at(&self.earliest), latest: at(&self.latest) }
    }
}

/// Every time is a sum of whole seconds, or the latest time of its step.
#[allow(clippy::cast_possible_truncation, reason = "what is too large becomes the largest number")]
const fn whole(seconds: f64) -> i64 {
    seconds as i64
}
