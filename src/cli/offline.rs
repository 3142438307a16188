//! What the offline commands take instead of a cluster.

use super::{
    known::{self, LoadError},
    nodes::{self, NodesError},
};
use clap::Args;
use native_sidecar_core::{
    catalogue::Catalogue,
    conversion::{ClusterFacts, Version},
};
use std::path::PathBuf;

/// Stands in for the cluster that a webhook would run in.
#[derive(Args, Clone, Debug)]
pub struct Offline {
    /// Kubernetes version of the API server, and of all nodes where --nodes is not given, for example 1.31; the newest
    /// when not given.
    #[arg(long, value_name = "VERSION")]
    kubernetes: Option<Version>,

    /// The nodes of the cluster, as `kubectl get nodes -o json` prints them: what runs on a node that is too old, and can
    /// come to run there, is left.
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,

    /// Catalogue of known sidecars that adds to the built-in one and overrides it.
    #[arg(long, value_name = "FILE", env = "NATIVE_SIDECAR_CATALOGUE")]
    catalogue: Option<PathBuf>,
}

/// What stands in for the cluster, read.
#[derive(Debug)]
pub struct Surroundings {
    /// The known sidecars.
    pub catalogue: Catalogue,
    /// What is taken to be known about the cluster.
    pub facts: ClusterFacts,
}

/// Why an offline command has nothing to stand in for the cluster.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The catalogue could not be used.
    #[error(transparent)]
    Catalogue(#[from] LoadError),
    /// The nodes could not be used.
    #[error(transparent)]
    Nodes(#[from] NodesError),
}

// === impl Offline ===

impl Offline {
    /// The same with another Kubernetes version, where one is given.
    #[must_use]
    pub fn overridden(&self, kubernetes: Option<Version>) -> Self {
        Self { kubernetes: kubernetes.or(self.kubernetes), ..self.clone() }
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or is not what it should be.
    pub fn read(&self) -> Result<Surroundings, OfflineError> {
        let catalogue = known::load(self.catalogue.as_deref())?;
        let facts = self.kubernetes.map_or_else(ClusterFacts::default, ClusterFacts::all_at);
        let facts = match &self.nodes {
            Some(path) => {
                let nodes = nodes::read(path, facts.kubelet_floor())?;
                facts.with_nodes(nodes)
            }
            None => facts,
        };
        Ok(Surroundings { catalogue, facts })
    }
}

// === impl Surroundings ===

impl Surroundings {
    /// A line about nodes that were left out of account; empty where there are none.
    #[must_use]
    pub fn left_out(&self) -> String {
        self.facts.left_out().map(|text| text + "\n").unwrap_or_default()
    }
}
