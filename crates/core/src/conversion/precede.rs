//! Sidecars that an init container asks come in front of it.

use super::model::{Move, Plan, Slot};
use crate::{
    catalogue::{Catalogue, Entry},
    findings::{Code, Finding},
    lifecycle::{Role, requests::effective, traffic::Address},
    pod::Pod,
    text::{LONGEST_NAME, quoted, shorten},
};
use std::collections::BTreeMap;

/// An init container that runs once and asks for what a moved container behind it serves.
#[derive(Clone, Copy, Debug)]
struct Asked<'p> {
    /// The place of the init container.
    by: usize,
    address: Address<'p>,
}

/// What speaks against a place in front.
const RISES: &str = "the pod's effective request would rise";
const WISHED: &str = "its position annotation says otherwise";
const MESH: &str = "a mesh proxy starts between them";
const LISTED: &str = "the listed order says otherwise";

/// What is looked at.
struct Search<'s, 'p> {
    pod: &'p Pod<'p>,
    plan: &'s Plan<'p>,
    catalogue: &'p Catalogue,
}

/// Brings sidecars of `plan` in front of the run-once init container that asks them, where nothing speaks against it, and
/// says so or what does.
///
/// Source: KEP-753: an init container can use only what starts before it.
pub(super) fn precede<'p>(pod: &'p Pod<'p>, plan: Plan<'p>, catalogue: &'p Catalogue) -> (Plan<'p>, Vec<Finding>) {
    let search = Search { pod, plan: &plan, catalogue };
    let asked = search.asked();
    if asked.is_empty() {
        return (plan, Vec::new());
    }
    let (objections, free) = search.sorted(&asked);
    let mut findings = objections;
    let earlier = search.with_in_front(&free);
    let rises = search.rises(&earlier);
    let told = |(at, asked): (&usize, &Asked<'p>)| {
        if rises { search.warning(*at, *asked, RISES) } else { search.note(*at, *asked) }
    };
    findings.extend(free.iter().map(told));
    if rises { (plan, findings) } else { (plan.in_order(earlier), findings) }
}

// === impl Search ===

impl<'p> Search<'_, 'p> {
    /// Of each place at which a container moves in: the first init container in front of it that asks it.
    fn asked(&self) -> BTreeMap<usize, Asked<'p>> {
        let order = &self.plan.order;
        // Only what stands in front of one that moves in can ask it too early.
        let last = order.iter().rposition(|slot| matches!(slot, Slot::Moved(_))).unwrap_or_default();
        let run_once: Vec<_> = (0..last).filter(|at| self.is_run_once(*at)).collect();
        let mut asked = BTreeMap::new();
        if run_once.is_empty() {
            return asked;
        }
        let life = self.plan.life(self.pod);
        let traffic = life.traffic();
        for ask in run_once.into_iter().flat_map(|at| traffic.asked_by(at)) {
            let Some(server) = traffic.later_server(ask.asker, ask.address) else { continue };
            if matches!(order.get(server), Some(Slot::Moved(_))) {
                asked.entry(server).or_insert(Asked { by: ask.asker, address: ask.address });
            }
        }
        asked
    }

    fn is_run_once(&self, at: usize) -> bool {
        self.plan.role(self.pod, self.plan.order[at]) == Role::RunOnce
    }

    fn name(&self, at: usize) -> &'p str {
        &self.plan.container(self.pod, self.plan.order[at]).name
    }

    /// Warnings about those that have to stay where they are, and the others.
    fn sorted(&self, asked: &BTreeMap<usize, Asked<'p>>) -> (Vec<Finding>, BTreeMap<usize, Asked<'p>>) {
        let mut free = BTreeMap::new();
        let mut findings = Vec::new();
        // The last place, as it will be, of a mesh proxy and of what the listed order binds.
        let (mut mesh, mut listed) = (None, None);
        for at in 0..self.plan.order.len() {
            let in_front = asked.get(&at).copied();
            let objection = in_front.and_then(|asked| match () {
                () if self.has_wish(at) => Some((asked, WISHED)),
                () if mesh > Some(asked.by) => Some((asked, MESH)),
                () if self.is_bound(at) && listed > Some(asked.by) => Some((asked, LISTED)),
                () => None,
            });
            let place = match (in_front, objection) {
                (Some(asked), None) => {
                    free.insert(at, asked);
                    asked.by
                }
                (_, objection) => {
                    findings.extend(objection.map(|(asked, why)| self.warning(at, asked, why)));
                    at
                }
            };
            if self.is_mesh_proxy(at) {
                mesh = mesh.max(Some(place));
            }
            if self.is_bound(at) {
                listed = listed.max(Some(place));
            }
        }
        (findings, free)
    }

    fn moved(&self, at: usize) -> Option<&Move<'p>> {
        match self.plan.order[at] {
            Slot::Moved(index) => Some(&self.plan.moves[index]),
            Slot::Existing(_) => None,
        }
    }

    fn has_wish(&self, at: usize) -> bool {
        self.moved(at).is_some_and(|the_move| the_move.position.is_some())
    }

    /// Whether the listed order binds what stands there.
    fn is_bound(&self, at: usize) -> bool {
        self.moved(at).is_some_and(|the_move| the_move.selected.listed)
    }

    fn is_mesh_proxy(&self, at: usize) -> bool {
        match self.moved(at) {
            Some(the_move) => the_move.selected.entry.is_some_and(Entry::is_mesh_proxy),
            None => !self.is_run_once(at) && self.catalogue.may_be_mesh_proxy(self.name(at)),
        }
    }

    /// The order with each of `free` directly in front of what asks it.
    fn with_in_front(&self, free: &BTreeMap<usize, Asked<'p>>) -> Vec<Slot> {
        let mut in_front: BTreeMap<usize, Vec<Slot>> = BTreeMap::new();
        for (at, asked) in free {
            in_front.entry(asked.by).or_default().push(self.plan.order[*at]);
        }
        let mut slots = Vec::with_capacity(self.plan.order.len());
        for (at, slot) in self.plan.order.iter().enumerate() {
            slots.extend(in_front.remove(&at).unwrap_or_default());
            if !free.contains_key(&at) {
                slots.push(*slot);
            }
        }
        slots
    }

    /// Whether the pod asks for more of anything in the order `earlier`.
    fn rises(&self, earlier: &[Slot]) -> bool {
        let now = effective(self.plan.parts(self.pod, &self.plan.order));
        effective(self.plan.parts(self.pod, earlier))
            .into_iter()
            .any(|(resource, then)| now.get(resource).is_none_or(|now| *now < then))
    }

    fn note(&self, at: usize, asked: Asked<'p>) -> Finding {
        let (init, address) = (quoted(self.name(asked.by)), asked.address);
        self.finding(at, format!("is placed in front of init container {init}, which asks {address} of it"))
    }

    fn warning(&self, at: usize, asked: Asked<'p>, why: &str) -> Finding {
        let (init, name, address) = (self.name(asked.by), self.name(at), asked.address);
        let message = format!(
            "init container {} asks {address} of it and starts first, since {why}; set position.native-sidecar.io/{name}: before:{}",
            quoted(init),
            shorten(init, LONGEST_NAME)
        );
        self.finding(at, message).as_warning()
    }

    fn finding(&self, at: usize, message: String) -> Finding {
        Finding::container(Code::InitAsksSidecar, self.name(at), message)
    }
}
