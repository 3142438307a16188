//! What is known about the cluster. Given to the conversion, never fetched by it.

use crate::{pod::Pod, version::Version};
use std::collections::BTreeMap;

/// What is known about the cluster that a pod is for. What is not known is taken to be the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Version of the API server.
    pub server: Option<Version>,
    /// Whether the API server keeps `restartPolicy: Always` on an init container, proved by a dry run.
    pub keeps_restart_policy: Option<bool>,
    /// Version of each node's kubelet, by node name.
    pub kubelets: BTreeMap<String, Version>,
    /// The oldest kubelet that may run a converted pod.
    pub kubelet_floor: Version,
}

// === impl ClusterFacts ===

impl ClusterFacts {
    /// Stands for all nodes where only one version is known for them.
    pub const EVERY_NODE: &'static str = "*";

    /// A cluster whose API server and nodes all run `version`.
    #[must_use]
    pub fn all_at(version: Version) -> Self {
        Self {
            server: Some(version),
            kubelets: BTreeMap::from([(Self::EVERY_NODE.to_owned(), version)]),
            ..Self::default()
        }
    }

    /// Whether the API server is known to be older than `version`.
    #[must_use]
    pub fn server_before(&self, version: Version) -> bool {
        self.server.is_some_and(|server| server < version)
    }

    /// The kubelets that may run `pod`, by node: the pinned one where `spec.nodeName` names a known node, else all.
    pub fn eligible<'f>(&'f self, pod: &Pod<'_>) -> impl Iterator<Item = (&'f str, Version)> + use<'f> {
        let pinned = self.kubelets.get_key_value(&*pod.spec.node_name);
        let others = self.kubelets.iter().filter(move |_| pinned.is_none());
        pinned.into_iter().chain(others).map(|(node, version)| (node.as_str(), *version))
    }
}

/// Nothing known: the newest Kubernetes, and the floor at the first version that runs native sidecars by default.
impl Default for ClusterFacts {
    fn default() -> Self {
        Self {
            server: None,
            keeps_restart_policy: None,
            kubelets: BTreeMap::new(),
            kubelet_floor: Version::new(1, 29, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pinned_node_counts_where_there_is_one() {
        let kubelets = [("a", Version::new(1, 28, 0)), ("b", Version::new(1, 33, 0))];
        let kubelets = kubelets.map(|(node, version)| (node.to_owned(), version)).into();
        let facts = ClusterFacts { kubelets, ..ClusterFacts::default() };
        let eligible = |spec: &str| {
            let json = format!(r#"{{"spec":{spec}}}"#);
            facts.eligible(&Pod::parse(&json).unwrap()).map(|(node, _)| node.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(eligible("{}"), ["a", "b"]);
        assert_eq!(eligible(r#"{"nodeName":"b"}"#), ["b"]);
        assert_eq!(eligible(r#"{"nodeName":"new"}"#), ["a", "b"]);
    }
}
