//! The nodes of a cluster from a file, for the offline commands.

use super::input::{self, InputError};
use native_sidecar_core::{
    conversion::{NodeObject, Nodes, StrangeKubelet},
    text::joined,
    version::Version,
};
use serde::Deserialize;
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

/// The nodes in a file.
#[derive(Debug)]
pub struct NodesFile {
    /// Those whose kubelet's version is one of Kubernetes.
    pub nodes: Nodes,
    /// All others, which are left out of account.
    pub strange: Vec<StrangeKubelet>,
}

/// A list as kubectl (`List`) or the API server (`NodeList`) writes it.
#[derive(Deserialize)]
struct List {
    kind: String,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    kind: Option<String>,
    #[serde(flatten)]
    node: serde_json::Map<String, serde_json::Value>,
}

/// Reads the nodes in the file at `path`, where `floor` is the oldest kubelet that may run a converted pod.
///
/// # Errors
///
/// When the file cannot be read, or is no list of nodes in JSON.
pub fn read(path: &Path, floor: Version) -> Result<NodesFile, NodesError> {
    let bytes = input::read(path)?;
    let format = |reason: String| NodesError::Format { path: path.to_owned(), reason };
    let list: List = serde_json::from_slice(&bytes).map_err(|error| format(joined(&error.to_string())))?;
    if !matches!(&*list.kind, "List" | "NodeList") {
        return Err(format(format!("it is a {}, and no list of nodes", list.kind)));
    }
    let mut file = NodesFile { nodes: Nodes::new(floor), strange: Vec::new() };
    for (index, item) in list.items.into_iter().enumerate() {
        match item.kind.as_deref() {
            None | Some("Node") => {}
            Some(kind) => return Err(format(format!("items[{index}] is a {kind}"))),
        }
        let node = NodeObject::deserialize(serde_json::Value::Object(item.node));
        let node = node.map_err(|error| format(format!("items[{index}]: {error}")))?;
        file.strange.extend(file.nodes.add(node).err());
    }
    Ok(file)
}
