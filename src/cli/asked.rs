//! What the offline commands take instead of annotations and namespaces.

use super::offline::{Offline, OfflineError, Surroundings};
use clap::Args;
use native_sidecar_core::{
    conversion::{Known, Settings, Version},
    intent::{Mode, container_names},
};
use native_sidecar_manifest::{Search, TemplatePath};

/// Which containers are to move, and in which cluster.
#[derive(Args, Clone, Debug)]
pub struct Asked {
    /// Containers to move in every pod, in start order, instead of those that its annotation lists. May be given several
    /// times.
    #[arg(long, value_name = "NAME,...", value_parser = names)]
    containers: Vec<String>,

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
    containers: Option<String>,
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
fn names(text: &str) -> Result<String, String> {
    match container_names(text) {
        Ok(names) if names.is_empty() => Err("expected names, such as istio-proxy,vault-agent".to_owned()),
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

// === impl Asked ===

impl Asked {
    /// The same with what `overrides` say.
    #[must_use]
    pub fn overridden(&self, overrides: Overrides) -> Self {
        let Overrides { containers, known, kubernetes } = overrides;
        Self {
            containers: containers.map_or_else(|| self.containers.clone(), |names| vec![names]),
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
        let containers = Some(self.containers.join(",")).filter(|names| !names.is_empty());
        Ok(Prepared { asked: self, containers, surroundings: self.offline.read()? })
    }
}

// === impl Prepared ===

impl Prepared<'_> {
    /// What a conversion is given beside the pod.
    #[must_use]
    pub fn settings(&self) -> Settings<'_> {
        let known = if self.asked.known { Known::Move } else { Known::Stay };
        let containers = self.containers.as_deref();
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
