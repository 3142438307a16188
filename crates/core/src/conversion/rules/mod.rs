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

pub(super) use containers::one_shot_flag;
pub(super) use mesh::probe_is_carried_late;
pub(super) use versions::startup_probe_bugs;

use super::{
    Settings,
    plan::{Move, Plan},
};
use crate::{
    findings::{Code, Finding},
    pod::Pod,
};

/// What a rule looks at.
#[derive(Clone, Copy)]
pub(super) struct Situation<'s, 'p, 'a, 'c> {
    pub(super) pod: &'p Pod<'a>,
    pub(super) plan: &'s Plan<'p, 'a, 'c>,
    pub(super) settings: Settings<'c>,
}

/// What a rule about one move looks at: the move, and its index in the plan.
#[derive(Clone, Copy)]
struct Subject<'s, 'p, 'a, 'c> {
    index: usize,
    the_move: &'s Move<'p, 'a, 'c>,
}

/// A rule about the pod: the sentence it has to say, if any.
type PodRule = fn(Situation<'_, '_, '_, '_>) -> Option<String>;
/// A rule about one container that moves.
type MoveRule = fn(Situation<'_, '_, '_, '_>, Subject<'_, '_, '_, '_>) -> Option<String>;

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

/// Everything the rules have to say about `plan`.
pub(super) fn check(pod: &Pod<'_>, plan: &Plan<'_, '_, '_>, settings: Settings<'_>) -> Vec<Finding> {
    if plan.moves.is_empty() {
        return Vec::new();
    }
    let situation = Situation { pod, plan, settings };
    let of_pod = POD_RULES.iter().filter_map(|(code, rule)| Some(Finding::pod(*code, rule(situation)?)));
    let of_moves = plan.moves.iter().enumerate().flat_map(|(index, the_move)| {
        let subject = Subject { index, the_move };
        MOVE_RULES
            .iter()
            .filter_map(move |(code, rule)| Some(Finding::container(*code, the_move.name(), rule(situation, subject)?)))
    });
    of_pod.chain(of_moves).collect()
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
