//! The annotation keys, and which key was meant by one that is not ours.

use super::names::is_container_name;
use crate::{
    findings::{Code, Finding},
    text::nearest,
};

/// Containers to move, in start order.
pub const CONTAINERS: &str = "native-sidecar.io/containers";
/// Whether containers that the catalogue recognises move too.
pub const KNOWN: &str = "native-sidecar.io/known";
/// Finding codes that no longer hold the conversion back.
pub const ACCEPT: &str = "native-sidecar.io/accept";
/// What happens to a pod that cannot be converted.
pub const ON_BLOCKER: &str = "native-sidecar.io/on-blocker";
/// Whether the conversion is carried out, or the pod only observed.
pub const MODE: &str = "native-sidecar.io/mode";
/// Written by the webhook: the containers that were moved, in start order.
pub const CONVERTED: &str = "native-sidecar.io/converted";
/// Written by the webhook: why the pod was left as it is.
pub const BLOCKED: &str = "native-sidecar.io/blocked";
/// Where a container goes among the init containers; the container's name follows.
pub const POSITION_PREFIX: &str = "position.native-sidecar.io/";
/// What must succeed before the application starts; the container's name follows.
pub const STARTUP_PROBE_PREFIX: &str = "startup-probe.native-sidecar.io/";
/// What becomes of the container's preStop hook; the container's name follows.
pub const PRE_STOP_PREFIX: &str = "pre-stop.native-sidecar.io/";

const DOMAIN: &str = "native-sidecar.io";
const POD_KEYS: [&str; 7] = [CONTAINERS, KNOWN, ACCEPT, ON_BLOCKER, MODE, CONVERTED, BLOCKED];
const CONTAINER_PREFIXES: [&str; 3] = [POSITION_PREFIX, STARTUP_PROBE_PREFIX, PRE_STOP_PREFIX];

/// An annotation key under our prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key<'k> {
    Containers,
    Known,
    Accept,
    OnBlocker,
    Mode,
    Converted,
    Blocked,
    Position(&'k str),
    StartupProbe(&'k str),
    PreStop(&'k str),
    Unknown(&'k str),
}

/// Whether a key is under our prefix, misspelt or not.
#[must_use]
pub fn is_ours(key: &str) -> bool {
    Key::parse(key).is_some()
}

// === impl Key ===

impl<'k> Key<'k> {
    /// Reads a key; `None` where it is not under our prefix.
    pub(super) fn parse(key: &'k str) -> Option<Self> {
        let (prefix, name) = key.split_once('/')?;
        if prefix != DOMAIN && !prefix.strip_suffix(DOMAIN).is_some_and(|sub| sub.ends_with('.')) {
            return None;
        }
        Some(match key {
            CONTAINERS => Self::Containers,
            KNOWN => Self::Known,
            ACCEPT => Self::Accept,
            ON_BLOCKER => Self::OnBlocker,
            MODE => Self::Mode,
            CONVERTED => Self::Converted,
            BLOCKED => Self::Blocked,
            _ if key.starts_with(POSITION_PREFIX) => Self::Position(name),
            _ if key.starts_with(STARTUP_PROBE_PREFIX) => Self::StartupProbe(name),
            _ if key.starts_with(PRE_STOP_PREFIX) => Self::PreStop(name),
            _ => Self::Unknown(key),
        })
    }

    /// The container that the key is about, if it is about one.
    pub(super) const fn container(&self) -> Option<&'k str> {
        match *self {
            Self::Position(name) | Self::StartupProbe(name) | Self::PreStop(name) => Some(name),
            _ => None,
        }
    }

    /// Whether the value is a list with commas.
    pub(super) const fn is_list(&self) -> bool {
        matches!(self, Self::Containers | Self::Accept | Self::Converted)
    }

    /// That the value is not understood: about the container that the key names, where there can be one.
    pub(super) fn finding(&self, message: String) -> Finding {
        match self.container().filter(|name| is_container_name(name)) {
            Some(container) => Finding::container(Code::InvalidValue, container, message),
            None => Finding::pod(Code::InvalidValue, message),
        }
    }
}

/// The known key closest to `key`, if one is close enough to be a slip of the pen.
pub(super) fn likely(key: &str) -> Option<String> {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    let of_containers = CONTAINER_PREFIXES.iter().map(|prefix| format!("{prefix}{name}"));
    let candidates = POD_KEYS.iter().map(|&key| key.to_owned()).chain(of_containers);
    nearest(key, candidates)
}
