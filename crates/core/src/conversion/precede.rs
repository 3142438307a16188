//! Sidecars that an init container asks come in front of it.

use super::model::{Move, Slot};
use crate::{
    catalogue::{Catalogue, Entry},
    findings::{Code, Finding},
    lifecycle::{
        Lifecycle, Member, Rest, Role,
        requests::{Part, effective},
        traffic::Address,
    },
    pod::{Container, Pod},
};
use std::collections::{BTreeMap, BTreeSet};

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
    moves: &'s [Move<'p>],
    catalogue: &'p Catalogue,
    order: &'s [Slot],
}

/// Brings sidecars in `order` in front of the run-once init container that asks them, where nothing speaks against it, and
/// says so or what does.
///
/// Source: KEP-753: an init container can use only what starts before it.
pub(super) fn precede<'p>(
    pod: &'p Pod<'p>,
    moves: &[Move<'p>],
    catalogue: &'p Catalogue,
    order: Vec<Slot>,
) -> (Vec<Slot>, Vec<Finding>) {
    let search = Search { pod, moves, catalogue, order: &order };
    let asked = search.asked();
    if asked.is_empty() {
        return (order, Vec::new());
    }
    let (objections, free) = search.sorted(&asked);
    let mut findings = objections;
    let earlier = search.with_in_front(&free);
    let rises = search.rises(&earlier);
    findings.extend(free.iter().map(
        |(at, asked)| {
            if rises { search.warning(*at, *asked, RISES) } else { search.note(*at, *asked) }
        },
    ));
    if rises { (order, findings) } else { (earlier, findings) }
}

// === impl Search ===

impl<'p> Search<'_, 'p> {
    /// Of each place at which a container moves in: the first init container in front of it that asks it.
    fn asked(&self) -> BTreeMap<usize, Asked<'p>> {
        let is_run_once = |slot: &Slot| matches!(slot, Slot::Existing(index) if self.is_run_once(*index));
        let mut asked = BTreeMap::new();
        if !self.order.iter().any(is_run_once) {
            return asked;
        }
        let member = |slot: &Slot| match *slot {
            Slot::Moved(index) => self.moves[index].member(self.pod),
            Slot::Existing(_) if is_run_once(slot) => Member::new(self.container(*slot), Role::RunOnce),
            Slot::Existing(_) => Member::new(self.container(*slot), Role::Sidecar),
        };
        let members: Vec<_> = self.order.iter().map(member).collect();
        let life = Lifecycle::with(members, Rest::of(self.pod, None));
        let traffic = life.traffic();
        let run_once = (0..self.order.len()).filter(|at| is_run_once(&self.order[*at]));
        for ask in run_once.flat_map(|at| traffic.asked_by(at)) {
            let Some(server) = traffic.later_server(ask.asker, ask.address) else { continue };
            if matches!(self.order[server], Slot::Moved(_)) {
                asked.entry(server).or_insert(Asked { by: ask.asker, address: ask.address });
            }
        }
        asked
    }

    fn is_run_once(&self, index: usize) -> bool {
        !self.pod.init_containers()[index].restarts_always()
    }

    fn container(&self, slot: Slot) -> &'p Container<'p> {
        match slot {
            Slot::Existing(index) => &self.pod.init_containers()[index],
            Slot::Moved(index) => self.moves[index].container(),
        }
    }

    /// Warnings about those that have to stay where they are, and the others.
    fn sorted(&self, asked: &BTreeMap<usize, Asked<'p>>) -> (Vec<Finding>, BTreeMap<usize, Asked<'p>>) {
        let mut free = BTreeMap::new();
        let mut findings = Vec::new();
        // The last place, as it will be, of a mesh proxy and of what the listed order binds.
        let (mut mesh, mut listed) = (None, None);
        for at in 0..self.order.len() {
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

    fn has_wish(&self, at: usize) -> bool {
        matches!(self.order[at], Slot::Moved(index) if self.moves[index].position.is_some())
    }

    /// Whether the listed order binds what stands there.
    fn is_bound(&self, at: usize) -> bool {
        matches!(self.order[at], Slot::Moved(index) if self.moves[index].selected.listed)
    }

    fn is_mesh_proxy(&self, at: usize) -> bool {
        match self.order[at] {
            Slot::Moved(index) => self.moves[index].selected.entry.is_some_and(Entry::is_mesh_proxy),
            Slot::Existing(index) => {
                !self.is_run_once(index) && self.catalogue.may_be_mesh_proxy(&self.pod.init_containers()[index].name)
            }
        }
    }

    /// The order with each of `free` directly in front of what asks it.
    fn with_in_front(&self, free: &BTreeMap<usize, Asked<'p>>) -> Vec<Slot> {
        let mut in_front: BTreeMap<usize, Vec<Slot>> = BTreeMap::new();
        for (at, asked) in free {
            in_front.entry(asked.by).or_default().push(self.order[*at]);
        }
        let mut slots = Vec::with_capacity(self.order.len());
        for (at, slot) in self.order.iter().enumerate() {
            slots.extend(in_front.remove(&at).unwrap_or_default());
            if !free.contains_key(&at) {
                slots.push(*slot);
            }
        }
        slots
    }

    /// Whether the pod asks for more of anything in the order `earlier`.
    fn rises(&self, earlier: &[Slot]) -> bool {
        let now = effective(self.parts(self.order));
        effective(self.parts(earlier))
            .into_iter()
            .any(|(resource, then)| now.get(resource).is_none_or(|now| *now < then))
    }

    fn parts(&self, order: &[Slot]) -> impl Iterator<Item = Part<'p>> {
        let moved: BTreeSet<_> = self.moves.iter().map(|the_move| the_move.selected.index).collect();
        let regular = self.pod.spec.containers.iter().enumerate().filter(move |(index, _)| !moved.contains(index));
        let regular = regular.map(|(_, container)| Part { container, role: Role::Regular });
        let init = order.iter().map(|slot| {
            let container = self.container(*slot);
            let role = if matches!(slot, Slot::Moved(_)) { Role::Sidecar } else { Role::of_init(container) };
            Part { container, role }
        });
        init.collect::<Vec<_>>().into_iter().chain(regular)
    }

    fn note(&self, at: usize, asked: Asked<'p>) -> Finding {
        let init = &*self.container(self.order[asked.by]).name;
        self.finding(at, format!("is placed in front of init container {init:?}, which asks {} of it", asked.address))
    }

    fn warning(&self, at: usize, asked: Asked<'p>, why: &str) -> Finding {
        let init = &*self.container(self.order[asked.by]).name;
        let name = &*self.container(self.order[at]).name;
        let message = format!(
            "init container {init:?} asks {} of it and starts first, since {why}; set position.native-sidecar.io/{name}: before:{init}",
            asked.address
        );
        self.finding(at, message).as_warning()
    }

    fn finding(&self, at: usize, message: String) -> Finding {
        Finding::container(Code::InitAsksSidecar, &*self.container(self.order[at]).name, message)
    }
}
