//! What can happen in a pod's life, and one step of its order.

/// Something that happens. A number is the container's index in [`Lifecycle::members`](super::Lifecycle::members).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The pod's network is there.
    Begins,
    /// The container's process starts.
    Starts(usize),
    /// Its postStart hook has returned.
    PostStartReturned(usize),
    /// Its startup probe has succeeded.
    Started(usize),
    /// The pod is deleted, or its application has ended: the kubelet begins to stop what runs.
    TerminationBegins,
    /// The container's preStop hook starts.
    PreStop(usize),
    /// Its preStop hook has returned.
    PreStopReturned(usize),
    /// It gets SIGTERM.
    Term(usize),
    /// It would get SIGKILL.
    Kill(usize),
    /// Its process has ended.
    Ends(usize),
    /// The last regular container has ended.
    ApplicationEnded,
    /// Nothing runs any more.
    PodEnds,
}

/// One step of an order: an event, and what has to have happened before. Times are seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What happens.
    pub event: Event,
    /// All of these come first.
    pub after: Vec<Event>,
    /// How long it takes from the last of these.
    pub takes: Takes,
    /// It comes no later than this after the beginning of the order, whatever it waits for.
    pub at_the_latest: Option<i64>,
    /// It comes no earlier than this after the beginning of the order.
    pub not_before: Option<i64>,
    /// It comes no earlier than this after another event, which need not be the last of those that come first.
    pub since: Option<(Event, i64)>,
    /// Where Kubernetes says so.
    pub source: &'static str,
}

/// How long a step takes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// So long.
    Seconds(i64),
    /// That is the program's own affair, but it takes this at least.
    AtLeast(i64),
}

// === impl Event ===

impl Event {
    /// The container it happens to; `None` where it happens to the pod.
    #[must_use]
    pub const fn member(self) -> Option<usize> {
        match self {
            Self::Begins | Self::TerminationBegins | Self::ApplicationEnded | Self::PodEnds => None,
            Self::Starts(index)
            | Self::PostStartReturned(index)
            | Self::Started(index)
            | Self::PreStop(index)
            | Self::PreStopReturned(index)
            | Self::Term(index)
            | Self::Kill(index)
            | Self::Ends(index) => Some(index),
        }
    }
}

// === impl Step ===

impl Step {
    pub(super) const fn new(event: Event, after: Vec<Event>, source: &'static str) -> Self {
        Self { event, after, takes: Takes::Seconds(0), at_the_latest: None, not_before: None, since: None, source }
    }

    pub(super) const fn taking(mut self, takes: Takes) -> Self {
        self.takes = takes;
        self
    }

    pub(super) const fn at_the_latest(mut self, seconds: i64) -> Self {
        self.at_the_latest = Some(seconds);
        self
    }

    pub(super) const fn not_before(mut self, seconds: i64) -> Self {
        self.not_before = Some(seconds);
        self
    }

    pub(super) const fn since(mut self, event: Event, seconds: i64) -> Self {
        self.since = Some((event, seconds));
        self
    }
}
