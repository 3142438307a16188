//! What the offline commands take instead of a cluster.

use super::known::{self, LoadError};
use clap::Args;
use native_sidecar_core::{
    catalogue::Catalogue,
    conversion::{ClusterFacts, Version},
};
use std::path::PathBuf;

/// Stands in for the cluster that a webhook would run in.
#[derive(Args, Debug)]
pub struct Offline {
    /// Kubernetes version of the API server and of all nodes, for example 1.31; the newest when not given.
    #[arg(long, value_name = "VERSION")]
    kubernetes: Option<Version>,

    /// Catalogue of known sidecars that adds to the built-in one and overrides it.
    #[arg(long, value_name = "FILE", env = "NATIVE_SIDECAR_CATALOGUE")]
    catalogue: Option<PathBuf>,
}

// === impl Offline ===

impl Offline {
    /// What is taken to be known about the cluster.
    #[must_use]
    pub fn facts(&self) -> ClusterFacts {
        self.kubernetes.map_or_else(ClusterFacts::default, ClusterFacts::all_at)
    }

    /// The known sidecars.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is no catalogue.
    pub fn catalogue(&self) -> Result<Catalogue, LoadError> {
        known::load(self.catalogue.as_deref())
    }
}
