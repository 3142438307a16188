//! The table of kinds: where each has pod templates, whose pods come from them, and what is done with them.
//!
//! A kind belongs here when its own definition was read, which `source` names: does its engine keep an init container's
//! `restartPolicy`, and is the template the whole pod? docs/workloads.md is printed from this table.

use super::path::{Step, steps};

mod table;

pub use table::TABLE;

/// Software that makes pods, and where its kinds say how they are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    /// What it is called.
    pub product: &'static str,
    /// The API groups of the kinds; the empty one is Kubernetes' own `v1`.
    pub groups: &'static [&'static str],
    /// The places.
    pub places: &'static [Place],
    /// What was read to know them.
    pub source: &'static str,
}

/// A place in objects of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The kind.
    pub kind: &'static str,
    /// The way to the place, as for `--template-path`; empty for the object itself.
    pub path: &'static str,
    /// What is done there.
    pub treatment: Treatment,
}

/// What is done with what stands in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is a Pod.
    Pod,
    /// It is the whole template of pods, which this owner will have.
    Converted(PodOwner),
    /// The engine makes the containers itself, or takes no native sidecar: nothing is done, for this reason.
    Left(&'static str),
    /// The engine lays the template over containers of its own: nothing is done, for this reason.
    Merged(&'static str),
    /// Whole objects stand there, and are looked into as those of a list.
    Holds,
}

/// The object that controls pods, as their `ownerReferences` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodOwner {
    /// Its `apiVersion`.
    pub api_version: &'static str,
    /// Its `kind`.
    pub kind: &'static str,
}

/// The places of a kind; none where the kind is not known.
pub(super) fn places(group: &str, kind: &str) -> impl Iterator<Item = &'static Place> {
    let engines = TABLE.iter().filter(move |engine| engine.groups.contains(&group));
    engines.flat_map(|engine| engine.places).filter(move |place| place.kind == kind)
}

/// Whether the kind is in the table.
pub(super) fn is_known(group: &str, kind: &str) -> bool {
    places(group, kind).next().is_some()
}

// === impl Place ===

impl Place {
    pub(super) fn steps(&self) -> Vec<Step<'static>> {
        steps(self.path)
    }

    /// Why nothing is done there.
    pub(super) const fn reason(&self) -> Option<&'static str> {
        match self.treatment {
            Treatment::Left(reason) | Treatment::Merged(reason) => Some(reason),
            _ => None,
        }
    }
}

// === impl Treatment ===

impl Treatment {
    /// One word for it, as in docs/workloads.md.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pod | Self::Converted(_) => "converted",
            Self::Left(_) => "left",
            Self::Merged(_) => "merged",
            Self::Holds => "looked into",
        }
    }
}
