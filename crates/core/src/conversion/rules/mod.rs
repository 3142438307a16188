//! The rules: each is one small function, listed in one of two tables.
//!
//! A rule looks at the plan and says at most one thing. `docs/findings.md` tells users about each code; the
//! tests of this module see to it that every code has its rule.

mod containers;
mod hooks;
mod mesh;
mod owners;
mod ports;
mod probes;
mod references;
mod resources;
mod versions;

use super::{
    Settings,
    knowledge::{
        carriers::LateCarriers,
        local_ports::{PortServer, Servers, Starts},
        resource_refs::ResourceRefs,
    },
    model::{Move, Plan, Slot},
};
use crate::{
    findings::{Code, Finding},
    pod::Pod,
};
use resources::Rise;
use std::cell::OnceCell;

/// What a rule looks at: the pod, what is to happen to it, and what several rules want to know, worked out once.
pub(super) struct Case<'p> {
    pub(super) pod: &'p Pod<'p>,
    pub(super) settings: Settings<'p>,
    pub(super) plan: Plan<'p>,
    pub(super) carriers: LateCarriers<'p>,
    servers: OnceCell<Servers<'p>>,
    resource_refs: OnceCell<ResourceRefs<'p>>,
    rises: OnceCell<Vec<Rise>>,
}

/// A rule about the pod: the sentence it has to say, if any.
type PodRule = fn(&Case<'_>) -> Option<String>;
/// A rule about one container that moves.
type MoveRule = fn(&Case<'_>, &Move<'_>) -> Option<String>;

const POD_RULES: &[(Code, PodRule)] = &[
    (Code::MirrorPod, owners::mirror_pod),
    (Code::OnlyContainerLeft, containers::only_container_left),
    (Code::ServerTooOld, versions::server_too_old),
    (Code::RestartPolicyDropped, versions::restart_policy_dropped),
    (Code::KubeletTooOld, versions::kubelet_too_old),
    (Code::WindowsPod, owners::windows_pod),
    (Code::BarePod, owners::bare_pod),
    (Code::RequestRises, resources::request_rises),
    (Code::PodResourcesExceeded, resources::pod_resources_exceeded),
    (Code::PodLimitAppears, resources::pod_limit_appears),
    (Code::GracePeriodShort, hooks::grace_period_short),
    (Code::VpaUnmanaged, owners::vpa_unmanaged),
    (Code::JobBackoffLimit, owners::job_backoff_limit),
    (Code::JobExitCodes, owners::job_exit_codes),
];

const MOVE_RULES: &[(Code, MoveRule)] = &[
    (Code::EngineContainer, owners::engine_container),
    (Code::OneShot, containers::one_shot),
    (Code::ContainerRestartPolicy, containers::container_restart_policy),
    (Code::RestartPolicyRules, containers::restart_policy_rules),
    (Code::ResizePolicyRemoved, versions::resize_policy_removed),
    (Code::HostPort, ports::host_port),
    (Code::HostNetworkPorts, ports::host_network_ports),
    (Code::NamedPort, ports::named_port),
    (Code::NamedPortSelectors, ports::named_port_selectors),
    (Code::NeverStartupProbe, versions::never_startup_probe),
    (Code::KubeletRestartStartupProbe, versions::kubelet_restart_startup_probe),
    (Code::StartDeadlock, probes::start_deadlock),
    (Code::NoStartupGate, probes::no_startup_gate),
    (Code::PostStartGates, hooks::post_start_gates),
    (Code::PreStopQuit, hooks::pre_stop_quit),
    (Code::PreStopSleep, hooks::pre_stop_sleep),
    (Code::PreStopDrain, hooks::pre_stop_drain),
    (Code::PreStopEarly, hooks::pre_stop_early),
    (Code::EphemeralStorageLimit, resources::ephemeral_storage_limit),
    (Code::ResourceFieldZero, references::resource_field_zero),
    (Code::MeshStaysRegular, mesh::mesh_stays_regular),
    (Code::CniSkipsPod, mesh::cni_skips_pod),
    (Code::VendorSwitch, mesh::vendor_switch),
];

/// Everything the rules have to say about `case`.
pub(super) fn judge(case: &Case<'_>) -> Vec<Finding> {
    if case.plan.moves.is_empty() {
        return Vec::new();
    }
    let of_pod = POD_RULES.iter().filter_map(|(code, rule)| Some(Finding::pod(*code, rule(case)?)));
    let of_moves = case.plan.moves.iter().flat_map(|the_move| {
        let finding =
            |(code, rule): &(Code, MoveRule)| Some(Finding::container(*code, the_move.name(), rule(case, the_move)?));
        MOVE_RULES.iter().filter_map(finding)
    });
    of_pod.chain(of_moves).collect()
}

// === impl Case ===

impl<'p> Case<'p> {
    /// The case of `plan` for `pod`.
    pub(super) const fn new(
        pod: &'p Pod<'p>,
        settings: Settings<'p>,
        plan: Plan<'p>,
        carriers: LateCarriers<'p>,
    ) -> Self {
        Self {
            pod,
            settings,
            plan,
            carriers,
            servers: OnceCell::new(),
            resource_refs: OnceCell::new(),
            rises: OnceCell::new(),
        }
    }

    /// The containers that may be waited for, by their ports.
    fn servers(&self) -> &Servers<'p> {
        self.servers.get_or_init(|| {
            let in_order = self.plan.order.iter().enumerate().filter_map(|(at, slot)| {
                let container = self.plan.container(self.pod, *slot);
                match slot {
                    Slot::Moved(_) => Some(PortServer { container, starts: Starts::Moved(at) }),
                    Slot::Existing(_) if container.restarts_always() => {
                        Some(PortServer { container, starts: Starts::Native(at) })
                    }
                    Slot::Existing(_) => None,
                }
            });
            let last = self.plan.remaining(self.pod).map(|container| PortServer { container, starts: Starts::Last });
            Servers::of(in_order.chain(last))
        })
    }

    /// The variables that read resources of other containers.
    fn resource_refs(&self) -> &ResourceRefs<'p> {
        let all = || self.plan.without_repeats(self.pod).chain(self.pod.init_containers());
        self.resource_refs.get_or_init(|| ResourceRefs::of(all()))
    }

    /// The resources whose effective request rises.
    fn rises(&self) -> &[Rise] {
        self.rises.get_or_init(|| resources::rises(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes that are found before there is a plan, or after it.
    const ELSEWHERE: &[Code] = &[
        Code::NameNotFound,
        Code::RunOnceInit,
        Code::AlreadyNative,
        Code::NameInBothLists,
        Code::NameTwice,
        Code::TooManyContainers,
        Code::AnnotationsTooLarge,
        Code::PatchTooLarge,
        Code::InjectedAgain,
        Code::RestartPolicyRepaired,
        Code::UnreadablePod,
        Code::UnsoundPatch,
        Code::UnknownAnnotation,
        Code::UnusedAnnotation,
        Code::InvalidValue,
        Code::PositionNotFound,
        Code::StartupProbeWithheld,
        Code::ResourceFieldRewritten,
    ];

    #[test]
    fn every_code_has_one_place() {
        let mut placed: Vec<_> = POD_RULES.iter().map(|(code, _)| *code).collect();
        placed.extend(MOVE_RULES.iter().map(|(code, _)| *code));
        placed.extend(ELSEWHERE);
        placed.sort();
        let mut all = Code::ALL.to_vec();
        all.sort();
        assert_eq!(placed, all);
    }
}
