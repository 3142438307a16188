//! Who asks whom inside the pod, and whether that one is there by then.

use crate::lifecycle::{
    Gate, Lifecycle,
    traffic::{Address, By},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// One container asks another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Who asks.
    pub asker: String,
    /// Its place in the order of start.
    #[serde(skip)]
    pub asker_index: usize,
    /// Who serves it.
    pub server: String,
    /// Its place in the order of start.
    #[serde(skip)]
    pub server_index: usize,
    /// What is asked for.
    pub address: Place,
    /// By what the asker does so, for example `its variable DATABASE_URL`.
    pub by: Vec<String>,
    /// What it meets when it starts; `None` where it asks at its end only.
    pub at_start: Option<Meets>,
}

/// Where a container can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// A port of the pod's network.
    Port {
        /// The port.
        port: i64,
    },
    /// A file or Unix socket in a volume.
    Path {
        /// The volume.
        volume: String,
        /// The path within it.
        path: String,
    },
}

/// What a container meets at its start that asks another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meets {
    /// The other one has passed its startup probe.
    StartupProbePassed,
    /// Its postStart hook has returned.
    PostStartReturned,
    /// It was started before, and may not serve yet.
    Running,
    /// It starts later.
    NotStarted,
}

/// Everything that one container asks of another, by who asks.
pub(super) fn asked(life: &Lifecycle<'_>) -> Vec<Asked> {
    let (traffic, members) = (life.traffic(), life.members());
    let mut by_address: BTreeMap<(usize, Address<'_>), Vec<By<'_>>> = BTreeMap::new();
    // Of each address that is asked for, who serves it.
    let mut servers = BTreeMap::new();
    for ask in traffic.asked() {
        // Who serves it itself is not known to mean another one.
        if !traffic.serves(ask.asker, ask.address) {
            by_address.entry((ask.asker, ask.address)).or_default().push(ask.by);
            servers.entry(ask.address).or_insert_with(|| traffic.servers(ask.address).next());
        }
    }
    let asked = |((asker, address), by): ((usize, Address<'_>), Vec<By<'_>>)| {
        let server = servers.get(&address).copied().flatten()?;
        let only_at_the_end = by.iter().all(|by| *by == By::PreStop);
        Some(Asked {
            asker: members.get(asker)?.name().to_owned(),
            asker_index: asker,
            server: members.get(server)?.name().to_owned(),
            server_index: server,
            address: Place::from(address),
            by: by.iter().map(ToString::to_string).collect(),
            at_start: (!only_at_the_end).then(|| meets(life, asker, server)),
        })
    };
    by_address.into_iter().filter_map(asked).collect()
}

fn meets(life: &Lifecycle<'_>, asker: usize, server: usize) -> Meets {
    if server > asker {
        return Meets::NotStarted;
    }
    match life.gate(server) {
        Gate::StartupProbe => Meets::StartupProbePassed,
        Gate::PostStart => Meets::PostStartReturned,
        Gate::Runs | Gate::Ended => Meets::Running,
    }
}

// === impl Meets ===

impl Meets {
    /// Whether something says that the other one serves by then.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::StartupProbePassed | Self::PostStartReturned)
    }
}

// === impl Place ===

impl From<Address<'_>> for Place {
    fn from(address: Address<'_>) -> Self {
        match address {
            Address::Port(port) => Self::Port { port },
            Address::Path(volume, path) => Self::Path { volume: volume.to_owned(), path: path.to_owned() },
        }
    }
}
