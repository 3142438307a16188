//! The plan of a conversion: what moves where, and what changes on the way.

use super::{
    Settings,
    native_form::NativeForm,
    placement::{self, Slot},
    rules::{self, Situation},
    selection::{Selected, Selection},
};
use crate::{
    findings::{Finding, Severity},
    intent::{Intent, Position},
    pod::{Container, Pod},
};

/// One container on its way from `containers` to `initContainers`.
#[derive(Debug)]
pub(super) struct Move<'p, 'a, 'c> {
    /// What moves.
    pub(super) selected: Selected<'p, 'a, 'c>,
    /// What it becomes.
    pub(super) form: NativeForm,
    /// Where the pod wishes it to go.
    pub(super) position: Option<Position>,
}

/// What is to happen to a pod, and everything found out about it.
#[derive(Debug)]
pub(super) struct Plan<'p, 'a, 'c> {
    /// The moves, in start order.
    pub(super) moves: Vec<Move<'p, 'a, 'c>>,
    /// The init containers as they will be.
    pub(super) order: Vec<Slot>,
    /// Indices of init containers that get their `restartPolicy` back.
    pub(super) repairs: Vec<usize>,
    /// Indices of regular containers that are a second copy of what was moved, and go.
    pub(super) repeats: Vec<usize>,
    /// Everything found out, accepted or not.
    pub(super) findings: Vec<Finding>,
    /// The findings that hold the conversion back.
    pub(super) reasons: Vec<Finding>,
}

// === impl Plan ===

impl<'p, 'a, 'c> Plan<'p, 'a, 'c> {
    /// Plans what `selection` found to be done for `pod`.
    pub(super) fn new(
        pod: &'p Pod<'a>,
        intent: &Intent,
        selection: Selection<'p, 'a, 'c>,
        settings: Settings<'c>,
    ) -> Self {
        let Selection { containers, repairs, repeats, findings } = selection;
        let into_move = |selected: Selected<'p, 'a, 'c>| {
            let wishes = intent.wishes(&selected.container.name);
            let form = NativeForm::of(pod, &selected, wishes, settings.facts);
            Move { form, position: wishes.and_then(|wishes| wishes.position.clone()), selected }
        };
        let moves: Vec<_> = containers.into_iter().map(into_move).collect();
        let (order, misplaced) = placement::place(pod, &moves, settings.catalogue);
        let mut plan = Self { moves, order, repairs, repeats, findings, reasons: Vec::new() };
        plan.withhold_probes_of_late_meshes(pod, settings);
        plan.findings.extend(plan.moves.iter().flat_map(|the_move| the_move.form.findings.clone()));
        plan.findings.extend(misplaced);
        plan.findings.extend(rules::check(pod, &plan, settings));
        plan.reasons = plan.findings.iter().filter(|finding| holds_back(finding, intent)).cloned().collect();
        plan
    }

    /// A probe that only the catalogue wants must not keep the application waiting for a mesh proxy that comes later.
    fn withhold_probes_of_late_meshes(&mut self, pod: &'p Pod<'a>, settings: Settings<'c>) {
        let situation = Situation { pod, plan: self, settings };
        let late: Vec<_> =
            (0..self.moves.len()).filter(|index| rules::probe_is_carried_late(situation, *index)).collect();
        for index in late {
            let Move { selected, form, .. } = &mut self.moves[index];
            let why = "it would be asked through a mesh proxy that starts only later; list the mesh proxy too";
            form.withhold_probe(&selected.container.name, why);
        }
    }

    /// The names of native sidecars that are our work, in start order: moved now, or by an earlier call.
    pub(super) fn converted(&self, pod: &Pod<'_>, intent: &Intent) -> Vec<String> {
        let earlier = |init: &Container<'_>| intent.has_converted(&init.name);
        let name = |slot: &Slot| match *slot {
            Slot::Moved(index) => Some(self.moves[index].name().to_owned()),
            Slot::Existing(index) => {
                let init = &pod.init_containers()[index];
                earlier(init).then(|| init.name.clone().into_owned())
            }
        };
        self.order.iter().filter_map(name).collect()
    }

    /// The regular containers that stay.
    pub(super) fn remaining(&self, pod: &'p Pod<'a>) -> impl Iterator<Item = &'p Container<'a>> {
        let moves = |index: usize| {
            self.repeats.contains(&index) || self.moves.iter().any(|the_move| the_move.selected.index == index)
        };
        pod.spec.containers.iter().enumerate().filter(move |(index, _)| !moves(*index)).map(|(_, container)| container)
    }

    /// The moves that start later than the one at `index`.
    pub(super) fn later(&self, index: usize) -> impl Iterator<Item = &Move<'p, 'a, 'c>> {
        self.behind(index).filter_map(|slot| match slot {
            Slot::Moved(later) => Some(&self.moves[*later]),
            Slot::Existing(_) => None,
        })
    }

    /// The init containers that are there already and start later than the move at `index`.
    pub(super) fn later_existing(&self, pod: &'p Pod<'a>, index: usize) -> impl Iterator<Item = &'p Container<'a>> {
        self.behind(index).filter_map(|slot| match slot {
            Slot::Moved(_) => None,
            Slot::Existing(later) => pod.init_containers().get(*later),
        })
    }

    fn behind(&self, index: usize) -> impl Iterator<Item = &Slot> {
        self.order.iter().skip_while(move |slot| **slot != Slot::Moved(index)).skip(1)
    }
}

fn holds_back(finding: &Finding, intent: &Intent) -> bool {
    match finding.severity() {
        Severity::Fatal => true,
        Severity::Blocker => !intent.accept.contains(&finding.code),
        Severity::Warning | Severity::Note => false,
    }
}

// === impl Move ===

impl Move<'_, '_, '_> {
    /// The container's name.
    pub(super) fn name(&self) -> &str {
        &self.selected.container.name
    }
}
