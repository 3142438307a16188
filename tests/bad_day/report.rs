//! What a row promises, and what came of it.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    time::Duration,
};

/// A caller that has waited in vain for so many answers calls no more.
const HOPELESS: usize = 5;

/// How much a row does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Seconds, on a build without optimizing and a machine that is busy.
    Quick,
    /// Minutes, on a release build and a machine that has nothing else to do.
    Long,
    /// As `Long`, and the soak takes an hour.
    Hour,
}

/// What is promised about the good calls of a row. A wrong answer is never allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// None is lost.
    NoneLost,
    /// How many are lost is told and not promised.
    Reported,
}

/// One misfortune.
pub(crate) struct Row {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What happens, for people.
    pub(crate) what: &'static str,
    pub(crate) promise: Promise,
    /// Lets it happen.
    pub(crate) run: fn(Form) -> Running,
}

/// A row that happens.
pub(crate) type Running = futures::future::LocalBoxFuture<'static, Report>;

/// Good calls, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: usize,
    /// Answered with what the answer has to be.
    pub(crate) right: usize,
    /// Answered with something else.
    pub(crate) wrong: usize,
    /// Not answered in time, or with an error.
    pub(crate) lost: usize,
    /// Those of the lost that had no answer in time.
    pub(crate) late: usize,
    pub(crate) slowest: Duration,
    /// Why calls were lost or wrong.
    pub(crate) reasons: BTreeMap<String, usize>,
}

/// What one good call came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    Right,
    Wrong(String),
    Lost(String),
    /// Lost, as there was no answer in time.
    Late,
}

/// What a row came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) tally: Tally,
    /// Other figures, by their names.
    pub(crate) figures: Vec<(&'static str, String)>,
    /// What else was promised and not kept.
    pub(crate) broken: Vec<String>,
    /// Why the row could not be run here.
    pub(crate) skipped: Option<String>,
}

// === impl Form ===

impl Form {
    pub(crate) const fn is_quick(self) -> bool {
        matches!(self, Self::Quick)
    }

    /// One thing in the quick form, another in the others.
    pub(crate) fn pick<T>(self, quick: T, long: T) -> T {
        if self.is_quick() { quick } else { long }
    }

    /// Good calls of a row: a second of them, or half a minute.
    pub(crate) fn calls(self) -> usize {
        self.pick(100, 2_000)
    }

    /// How long a good call waits. The webhook's `timeoutSeconds` where the figures are taken; where only losses are
    /// looked for, long enough for a machine that is busy with something else.
    pub(crate) fn patience(self) -> Duration {
        self.pick(Duration::from_secs(30), Duration::from_secs(3))
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn count(&mut self, outcome: Outcome, took: Duration) {
        self.sent += 1;
        self.slowest = self.slowest.max(took);
        match outcome {
            Outcome::Right => self.right += 1,
            Outcome::Wrong(reason) => {
                self.wrong += 1;
                *self.reasons.entry(reason).or_default() += 1;
            }
            Outcome::Lost(reason) => {
                self.lost += 1;
                *self.reasons.entry(reason).or_default() += 1;
            }
            Outcome::Late => {
                self.lost += 1;
                self.late += 1;
                *self.reasons.entry("no answer in time".to_owned()).or_default() += 1;
            }
        }
    }

    /// Nobody needs to wait for more of them.
    pub(crate) const fn is_hopeless(&self) -> bool {
        self.late >= HOPELESS
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.right += other.right;
        self.wrong += other.wrong;
        self.lost += other.lost;
        self.late += other.late;
        self.slowest = self.slowest.max(other.slowest);
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }
}

// === impl Report ===

impl Report {
    pub(crate) fn of(tally: Tally) -> Self {
        Self { tally, ..Self::default() }
    }

    /// A row that needs what this machine does not have.
    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::default() }
    }

    pub(crate) fn figure(&mut self, name: &'static str, value: impl fmt::Display) {
        self.figures.push((name, value.to_string()));
    }

    /// One more promise of the row.
    pub(crate) fn require(&mut self, kept: bool, promise: impl Into<String>) {
        if !kept {
            self.broken.push(promise.into());
        }
    }

    pub(crate) fn keeps(&self, promise: Promise) -> bool {
        let Tally { sent, right, wrong, lost, .. } = self.tally;
        let counted = sent == right + wrong + lost && (sent > 0 || self.skipped.is_some());
        counted && wrong == 0 && (lost == 0 || promise == Promise::Reported) && self.broken.is_empty()
    }

    /// The row of the table in `docs/reliability.md`.
    pub(crate) fn markdown(&self, row: &Row) -> String {
        if let Some(why) = &self.skipped {
            return format!("| `{}` | {} | not run here: {why} | | | | |", row.name, row.what);
        }
        let Tally { sent, wrong, lost, slowest, .. } = &self.tally;
        let promise = match row.promise {
            Promise::NoneLost => "0 lost",
            Promise::Reported => "reported",
        };
        let mut other = format!("slowest {}", milliseconds(*slowest));
        for (name, value) in &self.figures {
            let _ = write!(other, "; {name} {value}");
        }
        for broken in &self.broken {
            let _ = write!(other, "; **not kept: {broken}**");
        }
        let lost = if self.keeps(row.promise) { lost.to_string() } else { format!("**{lost}**") };
        format!("| `{}` | {} | {promise} | {sent} | {wrong} | {lost} | {other} |", row.name, row.what)
    }
}

/// One line for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { sent, right, wrong, lost, slowest, reasons, .. } = &self.tally;
        write!(f, "sent {sent}, right {right}, wrong {wrong}, lost {lost}, slowest {}", milliseconds(*slowest))?;
        for (name, value) in &self.figures {
            write!(f, ", {name} {value}")?;
        }
        for broken in &self.broken {
            write!(f, "\n    not kept: {broken}")?;
        }
        let mut reasons: Vec<_> = reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in reasons.iter().take(5) {
            write!(f, "\n    {count} times: {reason}")?;
        }
        Ok(())
    }
}

pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}
