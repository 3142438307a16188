//! From plan to RFC 6902 operations.
//!
//! Only `add`, `remove` and `move` are written: a failing `test` would reject the pod, whatever the
//! webhook's failurePolicy (kube-apiserver, mutating/dispatcher.go). Changes inside a container come first,
//! while its index is still the one in the request.

use super::{
    model::{Change, Move, Plan, Slot},
    rules::Case,
};
use crate::{
    catalogue::{AnnotationRewrite, WhenEmpty},
    findings::Finding,
    intent::{BLOCKED, CONVERTED, Intent},
    pod::Pod,
    text::shorten,
};
use json_patch::{AddOperation, MoveOperation, Patch, PatchOperation, RemoveOperation};
use jsonptr::{PointerBuf, Token};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Characters of the reasons in the annotation.
const REASON_LIMIT: usize = 1024;

/// An ordinary pointer has no more bytes.
const ORDINARY_POINTER: usize = 64;

/// Where a container is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Init(usize),
    Regular(usize),
}

/// Operations, being collected.
#[derive(Debug, Default)]
struct Operations(Vec<PatchOperation>);

/// The operations that carry out the plan, after which the containers called `converted` are native sidecars.
pub(super) fn carry_out(case: &Case<'_>, converted: &[&str]) -> Patch {
    let Case { pod, plan, .. } = case;
    let mut operations = Operations::default();
    operations.repair(plan);
    for the_move in &plan.moves {
        operations.reshape(the_move);
    }
    operations.reorder(pod, plan);
    operations.annotate(pod, annotations(pod, plan, converted));
    Patch(operations.0)
}

/// The operations for a pod that stays as it is: the repairs, which put back what was ours, and the `reasons`.
pub(super) fn explain(case: &Case<'_>, reasons: &[Finding]) -> Patch {
    let Case { pod, plan, .. } = case;
    let mut operations = Operations::default();
    operations.repair(plan);
    operations.remove_repeats(plan, (0..pod.spec.containers.len()).map(Source::Regular).collect());
    let mut reason = String::new();
    // What is longer is cut anyway.
    for one in reasons.iter().take(REASON_LIMIT) {
        reason.push_str(if reason.is_empty() { "" } else { "; " });
        reason.push_str(&one.to_string());
    }
    operations.annotate(pod, BTreeMap::from([(BLOCKED.to_owned(), Some(shorten(&reason, REASON_LIMIT)))]));
    Patch(operations.0)
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
fn annotations(pod: &Pod<'_>, plan: &Plan<'_>, converted: &[&str]) -> BTreeMap<String, Option<String>> {
    let mut annotations = BTreeMap::from([(CONVERTED.to_owned(), Some(converted.join(",")))]);
    if pod.annotation(BLOCKED).is_some() {
        annotations.insert(BLOCKED.to_owned(), None);
    }
    for the_move in &plan.moves {
        let Some(entry) = the_move.selected.entry else { continue };
        for (key, value) in &entry.set_annotations {
            annotations.insert(key.clone(), Some(value.clone()));
        }
        for (key, rewrite) in &entry.annotations {
            let rewritten = annotations.get(key).cloned().flatten();
            let current = rewritten.as_deref().or_else(|| pod.annotation(key));
            if let Some(value) = current.and_then(|value| follow(value, the_move.name(), rewrite)) {
                annotations.insert(key.clone(), Some(value));
            }
        }
    }
    annotations
}

/// Moves `name` from `containers` to `initContainers` in an injector's bookkeeping; `None` where it is not listed.
fn follow(annotation: &str, name: &str, rewrite: &AnnotationRewrite) -> Option<String> {
    let mut status: Value = serde_json::from_str(annotation).ok()?;
    let listed = status.get_mut("containers")?.as_array_mut()?;
    let is_it = |item: &Value| if rewrite.items_are_objects { item["name"] == name } else { item == name };
    let item = listed.remove(listed.iter().position(is_it)?);
    if listed.is_empty() {
        let fields = status.as_object_mut()?;
        match rewrite.when_empty {
            WhenEmpty::Null => fields.insert("containers".into(), Value::Null),
            WhenEmpty::Absent => fields.shift_remove("containers"),
        };
    }
    match status.get_mut("initContainers").and_then(Value::as_array_mut) {
        Some(listed) => listed.push(item),
        None => status["initContainers"] = json!([item]),
    }
    Some(status.to_string())
}

/// The pointer of these tokens, in one piece.
fn pointer<'t>(tokens: impl IntoIterator<Item = &'t str>) -> PointerBuf {
    let mut text = String::with_capacity(ORDINARY_POINTER);
    for token in tokens {
        text.push('/');
        if token.contains(['~', '/']) {
            text.push_str(Token::new(token).encoded());
        } else {
            text.push_str(token);
        }
    }
    // What is made of encoded tokens is a pointer; the empty one stands for what cannot be.
    PointerBuf::parse(text).unwrap_or_default()
}

// === impl Operations ===

impl Operations {
    fn add<'t>(&mut self, path: impl IntoIterator<Item = &'t str>, value: impl Into<Value>) {
        let (path, value) = (pointer(path), value.into());
        self.0.push(PatchOperation::Add(AddOperation { path, value }));
    }

    fn remove<'t>(&mut self, path: impl IntoIterator<Item = &'t str>) {
        self.0.push(PatchOperation::Remove(RemoveOperation { path: pointer(path) }));
    }

    fn repair(&mut self, plan: &Plan<'_>) {
        for index in &plan.repairs {
            self.add(["spec", "initContainers", &index.to_string(), "restartPolicy"], "Always");
        }
    }

    /// The changes inside a container that moves.
    fn reshape(&mut self, the_move: &Move<'_>) {
        let index = the_move.selected.index.to_string();
        let at = ["spec", "containers", &*index];
        let field = |name: &'static str| at.into_iter().chain([name]);
        let (form, container) = (&the_move.form, the_move.container());
        self.add(field("restartPolicy"), "Always");
        if container.has_restart_policy_rules() {
            self.remove(field("restartPolicyRules"));
        }
        if form.drop_resize_policy {
            self.remove(field("resizePolicy"));
        }
        match &form.startup_probe {
            Change::Set(probe) => self.add(field("startupProbe"), probe.clone()),
            Change::Remove if container.startup_probe().is_some() => self.remove(field("startupProbe")),
            Change::Remove | Change::Keep => {}
        }
        self.reshape_lifecycle(at, the_move);
        self.reshape_env(at, the_move);
        for (number, word) in form.command.iter().enumerate() {
            match number {
                0 if container.command().is_empty() => self.add(field("command"), json!([word])),
                _ => self.add(field("command").chain(["-"]), word.clone()),
            }
        }
    }

    /// The hooks; `lifecycle` goes with the last field in it, as vendors write it.
    fn reshape_lifecycle(&mut self, at: [&str; 3], the_move: &Move<'_>) {
        let (form, container) = (&the_move.form, the_move.container());
        let field = |name: &'static str| at.into_iter().chain(["lifecycle", name]);
        let hooks = [
            ("postStart", &form.post_start, container.post_start().is_some()),
            ("preStop", &form.pre_stop, container.pre_stop().is_some()),
        ];
        if hooks.iter().all(|(_, change, was)| **change == Change::Keep || (**change == Change::Remove && !was)) {
            return;
        }
        let has_others = container.lifecycle().is_some_and(|lifecycle| lifecycle.has_others);
        let stays = has_others || hooks.iter().any(|(_, change, was)| change.leaves_something(*was));
        match (container.lifecycle(), stays) {
            (Some(_), false) => return self.remove(at.into_iter().chain(["lifecycle"])),
            (None, true) => self.add(at.into_iter().chain(["lifecycle"]), json!({})),
            _ => {}
        }
        for (name, change, was) in hooks {
            match change {
                Change::Set(hook) => self.add(field(name), hook.clone()),
                Change::Remove if was => self.remove(field(name)),
                Change::Remove | Change::Keep => {}
            }
        }
    }

    fn reshape_env(&mut self, at: [&str; 3], the_move: &Move<'_>) {
        let form = &the_move.form;
        let env = || at.into_iter().chain(["env"]);
        for index in &form.own_resource_refs {
            self.remove(env().chain([&*index.to_string(), "valueFrom", "resourceFieldRef", "containerName"]));
        }
        if !the_move.container().has_env() && !form.env.is_empty() {
            self.add(env(), json!([]));
        }
        for (name, value) in &form.env {
            self.add(env().chain(["-"]), json!({"name": name, "value": value}));
        }
    }

    /// Brings the init containers into their order, one place after the other.
    fn reorder(&mut self, pod: &Pod<'_>, plan: &Plan<'_>) {
        if !plan.moves.is_empty() && pod.spec.init_containers.is_none() {
            self.add(["spec", "initContainers"], json!([]));
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
            let list = if matches!(wanted, Source::Init(_)) { &mut init } else { &mut regular };
            let Some(from) = list.iter().position(|source| *source == wanted) else { continue };
            list.remove(from);
            let name = if matches!(wanted, Source::Init(_)) { "initContainers" } else { "containers" };
            let to = if at == init.len() { "-".to_owned() } else { at.to_string() };
            init.insert(at, wanted);
            self.0.push(PatchOperation::Move(MoveOperation {
                from: pointer(["spec", name, &from.to_string()]),
                path: pointer(["spec", "initContainers", &to]),
            }));
        }
        self.remove_repeats(plan, regular);
    }

    /// Removes second copies of what was moved earlier. `regular` is what the moves have left.
    fn remove_repeats(&mut self, plan: &Plan<'_>, mut regular: Vec<Source>) {
        for index in &plan.repeats {
            if let Some(at) = regular.iter().position(|source| *source == Source::Regular(*index)) {
                regular.remove(at);
                self.remove(["spec", "containers", &at.to_string()]);
            }
        }
    }

    /// Writes annotations that differ from what the pod has.
    fn annotate(&mut self, pod: &Pod<'_>, annotations: BTreeMap<String, Option<String>>) {
        let differs = |(key, value): &(String, Option<String>)| pod.annotation(key) != value.as_deref();
        let changes: Vec<_> = annotations.into_iter().filter(differs).collect();
        if changes.is_empty() {
            return;
        }
        if !pod.has_metadata {
            self.add(["metadata"], json!({}));
        }
        if pod.metadata.annotations.is_none() {
            self.add(["metadata", "annotations"], json!({}));
        }
        for (key, value) in changes {
            match value {
                Some(value) => self.add(["metadata", "annotations", &key], value),
                None => self.remove(["metadata", "annotations", &key]),
            }
        }
    }
}
