//! One node, as the API server has it.

use crate::{
    pod::{HOSTNAME, NodeLabels, Pod, Taint, null_is_default},
    text::one_line,
    version::Version,
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A `Node` as the API server writes it in JSON, as far as it is read here: a node's list of images alone is longer than all
/// of this.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeObject {
    metadata: Metadata,
    #[serde(deserialize_with = "null_is_default")]
    spec: Spec,
    #[serde(deserialize_with = "null_is_default")]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    #[serde(deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(deserialize_with = "null_is_default")]
    taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    #[serde(deserialize_with = "null_is_default")]
    node_info: NodeInfo,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeInfo {
    #[serde(deserialize_with = "null_is_default")]
    kubelet_version: String,
}

/// A node's name, and its kubelet's version, which is none of Kubernetes, as that of some virtual nodes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ({version:?})", one_line(name))]
pub(super) struct StrangeKubelet {
    name: String,
    version: String,
}

/// What many nodes have in common that decides which pods may run on them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Traits {
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
}

/// One node, and what it has for itself alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kubelet: Version,
    hostname: Option<String>,
}

// === impl NodeObject ===

impl NodeObject {
    /// The node, and what it has in common with others.
    pub(super) fn parted(self) -> Result<(Member, Traits), StrangeKubelet> {
        let Self { metadata: Metadata { name, mut labels }, spec: Spec { taints }, status } = self;
        match status.node_info.kubelet_version.parse() {
            Ok(kubelet) => {
                let hostname = labels.remove(HOSTNAME);
                Ok((Member { name, kubelet, hostname }, Traits { labels, taints }))
            }
            Err(_) => Err(StrangeKubelet { name, version: status.node_info.kubelet_version }),
        }
    }
}

// === impl Member ===

impl Member {
    /// A node of which no more is known.
    pub(super) const fn named(name: String, kubelet: Version) -> Self {
        Self { name, kubelet, hostname: None }
    }
}

// === impl Traits ===

impl Traits {
    /// Whether `member`, which has these traits, may run `pod`. Each comparison that it takes is taken from `left`; where
    /// none is left, it may.
    pub(super) fn admit(&self, pod: &Pod<'_>, member: &Member, left: &mut usize) -> bool {
        let placement = pod.placement();
        let mut spend = |comparisons: usize| {
            *left = left.saturating_sub(comparisons);
            *left > 0
        };
        // Taints come first: they keep most pods off most of such nodes, and pods say less of them.
        if !spend(placement.tolerations().len() * self.taints.len() + 1) {
            return true;
        }
        if !self.has_system_of(pod) || !placement.tolerates_all(&self.taints) {
            return false;
        }
        let (name, hostname, labels) = (&*member.name, member.hostname.as_deref(), &self.labels);
        !spend(placement.comparisons()) || placement.selects(NodeLabels { name, hostname, labels })
    }

    /// Whether the node's operating system is the one that the pod says it is for. The kubelet refuses others.
    ///
    /// Source: pkg/kubelet/lifecycle/predicate.go, `rejectPodAdmissionBasedOnOSField`.
    fn has_system_of(&self, pod: &Pod<'_>) -> bool {
        let wanted = &*pod.spec.os.name;
        let system = ["kubernetes.io/os", "beta.kubernetes.io/os"].iter().find_map(|key| self.labels.get(*key));
        wanted.is_empty() || system.is_none_or(|system| system == wanted)
    }
}
