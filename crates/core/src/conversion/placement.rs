//! Where the moved containers go among the init containers.

use super::plan::Move;
use crate::{
    catalogue::{Catalogue, Entry, Place, glob},
    findings::{Code, Finding},
    intent::Position,
    pod::Pod,
};

/// One place in the list of init containers as it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The init container that has this index now.
    Existing(usize),
    /// The move that has this index in the plan.
    Moved(usize),
}

/// The list of init containers as it will be, being built.
struct Order<'o, 'p, 'a, 'c> {
    pod: &'o Pod<'a>,
    moves: &'o [Move<'p, 'a, 'c>],
    catalogue: &'o Catalogue,
    slots: Vec<Slot>,
    findings: Vec<Finding>,
}

/// Places `moves`, which are in start order, and says what was found out on the way.
///
/// Appending is the default: it can never change the effective request (KEP-753, resource formula), and
/// what existing init containers see stays the same. The pod's own wish comes first, then the vendor's place.
pub(super) fn place(pod: &Pod<'_>, moves: &[Move<'_, '_, '_>], catalogue: &Catalogue) -> (Vec<Slot>, Vec<Finding>) {
    let slots = (0..pod.init_containers().len()).map(Slot::Existing).collect();
    let mut order = Order { pod, moves, catalogue, slots, findings: Vec::new() };
    let (beside, mut earlier) = (refers_to_another, None);
    for (index, the_move) in moves.iter().enumerate().filter(|(_, the_move)| !beside(the_move)) {
        // The listed order binds only those that were listed and have no wish of their own.
        let is_bound = the_move.selected.listed && the_move.position.is_none();
        order.insert(index, the_move, earlier.filter(|_| is_bound));
        if is_bound {
            earlier = Some(Slot::Moved(index));
        }
    }
    order.insert_all_beside(moves.iter().enumerate().filter(|(_, the_move)| beside(the_move)).collect());
    (order.slots, order.findings)
}

fn refers_to_another(the_move: &Move<'_, '_, '_>) -> bool {
    matches!(the_move.position, Some(Position::Before(_) | Position::After(_)))
}

// === impl Order ===

impl Order<'_, '_, '_, '_> {
    fn insert(&mut self, index: usize, the_move: &Move<'_, '_, '_>, earlier: Option<Slot>) {
        let at = match &the_move.position {
            Some(Position::First) => self.behind_earlier_firsts(),
            Some(_) => self.slots.len(),
            None => self.default_place(the_move, earlier),
        };
        self.slots.insert(at.max(self.behind(earlier)), Slot::Moved(index));
    }

    /// The vendor's place where the container is known, else last.
    fn default_place(&mut self, the_move: &Move<'_, '_, '_>, earlier: Option<Slot>) -> usize {
        match the_move.selected.entry {
            Some(entry) => self.vendor_place(&entry.place, entry.suffix(the_move.name()), earlier),
            None => self.slots.len(),
        }
    }

    /// Places what refers to another container. That one may be on its way itself, so it goes round until
    /// nothing more finds its place; what is left refers to nobody.
    fn insert_all_beside(&mut self, mut waiting: Vec<(usize, &Move<'_, '_, '_>)>) {
        loop {
            let before = waiting.len();
            waiting.retain(|(index, the_move)| !self.insert_beside(*index, the_move));
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
        for (index, the_move) in waiting {
            let other = match &the_move.position {
                Some(Position::Before(name) | Position::After(name)) => name.as_str(),
                _ => "",
            };
            let why = self.why_not_beside(the_move, other);
            let message = format!("is to go beside init container {other:?}, {why}; correct the position annotation");
            self.findings.push(Finding::container(Code::PositionNotFound, the_move.name(), message));
            let at = self.default_place(the_move, None);
            self.slots.insert(at, Slot::Moved(index));
        }
    }

    /// Places one container beside the one it refers to; false where that one is not there.
    fn insert_beside(&mut self, index: usize, the_move: &Move<'_, '_, '_>) -> bool {
        let (name, after) = match &the_move.position {
            Some(Position::Before(name)) => (name, false),
            Some(Position::After(name)) => (name, true),
            _ => return false,
        };
        let Some(at) = self.slots.iter().position(|slot| self.name(*slot) == name) else { return false };
        // Of several behind the same container, the one that was listed first is nearest to it.
        let same =
            |slot: &&Slot| matches!(slot, Slot::Moved(other) if self.moves[*other].position == the_move.position);
        let at = if after { at + 1 + self.slots[at + 1..].iter().take_while(same).count() } else { at };
        self.slots.insert(at, Slot::Moved(index));
        true
    }

    /// Why a container does not find its place beside `other`.
    fn why_not_beside(&self, the_move: &Move<'_, '_, '_>, other: &str) -> &'static str {
        if the_move.name() == other {
            "which is this container itself"
        } else if self.moves.iter().any(|the_move| the_move.name() == other) {
            "which waits for this one in turn"
        } else if self.pod.container(other).is_some() {
            "which is a regular container"
        } else {
            "which does not exist"
        }
    }

    /// The vendor's own place; among listed containers the listed order wins.
    fn vendor_place(&mut self, place: &Place, suffix: &str, earlier: Option<Slot>) -> usize {
        if place.front && earlier.is_none_or(|slot| self.is_mesh_proxy(slot)) {
            return self.make_front(place);
        }
        let names: Vec<_> = place.after.iter().map(|name| name.replace("{suffix}", suffix)).collect();
        match self.slots.iter().rposition(|slot| names.iter().any(|name| name == self.name(*slot))) {
            Some(partner) => partner + 1,
            None if place.early => self.slots.iter().rposition(|slot| self.is_mesh_proxy(*slot)).map_or(0, |at| at + 1),
            None => self.slots.len(),
        }
    }

    /// Brings the mesh's own init containers to the front, as its injector does, and returns the place behind them.
    fn make_front(&mut self, place: &Place) -> usize {
        let named = |order: &Self, names: &[String]| -> Vec<Slot> {
            names.iter().filter_map(|name| order.slots.iter().copied().find(|slot| order.name(*slot) == name)).collect()
        };
        let (behind, before) = (named(self, &place.behind), named(self, &place.before));
        self.slots.retain(|slot| !behind.contains(slot) && !before.contains(slot));
        let at = behind.len();
        self.slots.splice(0..0, behind.into_iter().chain(before));
        at
    }

    fn behind_earlier_firsts(&self) -> usize {
        let is_first =
            |slot: &&Slot| matches!(slot, Slot::Moved(index) if self.moves[*index].position == Some(Position::First));
        self.slots.iter().take_while(is_first).count()
    }

    fn behind(&self, earlier: Option<Slot>) -> usize {
        earlier.and_then(|slot| self.slots.iter().position(|other| *other == slot)).map_or(0, |at| at + 1)
    }

    fn is_mesh_proxy(&self, slot: Slot) -> bool {
        match slot {
            Slot::Moved(index) => self.moves[index].selected.entry.is_some_and(Entry::is_mesh_proxy),
            Slot::Existing(index) => {
                let init = &self.pod.init_containers()[index];
                init.restarts_always() && self.catalogue.mesh_proxies().any(|pattern| glob(pattern, &init.name))
            }
        }
    }

    fn name(&self, slot: Slot) -> &str {
        match slot {
            Slot::Existing(index) => &self.pod.init_containers()[index].name,
            Slot::Moved(index) => self.moves[index].name(),
        }
    }
}
