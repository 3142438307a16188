//! Where the moved containers go among the init containers.

use super::model::{Move, Slot};
use crate::{
    catalogue::{Catalogue, Entry, Place},
    findings::{Code, Finding},
    intent::Position,
    pod::{Container, Pod},
};
use std::collections::HashMap;

/// The list of init containers as it will be, being built.
struct Order<'o, 'p> {
    pod: &'p Pod<'p>,
    moves: &'o [Move<'p>],
    /// Of each init container that is there already, whether it is a mesh proxy.
    existing_mesh_proxies: Vec<bool>,
    by_name: HashMap<&'p str, Slot>,
    slots: Vec<Slot>,
    findings: Vec<Finding>,
}

/// What waits for one container to have its place, as indices of moves.
#[derive(Debug, Default)]
struct Beside {
    before: Vec<usize>,
    after: Vec<usize>,
}

/// A step in writing down the order: a container with all that goes beside it, or alone.
enum Step {
    WithBeside(Slot),
    Alone(Slot),
}

/// Places `moves`, which are in start order, and says what was found out on the way.
///
/// Appending is the default: it can never change the effective request (KEP-753, resource formula), and
/// what existing init containers see stays the same. The pod's own wish comes first, then the vendor's place.
pub(super) fn place<'p>(pod: &'p Pod<'p>, moves: &[Move<'p>], catalogue: &Catalogue) -> (Vec<Slot>, Vec<Finding>) {
    let mut order = Order::of_existing(pod, moves, catalogue);
    let mut earlier = None;
    for (index, the_move) in moves.iter().enumerate().filter(|(_, the_move)| beside(the_move).is_none()) {
        // The listed order binds only those that were listed and have no wish of their own.
        let is_bound = the_move.selected.listed && the_move.position.is_none();
        order.insert(index, the_move, earlier.filter(|_| is_bound));
        if is_bound {
            earlier = Some(Slot::Moved(index));
        }
    }
    order.insert_beside();
    (order.slots, order.findings)
}

/// The container beside which the pod wishes a move to go.
fn beside<'m>(the_move: &'m Move<'_>) -> Option<&'m str> {
    match &the_move.position {
        Some(Position::Before(name) | Position::After(name)) => Some(name),
        _ => None,
    }
}

// === impl Order ===

impl<'o, 'p> Order<'o, 'p> {
    fn of_existing(pod: &'p Pod<'p>, moves: &'o [Move<'p>], catalogue: &Catalogue) -> Self {
        let is_mesh_proxy = |init: &Container<'_>| init.restarts_always() && catalogue.may_be_mesh_proxy(&init.name);
        let slots: Vec<_> = (0..pod.init_containers().len()).map(Slot::Existing).collect();
        let mut order = Self {
            pod,
            moves,
            existing_mesh_proxies: pod.init_containers().iter().map(is_mesh_proxy).collect(),
            by_name: HashMap::new(),
            slots: Vec::new(),
            findings: Vec::new(),
        };
        // Backwards, so that the first of a name counts.
        for slot in slots.iter().rev() {
            order.by_name.insert(order.name(*slot), *slot);
        }
        order.slots = slots;
        order
    }

    fn insert(&mut self, index: usize, the_move: &Move<'p>, earlier: Option<Slot>) {
        let at = match &the_move.position {
            Some(Position::First) => self.behind_earlier_firsts(),
            Some(_) => self.slots.len(),
            None => self.default_place(the_move, earlier),
        };
        self.insert_at(at.max(self.behind(earlier)), index);
    }

    fn insert_at(&mut self, at: usize, index: usize) {
        self.slots.insert(at, Slot::Moved(index));
        self.by_name.insert(self.moves[index].name(), Slot::Moved(index));
    }

    /// The vendor's place where the container is known, else last.
    fn default_place(&mut self, the_move: &Move<'p>, earlier: Option<Slot>) -> usize {
        match the_move.selected.entry {
            Some(entry) => self.vendor_place(&entry.place, entry.suffix(the_move.name()), earlier),
            None => self.slots.len(),
        }
    }

    /// Places what refers to another container, which may be on its way itself: every container is written down
    /// together with what goes beside it. What is left then refers to nobody.
    fn insert_beside(&mut self) {
        let mut waiting: HashMap<&str, Beside> = HashMap::new();
        for (index, the_move) in self.moves.iter().enumerate() {
            match &the_move.position {
                Some(Position::Before(name)) => waiting.entry(name).or_default().before.push(index),
                Some(Position::After(name)) => waiting.entry(name).or_default().after.push(index),
                _ => {}
            }
        }
        if waiting.is_empty() {
            return;
        }
        self.slots = self.written_down(&mut waiting);
        let mut left: Vec<_> =
            waiting.into_values().flat_map(|beside| [beside.before, beside.after]).flatten().collect();
        left.sort_unstable();
        for index in left {
            self.place_without_other(index);
        }
    }

    /// The order with everything from `waiting` that finds its place. Of several on the same side of a container, the
    /// one that was listed first is the first of them.
    fn written_down(&self, waiting: &mut HashMap<&str, Beside>) -> Vec<Slot> {
        let mut slots = Vec::new();
        let mut steps: Vec<_> = self.slots.iter().rev().copied().map(Step::WithBeside).collect();
        while let Some(step) = steps.pop() {
            match step {
                Step::Alone(slot) => slots.push(slot),
                Step::WithBeside(slot) => {
                    let Beside { before, after } = waiting.remove(self.name(slot)).unwrap_or_default();
                    let moved = |index: usize| Step::WithBeside(Slot::Moved(index));
                    steps.extend(after.into_iter().rev().map(moved));
                    steps.push(Step::Alone(slot));
                    steps.extend(before.into_iter().rev().map(moved));
                }
            }
        }
        slots
    }

    fn place_without_other(&mut self, index: usize) {
        let the_move = &self.moves[index];
        let other = beside(the_move).unwrap_or_default();
        let why = self.why_not_beside(the_move, other);
        let message = format!("is to go beside init container {other:?}, {why}; correct the position annotation");
        self.findings.push(Finding::container(Code::PositionNotFound, the_move.name(), message));
        let at = self.default_place(the_move, None);
        self.insert_at(at, index);
    }

    /// Why a container does not find its place beside `other`.
    fn why_not_beside(&self, the_move: &Move<'_>, other: &str) -> &'static str {
        let moves = |index: usize| self.moves.iter().any(|the_move| the_move.selected.index == index);
        match self.pod.container(other) {
            _ if the_move.name() == other => "which is this container itself",
            Some((index, _)) if moves(index) => "which waits for this one in turn",
            Some(_) => "which is a regular container",
            None => "which does not exist",
        }
    }

    /// The vendor's own place; among listed containers the listed order wins.
    fn vendor_place(&mut self, place: &Place, suffix: &str, earlier: Option<Slot>) -> usize {
        if place.front && earlier.is_none_or(|slot| self.is_mesh_proxy(slot)) {
            return self.make_front(place);
        }
        let partner =
            |name: &String| self.by_name.get(&*name.replace("{suffix}", suffix)).map(|slot| self.behind(Some(*slot)));
        match place.after.iter().filter_map(partner).max() {
            Some(behind) => behind,
            None if place.early => self.slots.iter().rposition(|slot| self.is_mesh_proxy(*slot)).map_or(0, |at| at + 1),
            None => self.slots.len(),
        }
    }

    /// Brings the mesh's own init containers to the front, as its injector does, and returns the place behind them.
    fn make_front(&mut self, place: &Place) -> usize {
        let mut front = Vec::new();
        let mut at = 0;
        for (names, is_behind) in [(&place.behind, true), (&place.before, false)] {
            for slot in names.iter().filter_map(|name| self.by_name.get(&**name)) {
                // A catalogue may say the same name twice.
                if !front.contains(slot) {
                    front.push(*slot);
                    at += usize::from(is_behind);
                }
            }
        }
        self.slots.retain(|slot| !front.contains(slot));
        self.slots.splice(0..0, front);
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
            Slot::Existing(index) => self.existing_mesh_proxies[index],
        }
    }

    fn name(&self, slot: Slot) -> &'p str {
        match slot {
            Slot::Existing(index) => &self.pod.init_containers()[index].name,
            Slot::Moved(index) => self.moves[index].name(),
        }
    }
}
