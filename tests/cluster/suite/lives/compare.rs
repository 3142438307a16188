//! What the model says of a pod's life, held against what was seen of it.
//!
//! Whatever a container says of itself it says before it acts on the others: that it ends before it does, that it starts
//! at the time at which the kernel started it, which is before its script. So an order that Kubernetes keeps is seen as
//! kept, however slow the machine.

use super::{
    plan::{End, Ending, PreStop, Program, Then},
    seen::{Record, Run, Span},
};
use native_sidecar_core::{
    lifecycle::{Event, Lifecycle, Member, Restarts, Role, Step},
    pod::Pod,
    version::Version,
};
use std::collections::BTreeMap;

/// What came of the comparison.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) orders: usize,
    pub(super) waits: usize,
    /// By how many seconds the worst wait was off.
    pub(super) worst: f64,
    /// What the model says and is not so.
    pub(super) faults: Vec<String>,
    /// What came more than a second late, or not at all: perhaps only the machine was busy.
    pub(super) late: Vec<String>,
}

struct Comparison<'c> {
    life: &'c Lifecycle<'c>,
    record: &'c Record,
    /// By container.
    runs: BTreeMap<&'c str, Vec<Run>>,
    verdict: Verdict,
}

/// So exact is the clock, in seconds.
const TICK: f64 = 0.011;

/// So many seconds off is a wait that is met.
const TOLERANCE: f64 = 1.0;

/// The kubelet looks once a second what became of the containers. Before it stops a deleted pod it waits for its next
/// look, and for one more where it is at work on the pod: two seconds, as its source says too.
///
/// Source: `pkg/kubelet/pod_workers.go`, `podWorkerLoop` (`GetNewerThan`); `pkg/kubelet/kubelet.go`, `genericPlegRelistPeriod`.
const RELIST: f64 = 1.0;

/// A startup probe asks once a second here. It may also begin to ask a second early: see `expected_at_the_start`.
const PERIOD: f64 = 1.0;

/// Compares one pod with the model of it.
pub(super) fn compare(record: &Record, kubelet: Version) -> Verdict {
    let pod = Pod::parse(&record.pod).unwrap();
    let life = Lifecycle::of(&pod, Some(kubelet));
    let mut comparison = Comparison { life: &life, record, runs: record.runs(), verdict: Verdict::default() };
    comparison.start();
    comparison.restarts();
    comparison.end();
    comparison.verdict
}

// === impl Comparison ===

impl Comparison<'_> {
    fn program(&self, index: usize) -> &Program {
        self.record.plan.program(self.life.members()[index].name())
    }

    fn runs(&self, index: usize) -> &[Run] {
        self.runs.get(self.life.members()[index].name()).map_or(&[], Vec::as_slice)
    }

    fn last_run(&self, index: usize) -> Option<&Run> {
        self.runs(index).last()
    }

    fn name(&self, event: Event) -> String {
        let text = format!("{event:?}");
        let verb = text.split('(').next().unwrap_or_default();
        event.member().map_or_else(|| verb.to_owned(), |index| format!("{verb} {}", self.life.members()[index].name()))
    }

    // --- the start ---

    fn start(&mut self) {
        let steps = self.life.start();
        for step in &steps {
            let Some(seen) = self.seen_at_the_start(step.event) else {
                self.not_reached(step);
                continue;
            };
            for cause in &step.after {
                if let Some(earlier) = self.seen_at_the_start(*cause) {
                    self.order(*cause, earlier, step.event, seen);
                } else {
                    let text = format!("{} came, {} never did", self.name(step.event), self.name(*cause));
                    self.verdict.faults.push(text);
                }
            }
            if let Some(expected) = self.expected_at_the_start(step) {
                self.wait(step.event, expected, expected.from, seen);
            }
        }
    }

    fn seen_at_the_start(&self, event: Event) -> Option<Span> {
        let first = |index: usize| self.runs(index).first();
        let at = match event {
            Event::Begins => Some(self.record.created),
            Event::Starts(index) => first(index).map(|run| run.starts),
            Event::PostStartReturned(index) => first(index)?.post_start_returned,
            Event::Started(index) => first(index)?.asked,
            Event::Ends(index) => self.last_run(index)?.ends,
            _ => None,
        };
        at.map(Span::at)
    }

    /// A pod that is deleted while it starts never gets to what comes behind.
    fn not_reached(&mut self, step: &Step) {
        match step.event {
            Event::Begins => {}
            _ if matches!(self.record.plan.end, End::DeletedWhileStarting(_)) => self.verdict.orders += 1,
            event => self.verdict.late.push(format!("{} never came", self.name(event))),
        }
    }

    /// `None` where the step is the program's own affair, or waits for the scheduler.
    fn expected_at_the_start(&self, step: &Step) -> Option<Span> {
        let cause = *step.after.last()?;
        let at = |event| self.seen_at_the_start(event);
        let last = at(cause)?.to;
        let (program, notice) = match step.event {
            Event::Starts(_) if cause == Event::Begins => return None,
            Event::Starts(_) => {
                let of_init = cause.member().is_some_and(|index| self.life.members()[index].role != Role::Regular);
                // That a probe has succeeded the kubelet is told; other things it sees when it looks.
                (0.0, if of_init && !matches!(cause, Event::Started(_)) { RELIST } else { 0.0 })
            }
            Event::PostStartReturned(index) => (self.program(index).post_start?, 0.0),
            Event::Started(index) => (self.runs(index).first()?.ready? - last, PERIOD),
            _ => return None,
        };
        let comes = step.comes(|event| at(event).map(|span| span.to), program);
        // The start from which a delay is counted is known to the prober in whole seconds, rounded down.
        let rounded = if step.since.is_some_and(|(_, delay)| delay > 0) { 1.0 } else { 0.0 };
        Some(Span { from: (comes - rounded).max(last), to: comes + notice })
    }

    // --- who is started again ---

    fn restarts(&mut self) {
        for index in 0..self.life.members().len() {
            let name = self.life.members()[index].name();
            let Some(Ending { code, then, .. }) = self.program(index).ends else { continue };
            if then == Then::Again {
                continue;
            }
            let again = match self.life.restarts(index) {
                Restarts::Always => true,
                Restarts::OnFailure => code != 0,
                Restarts::Never => false,
            };
            let runs = self.runs(index).to_vec();
            self.verdict.orders += 1;
            if runs.len() != 1 + usize::from(again) {
                let found = runs.len();
                self.verdict.faults.push(format!("{name} ended with {code} and ran {found} times, restarted: {again}"));
            } else if let [first, second] = &*runs
                && first.ends.is_some_and(|ends| ends > second.starts + TICK)
            {
                self.verdict.faults.push(format!("{name} was started again before it had ended"));
            }
        }
    }

    // --- the end ---

    fn end(&mut self) {
        if self.record.plan.end == End::Application {
            self.application_ends();
        }
        if let Some(deleted) = self.record.deleted {
            let starting = |name: &str| self.life.members().iter().position(|member| member.name() == name);
            let steps = match &self.record.plan.end {
                End::DeletedWhileStarting(name) => self.life.deletion_while_starting(starting(name).unwrap()),
                _ => self.life.deletion(),
            };
            self.termination(&steps, deleted.later(2.0 * RELIST));
        }
    }

    /// The pod has ended only if none runs of those that have to end first.
    fn application_ends(&mut self) {
        let awaited: Vec<_> = self.life.awaited_at_the_end().map(Member::name).collect();
        let end = |name: &&str| {
            let run = self.runs.get(name).and_then(|runs| runs.last());
            run.and_then(|run| run.ends.filter(|_| run.term.is_none()))
        };
        let ends: Option<Vec<f64>> = awaited.iter().map(end).collect();
        self.verdict.orders += 1;
        match (ends, self.record.deleted) {
            (None, Some(_)) if self.record.phase == "Running" => {}
            (Some(ends), None) => {
                let last = ends.into_iter().fold(0.0, f64::max);
                self.termination(&self.life.after_the_application(), Span::at(last).later(RELIST));
            }
            (ends, _) => {
                let phase = &self.record.phase;
                self.verdict
                    .faults
                    .push(format!("the application has ended, all of {awaited:?}: {ends:?}, phase {phase}"));
            }
        }
    }

    /// `begins` is when the kubelet is to notice that the pod ends.
    fn termination(&mut self, steps: &[Step], begins: Span) {
        let first = self.first_sign(steps);
        if let Some(first) = first {
            self.wait(Event::TerminationBegins, begins, begins.from, Span::at(first));
        }
        // From then on it is known when it did.
        let first = first.unwrap_or(begins.from).max(begins.from);
        let begins = Span { to: if first > begins.from { first } else { begins.to }, ..begins };
        // Who has ended before takes no part.
        let ended_before = |index: usize| {
            self.last_run(index).is_none_or(|run| run.ends.is_some_and(|ends| ends < begins.from && run.term.is_none()))
        };
        let out: Vec<bool> = (0..self.life.members().len()).map(ended_before).collect();
        let mut seen: BTreeMap<Event, Span> = BTreeMap::new();
        for step in steps {
            let event = step.event;
            let is_out = event.member().is_some_and(|index| out[index]);
            let expected = self.expected_at_the_end(step, begins, &seen);
            let found = match event {
                Event::TerminationBegins => Some(begins),
                Event::ApplicationEnded => Some(expected),
                _ => self.seen_at_the_end(event),
            };
            if is_out {
                // That it has ended is what others wait for.
                if let (Event::Ends(_), Some(found)) = (event, found) {
                    seen.insert(event, found);
                }
                continue;
            }
            let Some(found) = found else {
                if !self.is_silent(event) {
                    self.verdict.late.push(format!("{} never came", self.name(event)));
                }
                seen.insert(event, expected);
                continue;
            };
            // Not when the grace period is over, or about to be.
            let is_latest = step.at_the_latest.is_some_and(|latest| found.from > begins.to + whole(latest) - 0.5);
            for cause in step.after.iter().filter(|_| !is_latest && !is_own(event)) {
                if let Some(earlier) = seen.get(cause) {
                    self.order(*cause, *earlier, event, found);
                }
            }
            if matches!(event, Event::PreStop(_) | Event::PreStopReturned(_) | Event::Term(_) | Event::Kill(_)) {
                let soonest = self.expected_at_the_end(step, Span::at(first), &seen).from;
                self.wait(event, expected, soonest, found);
            }
            // That it is told to stop a program can only say later; what is counted from there is counted from before.
            let from = if matches!(event, Event::Term(_)) { found.from.min(expected.from) } else { found.from };
            seen.insert(event, Span { from, ..found });
        }
        self.unforeseen(steps);
    }

    /// When the first thing was seen that waits for nothing but the beginning.
    fn first_sign(&self, steps: &[Step]) -> Option<f64> {
        // Where only sidecars run, the application's end is the beginning.
        let begins = [Event::TerminationBegins, Event::ApplicationEnded];
        let is_first =
            |event| steps.iter().any(|step| step.event == event && step.after.iter().all(|cause| *cause == begins[0]));
        let begins = &begins[..=usize::from(is_first(begins[1]))];
        let sign = |step: &Step| match step.event {
            Event::PreStop(index) => self.last_run(index)?.pre_stop,
            Event::Term(index) if step.after.iter().all(|cause| begins.contains(cause)) => self.last_run(index)?.term,
            Event::Term(index) if step.after == [Event::PreStopReturned(index)] => {
                let seconds = self.life.members()[index].pre_stop_seconds()?;
                Some(self.last_run(index)?.term? - whole(seconds))
            }
            _ => None,
        };
        steps.iter().filter_map(sign).reduce(f64::min)
    }

    fn seen_at_the_end(&self, event: Event) -> Option<Span> {
        let run = |index| self.last_run(index);
        let at = match event {
            Event::PreStop(index) => run(index)?.pre_stop,
            // The kubelet does not wait for one that is cut off.
            Event::PreStopReturned(_) if self.is_silent(event) => None,
            Event::PreStopReturned(index) => run(index)?.pre_stop_returned,
            Event::Term(index) => run(index)?.term,
            Event::Kill(index) => return run(index)?.killed(),
            Event::Ends(index) => return run(index)?.ended(),
            Event::PodEnds => self.record.over,
            _ => None,
        };
        at.map(Span::at)
    }

    /// Whether nobody says that this happens.
    fn is_silent(&self, event: Event) -> bool {
        match event {
            Event::Kill(_) => true,
            Event::PodEnds => self.record.over.is_none(),
            Event::PreStop(index) => !matches!(self.program(index).pre_stop, Some(PreStop::Script(_))),
            Event::PreStopReturned(index) => match self.program(index).pre_stop {
                Some(PreStop::Script(seconds)) => seconds >= whole(self.life.rest().grace_seconds.max(1)),
                _ => true,
            },
            _ => false,
        }
    }

    /// When a step is to come, by what was seen of that for which it waits.
    fn expected_at_the_end(&self, step: &Step, begins: Span, seen: &BTreeMap<Event, Span>) -> Span {
        let program = match step.event {
            Event::PreStopReturned(index) => match self.program(index).pre_stop {
                Some(PreStop::Script(seconds)) => seconds,
                _ => 0.0,
            },
            _ => 0.0,
        };
        let at = |begins: f64, side: fn(&Span) -> f64| {
            begins + step.comes(|event| seen.get(&event).map(|span| side(span) - begins), program)
        };
        let expected = Span { from: at(begins.from, |span| span.from), to: at(begins.to, |span| span.to) };
        expected.later(self.rounded(step.event))
    }

    /// What a hook took and what a sidecar waited for its turn counts in whole seconds, each rounded down; so a kill comes
    /// later by what was cut off.
    ///
    /// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go`, `killContainer`.
    fn rounded(&self, event: Event) -> f64 {
        let Event::Kill(index) = event else { return 0.0 };
        let waits = self.life.members()[index].role == Role::Sidecar;
        let has_hook = self.program(index).pre_stop.is_some();
        f64::from(u8::from(waits)) + f64::from(u8::from(has_hook))
    }

    /// A hook or a SIGTERM that no step tells of.
    fn unforeseen(&mut self, steps: &[Step]) {
        for index in 0..self.life.members().len() {
            let Some(run) = self.last_run(index).copied() else { continue };
            let told = |event: Event| steps.iter().any(|step| step.event == event);
            for (event, at) in [(Event::PreStop(index), run.pre_stop), (Event::Term(index), run.term)] {
                if at.is_some() && !told(event) {
                    self.verdict.faults.push(format!("{} came, of which the model knows nothing", self.name(event)));
                }
            }
        }
    }

    // --- verdicts ---

    fn order(&mut self, cause: Event, earlier: Span, event: Event, found: Span) {
        self.verdict.orders += 1;
        if found.to + TICK < earlier.from {
            let text =
                format!("{} at {:.2}, before {} at {:.2}", self.name(event), found.to, self.name(cause), earlier.from);
            self.verdict.faults.push(text);
        }
    }

    /// `soonest` is when it comes by what is known best, and the beginning of `expected` when it might at all.
    fn wait(&mut self, event: Event, expected: Span, soonest: f64, found: Span) {
        self.verdict.waits += 1;
        let off = (found.from - expected.to).max(soonest - found.to).max(0.0);
        self.verdict.worst = self.verdict.worst.max(off);
        let Span { from, to } = expected;
        let text = || format!("{} at {:.2} instead of {from:.2} to {to:.2}", self.name(event), found.from);
        if found.to + TICK < from {
            let text = text();
            self.verdict.faults.push(text);
        } else if off > TOLERANCE {
            let text = text();
            self.verdict.late.push(text);
        }
    }
}

/// Whether a script keeps the order of this event by itself, so that nothing is proved by it.
const fn is_own(event: Event) -> bool {
    matches!(event, Event::PreStopReturned(_) | Event::Ends(_) | Event::Kill(_) | Event::ApplicationEnded)
}

fn whole(seconds: i64) -> f64 {
    f64::from(i32::try_from(seconds).unwrap())
}
