//! The rules: each is one small function, listed in one of two tables.
//!
//! A rule looks at the plan and says at most one thing. `docs/findings.md` tells users about each code; the
//! tests of this module see to it that every code has its rule.

mod containers;
mod ends;
mod engines;
mod hooks;
mod mesh;
mod owners;
mod ports;
mod probes;
mod references;
mod resources;
mod traffic;
mod vendors;
mod versions;

use super::{
    Settings,
    facts::PodFacts,
    knowledge::{
        carriers::LateCarriers,
        markers,
        quits::{self, Quits},
        readers::Mentions,
        resource_refs::ResourceRefs,
        waiters::Waiters,
    },
    model::{Move, Plan},
};
use crate::{
    catalogue::Engine,
    findings::{Code, Finding},
    lifecycle::Lifecycle,
    pod::Pod,
};
use ports::PortNames;
use resources::Rise;
use std::{cell::OnceCell, collections::BTreeSet};

/// What a rule looks at: the pod, what is to happen to it, and what several rules want to know, worked out once.
pub(super) struct Case<'p> {
    pub(super) pod: &'p Pod<'p>,
    pub(super) settings: Settings<'p>,
    pub(super) facts: PodFacts<'p>,
    pub(super) plan: Plan<'p>,
    pub(super) carriers: LateCarriers<'p>,
    after: OnceCell<Lifecycle<'p>>,
    engines: OnceCell<Vec<&'p Engine>>,
    quits: OnceCell<Quits<'p>>,
    mesh_wrapper: OnceCell<Option<(&'p str, &'static str)>>,
    last_writes: OnceCell<BTreeSet<(&'p str, &'p str)>>,
    resource_refs: OnceCell<ResourceRefs<'p>>,
    rises: OnceCell<Vec<Rise>>,
    port_names: OnceCell<PortNames<'p>>,
    mentions: OnceCell<Mentions<'p>>,
    waiters: OnceCell<Waiters<'p>>,
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
    (Code::VirtualNode, owners::virtual_node),
    (Code::BarePod, owners::bare_pod),
    (Code::RequestRises, resources::request_rises),
    (Code::PodResourcesExceeded, resources::pod_resources_exceeded),
    (Code::PodLimitAppears, resources::pod_limit_appears),
    (Code::ExclusiveCpusFirst, resources::exclusive_cpus_first),
    (Code::GracePeriodShort, hooks::grace_period_short),
    (Code::VpaUnmanaged, owners::vpa_unmanaged),
    (Code::JobBackoffLimit, owners::job_backoff_limit),
    (Code::JobExitCodes, owners::job_exit_codes),
];

const MOVE_RULES: &[(Code, MoveRule)] = &[
    (Code::EngineContainer, engines::engine_container),
    (Code::EngineLooksElsewhere, engines::engine_looks_elsewhere),
    (Code::NamedElsewhere, references::named_elsewhere),
    (Code::WaitsThroughTheApi, references::waits_through_the_api),
    (Code::OneShot, containers::one_shot),
    (Code::StubContainer, containers::stub_container),
    (Code::ContainerRestartPolicy, containers::container_restart_policy),
    (Code::RestartPolicyRules, containers::restart_policy_rules),
    (Code::ResizePolicyRemoved, versions::resize_policy_removed),
    (Code::HostPort, ports::host_port),
    (Code::HostNetworkPorts, ports::host_network_ports),
    (Code::NamedPort, ports::named_port),
    (Code::NamedPortSelectors, ports::named_port_selectors),
    (Code::PortNameTaken, ports::port_name_taken),
    (Code::NeverStartupProbe, versions::never_startup_probe),
    (Code::KubeletRestartStartupProbe, versions::kubelet_restart_startup_probe),
    (Code::StartDeadlock, traffic::start_deadlock),
    (Code::ProbeCannotReach, probes::probe_cannot_reach),
    (Code::LivenessAsksApplication, traffic::liveness_asks_application),
    (Code::NeedsApplication, traffic::needs_application),
    (Code::WorksAtTheEnd, ends::works_at_the_end),
    (Code::ApplicationEndsSidecar, ends::application_ends_sidecar),
    (Code::IgnoresTerm, ends::ignores_term),
    (Code::LastLines, ends::last_lines),
    (Code::NoStartupGate, probes::no_startup_gate),
    (Code::StartupProbeGates, probes::startup_probe_gates),
    (Code::PostStartGates, hooks::post_start_gates),
    (Code::PostStartWaits, hooks::post_start_waits),
    (Code::PreStopQuit, hooks::pre_stop_quit),
    (Code::PreStopSleep, hooks::pre_stop_sleep),
    (Code::PreStopDrain, hooks::pre_stop_drain),
    (Code::PreStopEarly, hooks::pre_stop_early),
    (Code::EphemeralStorageLimit, resources::ephemeral_storage_limit),
    (Code::ResourceFieldZero, references::resource_field_zero),
    (Code::MeshStaysRegular, mesh::mesh_stays_regular),
    (Code::CniSkipsPod, mesh::cni_skips_pod),
    (Code::VendorForm, vendors::vendor_form),
    (Code::VendorOptOut, vendors::vendor_opt_out),
    (Code::VendorSwitch, vendors::vendor_switch),
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
        facts: PodFacts<'p>,
        plan: Plan<'p>,
        carriers: LateCarriers<'p>,
    ) -> Self {
        Self {
            pod,
            settings,
            facts,
            plan,
            carriers,
            after: OnceCell::new(),
            engines: OnceCell::new(),
            quits: OnceCell::new(),
            mesh_wrapper: OnceCell::new(),
            last_writes: OnceCell::new(),
            resource_refs: OnceCell::new(),
            rises: OnceCell::new(),
            port_names: OnceCell::new(),
            mentions: OnceCell::new(),
            waiters: OnceCell::new(),
        }
    }

    /// The pod's life as it will be. The index of a container that moves is its place in the plan.
    fn after(&self) -> &Lifecycle<'p> {
        self.after.get_or_init(|| self.plan.life(self.pod))
    }

    /// The engines whose pod it is: first those that keep a container, then those that only warn, so that no warning hides
    /// what keeps it.
    fn engines(&self) -> &[&'p Engine] {
        self.engines.get_or_init(|| {
            let all = self.settings.catalogue.engines().iter();
            let mut own: Vec<_> = all.filter(|engine| engine.runs(self.pod)).collect();
            own.sort_by_key(|engine| engine.only_warns);
            own
        })
    }

    /// What containers that stay do to end a sidecar.
    fn quits(&self) -> &Quits<'p> {
        self.quits.get_or_init(|| Quits::of(self.plan.remaining(self.pod)))
    }

    /// Who of those that stay runs behind a wrapper that ends the mesh proxy, and which wrapper.
    fn mesh_wrapper(&self) -> Option<(&'p str, &'static str)> {
        *self.mesh_wrapper.get_or_init(|| quits::mesh_wrapper(self.plan.remaining(self.pod)))
    }

    /// The files in volumes that containers that stay write last: the volume and the path within it.
    fn last_writes(&self) -> &BTreeSet<(&'p str, &'p str)> {
        self.last_writes.get_or_init(|| markers::written_last(self.plan.remaining(self.pod)))
    }

    /// The variables that read resources of other containers.
    fn resource_refs(&self) -> &ResourceRefs<'p> {
        let all = || self.plan.without_repeats(self.pod).chain(self.pod.init_containers());
        self.resource_refs.get_or_init(|| ResourceRefs::of(all()))
    }

    /// What the pod and its workload say about containers to readers of regular ones.
    fn mentions(&self) -> &Mentions<'p> {
        self.mentions.get_or_init(|| Mentions::of(self.pod, self.settings.workload))
    }

    /// Who waits through the API server for a container that moves.
    fn waiters(&self) -> &Waiters<'p> {
        let moved = || self.plan.moves.iter().map(Move::name);
        self.waiters.get_or_init(|| Waiters::of(self.plan.without_repeats(self.pod), moved()))
    }

    /// Who is found by the names of ports.
    fn port_names(&self) -> &PortNames<'p> {
        self.port_names.get_or_init(|| PortNames::of(self))
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
        Code::InitAsksSidecar,
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
