//! What a conversion promises, checked on the whole pod: nothing changes but what has to. Written down a second time,
//! independently of the code under test.

use native_sidecar_core::{
    catalogue::Catalogue,
    conversion::{Conversion, Decision},
    findings::Code,
    intent::{BLOCKED, CONVERTED},
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

const LISTS: [&str; 2] = ["containers", "initContainers"];
/// What may become different in a container that moves.
const RESHAPED: [&str; 8] =
    ["restartPolicy", "restartPolicyRules", "resizePolicy", "startupProbe", "lifecycle", "env", "command", "args"];
/// The longest text that is written about a pod, in characters.
const LONGEST_MESSAGE: usize = 4096;

/// `pod` after `conversion`, which keeps all promises.
///
/// # Panics
///
/// When it does not.
#[must_use]
pub fn carried_out(pod: &Value, conversion: &Conversion, catalogue: &Catalogue) -> Value {
    assert_said_well(conversion);
    let mut after = pod.clone();
    json_patch::patch(&mut after, &conversion.patch).expect("the patch applies to the whole pod");
    match conversion.decision {
        Decision::Converted => assert_converted(pod, &after, catalogue),
        Decision::Blocked => assert_only_mended(pod, &after),
        _ => assert!(conversion.patch.is_empty(), "{:?} changes nothing", conversion.decision),
    }
    after
}

/// Whether two containers have the same name, or none. The API server refuses such a pod, and where the second copy of a
/// container is all that goes from it, another pass may find a pod that can be converted.
#[must_use]
pub fn has_name_twice(pod: &Value) -> bool {
    let mut seen = BTreeSet::new();
    let mut containers = LISTS.iter().flat_map(|field| list(pod, field));
    !containers.all(|container| seen.insert(container["name"].as_str().unwrap_or_default()))
}

/// What is said about a pod is bounded, on one line, and never that we are to blame.
fn assert_said_well(conversion: &Conversion) {
    for finding in conversion.findings.iter().chain(&conversion.reasons) {
        assert_ne!(finding.code, Code::UnsoundPatch, "no input leads to a patch that has to be held back: {finding}");
        assert!(finding.to_string().chars().count() <= LONGEST_MESSAGE, "{finding}");
    }
    let is_held = matches!(conversion.decision, Decision::Blocked | Decision::Denied | Decision::WouldBlock);
    assert_eq!(is_held, !conversion.reasons.is_empty(), "whoever is held back is told why, and nobody else");
}

fn assert_converted(before: &Value, after: &Value, catalogue: &Catalogue) {
    let of_entries = catalogue
        .entries()
        .iter()
        .flat_map(|entry| entry.annotations.keys().chain(entry.set_annotations.keys()).map(String::as_str));
    let keys: Vec<&str> = of_entries.chain([CONVERTED, BLOCKED]).collect();
    assert_same_elsewhere(before, after, &keys);
    let (stay, mut gone) = split(list(before, "containers"), list(after, "containers"));
    assert!(!stay.is_empty() || list(before, "containers").is_empty(), "a pod keeps a container");
    let mut own: Vec<&Value> = list(before, "initContainers").iter().collect();
    for container in list(after, "initContainers") {
        let stayed = own.iter().position(|old| old == &container || is_mended(old, container));
        if let Some(at) = stayed {
            own.remove(at);
            continue;
        }
        let moved = gone.iter().position(|old| is_native_form(old, container));
        let at = moved.unwrap_or_else(|| panic!("where does this container come from? {container}"));
        gone.remove(at);
        let names = after["metadata"]["annotations"][CONVERTED].as_str().unwrap_or_default();
        let name = container["name"].as_str().unwrap_or_default();
        // No valid name has a comma in it.
        assert!(names.contains(name), "{name} is not recorded in {names}");
    }
    assert!(own.is_empty(), "init containers are lost: {own:?}");
    assert_are_copies(&gone, before);
}

/// A pod that stays as it is: what an earlier call did may be put right.
fn assert_only_mended(before: &Value, after: &Value) {
    assert_same_elsewhere(before, after, &[BLOCKED]);
    let (_, gone) = split(list(before, "containers"), list(after, "containers"));
    assert_are_copies(&gone, before);
    let (old, new) = (list(before, "initContainers"), list(after, "initContainers"));
    assert_eq!(old.len(), new.len(), "init containers stay");
    assert!(
        old.iter().zip(new).all(|(old, new)| old == new || is_mended(old, new)),
        "init containers stay as they are"
    );
}

/// Second copies of containers that an earlier call made native sidecars are all that may go.
fn assert_are_copies(gone: &[&Value], before: &Value) {
    for copy in gone {
        let is_there = list(before, "initContainers").iter().any(|init| init["name"] == copy["name"]);
        assert!(is_there, "a container is lost: {copy}");
    }
}

/// Everything but the lists of containers and the annotations under `keys`.
fn assert_same_elsewhere(before: &Value, after: &Value, keys: &[&str]) {
    assert_eq!(without(before, &["metadata", "spec"]), without(after, &["metadata", "spec"]));
    assert_eq!(without(&before["spec"], &LISTS), without(&after["spec"], &LISTS));
    let metadata = |pod: &Value| without(&pod["metadata"], &["annotations"]);
    let annotations = |pod: &Value| without(&pod["metadata"]["annotations"], keys);
    assert_eq!(or_empty(metadata(before)), or_empty(metadata(after)));
    assert_eq!(or_empty(annotations(before)), or_empty(annotations(after)));
}

/// Those of `before` that are still there, in their order, and the others.
fn split<'v>(before: &'v [Value], after: &[Value]) -> (Vec<&'v Value>, Vec<&'v Value>) {
    let mut rest = after.iter().peekable();
    let (stay, gone): (Vec<_>, Vec<_>) = before.iter().partition(|old| rest.next_if_eq(old).is_some());
    assert!(rest.peek().is_none(), "regular containers keep their order and what they say: {rest:?}");
    (stay, gone)
}

/// Whether `new` is `old` with its `restartPolicy` back.
fn is_mended(old: &Value, new: &Value) -> bool {
    new["restartPolicy"] == "Always" && without(old, &["restartPolicy"]) == without(new, &["restartPolicy"])
}

fn is_native_form(old: &Value, new: &Value) -> bool {
    new["restartPolicy"] == "Always"
        && is_kept_or_gone(&old["restartPolicyRules"], &new["restartPolicyRules"])
        && without(old, &RESHAPED) == without(new, &RESHAPED)
        && is_kept_or_gone(&old["resizePolicy"], &new["resizePolicy"])
        && items(&new["command"]).starts_with(items(&old["command"]))
        && items(&new["args"]).starts_with(items(&old["args"]))
        && is_env_kept(old, new)
        && other_hooks(old) == other_hooks(new)
}

/// Hooks that no version of ours knows; null is none.
fn other_hooks(container: &Value) -> BTreeMap<&String, &Value> {
    let hooks = container["lifecycle"].as_object().into_iter().flatten();
    hooks.filter(|(name, hook)| !HOOKS.contains(&name.as_str()) && !hook.is_null()).collect()
}

const HOOKS: [&str; 2] = ["postStart", "preStop"];

fn is_kept_or_gone(old: &Value, new: &Value) -> bool {
    old == new || new.is_null()
}

/// Variables stay, but one that reads a resource of the container itself may no longer say whose; others may follow.
fn is_env_kept(old: &Value, new: &Value) -> bool {
    let (before, after) = (items(&old["env"]), items(&new["env"]));
    let is_kept = |(one, other): (&Value, &Value)| one == other || without_own_name(one, &old["name"]) == *other;
    before.len() <= after.len() && before.iter().zip(after).all(is_kept)
}

fn without_own_name(variable: &Value, name: &Value) -> Value {
    let mut variable = variable.clone();
    let source = variable.pointer_mut("/valueFrom/resourceFieldRef").and_then(Value::as_object_mut);
    if let Some(source) = source
        && source.get("containerName") == Some(name)
    {
        source.shift_remove("containerName");
    }
    variable
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn list<'v>(pod: &'v Value, field: &str) -> &'v [Value] {
    items(&pod["spec"][field])
}

/// What is absent, null and empty mean the same here.
fn or_empty(value: Value) -> Value {
    if value.is_null() { Value::Object(Map::new()) } else { value }
}

fn without(value: &Value, fields: &[&str]) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .filter(|(key, _)| !fields.contains(&key.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        other => other.clone(),
    }
}
