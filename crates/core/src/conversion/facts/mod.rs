//! What is known about the cluster. Given to the conversion, never fetched by it.
//!
//! What the rules ask about nodes is summed up when the nodes are learnt, so that a review costs the same in a cluster
//! of one node and of thousands.

mod node;
mod nodes;

pub use node::NodeObject;
pub use nodes::Nodes;

use crate::{pod::Pod, version::Version};
use nodes::{Concern, Found};
use std::{cell::OnceCell, collections::BTreeMap, fmt};

/// What is known about the cluster that a pod is for. What is not known is taken to be the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Version of the API server.
    pub server: Option<Version>,
    /// Whether the API server keeps `restartPolicy: Always` on an init container, proved by a dry run.
    pub keeps_restart_policy: Option<bool>,
    nodes: Nodes,
}

/// What is known about the cluster, for one pod: which nodes may run it is worked out once for all that ask.
#[derive(Debug)]
pub struct PodFacts<'p> {
    cluster: &'p ClusterFacts,
    pod: &'p Pod<'p>,
    found: [OnceCell<Option<Found<'p>>>; Concern::ALL.len()],
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

    /// Which nodes were left out of account and why, as a sentence; `None` where there are none.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let names = self.nodes.strange().join(", ");
        let why = "left out of account, as their kubelets' versions are none of Kubernetes";
        (!names.is_empty()).then(|| format!("{why}: {names}"))
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

    /// The same for `pod`.
    #[must_use]
    pub fn for_pod<'p>(&'p self, pod: &'p Pod<'p>) -> PodFacts<'p> {
        PodFacts { cluster: self, pod, found: Default::default() }
    }
}

/// Nothing known: the newest Kubernetes, and the floor at the first version that runs native sidecars by default.
impl Default for ClusterFacts {
    fn default() -> Self {
        Self { server: None, keeps_restart_policy: None, nodes: Nodes::new(Version::new(1, 29, 0)) }
    }
}

// === impl PodFacts ===

impl<'p> PodFacts<'p> {
    /// Whether the API server is known to be older than `version`.
    #[must_use]
    pub fn server_before(&self, version: Version) -> bool {
        self.cluster.server_before(version)
    }

    /// A node that may run the pod and is below the floor, and how many more there are.
    #[must_use]
    pub fn below_floor(&self) -> Option<(Node, usize)> {
        let found = self.found(Concern::BelowFloor)?;
        Some((found.into(), found.others))
    }

    /// A node that may run the pod and whose kubelet has `bug`.
    #[must_use]
    pub fn with_bug(&self, bug: StartupProbeBug) -> Option<Node> {
        let concern = match bug {
            StartupProbeBug::NeverRestarted if self.pod.spec.restart_policy != "Never" => return None,
            StartupProbeBug::NeverRestarted => Concern::NeverRestarted,
            StartupProbeBug::KubeletRestart => Concern::KubeletRestart,
        };
        self.found(concern).map(Node::from)
    }

    /// A node that may run the pod and whose kubelet does not enforce a sidecar's own limit on ephemeral storage. No
    /// kubelet is newer than its API server.
    #[must_use]
    pub fn ignoring_storage_limits(&self) -> Option<Node> {
        let ClusterFacts { server, nodes, .. } = self.cluster;
        if nodes.kubelets().is_empty() {
            let kubelet = server.filter(|server| Concern::StorageLimits.is_about(*server, nodes.floor()))?;
            return Some(Node { name: ClusterFacts::EVERY_NODE.to_owned(), kubelet });
        }
        self.found(Concern::StorageLimits).map(Node::from)
    }

    /// The version of the oldest kubelet that may come to run the pod, as far as it is known. Above the floor the nodes are
    /// not told apart.
    #[must_use]
    pub fn oldest_kubelet(&self) -> Option<Version> {
        let nodes = &self.cluster.nodes;
        let pinned = || nodes.kubelets().get(&*self.pod.spec.node_name).copied();
        let others = || nodes.kubelets().values().copied().filter(|kubelet| *kubelet >= nodes.floor()).min();
        self.found(Concern::BelowFloor).map(|found| found.oldest).or_else(pinned).or_else(others)
    }

    fn found(&self, concern: Concern) -> Option<Found<'p>> {
        *self.found[concern as usize].get_or_init(|| self.cluster.nodes.that_may_run(self.pod, concern))
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
#[allow(
    clippy::redundant_closure_for_method_calls,
    reason = "a method for one lifetime is no function for all of them"
)]
mod tests {
    use super::*;

    fn facts() -> ClusterFacts {
        let kubelets = [("a", 28, 0), ("b", 33, 9), ("c", 35, 1), ("d", 28, 1), ("e", 36, 0)];
        let kubelets = kubelets.map(|(node, minor, patch)| (node.to_owned(), Version::new(1, minor, patch)));
        ClusterFacts::default().with_kubelets(kubelets.into())
    }

    fn with_pod<T>(facts: &ClusterFacts, spec: &str, ask: impl Fn(&PodFacts<'_>) -> T) -> T {
        ask(&facts.for_pod(&Pod::parse(&format!(r#"{{"spec":{spec}}}"#)).unwrap()))
    }

    #[test]
    fn only_the_pinned_node_counts_where_there_is_one() {
        let below = |spec: &str| {
            with_pod(&facts(), spec, |facts| facts.below_floor()).map(|(node, others)| (node.name, others))
        };
        assert_eq!(below("{}"), Some(("a".to_owned(), 1)));
        assert_eq!(below(r#"{"nodeName":"new"}"#), Some(("a".to_owned(), 1)));
        assert_eq!(below(r#"{"nodeName":"d"}"#), Some(("d".to_owned(), 0)));
        assert_eq!(below(r#"{"nodeName":"b"}"#), None);
    }

    #[test]
    fn bugs_are_those_of_the_nodes_that_count() {
        let bug = |spec: &str, bug| with_pod(&facts(), spec, |facts| facts.with_bug(bug)).map(|node| node.name);
        assert_eq!(bug("{}", StartupProbeBug::KubeletRestart).as_deref(), Some("c"));
        assert_eq!(bug("{}", StartupProbeBug::NeverRestarted), None);
        assert_eq!(bug(r#"{"restartPolicy":"Never"}"#, StartupProbeBug::NeverRestarted).as_deref(), Some("a"));
        assert_eq!(bug(r#"{"nodeName":"e"}"#, StartupProbeBug::KubeletRestart), None);
    }

    #[test]
    fn a_sidecars_storage_limit_counts_from_1_37_on() {
        let ignoring = |facts: &ClusterFacts, spec: &str| {
            with_pod(facts, spec, |facts| facts.ignoring_storage_limits()).map(|node| (node.name, node.kubelet.minor))
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
        assert_eq!(with_pod(&facts, "{}", |facts| facts.below_floor()).map(|(_, others)| others), Some(3));
        assert_eq!(facts, facts.clone().with_kubelets(facts.kubelets().clone()));
    }
}
