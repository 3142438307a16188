//! Rules about known sidecars and the mesh that carries them.

use super::{Situation, Subject};
use crate::{
    catalogue::{Entry, glob},
    conversion::placement::Slot,
    pod::Container,
};

/// Source: GoogleCloudPlatform/cloud-sql-proxy#2424: traffic is redirected to a proxy that does not run yet.
pub(super) fn mesh_stays_regular(
    situation: Situation<'_, '_, '_, '_>,
    subject: Subject<'_, '_, '_, '_>,
) -> Option<String> {
    subject.the_move.selected.entry.filter(|entry| entry.needs_network)?;
    let later = situation
        .plan
        .later(subject.index)
        .find(|other| other.selected.entry.is_some_and(|entry| entry.is_mesh_proxy() && captures(situation, entry)));
    if let Some(mesh) = later {
        return Some(format!(
            "needs the network, but would start before {:?}, which carries it; list that one first",
            mesh.name()
        ));
    }
    let regular = situation.plan.remaining(situation.pod).find(|container| carries(situation, container))?;
    Some(format!(
        "needs the network, but {:?}, which carries it, starts only later; list that one too, in front of this one",
        regular.name
    ))
}

pub(super) fn vendor_switch(_: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    let entry = subject.the_move.selected.entry.filter(|entry| entry.has_vendor_form())?;
    Some(format!("{} can write the native form itself: {}", entry.vendor, entry.switch))
}

/// Whether `container` is a mesh proxy whose init container redirects the pod's traffic.
fn carries(situation: Situation<'_, '_, '_, '_>, container: &Container<'_>) -> bool {
    let catalogue = situation.settings.catalogue;
    if !catalogue.mesh_proxies().any(|pattern| glob(pattern, &container.name)) {
        return false;
    }
    let Ok(details) = container.details() else { return false };
    let entry = catalogue.recognise(situation.pod, container, &details);
    entry.is_some_and(|entry| entry.is_mesh_proxy() && captures(situation, entry))
}

/// Whether the init container that redirects traffic to this mesh's proxy is there.
fn captures(situation: Situation<'_, '_, '_, '_>, entry: &Entry) -> bool {
    let is_init = |slot: &Slot| match slot {
        Slot::Existing(index) => {
            entry.place.behind.iter().any(|name| *name == situation.pod.init_containers()[*index].name)
        }
        Slot::Moved(_) => false,
    };
    situation.plan.order.iter().any(is_init)
}
