//! Rules about ports.

use super::{Case, Move};
use crate::{
    conversion::model::Slot,
    lifecycle::Role,
    pod::{Container, Port},
    text::quoted,
    version::Version,
};
use std::collections::HashMap;

/// The container that a Service finds by the name and protocol of a port.
type Found<'p> = HashMap<(&'p str, &'p str), (&'p str, i64)>;

/// Who is found by the names of ports.
#[derive(Debug)]
pub(super) struct PortNames<'p> {
    before: Found<'p>,
    after: Found<'p>,
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_sandbox.go`, `generatePodSandboxConfig`.
pub(super) fn host_port(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let host_port = |port: &Port<'_>| (port.host_port != 0).then_some(port.host_port);
    let port = the_move.container().ports().iter().find_map(host_port).filter(|_| !case.pod.spec.host_network)?;
    Some(format!(
        "has hostPort {port}, which the kubelet does not hand to the runtime for init containers; use a Service, or accept this if your network plugin reads them"
    ))
}

/// Source: kubernetes/kubernetes#132037, fixed in 1.33.6 and 1.34.0.
pub(super) fn host_network_ports(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let port = the_move.container().ports().first().filter(|_| case.pod.spec.host_network)?;
    let blind = case.settings.facts.server_before(Version::new(1, 33, 6));
    blind.then(|| {
        format!("uses port {} of the host's network, which the scheduler does not see before 1.33.6; upgrade, or accept this", port.container_port)
    })
}

/// Source: staging/src/k8s.io/endpointslice/utils.go, `findPort`, since 1.33.
pub(super) fn named_port(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let name = &*named_ports(the_move).next().filter(|_| !finds_sidecars(case))?.name;
    Some(format!(
        "has the named port {name:?}, which Services do not find before 1.33; use its number there and accept this"
    ))
}

/// Sources: kubernetes-sigs/aws-load-balancer-controller#4239; kubernetes/kubernetes#134651.
pub(super) fn named_port_selectors(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let name = &*named_ports(the_move).next().filter(|_| finds_sidecars(case))?.name;
    Some(format!(
        "has the named port {name:?}, which Services find, but the AWS load balancer controller, GKE and some scrape configurations \
         and network policies read regular containers only; use its number there"
    ))
}

/// Source: staging/src/k8s.io/endpointslice/utils.go, `FindPort`: the first of a name and protocol counts, and all
/// regular containers come before sidecars.
pub(super) fn port_name_taken(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let (name, other) =
        named_ports(the_move).find_map(|port| Some((&*port.name, case.port_names().taken_by(the_move, port)?)))?;
    Some(format!(
        "a Service whose targetPort is {name:?} would reach {} directly after the move, past this one; give the port another \
         name, or use its number in Services and accept this",
        quoted(other)
    ))
}

/// The ports of `the_move` that a Service may refer to by name. What an injector names, no Service of a user's refers to.
fn named_ports<'p>(the_move: &Move<'p>) -> impl Iterator<Item = &'p Port<'p>> {
    let own = the_move.selected.entry.map_or(&[][..], |entry| &entry.own_ports);
    let is_own = move |name: &str| own.iter().any(|pattern| pattern.matches(name));
    the_move.container().ports().iter().filter(move |port| !port.name.is_empty() && !is_own(&port.name))
}

/// Whether Services find a sidecar's port by its name.
fn finds_sidecars(case: &Case<'_>) -> bool {
    !case.settings.facts.server_before(Version::new(1, 33, 0))
}

// === impl PortNames ===

impl<'p> PortNames<'p> {
    /// Who is found in the pod of `case`, as it is and as it will be.
    pub(super) fn of(case: &Case<'p>) -> Self {
        let Case { pod, plan, .. } = case;
        let finds_sidecars = finds_sidecars(case);
        let is_native = |slot: &&Slot| plan.role(pod, **slot) == Role::Sidecar;
        let native = || plan.order.iter().filter(|_| finds_sidecars).filter(is_native);
        let was_there = |slot: &&Slot| matches!(slot, Slot::Existing(_));
        let container = |slot: &Slot| plan.container(pod, *slot);
        Self {
            before: first_of_each(plan.without_repeats(pod).chain(native().filter(was_there).map(container))),
            after: first_of_each(plan.remaining(pod).chain(native().map(container))),
        }
    }

    /// The container that is found in place of `the_move`, where that was the one that was found.
    fn taken_by(&self, the_move: &Move<'_>, port: &Port<'_>) -> Option<&'p str> {
        let key = (&*port.name, port.protocol());
        let (before, _) = self.before.get(&key)?;
        // Where the number is the same, so is what is reached.
        let (after, number) = self.after.get(&key)?;
        let is_taken = *before == the_move.name() && *after != the_move.name() && *number != port.container_port;
        is_taken.then_some(*after)
    }
}

/// The first of `containers` that has a port of a name and protocol.
fn first_of_each<'p>(containers: impl Iterator<Item = &'p Container<'p>>) -> Found<'p> {
    let mut found = Found::new();
    for container in containers {
        for port in container.ports().iter().filter(|port| !port.name.is_empty()) {
            found.entry((&*port.name, port.protocol())).or_insert((&*container.name, port.container_port));
        }
    }
    found
}
