//! How what runs in a pod is stopped: because the pod is deleted, or because its application has ended.

use super::{
    Lifecycle, Role,
    event::{Event, Step, Takes},
};
use crate::version::Version;

const HOOKS: &str = "pkg/kubelet/kuberuntime/kuberuntime_container.go, killContainer";
const ORDER: &str = "pkg/kubelet/kuberuntime/kuberuntime_termination_order.go, waitForTurn";
const END: &str = "pkg/kubelet/kuberuntime/kuberuntime_manager.go, computePodActions";

/// What a container has to end, whatever is left of the grace period, in seconds.
///
/// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go`, `minimumGracePeriodInSeconds`.
const LEAST_SECONDS: i64 = 2;

/// The grace period of a deletion is never shorter, in seconds, also where the pod says 0.
///
/// Source: `pkg/kubelet/pod_workers.go`, `calculateEffectiveGracePeriod`.
const LEAST_GRACE_SECONDS: i64 = 1;

/// The first version in which sidecars are stopped after the application, in reverse order.
const FIRST_WITH_ORDER: Version = Version::new(1, 29, 0);

// === impl Lifecycle ===

impl Lifecycle<'_> {
    /// The steps of a deletion, counted from its beginning.
    ///
    /// The preStop hooks of all containers run at once. A regular container gets SIGTERM when its own hook has returned;
    /// a native sidecar when the regular containers and the sidecars behind it have ended as well, or when the grace
    /// period is over. Whoever has not ended by then, and two seconds after its SIGTERM, is killed. What a hook took and what
    /// a sidecar waited count in whole seconds, each rounded down, so a kill may come later by as much.
    #[must_use]
    pub fn deletion(&self) -> Vec<Step> {
        self.termination(self.rest().grace_seconds.max(LEAST_GRACE_SECONDS), |_, role| role != Role::RunOnce)
    }

    /// The steps of a deletion that comes while the init container at `starting` runs or is waited for.
    ///
    /// A run-once init container is no part of the order: it gets SIGTERM at once, and so does the last sidecar in front
    /// of it.
    #[must_use]
    pub fn deletion_while_starting(&self, starting: usize) -> Vec<Step> {
        let grace = self.rest().grace_seconds.max(LEAST_GRACE_SECONDS);
        self.termination(grace, |index, role| match role {
            Role::RunOnce => index == starting,
            Role::Sidecar => index <= starting,
            Role::Regular => false,
        })
    }

    /// The steps after the application has ended by itself, counted from there: only sidecars are left. They have the
    /// whole grace period, and the pod ends only when they have.
    #[must_use]
    pub fn after_the_application(&self) -> Vec<Step> {
        self.termination(self.rest().grace_seconds, |_, role| role == Role::Sidecar)
    }

    fn termination(&self, grace: i64, runs: impl Fn(usize, Role) -> bool) -> Vec<Step> {
        let running = self.members().iter().enumerate().filter(|(index, member)| runs(*index, member.role));
        let (sidecars, applications): (Vec<_>, Vec<_>) = running.partition(|(_, member)| member.role == Role::Sidecar);
        let mut steps = vec![Step::new(Event::TerminationBegins, Vec::new(), END)];
        steps.extend(applications.iter().flat_map(|(index, _)| self.stop(*index, grace, None)));
        if !sidecars.is_empty() {
            let regular = applications.iter().filter(|(_, member)| member.role == Role::Regular);
            let ends: Vec<_> = regular.map(|(index, _)| Event::Ends(*index)).collect();
            let after = if ends.is_empty() { vec![Event::TerminationBegins] } else { ends };
            steps.push(Step::new(Event::ApplicationEnded, after, ORDER));
        }
        // In reverse, so that each step stands behind what it waits for.
        let mut turn = Event::ApplicationEnded;
        for (index, _) in sidecars.iter().rev() {
            steps.extend(self.stop(*index, grace, Some(turn)));
            turn = Event::Ends(*index);
        }
        let mut ends: Vec<_> = applications.iter().chain(&sidecars).map(|(index, _)| *index).collect();
        ends.sort_unstable();
        steps.push(Step::new(Event::PodEnds, ends.into_iter().map(Event::Ends).collect(), END));
        steps
    }

    /// The steps in which the container at `index` is stopped; a sidecar waits for its `turn`.
    fn stop(&self, index: usize, grace: i64, turn: Option<Event>) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut after = vec![Event::TerminationBegins];
        let member = self.members().get(index).filter(|member| grace > 0 && member.pre_stop().is_some());
        if let Some(member) = member {
            steps.push(Step::new(Event::PreStop(index), after, HOOKS));
            let returned = Step::new(Event::PreStopReturned(index), vec![Event::PreStop(index)], HOOKS);
            let takes = member.pre_stop_seconds().map_or(Takes::AtLeast(0), Takes::Seconds);
            steps.push(returned.taking(takes).at_the_latest(grace));
            after = vec![Event::PreStopReturned(index)];
        }
        after.extend(turn.filter(|_| self.is_ordered() && grace > 0));
        let source = if turn.is_some() { ORDER } else { HOOKS };
        steps.push(Step::new(Event::Term(index), after, source).at_the_latest(grace));
        let kill = Step::new(Event::Kill(index), vec![Event::Term(index)], HOOKS);
        steps.push(kill.taking(Takes::Seconds(LEAST_SECONDS)).not_before(grace));
        steps.push(Step::new(Event::Ends(index), vec![Event::Term(index)], HOOKS).taking(Takes::AtLeast(0)));
        steps
    }

    fn is_ordered(&self) -> bool {
        self.rest().kubelet.is_none_or(|kubelet| kubelet >= FIRST_WITH_ORDER)
    }
}
