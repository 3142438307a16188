//! The repository's own manifests, rendered by kubectl as a user would.

use super::kubectl::kubectl;
use native_sidecar_core::version::Version;
use serde_json::Value;
use std::{path::Path, sync::LazyLock};

/// What the default overlay consists of.
pub(crate) fn self_managed() -> &'static [Value] {
    static OBJECTS: LazyLock<Vec<Value>> = LazyLock::new(|| overlay("self-managed"));
    &OBJECTS
}

/// What is to be applied to a cluster of this version.
pub(crate) fn for_version(version: Version) -> Vec<Value> {
    if version < Version::new(1, 30, 0) { overlay("kubernetes-1.29") } else { self_managed().to_vec() }
}

/// What an overlay consists of.
pub(crate) fn overlay(name: &str) -> Vec<Value> {
    render(&Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/overlays").join(name))
}

/// The one object of this kind in an overlay.
pub(crate) fn one(overlay: &[Value], kind: &str) -> Value {
    let found = overlay.iter().find(|object| object["kind"] == kind);
    found.unwrap_or_else(|| panic!("the manifests have no {kind}")).clone()
}

fn render(folder: &Path) -> Vec<Value> {
    let output = kubectl().arg("kustomize").arg(folder).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl kustomize {}: {error}", folder.display());
    documents(&String::from_utf8(output.stdout).unwrap())
}

/// The documents of a YAML file that kubectl wrote.
pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap()
}
