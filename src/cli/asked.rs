//! What the offline commands take instead of annotations and namespaces.

use super::offline::{Offline, OfflineError, Surroundings};
use clap::Args;
use native_sidecar_core::{
    conversion::{Known, Settings, Version},
    intent::{Mode, NamesError, container_names},
};
use native_sidecar_manifest::{Search, TemplatePath};

/// Which containers are to move, and in which cluster.
#[derive(Args, Clone, Debug)]
pub struct Asked {
    /// Containers to move in every pod, in start order, instead of those that its annotation lists.
    #[arg(long, value_name = "NAME,...", value_parser = names)]
    containers: Option<String>,

    /// Move the containers that the catalogue knows, unless the pod's annotation says otherwise.
    #[arg(long)]
    known: bool,

    /// Where objects of other kinds have a pod template, for example spec.workers[].template; KIND=PATH or
    /// KIND.GROUP=PATH for one kind. May be given several times.
    #[arg(long, value_name = "PATH")]
    template_path: Vec<TemplatePath>,

    #[command(flatten)]
    offline: Offline,
}

/// The same with its files read.
#[derive(Debug)]
pub struct Prepared<'a> {
    asked: &'a Asked,
    surroundings: Surroundings,
}

/// What somebody says in place of the arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In place of `--containers`.
    pub containers: Option<String>,
    /// In place of `--known`.
    pub known: Option<bool>,
    /// In place of `--kubernetes`.
    pub kubernetes: Option<Version>,
}

/// `text` where it is names of containers.
fn names(text: &str) -> Result<String, NamesError> {
    container_names(text).map(|_| text.to_owned())
}

// === impl Asked ===

impl Asked {
    /// The same with what `overrides` say.
    #[must_use]
    pub fn overridden(&self, overrides: Overrides) -> Self {
        let Overrides { containers, known, kubernetes } = overrides;
        Self {
            containers: containers.or_else(|| self.containers.clone()),
            known: known.unwrap_or(self.known),
            template_path: self.template_path.clone(),
            offline: self.offline.overridden(kubernetes),
        }
    }

    /// How pod templates are looked for.
    #[must_use]
    pub fn search(&self) -> Search {
        Search { paths: self.template_path.clone(), resource_list: false }
    }

    /// Reads the files that stand in for the cluster.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or is not what it should be.
    pub fn prepare(&self) -> Result<Prepared<'_>, OfflineError> {
        Ok(Prepared { asked: self, surroundings: self.offline.read()? })
    }
}

// === impl Prepared ===

impl Prepared<'_> {
    /// What a conversion is given beside the pod.
    #[must_use]
    pub fn settings(&self) -> Settings<'_> {
        let known = if self.asked.known { Known::Move } else { Known::Stay };
        let containers = self.asked.containers.as_deref();
        Settings {
            catalogue: &self.surroundings.catalogue,
            facts: &self.surroundings.facts,
            known,
            mode: Mode::Convert,
            containers,
            workload: None,
        }
    }

    /// A line about nodes that were left out of account; empty where there are none.
    #[must_use]
    pub fn left_out(&self) -> String {
        self.surroundings.left_out()
    }
}
