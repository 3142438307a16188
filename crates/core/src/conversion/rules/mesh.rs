//! Rules about known sidecars and the mesh that carries their traffic.

use super::{Case, Move};
use crate::{
    catalogue::any_holds,
    conversion::knowledge::carriers::{LateCarrier, is_carrier},
    pod::Handler,
    text::quoted,
};

/// What of a sidecar goes through the mesh proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carried {
    /// Its work.
    Work,
    /// The probe on which the application waits.
    Probe,
    /// The hook on which the application waits.
    Hook,
}

/// Source: GoogleCloudPlatform/cloud-sql-proxy#2424: traffic is redirected to a proxy that does not run yet. Istio's
/// `pkg/kube/inject/app_probe.go`: so are the probes of other containers.
pub(super) fn mesh_stays_regular(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let carrier = case.carriers.later_than(case.plan.place(the_move))?;
    let LateCarrier { name, remedy, .. } = carrier;
    let what = match carried(case, the_move, carrier)? {
        Carried::Work => "needs the network",
        Carried::Probe => "has a startup probe that is asked over the network",
        Carried::Hook => "has a postStart hook that asks over the network",
    };
    Some(format!("{what}, but {}, which carries it, starts only later; {remedy}", quoted(name)))
}

/// Source: istio `cni/pkg/plugin/plugin.go` before 1.19: pods with a single container in `spec.containers` are
/// "excluded", and their traffic bypasses the mesh.
pub(super) fn cni_skips_pod(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let entry = the_move.selected.entry?;
    let since = entry.cni_wants_two_containers_before?;
    let version = entry.version(the_move.container());
    let is_newer = || any_holds(&entry.cni_is_newer, case.pod, the_move.container());
    let redirects = |name: &str| entry.redirecting_init.iter().any(|pattern| pattern.matches(name));
    let by_plugin = || !case.pod.init_containers().iter().any(|init| redirects(&init.name));
    let lonely = || case.plan.remaining(case.pod).count() == 1;
    if version.is_some_and(|version| version >= since) || (version.is_none() && is_newer()) || !by_plugin() || !lonely()
    {
        return None;
    }
    let (major, minor) = (since.major, since.minor);
    let unseen = if version.is_none() { ", and the image does not tell its version" } else { "" };
    Some(format!(
        "leaves one regular container, and a CNI plugin before {major}.{minor} keeps such pods out of the mesh{unseen}; have a plugin of {major}.{minor} or later, then accept this"
    ))
}

fn carried(case: &Case<'_>, the_move: &Move<'_>, carrier: LateCarrier<'_>) -> Option<Carried> {
    let (pod, container, entry) = (case.pod, the_move.container(), the_move.selected.entry);
    if is_carrier(entry) {
        return None;
    }
    let works = entry
        .is_some_and(|entry| entry.needs_network && !carrier.bypass.leaves_out_calls(&entry.calls, pod, container));
    let asks = |handler: &Handler<'_>| carrier.carries_probe(handler, pod, container);
    let probed = || the_move.startup_handler(asks) == Some(true);
    let hooked = || the_move.kept_post_start().is_some_and(asks);
    match () {
        () if works => Some(Carried::Work),
        () if probed() => Some(Carried::Probe),
        () if hooked() => Some(Carried::Hook),
        () => None,
    }
}
