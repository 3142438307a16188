//! File descriptors, of which each connection takes one.

use super::connection::ConnectionSettings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many connections as fit in the file descriptors that the process may have: for admission reviews, and for health.
///
/// Takes as many descriptors as it is allowed to. Most programs are given fewer than that to begin with, for the sake of
/// those that use `select`, which knows only the first 1,024.
pub(super) fn fit(settings: ConnectionSettings) -> (ConnectionSettings, ConnectionSettings) {
    let fitted = settings.within(allowed());
    let (wanted, connections) = (settings.max_connections, fitted.0.max_connections);
    if connections < wanted {
        tracing::warn!(connections, wanted, "fewer connections at a time: the limit of open files allows no more");
    }
    fitted
}

fn allowed() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
