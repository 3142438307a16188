//! Rules about requests and limits, computed as Kubernetes computes them.

use super::{Situation, Subject};
use crate::{
    conversion::placement::Slot,
    pod::{Container, Details, Pod, Quantity, Resources},
};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// One container of the pod, before or after the move.
#[derive(Clone, Copy)]
struct Part<'d, 'a> {
    details: &'d Details<'a>,
    role: Role,
}

/// What a container is to the formula.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Regular,
    Sidecar,
    RunOnce,
}

/// A rise of one resource's effective request.
struct Rise {
    resource: String,
    before: Quantity,
    after: Quantity,
}

pub(super) fn request_rises(situation: Situation<'_, '_, '_, '_>) -> Option<String> {
    let pod_level = situation.pod.spec.resources.as_ref();
    // What the pod sets as a whole is what counts, and does not rise.
    let is_set = |resource: &str| pod_level.is_some_and(|pod_level| requested(pod_level).any(|set| set == resource));
    let Rise { resource, before, after } = rises(situation).into_iter().find(|rise| !is_set(&rise.resource))?;
    Some(format!(
        "the pod's {resource} request rises from {before} to {after}, as a sidecar runs beside an init container; place it last"
    ))
}

/// Source: pkg/apis/core/validation/validation.go, `validatePodResourceConsistency`.
pub(super) fn pod_resources_exceeded(situation: Situation<'_, '_, '_, '_>) -> Option<String> {
    let pod_level = situation.pod.spec.resources.as_ref()?;
    let exceeds = |rise: &Rise| match pod_level.requests.get(rise.resource.as_str()) {
        Some(request) => Quantity::parse(request.get()).is_none_or(|request| request < rise.after),
        // The API server fixes a request that is not given at what the containers asked for before the move.
        None => pod_level.limits.contains_key(rise.resource.as_str()),
    };
    let Rise { resource, before, after } = rises(situation).into_iter().find(exceeds)?;
    Some(format!(
        "the containers' {resource} request would rise from {before} to {after}, above spec.resources; place the sidecar last"
    ))
}

/// Source: `pkg/kubelet/cm/helpers_linux.go`, `ResourceConfigForPod`: a limit on the pod's cgroup appears where
/// every container counts as limited, and sidecars count with the sum of the limits in front of them.
pub(super) fn pod_limit_appears(situation: Situation<'_, '_, '_, '_>) -> Option<String> {
    if situation.pod.spec.resources.as_ref().is_some_and(|pod_level| !pod_level.limits.is_empty()) {
        return None;
    }
    let parsed = Parsed::of(situation)?;
    let (before, after) = (parsed.before(), parsed.after(situation));
    let appears = |resource: &&str| !all_limited(&before, resource) && all_limited(&after, resource);
    let resource = ["cpu", "memory"].into_iter().find(appears)?;
    Some(format!(
        "the kubelet will limit the pod's {resource} as a whole, which it does not now; give every container a limit"
    ))
}

/// Source: `pkg/kubelet/eviction/eviction_manager.go`, `containerEphemeralStorageLimitEviction`.
pub(super) fn ephemeral_storage_limit(
    _: Situation<'_, '_, '_, '_>,
    subject: Subject<'_, '_, '_, '_>,
) -> Option<String> {
    let limited = subject.the_move.selected.details.resources.limits.contains_key("ephemeral-storage");
    limited.then(|| {
        "its limit on ephemeral storage is not enforced on a native sidecar; use sizeLimit on its volumes".into()
    })
}

/// The resources whose effective request rises with the move.
fn rises(situation: Situation<'_, '_, '_, '_>) -> Vec<Rise> {
    if only_appends(situation) {
        return Vec::new();
    }
    let Some(parsed) = Parsed::of(situation) else { return Vec::new() };
    let (before, after) = (effective(&parsed.before()), effective(&parsed.after(situation)));
    let rise = |(resource, after): (String, Quantity)| {
        let before = before.get(&resource).copied().unwrap_or_default();
        (after > before).then_some(Rise { resource, before, after })
    };
    after.into_iter().filter_map(rise).collect()
}

/// Appending can never change the effective request: no run-once init container comes to run beside the sidecar.
fn only_appends(situation: Situation<'_, '_, '_, '_>) -> bool {
    let existing = situation.plan.order.iter().take_while(|slot| matches!(slot, Slot::Existing(_))).count();
    existing == situation.pod.init_containers().len()
}

/// `max(sum of regular and sidecars, the most that is in use while one init container starts)`, by resource.
///
/// Source: staging/src/k8s.io/component-helpers/resource/helpers.go, `AggregateContainerRequests`.
fn effective(parts: &[Part<'_, '_>]) -> BTreeMap<String, Quantity> {
    let resources: BTreeSet<&str> = parts.iter().flat_map(|part| requested(&part.details.resources)).collect();
    resources.into_iter().map(|resource| (resource.to_owned(), effective_of(parts, resource))).collect()
}

fn effective_of(parts: &[Part<'_, '_>], resource: &str) -> Quantity {
    let (mut running, mut most, mut regular) = (Quantity::default(), Quantity::default(), Quantity::default());
    for Part { details, role } in parts {
        let request = request(&details.resources, resource);
        match role {
            Role::Regular => regular = regular + request,
            Role::Sidecar => {
                running = running + request;
                most = most.max(running);
            }
            Role::RunOnce => most = most.max(running + request),
        }
    }
    most.max(running + regular)
}

fn requested<'r>(resources: &'r Resources<'_>) -> impl Iterator<Item = &'r str> {
    resources.requests.keys().chain(resources.limits.keys()).map(AsRef::as_ref)
}

/// A request that is not given is the limit, as the API server defaults it.
fn request(resources: &Resources<'_>, resource: &str) -> Quantity {
    quantity(&resources.requests, resource).or_else(|| quantity(&resources.limits, resource)).unwrap_or_default()
}

fn quantity(list: &BTreeMap<Cow<'_, str>, &RawValue>, resource: &str) -> Option<Quantity> {
    Quantity::parse(list.get(resource)?.get())
}

fn all_limited(parts: &[Part<'_, '_>], resource: &str) -> bool {
    let mut sidecars = Quantity::default();
    parts.iter().all(|Part { details, role }| {
        let own = quantity(&details.resources.limits, resource).unwrap_or_default();
        let counted = if *role == Role::Regular { own } else { own + sidecars };
        if *role == Role::Sidecar {
            sidecars = counted;
        }
        counted > Quantity::default()
    })
}

/// All containers of the pod with their fields, in the order of the pod's lists.
struct Parsed<'a> {
    init: Vec<(Details<'a>, Role)>,
    regular: Vec<Details<'a>>,
}

// === impl Parsed ===

impl<'a> Parsed<'a> {
    /// `None` where a container cannot be read; the API server will say so.
    fn of(situation: Situation<'_, '_, 'a, '_>) -> Option<Self> {
        let pod: &Pod<'a> = situation.pod;
        let role = |init: &Container<'a>| if init.restarts_always() { Role::Sidecar } else { Role::RunOnce };
        let init =
            pod.init_containers().iter().map(|init| Some((init.details().ok()?, role(init)))).collect::<Option<_>>()?;
        let regular = pod.spec.containers.iter().map(|container| container.details().ok()).collect::<Option<_>>()?;
        Some(Self { init, regular })
    }

    fn before(&self) -> Vec<Part<'_, 'a>> {
        let init = self.init.iter().map(|(details, role)| Part { details, role: *role });
        init.chain(self.regular.iter().map(|details| Part { details, role: Role::Regular })).collect()
    }

    fn after(&self, situation: Situation<'_, '_, '_, '_>) -> Vec<Part<'_, 'a>> {
        let plan = situation.plan;
        let init = plan.order.iter().map(|slot| match *slot {
            Slot::Existing(index) => Part { details: &self.init[index].0, role: self.init[index].1 },
            Slot::Moved(index) => {
                Part { details: &self.regular[plan.moves[index].selected.index], role: Role::Sidecar }
            }
        });
        let stays = |index: usize| plan.moves.iter().all(|the_move| the_move.selected.index != index);
        let regular = self.regular.iter().enumerate().filter(|(index, _)| stays(*index));
        init.chain(regular.map(|(_, details)| Part { details, role: Role::Regular })).collect()
    }
}
