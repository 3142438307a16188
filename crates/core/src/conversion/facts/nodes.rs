//! All nodes of a cluster: of most no more than the version, and of those whose version matters to a rule what decides which
//! pods may run on them.

use super::node::{Member, NodeObject, Traits};
use crate::{pod::Pod, version::Version};
use std::collections::{BTreeMap, HashSet};

/// The nodes of a cluster, summed up when they are learnt: a review costs the same in a cluster of one node and of thousands
/// that are all new enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    floor: Version,
    kubelets: BTreeMap<String, Version>,
    /// The nodes that some concern is about, by what they have in common; `None` where that is not known.
    groups: BTreeMap<Option<Traits>, Vec<Member>>,
    /// Whether none of them enforces a limit on ephemeral storage.
    all_ignore_storage_limits: bool,
    /// Nodes that were left out of account, as they are named in a sentence.
    strange: Vec<String>,
}

/// What a kubelet's version may be a concern for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Concern {
    /// It is older than the oldest that may run a converted pod.
    BelowFloor,
    /// kubernetes/kubernetes#132826: in pods that are never restarted, the application may never start.
    NeverRestarted,
    /// kubernetes/kubernetes#137146: once the kubelet restarts, a crashed application stays down.
    KubeletRestart,
    /// kubernetes/kubernetes#138462: it does not enforce a sidecar's own limit on ephemeral storage.
    StorageLimits,
}

/// Nodes that may run a pod, for one concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found<'n> {
    /// The first by name.
    pub(super) name: &'n str,
    pub(super) kubelet: Version,
    /// How many more there are.
    pub(super) others: usize,
    /// The oldest version among all of them.
    pub(super) oldest: Version,
}

/// So many kinds of nodes are told apart for a concern that is about nearly every node there is.
const MOST_KINDS: usize = 500;

/// How many comparisons a review makes at most to tell which nodes may run a pod. What is left then may.
const MOST_COMPARISONS: usize = 50_000;

// === impl Nodes ===

impl Nodes {
    /// No nodes, where `floor` is the oldest kubelet that may run a converted pod.
    #[must_use]
    pub const fn new(floor: Version) -> Self {
        Self {
            floor,
            kubelets: BTreeMap::new(),
            groups: BTreeMap::new(),
            all_ignore_storage_limits: false,
            strange: Vec::new(),
        }
    }

    /// Takes in a node. One whose kubelet's version is none of Kubernetes is left out of account.
    pub fn add(&mut self, node: NodeObject) {
        let (member, traits) = match node.parted() {
            Ok(parts) => parts,
            Err(strange) => return self.strange.push(strange.to_string()),
        };
        self.kubelets.insert(member.name.clone(), member.kubelet);
        let is_one_of = |concerns: &[Concern]| concerns.iter().any(|one| one.is_about(member.kubelet, self.floor));
        if !is_one_of(&Concern::ALL) {
            return;
        }
        let mut kind = Some(traits);
        if !is_one_of(&Concern::OF_SOME) && self.groups.len() >= MOST_KINDS && !self.groups.contains_key(&kind) {
            kind = None;
        }
        self.groups.entry(kind).or_default().push(member);
    }

    /// The same without what no rule will ask for, and in order.
    fn summed_up(mut self) -> Self {
        let floor = self.floor;
        let ignores = |kubelet: &Version| Concern::StorageLimits.is_about(*kubelet, floor);
        self.all_ignore_storage_limits = !self.kubelets.is_empty() && self.kubelets.values().all(ignores);
        if self.all_ignore_storage_limits {
            for members in self.groups.values_mut() {
                members.retain(|member| Concern::OF_SOME.iter().any(|concern| concern.is_about(member.kubelet, floor)));
            }
            self.groups.retain(|_, members| !members.is_empty());
        }
        for members in self.groups.values_mut() {
            members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        }
        self
    }

    /// Nodes of which only the version is known.
    pub(super) fn of_versions(kubelets: BTreeMap<String, Version>, floor: Version) -> Self {
        Self { kubelets, ..Self::new(floor) }.with_floor(floor)
    }

    /// The same with another floor. Of the nodes that become a concern with it, no more is known than the version.
    pub(super) fn with_floor(self, floor: Version) -> Self {
        let Self { kubelets, mut groups, strange, .. } = self;
        let known: HashSet<&str> = groups.values().flatten().map(|member| &*member.name).collect();
        let is_new = |(name, kubelet): &(&String, &Version)| {
            !known.contains(name.as_str()) && Concern::ALL.iter().any(|concern| concern.is_about(**kubelet, floor))
        };
        let new = kubelets.iter().filter(is_new).map(|(name, kubelet)| Member::named(name.clone(), *kubelet));
        let new: Vec<_> = new.collect();
        if !new.is_empty() {
            groups.entry(None).or_default().extend(new);
        }
        Self { kubelets, groups, strange, ..Self::new(floor) }.summed_up()
    }

    /// The oldest kubelet that may run a converted pod.
    pub(super) const fn floor(&self) -> Version {
        self.floor
    }

    /// Version of each node's kubelet, by the node's name.
    pub(super) const fn kubelets(&self) -> &BTreeMap<String, Version> {
        &self.kubelets
    }

    /// The nodes that were left out of account.
    pub(super) fn strange(&self) -> &[String] {
        &self.strange
    }

    /// The nodes that may run `pod` and that `concern` is about.
    pub(super) fn that_may_run(&self, pod: &Pod<'_>, concern: Concern) -> Option<Found<'_>> {
        if let Some((name, kubelet)) = self.kubelets.get_key_value(&*pod.spec.node_name) {
            return Some(Found::one(name, *kubelet)).filter(|_| concern.is_about(*kubelet, self.floor));
        }
        if concern == Concern::StorageLimits && self.all_ignore_storage_limits {
            let (name, kubelet) = self.kubelets.first_key_value()?;
            // Which is the oldest nobody asks for this concern.
            return Some(Found { others: self.kubelets.len() - 1, ..Found::one(name, *kubelet) });
        }
        self.search(pod, concern)
    }

    fn search(&self, pod: &Pod<'_>, concern: Concern) -> Option<Found<'_>> {
        let depends_on_name = pod.placement().depends_on_name();
        let mut left = MOST_COMPARISONS;
        let mut found = None;
        for (traits, members) in &self.groups {
            let mut concerned = members.iter().filter(|member| concern.is_about(member.kubelet, self.floor)).peekable();
            let Some(first) = concerned.peek() else { continue };
            let mut may_run =
                |member: &Member| traits.as_ref().is_none_or(|traits| traits.admit(pod, member, &mut left));
            // What is true of one is true of all, but for their names.
            if !depends_on_name && !may_run(first) {
                continue;
            }
            let runs = concerned.filter(|member| !depends_on_name || may_run(member));
            found = runs.fold(found, |found, member| Some(Found::with(found, member)));
        }
        found
    }
}

// === impl Concern ===

impl Concern {
    pub(super) const ALL: [Self; 4] =
        [Self::BelowFloor, Self::NeverRestarted, Self::KubeletRestart, Self::StorageLimits];
    /// Those that are about some nodes of a cluster; a storage limit is of no use in nearly every one, and all of its nodes.
    const OF_SOME: [Self; 3] = [Self::BelowFloor, Self::NeverRestarted, Self::KubeletRestart];

    /// Whether it is about a kubelet of `version`, where `floor` is the oldest that may run a converted pod.
    pub(super) fn is_about(self, version: Version, floor: Version) -> bool {
        let Version { major, minor, patch } = version;
        match self {
            Self::BelowFloor => version < floor,
            Self::NeverRestarted => {
                matches!((major, minor, patch), (1, ..=32, _) | (1, 33, ..=5) | (1, 34, ..=1))
            }
            Self::KubeletRestart => matches!((major, minor, patch), (1, 35, 0..=3)),
            Self::StorageLimits => version < Version::new(1, 37, 0),
        }
    }
}

// === impl Found ===

impl<'n> Found<'n> {
    const fn one(name: &'n str, kubelet: Version) -> Self {
        Self { name, kubelet, others: 0, oldest: kubelet }
    }

    /// What was found before, and `member` too.
    fn with(before: Option<Self>, member: &'n Member) -> Self {
        let this = Self::one(&member.name, member.kubelet);
        let Some(before) = before else { return this };
        let first = if before.name < this.name { before } else { this };
        Self { others: before.others + 1, oldest: before.oldest.min(this.kubelet), ..first }
    }
}
