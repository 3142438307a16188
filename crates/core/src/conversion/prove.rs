//! The proof that operations do what was planned, before anybody is sent them.
//!
//! Whether operations apply, and what the pod looks like afterwards, depends on little of it: inside a container on the
//! keys and lengths along the operations' own pointers (its lists are only appended to), in the lists on which container
//! stands where, and of the annotations on those that are changed. Just that is read into a [`Value`], to which the
//! operations are applied. What is left out can make no difference, and the tests hold the verdict against that on the
//! whole pod.

use super::operations::{Operations, Source, Within};
use crate::{
    findings::{Code, Finding},
    pod::{ANNOTATIONS_LIMIT, Container, Entries, Label, Pod},
};
use json_patch::PatchOperation;
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

/// What operations touch below some place of a document, as the first tokens of their pointers and what follows on each.
#[derive(Debug, Default)]
struct Touched<'o> {
    below: BTreeMap<&'o str, Self>,
    /// How many pointers lead here or further.
    times: usize,
}

/// The containers of a pod, each with a number, by which it is known in the lists.
struct Numbered<'p> {
    regular: &'p [Container<'p>],
    init: &'p [Container<'p>],
    /// Of each container, whether it restarts always.
    restarts_always: Vec<bool>,
}

const RESTART_POLICY: &str = "restartPolicy";
/// The key that stands for all annotations that no operation names.
const OTHERS: &str = "";
const LOST: &str = "annotations would be lost";

/// Applies `operations` to `pod` and checks what must hold afterwards: the containers called `converted` are native
/// sidecars.
///
/// # Errors
///
/// What does not hold, as a finding.
pub(super) fn prove<'p>(pod: &'p Pod<'p>, operations: &Operations, converted: &[&str]) -> Result<(), Finding> {
    let size = apply_all(pod, operations, converted).map_err(|reason| {
        let message = format!("the patch was held back: {reason}; the pod was left as it is");
        Finding::pod(Code::UnsoundPatch, message)
    })?;
    if size > ANNOTATIONS_LIMIT {
        let message = format!(
            "the pod's annotations would take {size} bytes, and Kubernetes allows {ANNOTATIONS_LIMIT}; remove some"
        );
        return Err(Finding::pod(Code::AnnotationsTooLarge, message));
    }
    Ok(())
}

/// Applies all of `operations`; what comes out is the bytes that the annotations take then.
fn apply_all<'p>(pod: &'p Pod<'p>, operations: &Operations, converted: &[&str]) -> Result<usize, String> {
    let mut containers = Numbered::of(pod);
    containers.change(&operations.containers)?;
    containers.check(&operations.spec, pod.spec.init_containers.is_some(), converted)?;
    annotations_size(pod, &operations.metadata, &operations.annotations)
}

/// Applies what `within` says to `document`, which is as much of some place as it can see.
fn apply(document: &mut Value, within: &Within) -> Result<(), String> {
    // Nobody looks at the document again, so nothing has to be put back where an operation fails.
    json_patch::patch_unsafe(document, &within.0).map_err(|error| format!("it does not apply: {error}"))
}

/// As much of `container` as `within` can see, and its `restartPolicy`.
fn pruned(container: &Container<'_>, within: &Within) -> Value {
    let mut touched = Touched::default();
    for operation in &within.0 {
        touched.add(operation.path().as_str().trim_start_matches('/'));
    }
    let mut pruned = Map::new();
    if let Some(policy) = &container.restart_policy {
        pruned.insert(RESTART_POLICY.to_owned(), Value::from(&**policy));
    }
    for (field, touched) in &touched.below {
        let Some(raw) = container.raw(field) else { continue };
        // It was read once, so it is JSON.
        if let Ok(value) = touched.deserialize(&mut serde_json::Deserializer::from_str(raw.get())) {
            pruned.insert((*field).to_owned(), value);
        }
    }
    pruned.into()
}

/// The bytes of keys and values that the annotations take once all is carried out.
fn annotations_size(pod: &Pod<'_>, in_metadata: &Within, in_annotations: &Within) -> Result<usize, String> {
    let own = pod.metadata.annotations.as_ref();
    let mut annotations = match own {
        Some(_) if !in_metadata.0.is_empty() => return Err(LOST.into()),
        Some(own) => seen(own, in_annotations),
        None => new_annotations(pod, in_metadata)?,
    };
    let length = |(key, value): (&String, &Value)| {
        let own = || pod.annotation(key).map_or(0, str::len);
        key.len() + value.as_str().map_or_else(own, str::len)
    };
    let size = |annotations: &Value| annotations.as_object().into_iter().flatten().map(length).sum::<usize>();
    let all: usize = own.into_iter().flat_map(Entries::iter).map(|(key, value)| key.len() + value.len()).sum();
    let unseen = all - size(&annotations);
    apply(&mut annotations, in_annotations)?;
    if own.is_some() && annotations.get(OTHERS).is_none() {
        return Err(LOST.into());
    }
    Ok(unseen + size(&annotations))
}

/// Of annotations only the keys that `within` can see; a value that stays is null. All others are one key that no API
/// server takes.
fn seen(own: &Entries<'_, Label<'_>>, within: &Within) -> Value {
    let keys = within.0.iter().filter_map(|operation| Some(operation.path().back()?.decoded().into_owned()));
    let keys = keys.filter(|key| own.contains_key(key)).chain([OTHERS.to_owned()]);
    keys.map(|key| (key, Value::Null)).collect::<Map<_, _>>().into()
}

/// The annotations of a pod that has none yet, as `within` makes them.
fn new_annotations(pod: &Pod<'_>, within: &Within) -> Result<Value, String> {
    let mut metadata = if pod.has_metadata { Value::Object(Map::new()) } else { Value::Null };
    apply(&mut metadata, within)?;
    Ok(metadata["annotations"].take())
}

// === impl Numbered ===

impl<'p> Numbered<'p> {
    fn of(pod: &'p Pod<'p>) -> Self {
        let (regular, init) = (&*pod.spec.containers, pod.init_containers());
        let restarts_always = regular.iter().chain(init).map(Container::restarts_always).collect();
        Self { regular, init, restarts_always }
    }

    /// Carries out the changes inside single containers.
    fn change(&mut self, containers: &[(Source, Within)]) -> Result<(), String> {
        for (source, within) in containers {
            let number = self.number(*source)?;
            let mut document = pruned(self.container(number), within);
            apply(&mut document, within)?;
            self.restarts_always[number] = document[RESTART_POLICY] == "Always";
        }
        Ok(())
    }

    /// Carries out what `within` does to the lists, and checks whether they are as they must be.
    fn check(&self, within: &Within, has_init: bool, converted: &[&str]) -> Result<(), String> {
        let spec = self.carried_out(within, has_init)?;
        let [regular, init] = ["containers", "initContainers"].map(|list| self.numbers(&spec[list]));
        let (regular, init) = (regular?, init?);
        if !self.regular.is_empty() && regular.is_empty() {
            return Err("no regular container would be left".into());
        }
        let removed = within.0.iter().filter(|operation| matches!(operation, PatchOperation::Remove(_))).count();
        if regular.len() + init.len() + removed != self.restarts_always.len() {
            return Err("a container would be lost, or doubled".into());
        }
        let mut called: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
        let native = |number: usize| (number, self.restarts_always[number]);
        for (number, is_native) in regular.into_iter().map(|number| (number, false)).chain(init.into_iter().map(native))
        {
            let (count, any_native) = called.entry(&self.container(number).name).or_default();
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

    /// The lists of `spec`, with numbers in place of containers, once `within` is carried out.
    fn carried_out(&self, within: &Within, has_init: bool) -> Result<Value, String> {
        let mut spec = Map::from_iter([("containers".to_owned(), (0..self.regular.len()).collect())]);
        if has_init {
            let init = self.regular.len()..self.restarts_always.len();
            spec.insert("initContainers".to_owned(), init.collect());
        }
        let mut spec = Value::Object(spec);
        apply(&mut spec, within)?;
        Ok(spec)
    }

    /// The numbers of the containers in `list`; none where there is no list.
    fn numbers(&self, list: &Value) -> Result<Vec<usize>, String> {
        let number = |item: &Value| {
            let number = item.as_u64().and_then(|number| usize::try_from(number).ok());
            let number = number.filter(|number| *number < self.restarts_always.len());
            number.ok_or_else(|| "something else than a container would stand among them".to_owned())
        };
        list.as_array().into_iter().flatten().map(number).collect()
    }

    /// The number of the container that is at `source`.
    fn number(&self, source: Source) -> Result<usize, String> {
        let (number, end) = match source {
            Source::Regular(index) => (index, self.regular.len()),
            Source::Init(index) => (self.regular.len() + index, self.restarts_always.len()),
        };
        (number < end).then_some(number).ok_or_else(|| format!("there is no container at {source:?}"))
    }

    /// The container that has `number`, one of those that were given.
    fn container(&self, number: usize) -> &'p Container<'p> {
        self.regular.get(number).unwrap_or_else(|| &self.init[number - self.regular.len()])
    }
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

    /// A key that no operation names, so that it is lost only with all others.
    const MARK: &str = "mark";

    fn within(operations: Value) -> Within {
        Within(serde_json::from_value(operations).unwrap())
    }

    /// Operations inside the regular container with this index, on the lists, and on annotations.
    fn operations((index, in_container): (usize, Value), spec: Value, annotations: Value) -> Operations {
        let containers = vec![(Source::Regular(index), within(in_container))];
        let (spec, annotations) = (within(spec), within(annotations));
        Operations { containers, spec, annotations, ..Operations::default() }
    }

    /// The verdict on the whole `pod`, to which the whole patch is applied.
    fn verdict_on_whole(mut pod: Value, operations: Operations, converted: &[&str]) -> Result<(), Code> {
        let had_regular = pod["spec"]["containers"].as_array().is_some_and(|regular| !regular.is_empty());
        let count = |pod: &Value| {
            let count = |field: &str| pod["spec"][field].as_array().map_or(0, Vec::len);
            count("containers") + count("initContainers")
        };
        let removed = operations.spec.0.iter().filter(|one| matches!(one, PatchOperation::Remove(_))).count();
        let left = count(&pod).checked_sub(removed);
        let annotations = pod["metadata"].get_mut("annotations").and_then(Value::as_object_mut);
        let marked = annotations.map(|annotations| annotations.insert(MARK.to_owned(), Value::Null)).is_some();
        json_patch::patch_unsafe(&mut pod, &operations.into_patch()).map_err(|_| Code::UnsoundPatch)?;
        let list = |field: &str| pod["spec"][field].as_array().cloned().unwrap_or_default();
        let (regular, init) = (list("containers"), list("initContainers"));
        let called = |list: &[Value], name: &str| list.iter().filter(|container| container["name"] == name).count();
        let native = |name: &str| init.iter().any(|init| init["name"] == name && init["restartPolicy"] == "Always");
        let is_sound = |name: &&str| called(&regular, name) + called(&init, name) == 1 && native(name);
        let is_lost = marked && pod["metadata"]["annotations"].get(MARK).is_none();
        if is_lost || Some(count(&pod)) != left {
            return Err(Code::UnsoundPatch);
        }
        if let Some(annotations) = pod["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(MARK);
        }
        if (had_regular && regular.is_empty()) || !converted.iter().all(is_sound) {
            return Err(Code::UnsoundPatch);
        }
        let annotations = pod["metadata"]["annotations"].as_object();
        let length = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
        let size: usize = annotations.into_iter().flatten().map(length).sum();
        if size > ANNOTATIONS_LIMIT { Err(Code::AnnotationsTooLarge) } else { Ok(()) }
    }

    #[test]
    fn only_what_the_operations_can_see_is_read() {
        let within = within(json!([
            {"op": "remove", "path": "/env/1/valueFrom/x/y"},
            {"op": "add", "path": "/env/-", "value": {}},
            {"op": "remove", "path": "/lifecycle/preStop"},
            {"op": "add", "path": "/startupProbe", "value": {}},
        ]));
        let expected = json!({"env": [null, {"valueFrom": {"x": {"y": null}}}, null], "lifecycle": {"preStop": null}});
        assert_eq!(pruned(Pod::parse(POD).unwrap().container("s0").unwrap().1, &within), expected);
    }

    #[test]
    fn operations_that_do_not_do_what_was_planned_are_held_back() {
        let pod = Pod::parse(POD).unwrap();
        let nothing = || (0, json!([]));
        let move_s0 = || json!([{"op": "move", "from": "/containers/1", "path": "/initContainers/-"}]);
        let move_both = json!([{"op": "move", "from": "/containers/0", "path": "/initContainers/-"},
                               {"op": "move", "from": "/containers/0", "path": "/initContainers/-"}]);
        let copy = json!([{"op": "copy", "from": "/containers/1", "path": "/initContainers/-"}]);
        let always = || (1, json!([{"op": "add", "path": "/restartPolicy", "value": "Always"}]));
        let on_failure = (1, json!([{"op": "add", "path": "/restartPolicy", "value": "OnFailure"}]));
        let inside = |index: usize, path: &str| (index, json!([{"op": "remove", "path": path}]));
        let list = |path: &str| json!([{"op": "remove", "path": path}]);
        for (unsound, converted) in [
            (operations(nothing(), move_both, json!([])), &[][..]),
            (operations(nothing(), list("/containers/7"), json!([])), &[]),
            (operations(inside(0, "/startupProbe"), json!([]), json!([])), &[]),
            (operations(inside(1, "/env/3"), json!([]), json!([])), &[]),
            (operations(nothing(), json!([]), list("/b")), &[]),
            (operations(always(), copy, json!([])), &["s0"]),
            (operations(always(), json!([]), json!([])), &["s0"]),
            (operations(on_failure, move_s0(), json!([])), &["s0"]),
            (operations(nothing(), move_s0(), json!([])), &["s0"]),
        ] {
            assert_eq!(prove(&pod, &unsound, converted).unwrap_err().code, Code::UnsoundPatch, "{unsound:?}");
            let on_whole = verdict_on_whole(serde_json::from_str(POD).unwrap(), unsound, converted);
            assert_eq!(on_whole, Err(Code::UnsoundPatch));
        }
        assert_eq!(prove(&pod, &operations(always(), move_s0(), json!([])), &["init", "s0"]), Ok(()));
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
        let args = prop::collection::vec(Just(json!("x")), 0..3);
        let lists = (prop::option::of(env), prop::option::of(args));
        let container = (names(), lists, prop::option::of(lifecycle), any::<(bool, bool)>()).prop_map(
            |(name, (env, args), lifecycle, (always, probed))| {
                let mut container = json!({"name": name, "image": "x"});
                let policy = always.then(|| json!("Always"));
                let probe = probed.then(|| json!({"tcpSocket": {"port": 1}}));
                let fields = [
                    ("env", env.map(Value::from)),
                    ("args", args.map(Value::from)),
                    ("lifecycle", lifecycle),
                    ("restartPolicy", policy),
                ];
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

    fn some_operations() -> impl Strategy<Value = Operations> {
        let field = prop::sample::select(vec![
            "/restartPolicy",
            "/startupProbe",
            "/lifecycle",
            "/lifecycle/preStop",
            "/lifecycle/x/-",
            "/env",
            "/env/-",
            "/args",
            "/args/-",
            "/args/1",
            "/env/0/value",
            "/env/1/valueFrom/resourceFieldRef/containerName",
        ]);
        let value = prop_oneof![Just(json!("Always")), Just(json!({})), Just(json!([])), Just(json!({"x": [1]}))];
        let inside = prop_oneof![
            (field.clone(), value).prop_map(|(path, value)| json!({"op": "add", "path": path, "value": value})),
            field.prop_map(|path| json!({"op": "remove", "path": path})),
        ];
        let place = || prop_oneof![4 => (0..4_usize).prop_map(|at| at.to_string()), 1 => Just("-".to_owned())];
        let at = move || {
            (prop::sample::select(vec!["containers", "initContainers"]), place())
                .prop_map(|(list, at)| format!("/{list}/{at}"))
        };
        let on_lists = prop_oneof![
            4 => (at(), at()).prop_map(|(from, path)| json!({"op": "move", "from": from, "path": path})),
            1 => at().prop_map(|path| json!({"op": "remove", "path": path})),
            1 => Just(json!({"op": "add", "path": "/initContainers", "value": []})),
        ];
        let key = "/([ab]|~[01]){1,2}";
        let value = prop_oneof![9 => "[xyz]{0,9}", 1 => Just("x".repeat(ANNOTATIONS_LIMIT - 5))];
        let on_annotations = prop_oneof![
            4 => (key, value).prop_map(|(path, value)| json!({"op": "add", "path": path, "value": value})),
            1 => key.prop_map(|path| json!({"op": "remove", "path": path})),
        ];
        let on_metadata = prop::sample::select(vec!["", "/annotations"])
            .prop_map(|path| json!({"op": "add", "path": path, "value": {}}));
        let source = prop_oneof![(0..4_usize).prop_map(Source::Regular), (0..4_usize).prop_map(Source::Init)];
        let list =
            |of: BoxedStrategy<Value>, least| prop::collection::vec(of, least..4).prop_map(|list| within(list.into()));
        let in_container = list(inside.boxed(), 1);
        let spec_and_metadata =
            (list(on_lists.boxed(), 0), list(on_metadata.boxed(), 0), list(on_annotations.boxed(), 0));
        (prop::option::of((source, in_container)), spec_and_metadata).prop_map(
            |(in_container, (spec, metadata, annotations))| Operations {
                containers: in_container.into_iter().collect(),
                spec,
                metadata,
                annotations,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_verdict_is_that_on_the_whole_pod(
            pod in pods(),
            operations in some_operations(),
            converted in prop::sample::select(vec![&[][..], &["a"], &["a", "b"]]),
        ) {
            let text = pod.to_string();
            let verdict = prove(&Pod::parse(&text).unwrap(), &operations, converted).map_err(|doubt| doubt.code);
            prop_assert_eq!(verdict, verdict_on_whole(pod, operations, converted));
        }
    }
}
