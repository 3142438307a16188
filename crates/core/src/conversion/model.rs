//! The data that the steps of a conversion hand to each other.

use crate::{
    catalogue::Entry,
    findings::{Code, Finding},
    intent::Position,
    lifecycle::{
        Changes, Lifecycle, Member, Now, Rest, Role,
        hooks::HookKind,
        process::{self, Wait},
        requests::Part,
    },
    pod::{Container, Handler, Pod},
};
use serde::Deserialize;
use serde_json::Value;
use std::cell::OnceCell;

/// A container that is to move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selected<'p> {
    /// Its index in `spec.containers`.
    pub(super) index: usize,
    /// The container. All its fields can be read.
    pub(super) container: &'p Container<'p>,
    /// The catalogue's entry for it.
    pub(super) entry: Option<&'p Entry>,
    /// Whether it was asked for by name.
    pub(super) listed: bool,
}

/// What there is to do for a pod.
#[derive(Debug, Default)]
pub(super) struct Selection<'p> {
    /// Containers that are to move, in start order.
    pub(super) containers: Vec<Selected<'p>>,
    /// Indices of init containers that an earlier call moved and that lost their `restartPolicy` since.
    pub(super) repairs: Vec<usize>,
    /// Indices of regular containers that an injector wrote again after an earlier call had moved them.
    pub(super) repeats: Vec<usize>,
    /// What was found out on the way.
    pub(super) findings: Vec<Finding>,
}

/// What becomes of a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Change {
    /// It stays as the container brings it, or absent.
    #[default]
    Keep,
    /// It is removed.
    Remove,
    /// It becomes this value.
    Set(Value),
}

/// Where a startup probe comes from, or why there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ProbeOrigin {
    /// The pod: its container brings the probe or has none, or the pod's wish gives it.
    #[default]
    Pod,
    /// The catalogue, and nobody asked for it.
    Catalogue,
    /// The catalogue, as the pod wishes.
    WishedVendor,
    /// The catalogue's was left out, for a reason that holds for the readiness probe as well.
    Withheld,
}

/// The changes inside one container.
#[derive(Clone, Debug, Default)]
pub(super) struct NativeForm {
    /// `startupProbe`.
    pub(super) startup_probe: Change,
    /// Whose idea the startup probe is.
    pub(super) probe_origin: ProbeOrigin,
    /// Whether `startup-probe.…: vendor` would give it one.
    pub(super) gate_can_be_had: bool,
    /// Why it is not the catalogue's first choice.
    pub(super) passed_over: Option<&'static str>,
    /// The catalogue's next choice that is asked inside the container, where its first is asked over the network.
    pub(super) inner_probe: Option<Value>,
    /// `lifecycle.postStart`.
    pub(super) post_start: Change,
    /// `lifecycle.preStop`.
    pub(super) pre_stop: Change,
    /// Whether what becomes of the preStop hook is the catalogue's idea, not the pod's.
    pub(super) pre_stop_is_vendors: bool,
    /// The catalogue's preStop hook, where the pod's own wish leaves it out.
    pub(super) declined_pre_stop: Option<Value>,
    /// What the preStop hook does that stays and that the pod has not decided about.
    pub(super) undecided_pre_stop: Option<HookKind>,
    /// Environment variables to append.
    pub(super) env: Vec<(String, String)>,
    /// Words to append to `command`.
    pub(super) command: Vec<String>,
    /// Words to append to `args`.
    pub(super) args: Vec<String>,
    /// Indices into `env` whose `resourceFieldRef` names the container itself and must not any more.
    pub(super) own_resource_refs: Vec<usize>,
    /// `restartPolicyRules`.
    pub(super) restart_policy_rules: Change,
    /// Whether `resizePolicy` goes.
    pub(super) drop_resize_policy: bool,
    /// What was found out on the way.
    pub(super) findings: Vec<Finding>,
}

/// One container on its way from `containers` to `initContainers`.
#[derive(Debug)]
pub(super) struct Move<'p> {
    /// What moves.
    pub(super) selected: Selected<'p>,
    /// What it becomes.
    pub(super) form: NativeForm,
    /// Where the pod wishes it to go.
    pub(super) position: Option<Position>,
    waits: OnceCell<Vec<Wait<'p>>>,
}

/// One place in the list of init containers as it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The init container that has this index now.
    Existing(usize),
    /// The move that has this index in the plan.
    Moved(usize),
}

/// What is to happen to a pod.
#[derive(Debug)]
pub(super) struct Plan<'p> {
    /// The moves, in the order in which they were selected.
    pub(super) moves: Vec<Move<'p>>,
    /// The init containers as they will be.
    pub(super) order: Vec<Slot>,
    /// Indices of init containers that get their `restartPolicy` back.
    pub(super) repairs: Vec<usize>,
    /// Indices of regular containers that are a second copy of what was moved, and go.
    pub(super) repeats: Vec<usize>,
    /// Of each regular container, whether it stays.
    stays: Vec<bool>,
    /// Of each regular container that moves, its place in `order`.
    places: Vec<usize>,
}

/// Of each of so many regular containers, its place in `order` where it is one of `moves`.
fn places(moves: &[Move<'_>], order: &[Slot], containers: usize) -> Vec<usize> {
    let mut places = vec![0; containers];
    for (place, slot) in order.iter().enumerate() {
        if let Slot::Moved(index) = *slot {
            places[moves[index].selected.index] = place;
        }
    }
    places
}

// === impl Change ===

impl Change {
    /// The same for a probe or hook in the pod's life.
    fn now<'p>(&self) -> Now<'p> {
        match self {
            Self::Keep => Now::AsWritten,
            Self::Remove => Now::Nothing,
            Self::Set(value) => Now::set(value),
        }
    }

    /// Whether the field is there afterwards, given whether it `was`.
    pub(super) const fn leaves_something(&self, was: bool) -> bool {
        match self {
            Self::Keep => was,
            Self::Remove => false,
            Self::Set(_) => true,
        }
    }
}

// === impl ProbeOrigin ===

impl ProbeOrigin {
    /// Whether the probe is the catalogue's, asked for or not.
    pub(super) const fn is_catalogue(self) -> bool {
        matches!(self, Self::Catalogue | Self::WishedVendor)
    }
}

// === impl NativeForm ===

impl NativeForm {
    /// Leaves out a probe of ours, and says why.
    pub(super) fn withhold_probe(&mut self, container: &str, why: &str) {
        let message = format!("gets no startup probe, because {why}");
        self.findings.push(Finding::container(Code::StartupProbeWithheld, container, message));
        self.startup_probe = Change::Keep;
        self.probe_origin = ProbeOrigin::Withheld;
        // The hook that the probe was to replace is the only gate that is left.
        self.post_start = Change::Keep;
    }
}

// === impl Selected ===

impl<'p> Selected<'p> {
    /// The catalogue's entry for it, where that knows more of it than its readiness.
    pub(super) fn known(&self) -> Option<&'p Entry> {
        self.entry.filter(|entry| !entry.only_readiness)
    }
}

// === impl Move ===

impl<'p> Move<'p> {
    pub(super) const fn new(selected: Selected<'p>, form: NativeForm, position: Option<Position>) -> Self {
        Self { selected, form, position, waits: OnceCell::new() }
    }

    /// What the script of its command line waits for, if it has one.
    pub(super) fn waits(&self) -> &[Wait<'p>] {
        self.waits.get_or_init(|| process::script(self.container()).map(process::waits).unwrap_or_default())
    }

    /// The container's name.
    pub(super) fn name(&self) -> &'p str {
        &self.selected.container.name
    }

    /// The container.
    pub(super) const fn container(&self) -> &'p Container<'p> {
        self.selected.container
    }

    /// Calls `ask` with what the startup probe of the native form does; `None` where it has no such probe.
    pub(super) fn startup_handler<T>(&self, ask: impl Fn(&Handler<'_>) -> T) -> Option<T> {
        match &self.form.startup_probe {
            Change::Keep => self.container().startup_probe().map(|own| ask(own.handler)),
            Change::Remove => None,
            Change::Set(value) => Handler::deserialize(value).ok().map(|handler| ask(&handler)),
        }
    }

    /// The postStart hook that the container brings and keeps.
    pub(super) fn kept_post_start(&self) -> Option<&'p Handler<'p>> {
        self.container().post_start().filter(|_| self.form.post_start == Change::Keep)
    }

    /// The container in the pod's life as it will be.
    fn member(&self, pod: &Pod<'_>) -> Member<'p> {
        let changes = Changes {
            startup_probe: self.form.startup_probe.now(),
            post_start: self.form.post_start.now(),
            pre_stop: self.form.pre_stop.now(),
        };
        let listeners = self.selected.entry.into_iter().flat_map(|entry| &entry.listens);
        let known_ports = listeners.flat_map(|listener| listener.port_numbers(pod, self.container())).collect();
        Member { changes, known_ports, ..Member::new(self.container(), Role::Sidecar) }
    }

    /// Whether something holds the application back until the sidecar works.
    pub(super) fn is_gated(&self) -> bool {
        let container = self.container();
        self.form.startup_probe.leaves_something(container.startup_probe().is_some())
            || self.form.post_start.leaves_something(container.post_start().is_some())
    }
}

// === impl Plan ===

impl<'p> Plan<'p> {
    /// A plan for `pod`.
    pub(super) fn new(
        pod: &'p Pod<'p>,
        moves: Vec<Move<'p>>,
        order: Vec<Slot>,
        repairs: Vec<usize>,
        repeats: Vec<usize>,
    ) -> Self {
        let mut stays = vec![true; pod.spec.containers.len()];
        for index in moves.iter().map(|the_move| the_move.selected.index).chain(repeats.iter().copied()) {
            stays[index] = false;
        }
        let places = places(&moves, &order, pod.spec.containers.len());
        Self { moves, order, repairs, repeats, stays, places }
    }

    /// Whether there is nothing to do.
    pub(super) const fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.repairs.is_empty() && self.repeats.is_empty()
    }

    /// The regular containers that stay.
    pub(super) fn remaining(&self, pod: &'p Pod<'p>) -> impl Iterator<Item = &'p Container<'p>> {
        pod.spec.containers.iter().zip(&self.stays).filter(|(_, stays)| **stays).map(|(container, _)| container)
    }

    /// Whether the regular container at `index` stays.
    pub(super) fn stays(&self, index: usize) -> bool {
        self.stays.get(index).copied().unwrap_or_default()
    }

    /// The regular containers but for second copies, which go and count for nothing.
    pub(super) fn without_repeats(&self, pod: &'p Pod<'p>) -> impl Iterator<Item = &'p Container<'p>> {
        let counts = |index: &usize| self.repeats.binary_search(index).is_err();
        (0..pod.spec.containers.len()).filter(counts).map(|index| &pod.spec.containers[index])
    }

    /// What the container at `slot` will be.
    pub(super) fn role(&self, pod: &Pod<'_>, slot: Slot) -> Role {
        match slot {
            Slot::Moved(_) => Role::Sidecar,
            Slot::Existing(index) if self.repairs.binary_search(&index).is_ok() => Role::Sidecar,
            Slot::Existing(index) => Role::of_init(&pod.init_containers()[index]),
        }
    }

    /// The life of `pod` as it will be: `order`, then the regular containers that stay.
    pub(super) fn life(&self, pod: &'p Pod<'p>) -> Lifecycle<'p> {
        let init = self.order.iter().map(|slot| match *slot {
            Slot::Moved(index) => self.moves[index].member(pod),
            Slot::Existing(_) => Member::new(self.container(pod, *slot), self.role(pod, *slot)),
        });
        let stays = self.remaining(pod).map(|container| Member::new(container, Role::Regular));
        Lifecycle::with(init.chain(stays).collect(), Rest::of(pod, None))
    }

    /// What asks for resources where the init containers stand in `order`.
    pub(super) fn parts<'a>(&'a self, pod: &'p Pod<'p>, order: &'a [Slot]) -> impl Iterator<Item = Part<'p>> + 'a {
        let init = order.iter().map(|slot| Part { container: self.container(pod, *slot), role: self.role(pod, *slot) });
        init.chain(self.remaining(pod).map(|container| Part { container, role: Role::Regular }))
    }

    /// The same plan with the init containers in `order`.
    pub(super) fn in_order(self, order: Vec<Slot>) -> Self {
        Self { places: places(&self.moves, &order, self.places.len()), order, ..self }
    }

    /// The place of a move in the start order.
    pub(super) fn place(&self, the_move: &Move<'_>) -> usize {
        self.places[the_move.selected.index]
    }

    /// The container that will stand at `slot`.
    pub(super) fn container(&self, pod: &'p Pod<'p>, slot: Slot) -> &'p Container<'p> {
        match slot {
            Slot::Existing(index) => &pod.init_containers()[index],
            Slot::Moved(index) => self.moves[index].container(),
        }
    }
}
