//! Rules about requests and limits.

use super::{Case, Move};
use crate::{
    conversion::model::Slot,
    lifecycle::{
        Role,
        requests::{Part, all_limited, effective, exclusive_cpus, is_guaranteed, names},
    },
    pod::Quantity,
};

/// A rise of one resource's effective request.
#[derive(Debug)]
pub(super) struct Rise {
    resource: String,
    before: Quantity,
    after: Quantity,
}

pub(super) fn request_rises(case: &Case<'_>) -> Option<String> {
    let pod_level = case.pod.spec.resources.as_ref();
    // What the pod sets as a whole is what counts, and does not rise.
    let counts = |rise: &&Rise| !pod_level.is_some_and(|pod_level| names(pod_level, &rise.resource));
    let Rise { resource, before, after } = case.rises().iter().find(counts)?;
    Some(format!(
        "the pod's {resource} request rises from {before} to {after}, as a sidecar runs beside an init container; place it last"
    ))
}

/// Source: pkg/apis/core/validation/validation.go, `validatePodResourceConsistency`.
pub(super) fn pod_resources_exceeded(case: &Case<'_>) -> Option<String> {
    let pod_level = case.pod.spec.resources.as_ref()?;
    let exceeds = |rise: &&Rise| match pod_level.requests.get(&rise.resource) {
        Some(request) => Quantity::parse(request.get()).is_none_or(|request| request < rise.after),
        // The API server fixes a request that is not given at what the containers asked for before the move.
        None => pod_level.limits.contains_key(&rise.resource),
    };
    let Rise { resource, before, after } = case.rises().iter().find(exceeds)?;
    Some(format!(
        "the containers' {resource} request would rise from {before} to {after}, above spec.resources; place the sidecar last"
    ))
}

/// Source: `pkg/kubelet/cm/helpers_linux.go`, `ResourceConfigForPod`: a limit on the pod's cgroup appears where
/// every container counts as limited, and sidecars count with the sum of the limits in front of them.
pub(super) fn pod_limit_appears(case: &Case<'_>) -> Option<String> {
    if case.pod.spec.resources.as_ref().is_some_and(|pod_level| !pod_level.limits.is_empty()) {
        return None;
    }
    let appears = |resource: &&str| all_limited(after(case), resource) && !all_limited(before(case), resource);
    let resource = ["cpu", "memory"].into_iter().find(appears)?;
    Some(format!(
        "the kubelet will limit the pod's {resource} as a whole, which it does not now; give every container a limit"
    ))
}

/// Source: `pkg/kubelet/cm/topologymanager/scope_container.go`, `Admit`: init containers come first, also native sidecars.
pub(super) fn exclusive_cpus_first(case: &Case<'_>) -> Option<String> {
    let first = case.plan.moves.iter().find_map(|the_move| {
        let container = the_move.container();
        Some((container, exclusive_cpus(container)?))
    });
    let (sidecar, cpus) = first?;
    let application = case.plan.remaining(case.pod).find(|container| exclusive_cpus(container).is_some())?;
    let (sidecar, application) = (&*sidecar.name, &*application.name);
    is_guaranteed(before(case)).then(|| {
        format!(
            "the pod is Guaranteed, and a kubelet with the static CPU manager policy now sets the {cpus} CPU of {sidecar:?} aside before those \
             of {application:?}, which may no longer fit on one NUMA node; give the sidecar a fraction of a CPU, or keep room"
        )
    })
}

/// Source: `pkg/kubelet/eviction/eviction_manager.go`, `containerEphemeralStorageLimitEviction`; sidecars count since 1.37.
pub(super) fn ephemeral_storage_limit(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    the_move.container().resources().filter(|resources| resources.limits.contains_key("ephemeral-storage"))?;
    let node = case.facts.ignoring_storage_limits()?;
    let kubelet = node.kubelet;
    Some(format!(
        "its limit on ephemeral storage is not enforced on a native sidecar by the kubelet {kubelet} of {node}, only from 1.37 on; \
         upgrade it, or use sizeLimit on its volumes"
    ))
}

/// The resources whose effective request rises with the move, by name.
pub(super) fn rises(case: &Case<'_>) -> Vec<Rise> {
    if only_appends(case) {
        return Vec::new();
    }
    let before = effective(before(case));
    let rise = |(resource, after): (&str, Quantity)| {
        let before = before.get(resource).copied().unwrap_or_default();
        (after > before).then(|| Rise { resource: resource.to_owned(), before, after })
    };
    effective(after(case)).into_iter().filter_map(rise).collect()
}

/// Appending can never change the effective request: no run-once init container comes to run beside the sidecar.
fn only_appends(case: &Case<'_>) -> bool {
    let existing = case.plan.order.iter().take_while(|slot| matches!(slot, Slot::Existing(_))).count();
    existing == case.pod.init_containers().len()
}

/// The pod as it was meant: without second copies of what was moved, with which it could not run, and with what was
/// moved earlier as a sidecar, whether another webhook has left it one or not.
fn before<'p>(case: &Case<'p>) -> impl Iterator<Item = Part<'p>> {
    let init = case.pod.init_containers().iter().enumerate().map(|(index, container)| {
        let role = case.plan.role(case.pod, Slot::Existing(index));
        Part { container, role }
    });
    let regular = case.plan.without_repeats(case.pod);
    init.chain(regular.map(|container| Part { container, role: Role::Regular }))
}

/// The pod as it will be.
fn after<'p>(case: &Case<'p>) -> impl Iterator<Item = Part<'p>> {
    case.plan.parts(case.pod, &case.plan.order)
}
