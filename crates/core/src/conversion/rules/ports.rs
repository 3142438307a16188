//! Rules about ports.

use super::{Case, Move};
use crate::{pod::Port, version::Version};

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
    // What an injector names, no Service of a user's refers to.
    let own = the_move.selected.entry.map_or(&[][..], |entry| &entry.own_ports);
    let is_own = |name: &&str| own.iter().any(|pattern| pattern.matches(name));
    let name = port_names(the_move)
        .find(|name| !is_own(name))
        .filter(|_| case.settings.facts.server_before(Version::new(1, 33, 0)))?;
    Some(format!(
        "has the named port {name:?}, which Services do not find before 1.33; use its number there and accept this"
    ))
}

pub(super) fn named_port_selectors(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let name = port_names(the_move).next().filter(|_| !case.settings.facts.server_before(Version::new(1, 33, 0)))?;
    Some(format!(
        "has the named port {name:?}; scrape configurations and network policies may look for it among regular containers only"
    ))
}

fn port_names<'p>(the_move: &Move<'p>) -> impl Iterator<Item = &'p str> {
    the_move.container().ports().iter().map(|port| &*port.name).filter(|name| !name.is_empty())
}
