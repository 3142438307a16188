//! How a pod starts.

use super::{
    Gate, Lifecycle, Role,
    event::{Event, Step, Takes},
};

const INIT: &str = "pkg/kubelet/kuberuntime/kuberuntime_container.go, computeInitContainerActions";
const REGULAR: &str = "pkg/kubelet/kuberuntime/kuberuntime_manager.go, SyncPod";
const HOOK: &str = "pkg/kubelet/kuberuntime/kuberuntime_container.go, startContainer";
const PROBE: &str = "pkg/kubelet/prober/worker.go, doProbe; KEP-753";

// === impl Lifecycle ===

impl Lifecycle<'_> {
    /// The steps of the start, in an order in which they can happen.
    ///
    /// Init containers start one after the other: a run-once one has to end, a native sidecar has to run, its postStart
    /// hook to return and its startup probe to succeed. Regular containers follow in the order of their list; only a
    /// postStart hook holds up the next one, since the kubelet runs it in the middle of starting them.
    #[must_use]
    pub fn start(&self) -> Vec<Step> {
        let mut steps = vec![Step::new(Event::Begins, Vec::new(), REGULAR)];
        let mut opened_by = Event::Begins;
        for (index, member) in self.members().iter().enumerate() {
            let source = if member.role == Role::Regular { REGULAR } else { INIT };
            steps.push(Step::new(Event::Starts(index), vec![opened_by], source));
            let mut last = Event::Starts(index);
            // A run-once init container may have neither hooks nor probes.
            if member.role != Role::RunOnce && member.post_start().is_some() {
                steps.push(Step::new(Event::PostStartReturned(index), vec![last], HOOK).taking(Takes::AtLeast(0)));
                last = Event::PostStartReturned(index);
            }
            let (opens, source) = match member.gate() {
                Gate::Ended => (Some(Event::Ends(index)), INIT),
                Gate::StartupProbe => (Some(Event::Started(index)), PROBE),
                Gate::PostStart | Gate::Runs => (None, INIT),
            };
            if let Some(opens) = opens {
                // The delay is counted from the container's start, so a postStart hook is part of it.
                let delay = member.startup_pace().map_or(0, |pace| pace.initial_delay_seconds);
                let step = Step::new(opens, vec![last], source).taking(Takes::AtLeast(0));
                steps.push(step.since(Event::Starts(index), delay));
                last = opens;
            }
            opened_by = last;
        }
        steps
    }
}
