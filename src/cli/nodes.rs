//! The nodes of a cluster from a file, for the offline commands.

use super::input::{self, InputError};
use native_sidecar_core::{
    conversion::{NodeObject, Nodes},
    text::joined,
    version::Version,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Why there are no nodes.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// The file could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file is none of nodes.
    #[error("{path} is not understood: {reason}; give what `kubectl get nodes -o json` prints", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A node, or a list as kubectl (`List`) or the API server (`NodeList`) writes it.
#[derive(Deserialize)]
struct Item {
    kind: Option<String>,
    #[serde(flatten)]
    node: Map<String, Value>,
}

/// Reads the nodes in the file at `path`, where `floor` is the oldest kubelet that may run a converted pod.
///
/// # Errors
///
/// When the file cannot be read, or is no list of nodes in JSON.
pub fn read(path: &Path, floor: Version) -> Result<Nodes, NodesError> {
    let bytes = input::read(path)?;
    let format = |reason: String| NodesError::Format { path: path.to_owned(), reason };
    let Item { kind, node } = serde_json::from_slice(&bytes).map_err(|error| format(joined(&error.to_string())))?;
    let items = match kind.as_deref() {
        Some("List" | "NodeList") => items_of(node).map_err(format)?,
        Some("Node") => vec![Item { kind, node }],
        Some(kind) => return Err(format(format!("it is a {kind}, and no list of nodes"))),
        None => return Err(format("it has no kind".to_owned())),
    };
    if items.is_empty() {
        return Err(format("it has no nodes".to_owned()));
    }
    let mut nodes = Nodes::new(floor);
    for (index, item) in items.into_iter().enumerate() {
        match item.kind.as_deref() {
            None | Some("Node") => {}
            Some(kind) => return Err(format(format!("items[{index}] is a {kind}"))),
        }
        let node = NodeObject::deserialize(Value::Object(item.node));
        nodes.add(node.map_err(|error| format(format!("items[{index}]: {error}")))?);
    }
    Ok(nodes)
}

fn items_of(mut list: Map<String, Value>) -> Result<Vec<Item>, String> {
    let items = list.remove("items").unwrap_or_default();
    serde_json::from_value::<Option<Vec<Item>>>(items)
        .map(Option::unwrap_or_default)
        .map_err(|error| format!("items: {error}"))
}
