//! Rules about lifecycle hooks, by what they do.

use super::{Case, Move};
use crate::{
    conversion::model::Change,
    lifecycle::hooks::{HookKind, slept_seconds},
    pod::Container,
};

/// Kubernetes' default grace period, in seconds.
const GRACE_PERIOD_SECONDS: i64 = 30;

pub(super) fn pre_stop_quit(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    // What the vendor keeps in its own native form is not ours to refuse.
    if the_move.selected.entry.is_some_and(|entry| entry.pre_stop.vendor_keeps) {
        return None;
    }
    let name = the_move.name();
    does(the_move, HookKind::Quit).then(|| {
        format!(
            "its preStop hook ends it while the application still drains; set pre-stop.native-sidecar.io/{name}: remove"
        )
    })
}

pub(super) fn pre_stop_sleep(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let name = the_move.name();
    does(the_move, HookKind::Sleep).then(|| {
        format!("its preStop hook only waits, which a native sidecar does not need and which delays the end of Jobs; set pre-stop.native-sidecar.io/{name}: remove")
    })
}

pub(super) fn pre_stop_drain(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    does(the_move, HookKind::Drain).then(|| "its preStop hook drains it at the start of termination".into())
}

pub(super) fn pre_stop_early(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let quits =
        does(the_move, HookKind::Quit) && the_move.selected.entry.is_some_and(|entry| entry.pre_stop.vendor_keeps);
    let name = the_move.name();
    (quits || does(the_move, HookKind::Other)).then(|| {
        format!("its preStop hook now runs at the start of termination; check it, and set pre-stop.native-sidecar.io/{name}: keep or remove")
    })
}

pub(super) fn post_start_gates(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let stays = the_move.form.post_start.leaves_something(the_move.container().post_start().is_some());
    stays.then(|| "the application now waits for its postStart hook; the hook must not wait for the application".into())
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_termination_order.go`: one budget for application and sidecars.
pub(super) fn grace_period_short(case: &Case<'_>) -> Option<String> {
    let grace = case.pod.spec.termination_grace_period_seconds.unwrap_or(GRACE_PERIOD_SECONDS);
    let keep_their_hook = case.plan.moves.iter().filter(|the_move| the_move.form.pre_stop == Change::Keep);
    let containers = keep_their_hook.map(Move::container).chain(case.plan.remaining(case.pod));
    let wait = |container: &Container<'_>| slept_seconds(container.pre_stop()?);
    let waits = containers.filter_map(|container| Some((wait(container)?, &*container.name)));
    let (longest, name) = waits.max_by_key(|(seconds, _)| *seconds)?;
    (longest >= grace).then(|| {
        format!("the preStop hook of {name:?} waits {longest} s of the pod's {grace} s of grace, and sidecars stop last; raise terminationGracePeriodSeconds")
    })
}

/// Whether the preStop hook that the native form keeps is of this kind, and nobody has said that it is fine.
fn does(the_move: &Move<'_>, kind: HookKind) -> bool {
    the_move.form.undecided_pre_stop == Some(kind)
}
