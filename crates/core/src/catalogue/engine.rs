//! An engine: software that looks for a container at its place among the regular ones.

use super::{
    condition::{Condition, any_holds},
    pattern::Pattern,
};
use crate::pod::{Container, Pod};
use serde::Deserialize;

/// Software that execs into a container, reads its status, or needs it when the others have ended.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Engine {
    /// The engine's own name.
    pub name: String,
    /// What the software is called in a sentence.
    pub product: String,
    /// Any of these means that the pod is one of its pods; without any the containers' names are enough.
    #[serde(default)]
    pub pods: Vec<Condition>,
    /// Globs of container names; one must match.
    pub containers: Vec<Pattern>,
    /// Any of these means that it looks for the container; without any it always does.
    #[serde(default)]
    pub only_if: Vec<Condition>,
    /// Conditions of which none may hold: the container may move all the same.
    #[serde(default)]
    pub except: Vec<Condition>,
    /// Whether a container that the catalogue knows as a sidecar may move all the same.
    #[serde(default)]
    pub known_sidecars_may_move: bool,
    /// What it does with the container, as part of a sentence: `execs into it when "base" has ended`.
    pub how: String,
    /// What to do instead, as the end of that sentence.
    pub instead: String,
    /// Whether the container moves all the same, with a warning.
    #[serde(default)]
    pub only_warns: bool,
}

// === impl Engine ===

impl Engine {
    /// Whether `pod` is one of its pods.
    #[must_use]
    pub fn runs(&self, pod: &Pod<'_>) -> bool {
        self.pods.is_empty() || self.pods.iter().any(|condition| condition.holds_for_pod(pod))
    }

    /// Whether it looks for `container` of `pod`, which is one of its pods. `is_known` says whether the catalogue knows it
    /// as a sidecar.
    #[must_use]
    pub fn looks_for(&self, pod: &Pod<'_>, container: &Container<'_>, is_known: bool) -> bool {
        self.containers.iter().any(|pattern| pattern.matches(&container.name))
            && !(is_known && self.known_sidecars_may_move)
            && (self.only_if.is_empty() || any_holds(&self.only_if, pod, container))
            && !any_holds(&self.except, pod, container)
    }
}
