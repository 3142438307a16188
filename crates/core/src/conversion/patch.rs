//! From plan to RFC 6902 operations.

use super::{
    knowledge::bookkeeping::follow,
    model::{Change, Move, Plan, Slot},
    operations::{Operations, Source, Within, pointer},
    rules::Case,
};
use crate::{
    findings::{Code, Finding},
    intent::{BLOCKED, CONVERTED, Intent},
    pod::Pod,
    text::shorten,
};
use json_patch::Patch;
use jsonptr::{Pointer, PointerBuf};
use serde_json::json;
use std::{borrow::Cow, collections::BTreeMap, io};

/// Characters of the reasons in the annotation.
const REASON_LIMIT: usize = 1024;

/// The most bytes of a patch. Most operations are moves; a longer patch copies what somebody made long to have it sent
/// back.
const PATCH_LIMIT: usize = 1024 * 1024;

/// Room for so many bytes, of which nothing is kept.
struct Room(usize);

/// The `restartPolicy` of a native sidecar.
const ALWAYS: &str = "Always";

// Fields of a container.
const ARGS: &Pointer = Pointer::from_static("/args");
const COMMAND: &Pointer = Pointer::from_static("/command");
const ENV: &Pointer = Pointer::from_static("/env");
const LIFECYCLE: &Pointer = Pointer::from_static("/lifecycle");
const POST_START: &Pointer = Pointer::from_static("/lifecycle/postStart");
const PRE_STOP: &Pointer = Pointer::from_static("/lifecycle/preStop");
const RESIZE_POLICY: &Pointer = Pointer::from_static("/resizePolicy");
const RESTART_POLICY: &Pointer = Pointer::from_static("/restartPolicy");
const RESTART_POLICY_RULES: &Pointer = Pointer::from_static("/restartPolicyRules");
const STARTUP_PROBE: &Pointer = Pointer::from_static("/startupProbe");

/// Annotations to write, by key; `None` removes one.
type Annotations<'p> = BTreeMap<&'p str, Option<Cow<'p, str>>>;

/// The operations that carry out the plan, after which the containers called `converted` are native sidecars.
pub(super) fn carry_out(case: &Case<'_>, converted: &[&str]) -> Operations {
    let Case { pod, plan, .. } = case;
    let mut operations = Operations { containers: repairs(plan), ..Operations::default() };
    operations.containers.extend(plan.moves.iter().map(reshape));
    operations.spec.reorder(pod, plan);
    operations.annotate(pod, annotations(pod, plan, converted));
    operations
}

/// The operations for a pod that stays as it is: the repairs, which put back what was ours, and the `reasons`.
pub(super) fn explain(case: &Case<'_>, reasons: &[Finding]) -> Operations {
    let Case { pod, plan, .. } = case;
    let mut operations = Operations { containers: repairs(plan), ..Operations::default() };
    operations.spec.remove_repeats(plan, (0..pod.spec.containers.len()).map(Source::Regular).collect());
    let mut reason = String::new();
    // What is longer is cut anyway.
    for one in reasons.iter().take(REASON_LIMIT) {
        reason.push_str(if reason.is_empty() { "" } else { "; " });
        reason.push_str(&one.to_string());
    }
    operations.annotate(pod, BTreeMap::from([(BLOCKED, Some(shorten(&reason, REASON_LIMIT).into()))]));
    operations
}

/// The patch, where it is one that can be sent.
pub(super) fn bounded(patch: Patch) -> Result<Patch, Finding> {
    if serde_json::to_writer(Room(PATCH_LIMIT), &patch).is_ok() {
        return Ok(patch);
    }
    let message = format!(
        "the change would take more than {PATCH_LIMIT} bytes, so the pod was left as it is; shorten the readiness probe that \
         is copied, or rewrite variables that name their own container"
    );
    Err(Finding::pod(Code::PatchTooLarge, message))
}

/// The names of native sidecars that are our work, in start order: moved now, or by an earlier call.
pub(super) fn converted<'p>(case: &Case<'p>, intent: &Intent) -> Vec<&'p str> {
    let Case { pod, plan, .. } = case;
    let ours = |slot: &Slot| match *slot {
        Slot::Moved(_) => true,
        Slot::Existing(index) => {
            let init = &pod.init_containers()[index];
            let is_native = init.restarts_always() || plan.repairs.binary_search(&index).is_ok();
            // A name that is used twice makes the pod invalid before us; which of the two is ours, nobody can tell.
            is_native && intent.has_converted(&init.name) && !pod.has_init_twice(&init.name)
        }
    };
    plan.order.iter().filter(|slot| ours(slot)).map(|slot| &*plan.container(pod, *slot).name).collect()
}

/// The annotations to write; `None` removes one.
fn annotations<'p>(pod: &'p Pod<'p>, plan: &Plan<'p>, converted: &[&str]) -> Annotations<'p> {
    let mut annotations = Annotations::from([(CONVERTED, Some(converted.join(",").into()))]);
    if pod.annotation(BLOCKED).is_some() {
        annotations.insert(BLOCKED, None);
    }
    for the_move in &plan.moves {
        let Some(entry) = the_move.selected.entry else { continue };
        for (key, value) in &entry.set_annotations {
            annotations.insert(key, Some(value.into()));
        }
        for (key, rewrite) in &entry.annotations {
            let rewritten = annotations.get(&**key).and_then(Option::as_deref);
            let current = rewritten.or_else(|| pod.annotation(key));
            if let Some(value) = current.and_then(|value| follow(value, the_move.name(), rewrite)) {
                annotations.insert(key, Some(value.into()));
            }
        }
    }
    annotations
}

fn repairs(plan: &Plan<'_>) -> Vec<(Source, Within)> {
    let repair = |index: &usize| {
        let mut within = Within::default();
        within.add(RESTART_POLICY.to_buf(), ALWAYS);
        (Source::Init(*index), within)
    };
    plan.repairs.iter().map(repair).collect()
}

/// The changes inside a container that moves.
fn reshape(the_move: &Move<'_>) -> (Source, Within) {
    let (form, container) = (&the_move.form, the_move.container());
    let mut within = Within::default();
    within.add(RESTART_POLICY.to_buf(), ALWAYS);
    if form.restart_policy_rules == Change::Remove {
        within.remove(RESTART_POLICY_RULES.to_buf());
    }
    if form.drop_resize_policy {
        within.remove(RESIZE_POLICY.to_buf());
    }
    match &form.startup_probe {
        Change::Set(probe) => within.add(STARTUP_PROBE.to_buf(), probe.clone()),
        Change::Remove if container.startup_probe().is_some() => within.remove(STARTUP_PROBE.to_buf()),
        Change::Remove | Change::Keep => {}
    }
    within.reshape_lifecycle(the_move);
    within.reshape_env(the_move);
    within.append(COMMAND, container.command().is_empty(), &form.command);
    within.append(ARGS, container.args().is_empty(), &form.args);
    (Source::Regular(the_move.selected.index), within)
}

// === impl Within ===

/// The operations inside one container.
impl Within {
    /// The hooks; `lifecycle` goes with the last field in it, as vendors write it.
    fn reshape_lifecycle(&mut self, the_move: &Move<'_>) {
        let (form, container) = (&the_move.form, the_move.container());
        let hooks = [
            (POST_START, &form.post_start, container.post_start().is_some()),
            (PRE_STOP, &form.pre_stop, container.pre_stop().is_some()),
        ];
        if hooks.iter().all(|(_, change, was)| **change == Change::Keep || (**change == Change::Remove && !was)) {
            return;
        }
        let has_others = container.lifecycle().is_some_and(|lifecycle| lifecycle.has_others);
        let stays = has_others || hooks.iter().any(|(_, change, was)| change.leaves_something(*was));
        match (container.lifecycle(), stays) {
            (Some(_), false) => return self.remove(LIFECYCLE.to_buf()),
            (None, true) => self.add(LIFECYCLE.to_buf(), json!({})),
            _ => {}
        }
        for (hook, change, was) in hooks {
            match change {
                Change::Set(value) => self.add(hook.to_buf(), value.clone()),
                Change::Remove if was => self.remove(hook.to_buf()),
                Change::Remove | Change::Keep => {}
            }
        }
    }

    /// Appends `words` to a list, which may have to be made first.
    fn append(&mut self, list: &Pointer, is_empty: bool, words: &[String]) {
        for (number, word) in words.iter().enumerate() {
            match number {
                0 if is_empty => self.add(list.to_buf(), json!([word])),
                _ => self.add(list.with_trailing_token("-"), word.clone()),
            }
        }
    }

    fn reshape_env(&mut self, the_move: &Move<'_>) {
        let form = &the_move.form;
        for index in &form.own_resource_refs {
            let path = ["env", &index.to_string(), "valueFrom", "resourceFieldRef", "containerName"];
            self.remove(pointer(path));
        }
        if !the_move.container().has_env() && !form.env.is_empty() {
            self.add(ENV.to_buf(), json!([]));
        }
        for (name, value) in &form.env {
            self.add(ENV.with_trailing_token("-"), json!({"name": name, "value": value}));
        }
    }
}

/// The operations on the lists of containers.
impl Within {
    /// Brings the init containers into their order, one place after the other.
    fn reorder(&mut self, pod: &Pod<'_>, plan: &Plan<'_>) {
        if !plan.moves.is_empty() && pod.spec.init_containers.is_none() {
            self.add(pointer(["initContainers"]), json!([]));
        }
        let mut init: Vec<_> = (0..pod.init_containers().len()).map(Source::Init).collect();
        let mut regular: Vec<_> = (0..pod.spec.containers.len()).map(Source::Regular).collect();
        for (at, slot) in plan.order.iter().enumerate() {
            let wanted = match *slot {
                Slot::Existing(index) => Source::Init(index),
                Slot::Moved(index) => Source::Regular(plan.moves[index].selected.index),
            };
            if init.get(at) == Some(&wanted) {
                continue;
            }
            let (name, list) = match wanted {
                Source::Init(_) => ("initContainers", &mut init),
                Source::Regular(_) => ("containers", &mut regular),
            };
            let Some(from) = list.iter().position(|source| *source == wanted) else { continue };
            list.remove(from);
            let to = if at == init.len() { "-".to_owned() } else { at.to_string() };
            init.insert(at, wanted);
            self.move_from(pointer([name, &from.to_string()]), pointer(["initContainers", &to]));
        }
        self.remove_repeats(plan, regular);
    }

    /// Removes second copies of what was moved earlier. `regular` is what the moves have left.
    fn remove_repeats(&mut self, plan: &Plan<'_>, mut regular: Vec<Source>) {
        for index in &plan.repeats {
            if let Some(at) = regular.iter().position(|source| *source == Source::Regular(*index)) {
                regular.remove(at);
                self.remove(pointer(["containers", &at.to_string()]));
            }
        }
    }
}

/// The operations on annotations.
impl Operations {
    /// Writes annotations that differ from what the pod has.
    fn annotate(&mut self, pod: &Pod<'_>, mut annotations: Annotations<'_>) {
        annotations.retain(|key, value| pod.annotation(key) != value.as_deref());
        if annotations.is_empty() {
            return;
        }
        if !pod.has_metadata {
            self.metadata.add(PointerBuf::root(), json!({}));
        }
        if pod.metadata.annotations.is_none() {
            self.metadata.add(pointer(["annotations"]), json!({}));
        }
        for (key, value) in annotations {
            match value {
                Some(value) => self.annotations.add(pointer([key]), value),
                None => self.annotations.remove(pointer([key])),
            }
        }
    }
}

// === impl Room ===

impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::WriteZero)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
