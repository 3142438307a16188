//! Pod templates in documents: which kinds have one, where it is, and whose pods come from it.

use json_patch::{
    AddOperation, Patch, PatchOperation,
    jsonptr::{Pointer, PointerBuf},
};
use native_sidecar_core::{
    conversion::{ExitCodes, Workload},
    text::one_line,
};
use serde_json::{Map, Value, json};
use std::fmt;

/// What an object is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectName {
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`; empty where the manifest leaves it open.
    pub namespace: String,
    /// `metadata.name`, or `metadata.generateName` with a `*`.
    pub name: String,
}

/// A pod template, and where it is in its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The object that the template belongs to.
    pub object: ObjectName,
    /// The way to the template in the document; empty for a document that is itself a Pod.
    pub path: PointerBuf,
    /// The way to the object in the document; empty but for an item of a list.
    pub object_path: PointerBuf,
    /// The kind that will own the pods; `None` where the document is the pod.
    pub owner: Option<&'static str>,
}

/// A patch that does not fit the template it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the patch would change metadata.ownerReferences, which were only shown to the conversion")]
pub struct UnfitPatch;

/// A kind with a pod template: its API groups, its name, the way to the template, the owner of the pods.
type Kind = (&'static [&'static str], &'static str, &'static [&'static str], Option<&'static str>);

/// Sources: k8s.io/api, `core/v1`, `apps/v1`, `batch/v1`; `extensions` and the betas keep the places.
const KINDS: [Kind; 9] = [
    (&[""], "Pod", &[], None),
    (&[""], "PodTemplate", &["template"], Some("PodTemplate")),
    (&[""], "ReplicationController", &["spec", "template"], Some("ReplicationController")),
    (&["apps", "extensions"], "Deployment", &["spec", "template"], Some("ReplicaSet")),
    (&["apps", "extensions"], "ReplicaSet", &["spec", "template"], Some("ReplicaSet")),
    (&["apps"], "StatefulSet", &["spec", "template"], Some("StatefulSet")),
    (&["apps", "extensions"], "DaemonSet", &["spec", "template"], Some("DaemonSet")),
    (&["batch"], "Job", &["spec", "template"], Some("Job")),
    (&["batch"], "CronJob", &["spec", "jobTemplate", "spec", "template"], Some("Job")),
];

/// How deep lists are looked into: a list of lists is odd enough.
const LIST_DEPTH: usize = 4;

/// All pod templates in `document`.
///
/// # Errors
///
/// The number of the item of a `List` that is no object.
pub(super) fn templates(document: &Value) -> Result<Vec<Template>, usize> {
    let mut found = Vec::new();
    collect(document, &PointerBuf::new(), None, LIST_DEPTH, &mut found)?;
    Ok(found)
}

fn collect(
    object: &Value,
    path: &PointerBuf,
    list: Option<(&str, &str)>,
    depth: usize,
    found: &mut Vec<Template>,
) -> Result<(), usize> {
    // The items of a typed list need not repeat what they are.
    let (of_version, of_kind) = list.unwrap_or_default();
    let version = object["apiVersion"].as_str().unwrap_or(of_version);
    let kind = object["kind"].as_str().unwrap_or(of_kind);
    if let Some(items) = object["items"].as_array().filter(|_| depth > 0 && is_list(version, kind)) {
        let of_kind = kind.strip_suffix("List").unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            if !item.is_object() {
                return Err(index + 1);
            }
            let path = below(path, &["items", &index.to_string()]);
            collect(item, &path, Some((version, of_kind)), depth - 1, found)?;
        }
        return Ok(());
    }
    let group = group(version);
    let known = KINDS.iter().find(|(groups, name, ..)| *name == kind && groups.contains(&group));
    if let Some((_, _, way, owner)) = known {
        let object_path = path.clone();
        let path = below(path, way);
        let is_there = way.iter().try_fold(object, |object, token| object.get(token)).is_some_and(Value::is_object);
        if is_there {
            found.push(Template { object: ObjectName::of(object, kind), path, object_path, owner: *owner });
        }
    }
    Ok(())
}

/// `v1` `List`, or the list of one of our kinds.
fn is_list(version: &str, kind: &str) -> bool {
    let group = group(version);
    kind == "List" && group.is_empty()
        || kind
            .strip_suffix("List")
            .is_some_and(|of| KINDS.iter().any(|(groups, name, ..)| *name == of && groups.contains(&group)))
}

fn group(version: &str) -> &str {
    version.split_once('/').map_or("", |(group, _)| group)
}

/// The `apiVersion` of an owner of this kind, as controllers write it today.
fn api_version(owner: &str) -> String {
    let groups = KINDS.iter().find(|(_, kind, ..)| *kind == owner).map(|(groups, ..)| *groups);
    match groups.and_then(<[_]>::first) {
        Some(group) if !group.is_empty() => format!("{group}/v1"),
        _ => "v1".to_owned(),
    }
}

fn below(path: &PointerBuf, tokens: &[&str]) -> PointerBuf {
    let mut path = path.clone();
    for token in tokens {
        path.push_back(*token);
    }
    path
}

fn prefixed(prefix: &PointerBuf, path: &Pointer) -> PointerBuf {
    let mut whole = prefix.clone();
    whole.append(path);
    whole
}

/// The rule of a `podFailurePolicy` that has this index, if it is one on exit codes.
///
/// Source: k8s.io/api, `batch/v1`, `PodFailurePolicyRule`.
fn exit_codes((index, rule): (usize, &Value)) -> Option<ExitCodes> {
    let on_exit_codes = rule["onExitCodes"].as_object()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let values = on_exit_codes.get("values").and_then(Value::as_array);
    Some(ExitCodes {
        rule: index + 1,
        action: text(&rule["action"]).unwrap_or_default(),
        container: on_exit_codes.get("containerName").and_then(text),
        inverted: on_exit_codes.get("operator").is_some_and(|operator| operator == "NotIn"),
        values: values.into_iter().flatten().filter_map(Value::as_i64).collect(),
    })
}

/// `operation` with each of its paths changed.
pub(super) fn with_paths(operation: &PatchOperation, mut change: impl FnMut(&mut PointerBuf)) -> PatchOperation {
    let mut operation = operation.clone();
    match &mut operation {
        PatchOperation::Add(add) => change(&mut add.path),
        PatchOperation::Remove(remove) => change(&mut remove.path),
        PatchOperation::Replace(replace) => change(&mut replace.path),
        PatchOperation::Test(test) => change(&mut test.path),
        PatchOperation::Move(shift) => {
            change(&mut shift.from);
            change(&mut shift.path);
        }
        PatchOperation::Copy(copy) => {
            change(&mut copy.from);
            change(&mut copy.path);
        }
    }
    operation
}

// === impl ObjectName ===

impl ObjectName {
    /// What `object`, which is a `kind`, is called.
    fn of(object: &Value, kind: &str) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().map(one_line).unwrap_or_default().into_owned();
        let generated = || metadata["generateName"].as_str().map(|name| format!("{}*", one_line(name)));
        let name = Some(text("name")).filter(|name| !name.is_empty()).or_else(generated);
        Self {
            kind: one_line(kind).into_owned(),
            namespace: text("namespace"),
            name: name.unwrap_or_else(|| "(without a name)".to_owned()),
        }
    }

    /// What the document as a whole is called.
    #[must_use]
    pub fn of_document(document: &Value) -> Self {
        Self::of(document, document["kind"].as_str().unwrap_or("(without a kind)"))
    }
}

/// `Deployment/shop/web`, or `Deployment/web` where the namespace is open.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

// === impl Template ===

impl Template {
    /// The pod that `document`'s template makes, as JSON for [`native_sidecar_core::conversion::convert`].
    ///
    /// A pod in the cluster names its controller, which the conversion looks at (a Job's pod is not treated
    /// like a Deployment's), so the pod shown names it too. It is never written to the document.
    #[must_use]
    pub fn pod(&self, document: &Value) -> String {
        let mut pod = document.pointer(self.path.as_str()).cloned().unwrap_or_default();
        if let (Some(owner), Some(fields)) = (self.owner, pod.as_object_mut()) {
            let metadata = fields.entry("metadata").or_insert(Value::Null);
            if metadata.is_null() {
                *metadata = Value::Object(Map::new());
            }
            if let Some(metadata) = metadata.as_object_mut() {
                let name = &self.object.name;
                let owner =
                    json!([{"apiVersion": api_version(owner), "kind": owner, "name": name, "controller": true}]);
                metadata.insert("ownerReferences".to_owned(), owner);
            }
        }
        pod.to_string()
    }

    /// What `document`, around the template, says about the containers of its pods.
    #[must_use]
    pub fn workload(&self, document: &Value) -> Workload {
        let object = document.pointer(self.object_path.as_str()).filter(|_| self.path != self.object_path);
        let annotations = object.and_then(|object| object["metadata"]["annotations"].as_object()).into_iter().flatten();
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        // Beside the template stands what the object says about its pods.
        let spec = self.path.parent().and_then(|spec| document.pointer(spec.as_str()));
        let is_job = self.owner == Some("Job");
        let rules = spec.filter(|_| is_job).and_then(|spec| spec["podFailurePolicy"]["rules"].as_array());
        Workload {
            annotations: annotations.filter_map(text).collect(),
            exit_codes: rules.into_iter().flatten().enumerate().filter_map(exit_codes).collect(),
        }
    }

    /// The keys of the annotations that the object has itself, where it is more than its template.
    pub fn own_annotations<'d>(&self, document: &'d Value) -> impl Iterator<Item = &'d str> {
        let object = document.pointer(self.object_path.as_str()).filter(|_| self.path != self.object_path);
        let annotations = object.and_then(|object| object["metadata"]["annotations"].as_object());
        annotations.into_iter().flat_map(Map::keys).map(String::as_str)
    }

    /// `patch`, made for the pod of [`Self::pod`], as a patch of `document`.
    ///
    /// # Errors
    ///
    /// When the patch touches what was only shown.
    pub fn patch_of_document(&self, patch: &Patch, document: &Value) -> Result<Patch, UnfitPatch> {
        let is_synthetic =
            |path: &Pointer| self.owner.is_some() && path.as_str().starts_with("/metadata/ownerReferences");
        if patch.0.iter().any(|operation| is_synthetic(operation.path())) {
            return Err(UnfitPatch);
        }
        let mut operations: Vec<_> =
            patch.0.iter().map(|operation| with_paths(operation, |path| *path = prefixed(&self.path, path))).collect();
        let metadata = below(&self.path, &["metadata"]);
        let has_metadata = document.pointer(metadata.as_str()).is_some_and(Value::is_object);
        let wants_it = patch.0.iter().any(|operation| operation.path().as_str().starts_with("/metadata/"));
        let brings_it = patch.0.iter().any(|operation| operation.path().as_str() == "/metadata");
        if wants_it && !has_metadata && !brings_it {
            let add = AddOperation { path: metadata, value: Value::Object(Map::new()) };
            operations.insert(0, PatchOperation::Add(add));
        }
        Ok(Patch(operations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn places(document: &Value) -> Vec<(String, String, Option<&'static str>)> {
        let found = templates(document).unwrap();
        found.into_iter().map(|t| (t.object.to_string(), t.path.to_string(), t.owner)).collect()
    }

    #[rstest]
    #[case("v1", "Pod", json!({}), "", None)]
    #[case("v1", "PodTemplate", json!({"template": {}}), "/template", Some("PodTemplate"))]
    #[case("v1", "ReplicationController", json!({"spec": {"template": {}}}), "/spec/template", Some("ReplicationController"))]
    #[case("apps/v1", "Deployment", json!({"spec": {"template": {}}}), "/spec/template", Some("ReplicaSet"))]
    #[case("extensions/v1beta1", "Deployment", json!({"spec": {"template": {}}}), "/spec/template", Some("ReplicaSet"))]
    #[case("apps/v1", "StatefulSet", json!({"spec": {"template": {}}}), "/spec/template", Some("StatefulSet"))]
    #[case("batch/v1", "Job", json!({"spec": {"template": {}}}), "/spec/template", Some("Job"))]
    #[case("batch/v1", "CronJob", json!({"spec": {"jobTemplate": {"spec": {"template": {}}}}}), "/spec/jobTemplate/spec/template", Some("Job"))]
    fn kinds(
        #[case] version: &str,
        #[case] kind: &str,
        #[case] mut object: Value,
        #[case] path: &str,
        #[case] owner: Option<&'static str>,
    ) {
        object["apiVersion"] = version.into();
        object["kind"] = kind.into();
        object["metadata"] = json!({"name": "x"});
        assert_eq!(places(&object), [(format!("{kind}/x"), path.to_owned(), owner)]);
    }

    #[rstest]
    #[case(json!({"apiVersion": "v1", "kind": "ConfigMap"}))]
    #[case(json!({"apiVersion": "serving.knative.dev/v1", "kind": "Deployment", "spec": {"template": {}}}))]
    #[case(json!({"apiVersion": "apps/v1", "kind": "Pod"}))]
    #[case(json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": null}}))]
    #[case(json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": []}))]
    #[case(json!({"kind": 1, "apiVersion": []}))]
    fn others(#[case] object: Value) {
        assert_eq!(places(&object), []);
    }

    #[test]
    fn lists() {
        let pod = json!({"metadata": {"generateName": "p-", "namespace": "n"}});
        let list = json!({"apiVersion": "v1", "kind": "PodList", "items": [pod]});
        let outer = json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Secret"}, list]});
        assert_eq!(places(&outer), [("Pod/n/p-*".to_owned(), "/items/1/items/0".to_owned(), None)]);
        assert_eq!(templates(&json!({"apiVersion": "v1", "kind": "List", "items": [{}, 1]})), Err(2));
    }

    #[rstest]
    #[case("Job", json!({"podFailurePolicy": {}}), &[])]
    #[case("Job", json!({"podFailurePolicy": {"rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "app", "operator": "NotIn", "values": [0, 3]}},
        {"action": "Count", "onExitCodes": {"operator": "In", "values": [1]}},
        {"onExitCodes": 5}
    ]}}), &["2 FailJob Some(\"app\") true [0, 3]", "3 Count None false [1]"])]
    #[case("CronJob", json!({"podFailurePolicy": {"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [4]}}
    ]}}), &["1 FailJob None false [4]"])]
    #[case("Deployment", json!({"podFailurePolicy": {"rules": [{"onExitCodes": {"values": [4]}}]}}), &[])]
    fn rules_on_exit_codes(#[case] kind: &str, #[case] mut spec: Value, #[case] expected: &[&str]) {
        spec["template"] = json!({});
        let spec = if kind == "CronJob" { json!({"jobTemplate": {"spec": spec}}) } else { spec };
        let version = if kind == "Deployment" { "apps/v1" } else { "batch/v1" };
        let metadata = json!({"annotations": {"a": "b", "c": 1}});
        let document = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
        let workload = templates(&document).unwrap()[0].workload(&document);
        assert_eq!(workload.annotations, [("a".to_owned(), "b".to_owned())].into());
        let text = |ExitCodes { rule, action, container, inverted, values }: &ExitCodes| {
            format!("{rule} {action} {container:?} {inverted} {values:?}")
        };
        assert_eq!(workload.exit_codes.iter().map(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_pod_has_no_workload() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": {"a": "b"}}});
        assert_eq!(templates(&pod).unwrap()[0].workload(&pod), Workload::default());
    }

    #[test]
    fn the_owner_is_shown_and_metadata_made_where_there_is_none() {
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": {}}}});
        let template = &templates(&job).unwrap()[0];
        let shown = r#"{"spec":{},"metadata":{"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"j","controller":true}]}}"#;
        assert_eq!(template.pod(&job), shown);
        let patch = |operations: Value| serde_json::from_value::<Patch>(operations).unwrap();
        let annotate = patch(json!([{"op": "add", "path": "/metadata/annotations", "value": {}}]));
        let expected = patch(json!([
            {"op": "add", "path": "/spec/template/metadata", "value": {}},
            {"op": "add", "path": "/spec/template/metadata/annotations", "value": {}},
        ]));
        assert_eq!(template.patch_of_document(&annotate, &job), Ok(expected));
        let unfit = patch(json!([{"op": "remove", "path": "/metadata/ownerReferences"}]));
        assert_eq!(template.patch_of_document(&unfit, &job), Err(UnfitPatch));
    }
}
