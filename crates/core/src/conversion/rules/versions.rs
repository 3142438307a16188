//! Rules about what the cluster can do.

use super::{Case, Move};
use crate::{
    conversion::{
        facts::{Node, StartupProbeBug},
        model::{Change, ProbeOrigin},
    },
    version::Version,
};

/// The first version in which native sidecars are on by default.
const FIRST: Version = Version::new(1, 29, 0);

pub(super) fn server_too_old(case: &Case<'_>) -> Option<String> {
    let server = case.settings.facts.server.filter(|server| *server < FIRST)?;
    Some(format!("the API server is {server}, and native sidecars need 1.29; upgrade the control plane"))
}

pub(super) fn restart_policy_dropped(case: &Case<'_>) -> Option<String> {
    let dropped = case.settings.facts.keeps_restart_policy == Some(false);
    dropped.then(|| {
        "the API server drops restartPolicy from init containers: the feature is off, or a webhook strips the field; see the log".into()
    })
}

pub(super) fn kubelet_too_old(case: &Case<'_>) -> Option<String> {
    let (node, others) = case.facts.below_floor()?;
    let others = if others == 0 { String::new() } else { format!(" (and {others} more)") };
    let (kubelet, floor) = (node.kubelet, case.settings.facts.kubelet_floor());
    Some(format!(
        "{node}{others} has kubelet {kubelet}, below the floor {floor}; upgrade it, keep the pod off it, or accept this"
    ))
}

/// Source: pkg/apis/core/validation/validation.go before 1.33, `validateInitContainers`.
pub(super) fn resize_policy_removed(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let removed = the_move.form.drop_resize_policy;
    removed.then(|| "loses its resizePolicy, which init containers may not have before 1.33".into())
}

pub(super) fn never_startup_probe(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let node = at_risk(case, the_move, StartupProbeBug::NeverRestarted)?;
    let kubelet = node.kubelet;
    Some(format!(
        "has a startup probe in a pod with restartPolicy Never, and the kubelet {kubelet} of {node} may never \
         start the application then; upgrade it or set startup-probe to none"
    ))
}

pub(super) fn kubelet_restart_startup_probe(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let node = at_risk(case, the_move, StartupProbeBug::KubeletRestart)?;
    let kubelet = node.kubelet;
    Some(format!(
        "has a startup probe, and once the kubelet {kubelet} of {node} restarts, a crashed application stays down; upgrade it"
    ))
}

/// The node that makes a startup probe of the pod's own risky, if it has `bug`.
fn at_risk(case: &Case<'_>, the_move: &Move<'_>, bug: StartupProbeBug) -> Option<Node> {
    let form = &the_move.form;
    let own = match &form.startup_probe {
        Change::Keep => the_move.container().startup_probe().is_some(),
        Change::Set(_) => form.probe_origin != ProbeOrigin::Catalogue,
        Change::Remove => false,
    };
    if own { case.facts.with_bug(bug) } else { None }
}
