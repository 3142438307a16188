//! The table of which pods may run on which nodes.

use crate::yaml;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// `tests/placement/table.yaml`.
#[derive(Debug)]
pub struct Table {
    /// `Node` objects.
    pub nodes: Vec<Value>,
    /// Pods, and where they may run.
    pub pods: Vec<Row>,
}

/// A pod, and where it may run.
#[derive(Debug)]
pub struct Row {
    /// What it shows, as one sentence.
    pub shows: String,
    /// The pod; of its spec, no more than what places it.
    pub pod: Value,
    /// The names of the nodes that it may run on.
    pub runs_on: Vec<String>,
}

/// A row as it is written: `affinity` are the terms of the required node affinity.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    shows: String,
    #[serde(default)]
    spec: Option<Value>,
    affinity: Option<Value>,
    tolerations: Option<Value>,
    runs_on: Vec<String>,
}

/// Reads the table.
///
/// # Panics
///
/// When it is not there, or is none.
#[must_use]
pub fn table() -> Table {
    let file = yaml(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../placement/table.yaml"));
    let rows: Vec<Written> = serde_json::from_value(file["pods"].clone()).unwrap();
    Table { nodes: file["nodes"].as_array().unwrap().clone(), pods: rows.into_iter().map(Row::from).collect() }
}

impl From<Written> for Row {
    fn from(written: Written) -> Self {
        let mut spec = written.spec.unwrap_or_else(|| json!({}));
        if let Some(terms) = written.affinity {
            let required = json!({"nodeSelectorTerms": terms});
            spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
        }
        if let Some(tolerations) = written.tolerations {
            spec["tolerations"] = tolerations;
        }
        Self { shows: written.shows, pod: json!({"spec": spec}), runs_on: written.runs_on }
    }
}
