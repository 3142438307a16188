//! Rules about known sidecars and the mesh that carries their traffic.

use super::{Situation, Subject};
use crate::{
    catalogue::{Entry, Image, glob},
    conversion::{native_form::Change, placement::Slot},
    pod::{Container, Details, Handler, HttpGetAction, Pod, TcpSocketAction},
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

/// A mesh proxy that starts later than what it carries.
struct Late<'s> {
    name: &'s str,
    remedy: &'static str,
}

/// Source: GoogleCloudPlatform/cloud-sql-proxy#2424: traffic is redirected to a proxy that does not run yet. Istio's
/// `pkg/kube/inject/app_probe.go`: so are the probes of other containers.
pub(super) fn mesh_stays_regular(
    situation: Situation<'_, '_, '_, '_>,
    subject: Subject<'_, '_, '_, '_>,
) -> Option<String> {
    let what = match carried(subject)? {
        Carried::Work => "needs the network",
        Carried::Probe => "has a startup probe that is asked over the network",
        Carried::Hook => "has a postStart hook that asks over the network",
    };
    let Late { name, remedy } = late_carrier(situation, subject.index)?;
    Some(format!("{what}, but {name:?}, which carries it, starts only later; {remedy}"))
}

/// Whether the catalogue's own probe of this move would be asked through a mesh proxy that starts only later.
pub(in crate::conversion) fn probe_is_carried_late(situation: Situation<'_, '_, '_, '_>, index: usize) -> bool {
    let the_move = &situation.plan.moves[index];
    let is_ours = the_move.form.probe_is_ours && !is_carrier(the_move.selected.entry);
    is_ours && carried_probe(Subject { index, the_move }) && late_carrier(situation, index).is_some()
}

/// Source: istio `cni/pkg/plugin/plugin.go` before 1.19: pods with a single container in `spec.containers` are
/// "excluded", and their traffic bypasses the mesh.
pub(super) fn cni_skips_pod(situation: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    let selected = &subject.the_move.selected;
    let since = selected.entry?.cni_wants_two_containers_before.as_deref()?;
    let is_old = Image::parse(&selected.details.image).is_older(since);
    let by_plugin = !situation.pod.init_containers().iter().any(|init| init.name.ends_with("-init"));
    let lonely = situation.plan.remaining(situation.pod).count() == 1;
    (is_old && by_plugin && lonely).then(|| {
        format!("leaves one regular container, and a CNI plugin before {since} keeps such pods out of the mesh; upgrade the plugin, then accept this")
    })
}

pub(super) fn vendor_switch(_: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    let entry = subject.the_move.selected.entry.filter(|entry| entry.has_vendor_form())?;
    Some(format!("{} can write the native form itself: {}", entry.vendor, entry.switch))
}

fn carried(subject: Subject<'_, '_, '_, '_>) -> Option<Carried> {
    let entry = subject.the_move.selected.entry;
    if is_carrier(entry) {
        return None;
    }
    let works = entry.is_some_and(|entry| entry.needs_network);
    let kinds =
        [(works, Carried::Work), (carried_probe(subject), Carried::Probe), (carried_hook(subject), Carried::Hook)];
    kinds.into_iter().find(|(is, _)| *is).map(|(_, kind)| kind)
}

fn carried_probe(subject: Subject<'_, '_, '_, '_>) -> bool {
    let details = &subject.the_move.selected.details;
    subject.the_move.form.startup_handler(details).is_some_and(|handler| asks_pod(&handler))
}

fn carried_hook(subject: Subject<'_, '_, '_, '_>) -> bool {
    let stays = subject.the_move.form.post_start == Change::Keep;
    subject.the_move.selected.details.post_start().filter(|_| stays).is_some_and(asks_pod)
}

/// Whether the kubelet asks the pod's own address, which the mesh redirects.
fn asks_pod(handler: &Handler<'_>) -> bool {
    match handler {
        Handler { http_get: Some(HttpGetAction { host, .. }), .. }
        | Handler { tcp_socket: Some(TcpSocketAction { host, .. }), .. } => host.is_empty(),
        Handler { grpc: Some(_), .. } => true,
        _ => false,
    }
}

fn is_carrier(entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| entry.is_mesh_proxy() || entry.redirected_by.is_some())
}

/// The first mesh proxy that starts later than the move at `index`, though the pod's traffic is redirected to it before.
fn late_carrier<'s>(situation: Situation<'s, '_, '_, '_>, index: usize) -> Option<Late<'s>> {
    let Situation { pod, plan, .. } = situation;
    let at = plan.order.iter().position(|slot| *slot == Slot::Moved(index))?;
    let (before, after) = plan.order.split_at(at);
    let in_order = after.iter().skip(1).find_map(|slot| match *slot {
        Slot::Moved(other) => {
            let selected = &plan.moves[other].selected;
            let carries = selected
                .entry
                .is_some_and(|entry| redirects(pod, before, entry, &selected.container.name, &selected.details));
            carries.then_some(Late { name: &selected.container.name, remedy: "list that one first" })
        }
        Slot::Existing(other) => {
            let init = &pod.init_containers()[other];
            let carries = init.restarts_always() && carries(situation, before, init);
            carries.then_some(Late { name: &init.name, remedy: "place this one behind it" })
        }
    });
    let regular = || plan.remaining(pod).find(|container| carries(situation, before, container));
    in_order.or_else(|| Some(Late { name: &regular()?.name, remedy: "list that one too, in front of this one" }))
}

/// Whether `container` is a mesh proxy to which one of the init containers in `before` redirects the pod's traffic.
fn carries(situation: Situation<'_, '_, '_, '_>, before: &[Slot], container: &Container<'_>) -> bool {
    let (pod, catalogue) = (situation.pod, situation.settings.catalogue);
    if !catalogue.carriers().any(|pattern| glob(pattern, &container.name)) {
        return false;
    }
    let Ok(details) = container.details() else { return false };
    let entry = catalogue.recognise(pod, container, &details);
    entry.is_some_and(|entry| redirects(pod, before, entry, &container.name, &details))
}

fn redirects(pod: &Pod<'_>, before: &[Slot], entry: &Entry, name: &str, details: &Details<'_>) -> bool {
    before.iter().any(|slot| match *slot {
        Slot::Existing(index) => entry.is_redirected_by(&pod.init_containers()[index].name, pod, name, details),
        Slot::Moved(_) => false,
    })
}
