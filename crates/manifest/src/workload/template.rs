//! A pod template: the pod that it makes, what stands around it, and patches for it.

use super::{ObjectName, below};
use json_patch::{
    AddOperation, Patch, PatchOperation,
    jsonptr::{Pointer, PointerBuf},
};
use native_sidecar_core::conversion::{ExitCodes, Known, Settings, Workload};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A pod template, and where it is in its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The object that the template belongs to.
    pub object: ObjectName,
    /// The way to the template in the document; empty for a document that is itself a Pod.
    pub path: PointerBuf,
    /// The way to the object in the document; empty but for an object in a list or in another object.
    pub object_path: PointerBuf,
    /// The object that will control the pods; `None` where the document is the pod.
    pub owner: Option<Owner>,
    /// Why it is taken for a pod template.
    pub basis: Basis,
}

/// Why something is taken for a pod template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The kind of the object is known.
    Kind,
    /// It looks like one and has an annotation of ours: the kind of the object is not known, so nothing else counts.
    Annotation,
    /// It stands at the end of this one of [`super::Search::paths`].
    Path(usize),
}

/// The object that controls pods, as their `ownerReferences` name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
}

/// A patch that does not fit the template it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the patch would change metadata.ownerReferences, which were only shown to the conversion")]
pub struct UnfitPatch;

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
pub(crate) fn with_paths(operation: &PatchOperation, mut change: impl FnMut(&mut PointerBuf)) -> PatchOperation {
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

// === impl Owner ===

impl Owner {
    /// Whether it is a Job of Kubernetes.
    fn is_job(&self) -> bool {
        self.kind == "Job" && self.api_version.starts_with("batch/")
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
        if let (Some(Owner { api_version, kind }), Some(fields)) = (&self.owner, pod.as_object_mut()) {
            let metadata = fields.entry("metadata").or_insert(Value::Null);
            if metadata.is_null() {
                *metadata = Value::Object(Map::new());
            }
            if let Some(metadata) = metadata.as_object_mut() {
                let name = &self.object.name;
                let owner = json!([{"apiVersion": api_version, "kind": kind, "name": name, "controller": true}]);
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
        self.workload_of(document, annotations.filter_map(text).collect())
    }

    /// Shows each of `templates`, which are those of `document`, to `visit`, with the settings for it, of those that were given
    /// for all: see [`Self::settings`] and [`Self::workload`].
    ///
    /// # Errors
    ///
    /// The first of `visit`.
    pub fn each<'t, E>(
        templates: &'t [Self],
        document: &Value,
        settings: Settings<'_>,
        mut visit: impl FnMut(&'t Self, Settings<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut before: Option<(&Self, Workload)> = None;
        for template in templates {
            let workload = match before.take() {
                // An object may have many templates and many annotations.
                Some((other, workload)) if other.is_of_the_object_of(template) => {
                    template.workload_of(document, workload.annotations)
                }
                _ => template.workload(document),
            };
            visit(template, template.settings(Settings { workload: Some(&workload), ..settings }))?;
            before = Some((template, workload));
        }
        Ok(())
    }

    fn is_of_the_object_of(&self, other: &Self) -> bool {
        let is_whole = |template: &Self| template.path == template.object_path;
        self.object_path == other.object_path && is_whole(self) == is_whole(other)
    }

    fn workload_of(&self, document: &Value, annotations: BTreeMap<String, String>) -> Workload {
        // Beside the template stands what the object says about its pods.
        let spec = self.path.parent().and_then(|spec| document.pointer(spec.as_str()));
        let is_job = self.owner.as_ref().is_some_and(Owner::is_job);
        let rules = spec.filter(|_| is_job).and_then(|spec| spec["podFailurePolicy"]["rules"].as_array());
        Workload { annotations, exit_codes: rules.into_iter().flatten().enumerate().filter_map(exit_codes).collect() }
    }

    /// The settings for the template, of those that were given for all.
    ///
    /// What is asked for on a command line, and not in the template, is asked for kinds that are known and for places that were
    /// named.
    #[must_use]
    pub fn settings<'s>(&self, settings: Settings<'s>) -> Settings<'s> {
        match self.basis {
            Basis::Annotation => Settings { known: Known::Stay, containers: None, ..settings },
            Basis::Kind | Basis::Path(_) => settings,
        }
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
