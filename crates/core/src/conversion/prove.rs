//! The proof that a patch does what was planned, before anybody is sent it.
//!
//! Whether a patch applies, and what the lists of containers look like afterwards, depends on little of the pod: the
//! keys and lengths along the patch's own pointers, each container's `name` and `restartPolicy`, and the annotations.
//! Just that is read into a [`Value`], to which the patch is applied. What is left out can make no difference, and the
//! tests hold the verdict against that on the whole pod.

use crate::{
    findings::{Code, Finding},
    pod::{ANNOTATIONS_LIMIT, Container, Entries, Pod},
};
use json_patch::{Patch, PatchOperation};
use jsonptr::Pointer;
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

/// The lists of containers below `spec`.
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// What a patch touches below some place of a document, as the first tokens of its pointers and what follows on each.
#[derive(Debug, Default)]
struct Touched<'o> {
    below: BTreeMap<&'o str, Self>,
    /// How many pointers lead here or further.
    times: usize,
}

/// What a patch touches inside the containers of one list, by the index that a container has in the request.
#[derive(Debug, Default)]
struct TouchedContainers<'o> {
    by_index: BTreeMap<usize, Touched<'o>>,
    /// What is touched once a list has changed, when an index says nothing any more about the request.
    in_any: Touched<'o>,
}

/// Applies `patch` to `pod` and checks what must hold afterwards: the containers called `converted` are native sidecars.
///
/// # Errors
///
/// What does not hold, as a finding.
pub(super) fn prove(pod: &Pod<'_>, patch: &Patch, converted: &[&str]) -> Result<(), Finding> {
    check(pruned(pod, patch), !pod.spec.containers.is_empty(), patch, converted)
}

/// Applies `patch` to `document`, which is a pod, or as much of it as the patch and the checks can see.
fn check(mut document: Value, had_regular: bool, patch: &Patch, converted: &[&str]) -> Result<(), Finding> {
    let unsound = |reason: String| {
        let message = format!("the patch was held back: {reason}; the pod was left as it is");
        Finding::pod(Code::UnsoundPatch, message)
    };
    // Nobody looks at the document again, so nothing has to be put back where an operation fails.
    json_patch::patch_unsafe(&mut document, patch).map_err(|error| unsound(format!("it does not apply: {error}")))?;
    check_containers(&document, had_regular, converted).map_err(unsound)?;
    let annotations = document["metadata"]["annotations"].as_object();
    let size: usize = annotations.into_iter().flatten().map(|(key, value)| key.len() + length(value)).sum();
    if size > ANNOTATIONS_LIMIT {
        let message = format!(
            "the pod's annotations would take {size} bytes, and Kubernetes allows {ANNOTATIONS_LIMIT}; remove some"
        );
        return Err(Finding::pod(Code::AnnotationsTooLarge, message));
    }
    Ok(())
}

/// How long an annotation's value is. Of those that were there already a pruned document has the lengths alone.
fn length(annotation: &Value) -> usize {
    let pruned = || annotation.as_u64().and_then(|length| usize::try_from(length).ok());
    annotation.as_str().map(str::len).or_else(pruned).unwrap_or_default()
}

/// Whether the lists of containers are as they must be.
fn check_containers(pod: &Value, had_regular: bool, converted: &[&str]) -> Result<(), String> {
    let list = |field: &str| pod["spec"][field].as_array().map(Vec::as_slice).unwrap_or_default();
    let (regular, init) = (list("containers"), list("initContainers"));
    if had_regular && regular.is_empty() {
        return Err("no regular container would be left".into());
    }
    let mut called: HashMap<&str, (usize, bool)> = HashMap::new();
    let native = |container: &Value| container["restartPolicy"] == "Always";
    let of_init = init.iter().map(|container| (container, native(container)));
    for (container, is_native) in regular.iter().map(|container| (container, false)).chain(of_init) {
        let (count, any_native) = called.entry(container["name"].as_str().unwrap_or_default()).or_default();
        *count += 1;
        *any_native |= is_native;
    }
    for name in converted {
        match called.get(name) {
            Some((1, true)) => {}
            Some((2.., _)) => return Err(format!("two containers would be called {name:?}")),
            _ => return Err(format!("container {name:?} would not be a native sidecar")),
        }
    }
    Ok(())
}

/// As much of `pod` as `patch` and the checks can see.
fn pruned(pod: &Pod<'_>, patch: &Patch) -> Value {
    let lists = LISTS.map(|list| TouchedContainers::of(patch, list));
    let list = |containers: &[Container<'_>], touched: &TouchedContainers<'_>| -> Value {
        containers.iter().enumerate().map(|(index, container)| touched.pruned(index, container)).collect()
    };
    let mut spec = Map::from_iter([("containers".to_owned(), list(&pod.spec.containers, &lists[0]))]);
    if let Some(init) = &pod.spec.init_containers {
        spec.insert("initContainers".to_owned(), list(init, &lists[1]));
    }
    let mut document = Map::from_iter([("spec".to_owned(), Value::Object(spec))]);
    if pod.has_metadata {
        let mut metadata = Map::new();
        if let Some(annotations) = &pod.metadata.annotations {
            let own = Entries::iter(annotations).map(|(key, value)| (key.to_owned(), Value::from(value.len())));
            metadata.insert("annotations".to_owned(), own.collect());
        }
        document.insert("metadata".to_owned(), Value::Object(metadata));
    }
    Value::Object(document)
}

/// The pointers of an operation.
fn pointers(operation: &PatchOperation) -> impl Iterator<Item = &Pointer> {
    let from: Option<&Pointer> = match operation {
        PatchOperation::Move(operation) => Some(&operation.from),
        PatchOperation::Copy(operation) => Some(&operation.from),
        _ => None,
    };
    from.into_iter().chain([operation.path()])
}

// === impl Touched ===

impl<'o> Touched<'o> {
    fn add(&mut self, pointer: &'o str) {
        pointer.split('/').fold(self, |touched, token| {
            let next = touched.below.entry(token).or_default();
            next.times += 1;
            next
        });
    }

    /// So many items of a list can make a difference: those up to the last index, and one more for each pointer, for it
    /// may have removed one.
    fn items(&self) -> usize {
        let last = self.below.keys().filter_map(|token| token.parse::<usize>().ok()).max();
        last.map_or(0, |last| self.below.values().fold(last, |items, touched| items.saturating_add(touched.times)))
    }
}

/// Reads as much of a JSON text as is touched. What is only seen from outside becomes null.
impl<'de> DeserializeSeed<'de> for &Touched<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.below.is_empty() {
            deserializer.deserialize_ignored_any(self)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for &Touched<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let (mut items, most, nothing) = (Vec::new(), self.items(), Touched::default());
        while items.len() < most {
            let touched = self.below.get(&*items.len().to_string()).unwrap_or(&nothing);
            let Some(item) = list.next_element_seed(touched)? else { return Ok(items.into()) };
            items.push(item);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            match self.below.get(&*key) {
                Some(touched) => drop(fields.insert(key, map.next_value_seed(touched)?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields.into())
    }
}

// === impl TouchedContainers ===

impl<'o> TouchedContainers<'o> {
    /// What `patch` touches inside the containers of `own`, one of the [`LISTS`].
    fn of(patch: &'o Patch, own: &str) -> Self {
        let (mut touched, mut is_changed, mut of_any) = (Self::default(), false, Vec::new());
        for pointer in patch.iter().flat_map(pointers) {
            let mut tokens = pointer.as_str().splitn(5, '/').skip(1);
            let (top, list) = (tokens.next(), tokens.next());
            let Some(list) = list.filter(|list| top == Some("spec") && LISTS.contains(list)) else { continue };
            let index = tokens.next().and_then(|index| index.parse().ok());
            match (tokens.next(), index) {
                (None, _) => is_changed = true,
                // It may be a container that came from either list.
                (Some(fields), _) if is_changed => of_any.push(fields),
                (Some(fields), Some(index)) if list == own => touched.by_index.entry(index).or_default().add(fields),
                (Some(_), _) => {}
            }
        }
        for fields in of_any {
            touched.in_any.add(fields);
            touched.by_index.values_mut().for_each(|touched| touched.add(fields));
        }
        touched
    }

    /// The container that has `index` in the request.
    fn pruned(&self, index: usize, container: &Container<'_>) -> Value {
        let mut pruned = Map::with_capacity(2);
        pruned.insert("name".to_owned(), Value::from(&*container.name));
        if let Some(policy) = &container.restart_policy {
            pruned.insert("restartPolicy".to_owned(), Value::from(&**policy));
        }
        for (field, touched) in &self.by_index.get(&index).unwrap_or(&self.in_any).below {
            let Some(raw) = container.raw(field) else { continue };
            // It was read once, so it is JSON.
            if let Ok(value) = touched.deserialize(&mut serde_json::Deserializer::from_str(raw.get())) {
                pruned.insert((*field).to_owned(), value);
            }
        }
        pruned.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const POD: &str = r#"{"metadata":{"annotations":{"a":"1"}},"spec":{
        "containers":[{"name":"app","args":["x"],"env":[{"name":"A"}]},
                      {"name":"s0","env":[{"name":"A","value":"1"},{"name":"B","valueFrom":{"x":{"y":1,"z":2}}},{"name":"C"}],
                       "lifecycle":{"preStop":{"sleep":{"seconds":1}},"postStart":{}}}],
        "initContainers":[{"name":"init","restartPolicy":"Always"}]}}"#;

    fn patch(operations: Value) -> Patch {
        serde_json::from_value(operations).unwrap()
    }

    #[test]
    fn only_what_the_patch_can_see_is_read() {
        let patch = patch(json!([
            {"op": "remove", "path": "/spec/containers/1/env/1/valueFrom/x/y"},
            {"op": "add", "path": "/spec/containers/1/env/-", "value": {}},
            {"op": "remove", "path": "/spec/containers/1/lifecycle/preStop"},
            {"op": "move", "from": "/spec/containers/1", "path": "/spec/initContainers/-"},
        ]));
        let expected = json!({
            "spec": {
                "containers": [
                    {"name": "app"},
                    {"name": "s0", "env": [null, {"valueFrom": {"x": {"y": null}}}, null], "lifecycle": {"preStop": null}}
                ],
                "initContainers": [{"name": "init", "restartPolicy": "Always"}]
            },
            "metadata": {"annotations": {"a": 1}}
        });
        assert_eq!(pruned(&Pod::parse(POD).unwrap(), &patch), expected);
    }

    #[test]
    fn an_index_counts_in_the_list_as_it_is_then() {
        let patch = patch(json!([
            {"op": "move", "from": "/spec/containers/0", "path": "/spec/containers/1"},
            {"op": "remove", "path": "/spec/containers/0/env/2"},
        ]));
        assert!(prove(&Pod::parse(POD).unwrap(), &patch, &[]).is_ok());
        let value = serde_json::from_str(POD).unwrap();
        assert!(check(value, true, &patch, &[]).is_ok());
    }

    #[test]
    fn a_patch_that_does_not_do_what_was_planned_is_held_back() {
        let pod = Pod::parse(POD).unwrap();
        let removes_all = patch(json!([{"op": "replace", "path": "/spec/containers", "value": []}]));
        let misses = patch(json!([{"op": "remove", "path": "/spec/containers/7"}]));
        let misses_a_field = patch(json!([{"op": "remove", "path": "/spec/containers/0/startupProbe"}]));
        let misses_an_item = patch(json!([{"op": "remove", "path": "/spec/containers/1/env/3"}]));
        let twice = patch(json!([{"op": "copy", "from": "/spec/containers/1", "path": "/spec/initContainers/-"}]));
        for (unsound, converted) in [
            (removes_all, &[][..]),
            (misses, &[]),
            (misses_a_field, &[]),
            (misses_an_item, &[]),
            (twice, &["s0"]),
            (patch(json!([])), &["s0"]),
        ] {
            assert_eq!(prove(&pod, &unsound, converted).unwrap_err().code, Code::UnsoundPatch, "{unsound}");
            let whole = serde_json::from_str(POD).unwrap();
            assert_eq!(check(whole, true, &unsound, converted), prove(&pod, &unsound, converted), "{unsound}");
        }
        assert_eq!(prove(&pod, &patch(json!([])), &["init"]), Ok(()));
    }

    fn pods() -> impl Strategy<Value = Value> {
        let names = || prop::sample::select(vec!["a", "b", "c"]);
        let env = prop::collection::vec(
            prop_oneof![
                Just(json!({"name": "A", "value": "1"})),
                Just(json!({"name": "B", "valueFrom": {"resourceFieldRef": {"containerName": "a"}}})),
            ],
            0..4,
        );
        let lifecycle = prop_oneof![Just(json!({})), Just(json!({"preStop": {}})), Just(json!({"x": [1, 2]}))];
        let container = (names(), prop::option::of(env), prop::option::of(lifecycle), any::<(bool, bool)>()).prop_map(
            |(name, env, lifecycle, (always, probed))| {
                let mut container = json!({"name": name, "image": "x"});
                let policy = always.then(|| json!("Always"));
                let probe = probed.then(|| json!({"tcpSocket": {"port": 1}}));
                let fields = [("env", env.map(Value::from)), ("lifecycle", lifecycle), ("restartPolicy", policy)];
                for (field, value) in fields.into_iter().chain([("startupProbe", probe)]) {
                    if let Some(value) = value {
                        container[field] = value;
                    }
                }
                container
            },
        );
        let list = || prop::collection::vec(container.clone(), 0..4);
        let annotations = prop::option::of(prop::collection::btree_map("[ab/~]{1,2}", "[x]{0,3}", 0..3));
        (list(), prop::option::of(list()), prop::option::of(annotations)).prop_map(|(regular, init, metadata)| {
            let mut pod = json!({"spec": {"containers": regular}});
            if let Some(init) = init {
                pod["spec"]["initContainers"] = init.into();
            }
            if let Some(annotations) = metadata {
                pod["metadata"] = annotations.map_or(json!({}), |annotations| json!({"annotations": annotations}));
            }
            pod
        })
    }

    fn operations() -> impl Strategy<Value = Value> {
        let list = || prop::sample::select(vec!["containers", "initContainers"]);
        let place = || prop_oneof![4 => (0..4_usize).prop_map(|at| at.to_string()), 1 => Just("-".to_owned())];
        let field = prop::sample::select(vec![
            "restartPolicy",
            "startupProbe",
            "lifecycle",
            "lifecycle/preStop",
            "lifecycle/x/1",
            "env",
            "env/-",
            "env/0",
            "env/2",
            "env/1/valueFrom/resourceFieldRef/containerName",
        ]);
        let inside = (list(), 0..4_usize, field).prop_map(|(list, at, field)| format!("/spec/{list}/{at}/{field}"));
        let whole = (list(), place()).prop_map(|(list, at)| format!("/spec/{list}/{at}"));
        let other = prop::sample::select(vec!["/spec/initContainers", "/metadata", "/metadata/annotations"]);
        let key = "[ab]{1,2}".prop_map(|key| format!("/metadata/annotations/{key}"));
        let path = || prop_oneof![4 => inside.clone(), 2 => whole.clone(), 1 => other.clone().prop_map(str::to_owned), 1 => key.clone()];
        let value = prop_oneof![Just(json!("Always")), Just(json!({})), Just(json!([])), Just(json!({"name": "a"}))];
        prop_oneof![
            (path(), value).prop_map(|(path, value)| json!({"op": "add", "path": path, "value": value})),
            path().prop_map(|path| json!({"op": "remove", "path": path})),
            (whole.clone(), whole.clone()).prop_map(|(from, path)| json!({"op": "move", "from": from, "path": path})),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_verdict_is_that_on_the_whole_pod(pod in pods(), operations in prop::collection::vec(operations(), 0..6)) {
            let (text, patch) = (pod.to_string(), patch(operations.into()));
            let view = Pod::parse(&text).unwrap();
            for converted in [&[][..], &["a"], &["a", "b"]] {
                let had_regular = !view.spec.containers.is_empty();
                let on_whole = check(pod.clone(), had_regular, &patch, converted).map_err(|doubt| doubt.code);
                prop_assert_eq!(prove(&view, &patch, converted).map_err(|doubt| doubt.code), on_whole);
            }
        }
    }
}
