//! `result.yaml`: what comes out of a case, in the form in which a person reads it.

use crate::{Case, patched};
use json_patch::Patch;
use native_sidecar_core::findings::Finding;
use native_sidecar_manifest::to_yaml;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use similar::TextDiff;
use std::{env, fmt::Write as _, fs, path::Path};

/// The file in a case's directory.
pub const RESULT: &str = "result.yaml";

/// What comes out of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// `converted`, `blocked` and so on.
    pub decision: String,
    /// One finding each: severity, code, container, message.
    pub findings: Vec<String>,
    /// The findings that held the pod back, likewise.
    pub reasons: Vec<String>,
    /// Empty where nothing changes.
    pub patch: Patch,
    /// What the patch does to the pod: the difference of the pod as YAML; empty where nothing changes.
    pub difference: String,
}

/// As it stands in the file: every key but the first is left out where it has nothing to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    decision: String,
    #[serde(default)]
    findings: Vec<String>,
    #[serde(default)]
    reasons: Vec<String>,
    /// One operation a line, as JSON: YAML has no form for some of its numbers.
    #[serde(default)]
    patch: String,
    #[serde(default)]
    difference: String,
}

/// Whether the results are to be written anew.
pub fn is_update() -> bool {
    env::var_os("UPDATE_CASES").is_some()
}

// === impl Recorded ===

impl Recorded {
    /// What the pure function makes of `case` now, with the patch applied to the pod.
    pub fn of(case: &Case) -> Self {
        let conversion = case.convert();
        let lines = |findings: &[Finding]| -> Vec<String> {
            findings.iter().map(|finding| format!("{} {finding}", finding.severity())).collect()
        };
        Self {
            decision: conversion.decision.as_str().to_owned(),
            findings: lines(&conversion.findings),
            reasons: lines(&conversion.reasons),
            difference: difference(&case.pod, &conversion.patch),
            patch: conversion.patch,
        }
    }

    /// What is recorded in the case's `directory`.
    pub fn read(directory: &Path) -> Self {
        let path = directory.join(RESULT);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file: File = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self {
            decision: file.decision,
            findings: file.findings,
            reasons: file.reasons,
            patch: Patch(file.patch.lines().map(|operation| serde_json::from_str(operation).unwrap()).collect()),
            difference: file.difference,
        }
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut head = Map::from_iter([("decision".to_owned(), json!(self.decision))]);
        for (key, lines) in [("findings", &self.findings), ("reasons", &self.reasons)] {
            if !lines.is_empty() {
                head.insert(key.to_owned(), json!(lines));
            }
        }
        let mut text = to_yaml(&Value::Object(head));
        let operations: String =
            self.patch.iter().map(|operation| serde_json::to_string(operation).unwrap() + "\n").collect();
        for (key, block) in [("patch", &operations), ("difference", &self.difference)] {
            if !block.is_empty() {
                writeln!(text, "{key}: |").unwrap();
                block.lines().for_each(|line| writeln!(text, "  {line}").unwrap());
            }
        }
        text
    }
}

/// The unified diff of `pod` as YAML before and after `patch`.
fn difference(pod: &str, patch: &Patch) -> String {
    if patch.is_empty() {
        return String::new();
    }
    let before = to_yaml(&serde_json::from_str(pod).unwrap());
    let after = to_yaml(&patched(pod, patch));
    TextDiff::from_lines(&before, &after).unified_diff().context_radius(3).to_string()
}
