//! A pod's life: what happens to its containers, in which order, and who asks whom meanwhile.
//!
//! [`Lifecycle::of`] says it of a pod as it stands; the conversion builds a second one of the pod as it will be, and its
//! rules compare the two. `native-sidecar timeline` draws them, and a real kubelet proves them
//! (`tests/cluster/suite/lives`).
//!
//! | File | What it says |
//! |---|---|
//! | `member` | one container: what it is to the kubelet, its probes and hooks, and whether it is restarted |
//! | `event` | what can happen, and one step of an order |
//! | `start`, `termination` | which step comes after which others, with its source in Kubernetes |
//! | `schedule` | when each step comes, given how long the programs take |
//! | [`traffic`] | which container serves which port or socket, and which asks which |
//! | `script`, `process`, `hooks` | what a command does: what it waits for, whether SIGTERM ends it |
//! | [`requests`] | what the pod asks of its node |
//! | [`describe`] | probes and hooks in words |

pub mod describe;
mod event;
pub mod hooks;
mod member;
pub mod process;
pub mod requests;
pub mod schedule;
pub mod script;
mod start;
mod termination;
pub mod traffic;

pub use event::{Event, Step, Takes};
pub use member::{Changes, Gate, Member, New, Now, Pace, Restarts, Role};

use crate::{pod::Pod, version::Version};
use traffic::Traffic;

/// Kubernetes' default grace period, in seconds.
///
/// Source: pkg/apis/core/v1/defaults.go, `SetDefaults_PodSpec`.
pub const GRACE_PERIOD_SECONDS: i64 = 30;

/// The life of one pod.
#[derive(Debug)]
pub struct Lifecycle<'p> {
    members: Vec<Member<'p>>,
    rest: Rest<'p>,
    read: traffic::Read<'p>,
}

/// What counts for all containers of a pod together.
#[derive(Clone, Copy, Debug)]
pub struct Rest<'p> {
    /// `spec.restartPolicy`; empty means `Always`.
    pub restart_policy: &'p str,
    /// `spec.terminationGracePeriodSeconds`, in seconds.
    pub grace_seconds: i64,
    /// Whether the containers see each other's processes.
    pub shares_processes: bool,
    /// The oldest kubelet that may run the pod; `None` is the newest.
    pub kubelet: Option<Version>,
}

// === impl Lifecycle ===

impl<'p> Lifecycle<'p> {
    /// The life of `pod` as it is, on a kubelet of this version.
    #[must_use]
    pub fn of(pod: &'p Pod<'p>, kubelet: Option<Version>) -> Self {
        let init = pod.init_containers().iter().map(|container| Member::new(container, Role::of_init(container)));
        let regular = pod.spec.containers.iter().map(|container| Member::new(container, Role::Regular));
        Self::with(init.chain(regular).collect(), Rest::of(pod, kubelet))
    }

    /// The life of a pod with these containers: the init containers in their order, then the regular ones in theirs.
    #[must_use]
    pub fn with(members: Vec<Member<'p>>, rest: Rest<'p>) -> Self {
        Self { members, rest, read: traffic::Read::default() }
    }

    /// The containers: init containers in their order, then the regular ones in theirs. An index into them is what events
    /// name a container by.
    #[must_use]
    pub fn members(&self) -> &[Member<'p>] {
        &self.members
    }

    /// What counts for all containers together.
    #[must_use]
    pub const fn rest(&self) -> Rest<'p> {
        self.rest
    }

    /// Who serves and asks what.
    #[must_use]
    pub const fn traffic(&self) -> Traffic<'_, 'p> {
        Traffic::new(self.members.as_slice(), &self.read)
    }

    /// What holds back whatever comes after the container at `index`.
    #[must_use]
    pub fn gate(&self, index: usize) -> Gate {
        self.members.get(index).map_or(Gate::Runs, Member::gate)
    }

    /// Whether the container is started again when it ends.
    ///
    /// Source: pkg/kubelet/container/helpers.go, `ShouldContainerBeRestarted`; KEP-753.
    #[must_use]
    pub fn restarts(&self, index: usize) -> Restarts {
        self.members.get(index).map_or(Restarts::Never, |member| member.restarts(self.rest))
    }

    /// The containers that have to end before the pod has ended: the regular ones. A sidecar among them that runs until
    /// it is told to stop keeps the pod of a Job running for ever.
    ///
    /// Source: `pkg/kubelet/kuberuntime/kuberuntime_manager.go`, `computePodActions` (keepCount).
    pub fn awaited_at_the_end(&self) -> impl Iterator<Item = &Member<'p>> {
        self.members.iter().filter(|member| member.role == Role::Regular)
    }
}

// === impl Rest ===

impl<'p> Rest<'p> {
    /// What `pod` says.
    #[must_use]
    pub fn of(pod: &'p Pod<'p>, kubelet: Option<Version>) -> Self {
        Self {
            restart_policy: &pod.spec.restart_policy,
            grace_seconds: pod.spec.termination_grace_period_seconds.unwrap_or(GRACE_PERIOD_SECONDS).max(0),
            shares_processes: pod.spec.share_process_namespace || pod.spec.host_pid,
            kubelet,
        }
    }
}

#[cfg(test)]
mod tests;
