//! What the offline commands take instead of annotations and namespaces.

use super::{known::LoadError, offline::Offline};
use clap::Args;
use native_sidecar_core::{
    catalogue::Catalogue,
    conversion::{ClusterFacts, Known, Settings},
    intent::Mode,
};

/// Which containers are to move, and in which cluster.
#[derive(Args, Debug)]
pub struct Asked {
    /// Containers to move in every pod, in start order, instead of those that its annotation lists.
    #[arg(long, value_name = "NAME,...")]
    containers: Option<String>,

    /// Move the containers that the catalogue knows, unless the pod's annotation says otherwise.
    #[arg(long)]
    known: bool,

    #[command(flatten)]
    offline: Offline,
}

/// The same with its catalogue read.
#[derive(Debug)]
pub struct Prepared<'a> {
    asked: &'a Asked,
    catalogue: Catalogue,
    facts: ClusterFacts,
}

// === impl Asked ===

impl Asked {
    /// Reads the catalogue.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is no catalogue.
    pub fn prepare(&self) -> Result<Prepared<'_>, LoadError> {
        Ok(Prepared { asked: self, catalogue: self.offline.catalogue()?, facts: self.offline.facts() })
    }
}

// === impl Prepared ===

impl Prepared<'_> {
    /// What a conversion is given beside the pod.
    #[must_use]
    pub fn settings(&self) -> Settings<'_> {
        let known = if self.asked.known { Known::Move } else { Known::Stay };
        let containers = self.asked.containers.as_deref();
        Settings { catalogue: &self.catalogue, facts: &self.facts, known, mode: Mode::Convert, containers, workload: None }
    }
}
