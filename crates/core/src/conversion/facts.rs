//! What is known about the cluster. Given to the conversion, never fetched by it.
//!
//! What the rules ask about nodes is summed up when the nodes are learnt, so that a review costs the same in a cluster
//! of one node and of thousands.

use crate::{pod::Pod, version::Version};
use std::{collections::BTreeMap, fmt};

/// What is known about the cluster that a pod is for. What is not known is taken to be the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Version of the API server.
    pub server: Option<Version>,
    /// Whether the API server keeps `restartPolicy: Always` on an init container, proved by a dry run.
    pub keeps_restart_policy: Option<bool>,
    kubelets: BTreeMap<String, Version>,
    kubelet_floor: Version,
    summary: Summary,
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

/// What all nodes together come to: of each kind the first by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Summary {
    below_floor: Option<Node>,
    /// How many more nodes are below the floor.
    others_below_floor: usize,
    never_restarted: Option<Node>,
    kubelet_restart: Option<Node>,
    ignores_storage_limits: Option<Node>,
}

/// The first kubelet that enforces a sidecar's own limit on ephemeral storage (kubernetes/kubernetes#138462).
const ENFORCES_STORAGE_LIMITS: Version = Version::new(1, 37, 0);

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

    /// The same with other nodes: the version of each one's kubelet, by its name.
    #[must_use]
    pub fn with_kubelets(self, kubelets: BTreeMap<String, Version>) -> Self {
        Self { summary: Summary::of(&kubelets, self.kubelet_floor), kubelets, ..self }
    }

    /// The same with `floor` as the oldest kubelet that may run a converted pod.
    #[must_use]
    pub fn with_kubelet_floor(self, floor: Version) -> Self {
        Self { summary: Summary::of(&self.kubelets, floor), kubelet_floor: floor, ..self }
    }

    /// Version of each node's kubelet, by node name.
    #[must_use]
    pub const fn kubelets(&self) -> &BTreeMap<String, Version> {
        &self.kubelets
    }

    /// The oldest kubelet that may run a converted pod.
    #[must_use]
    pub const fn kubelet_floor(&self) -> Version {
        self.kubelet_floor
    }

    /// Whether the API server is known to be older than `version`.
    #[must_use]
    pub fn server_before(&self, version: Version) -> bool {
        self.server.is_some_and(|server| server < version)
    }

    /// A node that may run `pod` and is below the floor, and how many more there are.
    #[must_use]
    pub fn below_floor(&self, pod: &Pod<'_>) -> Option<(Node, usize)> {
        match self.pinned(pod) {
            Some(node) => Some((node, 0)).filter(|(node, _)| node.kubelet < self.kubelet_floor),
            None => Some((self.summary.below_floor.clone()?, self.summary.others_below_floor)),
        }
    }

    /// A node that may run `pod` and whose kubelet has `bug`.
    #[must_use]
    pub fn with_bug(&self, pod: &Pod<'_>, bug: StartupProbeBug) -> Option<Node> {
        if bug == StartupProbeBug::NeverRestarted && pod.spec.restart_policy != "Never" {
            return None;
        }
        match (self.pinned(pod), bug) {
            (Some(node), _) => Some(node).filter(|node| bug.is_in(node.kubelet)),
            (None, StartupProbeBug::NeverRestarted) => self.summary.never_restarted.clone(),
            (None, StartupProbeBug::KubeletRestart) => self.summary.kubelet_restart.clone(),
        }
    }

    /// A node that may run `pod` and whose kubelet does not enforce a sidecar's own limit on ephemeral storage. No kubelet
    /// is newer than its API server.
    #[must_use]
    pub fn ignoring_storage_limits(&self, pod: &Pod<'_>) -> Option<Node> {
        match self.pinned(pod) {
            Some(node) => Some(node).filter(|node| node.kubelet < ENFORCES_STORAGE_LIMITS),
            None if self.kubelets.is_empty() => {
                let kubelet = self.server.filter(|server| *server < ENFORCES_STORAGE_LIMITS)?;
                Some(Node { name: Self::EVERY_NODE.to_owned(), kubelet })
            }
            None => self.summary.ignores_storage_limits.clone(),
        }
    }

    /// The node that `spec.nodeName` names, where it is known.
    fn pinned(&self, pod: &Pod<'_>) -> Option<Node> {
        let (name, kubelet) = self.kubelets.get_key_value(&*pod.spec.node_name)?;
        Some(Node { name: name.clone(), kubelet: *kubelet })
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
            summary: Summary::default(),
        }
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

// === impl StartupProbeBug ===

impl StartupProbeBug {
    /// Whether a kubelet of `version` has the bug.
    const fn is_in(self, version: Version) -> bool {
        match self {
            Self::KubeletRestart => matches!((version.major, version.minor, version.patch), (1, 35, 0..=3)),
            Self::NeverRestarted => {
                matches!((version.major, version.minor, version.patch), (1, ..=32, _) | (1, 33, ..=5) | (1, 34, ..=1))
            }
        }
    }
}

// === impl Summary ===

impl Summary {
    fn of(kubelets: &BTreeMap<String, Version>, floor: Version) -> Self {
        let node = |(name, kubelet): (&String, &Version)| Node { name: name.clone(), kubelet: *kubelet };
        let first_of =
            |counts: &dyn Fn(Version) -> bool| kubelets.iter().find(|(_, kubelet)| counts(**kubelet)).map(node);
        let first = |bug: StartupProbeBug| first_of(&|kubelet| bug.is_in(kubelet));
        let mut below = kubelets.iter().filter(|(_, kubelet)| **kubelet < floor);
        Self {
            below_floor: below.next().map(node),
            others_below_floor: below.count(),
            never_restarted: first(StartupProbeBug::NeverRestarted),
            kubelet_restart: first(StartupProbeBug::KubeletRestart),
            ignores_storage_limits: first_of(&|kubelet| kubelet < ENFORCES_STORAGE_LIMITS),
        }
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
