//! What a pod asks for, computed as Kubernetes computes it.

use super::Role;
use crate::pod::{Container, Entries, Quantity, Resources};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// One container of a pod, as the formulas see it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'p> {
    /// The container.
    pub container: &'p Container<'p>,
    /// What it is to the kubelet.
    pub role: Role,
}

/// The use of one resource while the containers start.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    sidecars: Quantity,
    regular: Quantity,
    most: Quantity,
}

/// So many resources are looked at.
const MOST_RESOURCES: usize = 1000;

/// The effective request of each resource: `max(sum of regular and sidecars, the most that is in use while one init
/// container starts)`. `parts` are the init containers in their order, then the regular ones.
///
/// Source: staging/src/k8s.io/component-helpers/resource/helpers.go, `AggregateContainerRequests`.
#[must_use]
pub fn effective<'p>(parts: impl Iterator<Item = Part<'p>>) -> BTreeMap<&'p str, Quantity> {
    let mut uses: BTreeMap<&'p str, Use> = BTreeMap::new();
    for Part { container, role } in parts {
        let Some(resources) = container.resources() else { continue };
        for name in named(resources) {
            // No node has so many, and each of them takes many times its length in memory.
            if uses.len() >= MOST_RESOURCES && !uses.contains_key(name) {
                continue;
            }
            uses.entry(name).or_default().add(role, request(resources, name));
        }
    }
    uses.into_iter().map(|(name, of)| (name, of.most.max(of.sidecars + of.regular))).collect()
}

/// The resources that are named, each once: a request that is not given is the limit, as the API server defaults it.
fn named<'r>(resources: &'r Resources<'_>) -> impl Iterator<Item = &'r str> {
    let Resources { requests, limits } = resources;
    let only_limited = limits.iter().filter(|(name, _)| !requests.contains_key(name));
    requests.iter().chain(only_limited).map(|(name, _)| name)
}

/// Whether `resources` names `resource` at all.
#[must_use]
pub fn names(resources: &Resources<'_>, resource: &str) -> bool {
    resources.requests.contains_key(resource) || resources.limits.contains_key(resource)
}

/// Whether every container counts as limited, so that the kubelet limits the pod as a whole. `parts` as above.
///
/// Source: `pkg/kubelet/cm/helpers_linux.go`, `ResourceConfigForPod`: sidecars count with the sum of the limits in front
/// of them.
pub fn all_limited<'p>(mut parts: impl Iterator<Item = Part<'p>>, resource: &str) -> bool {
    let mut sidecars = Quantity::default();
    parts.all(|Part { container, role }| {
        let own = container.resources().and_then(|resources| quantity(&resources.limits, resource));
        let own = own.unwrap_or_default();
        let counted = if role == Role::Regular { own } else { own + sidecars };
        if role == Role::Sidecar {
            sidecars = counted;
        }
        counted > Quantity::default()
    })
}

/// Whether the pod's quality of service is Guaranteed: each container has limits for CPU and memory, and requests as much.
///
/// Source: pkg/apis/core/v1/helper/qos/qos.go, `ComputePodQOS`.
pub fn is_guaranteed<'p>(mut parts: impl Iterator<Item = Part<'p>>) -> bool {
    parts.all(|Part { container, .. }| {
        container.resources().is_some_and(|resources| {
            ["cpu", "memory"].iter().all(|resource| {
                let limit = quantity(&resources.limits, resource).unwrap_or_default();
                limit > Quantity::default() && request(resources, resource) == limit
            })
        })
    })
}

/// The CPUs that `container` of a pod of Guaranteed quality of service has for itself where the kubelet gives out whole ones.
///
/// Source: `pkg/kubelet/cm/cpumanager/policy_static.go`, `guaranteedCPUs`.
#[must_use]
pub fn exclusive_cpus(container: &Container<'_>) -> Option<Quantity> {
    let limit = quantity(&container.resources()?.limits, "cpu")?;
    (limit.is_whole() && limit > Quantity::default()).then_some(limit)
}

fn request(resources: &Resources<'_>, resource: &str) -> Quantity {
    quantity(&resources.requests, resource).or_else(|| quantity(&resources.limits, resource)).unwrap_or_default()
}

fn quantity(list: &Entries<'_, &RawValue>, resource: &str) -> Option<Quantity> {
    Quantity::parse(list.get(resource)?.get())
}

// === impl Use ===

impl Use {
    fn add(&mut self, role: Role, request: Quantity) {
        match role {
            Role::Regular => self.regular = self.regular + request,
            Role::Sidecar => {
                self.sidecars = self.sidecars + request;
                self.most = self.most.max(self.sidecars);
            }
            Role::RunOnce => self.most = self.most.max(self.sidecars + request),
        }
    }
}
