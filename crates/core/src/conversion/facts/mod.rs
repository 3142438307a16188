//! What is known about the cluster. Given to the conversion, never fetched by it.
//!
//! What the rules ask about nodes is summed up when the nodes are learnt, so that a review costs the same in a cluster
//! of one node and of thousands.

mod node;
mod nodes;

pub use node::{NodeObject, StrangeKubelet};
pub use nodes::Nodes;

use crate::{pod::Pod, version::Version};
use nodes::{Concern, Found};
use std::{collections::BTreeMap, fmt};

/// What is known about the cluster that a pod is for. What is not known is taken to be the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Version of the API server.
    pub server: Option<Version>,
    /// Whether the API server keeps `restartPolicy: Always` on an init container, proved by a dry run.
    pub keeps_restart_policy: Option<bool>,
    nodes: Nodes,
}

/// A node whose kubelet matters to a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its name; [`ClusterFacts::EVERY_NODE`] stands for all of them.
    pub name: String,
    /// Its kubelet's version.
    pub kubelet: Version,
}

/// A bug of some kubelets with startup probes of native sidecars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupProbeBug {
    /// kubernetes/kubernetes#132826: in pods that are never restarted, the application may never start.
    NeverRestarted,
    /// kubernetes/kubernetes#137146: once the kubelet restarts, a crashed application stays down.
    KubeletRestart,
}

// === impl ClusterFacts ===

impl ClusterFacts {
    /// Stands for all nodes where only one version is known for them.
    pub const EVERY_NODE: &'static str = "*";

    /// A cluster whose API server and nodes all run `version`.
    #[must_use]
    pub fn all_at(version: Version) -> Self {
        let nodes = BTreeMap::from([(Self::EVERY_NODE.to_owned(), version)]);
        Self { server: Some(version), ..Self::default() }.with_kubelets(nodes)
    }

    /// The same with other nodes, which were collected for the same kubelet floor.
    #[must_use]
    pub fn with_nodes(self, nodes: Nodes) -> Self {
        Self { nodes: nodes.with_floor(self.kubelet_floor()), ..self }
    }

    /// The same with other nodes, of which only the version of each one's kubelet is known, by its name: any of them may
    /// run any pod.
    #[must_use]
    pub fn with_kubelets(self, kubelets: BTreeMap<String, Version>) -> Self {
        Self { nodes: Nodes::of_versions(kubelets, self.kubelet_floor()), ..self }
    }

    /// The same with `floor` as the oldest kubelet that may run a converted pod.
    #[must_use]
    pub fn with_kubelet_floor(self, floor: Version) -> Self {
        Self { nodes: self.nodes.with_floor(floor), ..self }
    }

    /// Version of each node's kubelet, by node name.
    #[must_use]
    pub const fn kubelets(&self) -> &BTreeMap<String, Version> {
        self.nodes.kubelets()
    }

    /// The version of the oldest kubelet that may come to run `pod`, as far as it is known.
    #[must_use]
    pub fn oldest_kubelet(&self, pod: &Pod<'_>) -> Option<Version> {
        self.nodes.oldest_that_may_run(pod)
    }

    /// The oldest kubelet that may run a converted pod.
    #[must_use]
    pub const fn kubelet_floor(&self) -> Version {
        self.nodes.floor()
    }

    /// Whether the API server is known to be older than `version`.
    #[must_use]
    pub fn server_before(&self, version: Version) -> bool {
        self.server.is_some_and(|server| server < version)
    }

    /// A node that may run `pod` and is below the floor, and how many more there are.
    #[must_use]
    pub fn below_floor(&self, pod: &Pod<'_>) -> Option<(Node, usize)> {
        let found = self.nodes.that_may_run(pod, Concern::BelowFloor)?;
        Some((found.into(), found.others))
    }

    /// A node that may run `pod` and whose kubelet has `bug`.
    #[must_use]
    pub fn with_bug(&self, pod: &Pod<'_>, bug: StartupProbeBug) -> Option<Node> {
        let concern = match bug {
            StartupProbeBug::NeverRestarted if pod.spec.restart_policy != "Never" => return None,
            StartupProbeBug::NeverRestarted => Concern::NeverRestarted,
            StartupProbeBug::KubeletRestart => Concern::KubeletRestart,
        };
        self.nodes.that_may_run(pod, concern).map(Node::from)
    }

    /// A node that may run `pod` and whose kubelet does not enforce a sidecar's own limit on ephemeral storage. No kubelet
    /// is newer than its API server.
    #[must_use]
    pub fn ignoring_storage_limits(&self, pod: &Pod<'_>) -> Option<Node> {
        if self.kubelets().is_empty() {
            let kubelet =
                self.server.filter(|server| Concern::StorageLimits.is_about(*server, self.kubelet_floor()))?;
            return Some(Node { name: Self::EVERY_NODE.to_owned(), kubelet });
        }
        self.nodes.that_may_run(pod, Concern::StorageLimits).map(Node::from)
    }
}

/// Nothing known: the newest Kubernetes, and the floor at the first version that runs native sidecars by default.
impl Default for ClusterFacts {
    fn default() -> Self {
        Self { server: None, keeps_restart_policy: None, nodes: Nodes::new(Version::new(1, 29, 0)) }
    }
}

// === impl Node ===

/// The node as it is named in a sentence.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.name {
            ClusterFacts::EVERY_NODE => f.write_str("every node"),
            name => write!(f, "node {name}"),
        }
    }
}

impl From<Found<'_>> for Node {
    fn from(Found { name, kubelet, .. }: Found<'_>) -> Self {
        Self { name: name.to_owned(), kubelet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ClusterFacts {
        let kubelets = [("a", 28, 0), ("b", 33, 9), ("c", 35, 1), ("d", 28, 1), ("e", 36, 0)];
        let kubelets = kubelets.map(|(node, minor, patch)| (node.to_owned(), Version::new(1, minor, patch)));
        ClusterFacts::default().with_kubelets(kubelets.into())
    }

    fn with_pod<T>(spec: &str, ask: impl Fn(&Pod<'_>) -> T) -> T {
        ask(&Pod::parse(&format!(r#"{{"spec":{spec}}}"#)).unwrap())
    }

    #[test]
    fn only_the_pinned_node_counts_where_there_is_one() {
        let below =
            |spec: &str| with_pod(spec, |pod| facts().below_floor(pod)).map(|(node, others)| (node.name, others));
        assert_eq!(below("{}"), Some(("a".to_owned(), 1)));
        assert_eq!(below(r#"{"nodeName":"new"}"#), Some(("a".to_owned(), 1)));
        assert_eq!(below(r#"{"nodeName":"d"}"#), Some(("d".to_owned(), 0)));
        assert_eq!(below(r#"{"nodeName":"b"}"#), None);
    }

    #[test]
    fn bugs_are_those_of_the_nodes_that_count() {
        let bug = |spec: &str, bug| with_pod(spec, |pod| facts().with_bug(pod, bug)).map(|node| node.name);
        assert_eq!(bug("{}", StartupProbeBug::KubeletRestart).as_deref(), Some("c"));
        assert_eq!(bug("{}", StartupProbeBug::NeverRestarted), None);
        assert_eq!(bug(r#"{"restartPolicy":"Never"}"#, StartupProbeBug::NeverRestarted).as_deref(), Some("a"));
        assert_eq!(bug(r#"{"nodeName":"e"}"#, StartupProbeBug::KubeletRestart), None);
    }

    #[test]
    fn a_sidecars_storage_limit_counts_from_1_37_on() {
        let ignoring = |facts: &ClusterFacts, spec: &str| {
            with_pod(spec, |pod| facts.ignoring_storage_limits(pod)).map(|node| (node.name, node.kubelet.minor))
        };
        let [old, new] = [36, 37].map(|minor| Version::new(1, minor, 0));
        assert_eq!(ignoring(&facts(), "{}"), Some(("a".to_owned(), 28)));
        assert_eq!(ignoring(&ClusterFacts::default(), "{}"), None);
        assert_eq!(ignoring(&ClusterFacts::all_at(new), "{}"), None);
        let mixed = ClusterFacts::all_at(new).with_kubelets([("old".to_owned(), old), ("new".to_owned(), new)].into());
        assert_eq!(ignoring(&mixed, "{}"), Some(("old".to_owned(), 36)));
        assert_eq!(ignoring(&mixed, r#"{"nodeName":"new"}"#), None);
        let only_server = ClusterFacts { server: Some(old), ..ClusterFacts::default() };
        assert_eq!(ignoring(&only_server, "{}"), Some(("*".to_owned(), 36)));
    }

    #[test]
    fn another_floor_counts_anew() {
        let facts = facts().with_kubelet_floor(Version::new(1, 36, 0));
        assert_eq!(with_pod("{}", |pod| facts.below_floor(pod)).map(|(_, others)| others), Some(3));
        assert_eq!(facts, facts.clone().with_kubelets(facts.kubelets().clone()));
    }
}
