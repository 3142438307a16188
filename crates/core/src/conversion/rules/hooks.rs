//! Rules about lifecycle hooks, by what they do.

use super::{Case, Move};
use crate::{
    catalogue::Stage,
    conversion::{knowledge::told_waits::told_wait_seconds, model::Change},
    lifecycle::{
        hooks::{HookKind, slept_seconds},
        process::{self, Awaited},
        script,
        traffic::Mounts,
    },
    pod::Container,
};

/// The hook ran at the start of termination before the move as well. What the move gives, a sidecar that outlives the
/// application, is what the hook takes.
pub(super) fn pre_stop_quit(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    // What the vendor keeps in its own native form is not ours to refuse.
    if keeps(the_move) {
        return None;
    }
    let name = the_move.name();
    let what = match the_move.form.undecided_pre_stop? {
        HookKind::Quit => "ends it",
        HookKind::Unmount => "unmounts what it serves",
        _ => return None,
    };
    Some(format!(
        "its preStop hook {what} at the start of a deletion, while the application still drains; set pre-stop.native-sidecar.io/{name}: remove to have it outlive the application, or keep"
    ))
}

pub(super) fn pre_stop_sleep(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    // A collector's hook also runs when the application has ended: it is the time to read the last lines.
    let collects = the_move.selected.entry.is_some_and(|entry| entry.stage == Stage::Telemetry);
    let name = the_move.name();
    (!collects && does(the_move, HookKind::Sleep)).then(|| {
        format!("its preStop hook only waits, which a native sidecar does not need and which delays the end of Jobs; set pre-stop.native-sidecar.io/{name}: remove")
    })
}

pub(super) fn pre_stop_drain(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    does(the_move, HookKind::Drain).then(|| "its preStop hook drains it at the start of termination".into())
}

pub(super) fn pre_stop_early(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    // What mounted files for others has to take them away again, and its vendor knows when.
    let is_vendors = the_move.selected.entry.is_some_and(|entry| entry.pre_stop.vendor_keeps);
    if is_vendors && does(the_move, HookKind::Unmount) {
        return None;
    }
    let takes = does(the_move, HookKind::Quit) || does(the_move, HookKind::Unmount);
    let name = the_move.name();
    ((takes && keeps(the_move)) || does(the_move, HookKind::Other)).then(|| {
        format!("its preStop hook runs at the start of a deletion, as before, and now also when a Job's application has ended; check it, and set pre-stop.native-sidecar.io/{name}: keep or remove")
    })
}

/// Source: kubernetes/kubernetes#81450: the kubelet starts nothing else until a postStart hook has returned.
pub(super) fn post_start_waits(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let hook = the_move.kept_post_start()?.exec.as_ref()?;
    let script = script::text_of(&hook.command);
    let waits = process::waits(&script);
    let mounts = Mounts::of(the_move.container());
    let what = waits.iter().find_map(|wait| match wait.awaited {
        Awaited::File(path) => {
            let (volume, _) = mounts.find(path)?;
            let place = case.plan.place(the_move);
            let shared = case.after().traffic().is_shared(volume, place, place + 1);
            shared.then(|| format!("{path:?}"))
        }
        // Without shared processes it sees only its own.
        Awaited::Process => case.after().rest().shares_processes.then(|| "a process".to_owned()),
        _ => None,
    })?;
    Some(format!(
        "its postStart hook waits for {what}, which may be of a container that starts only after it, so that neither would ever start; change the hook, or leave the container where it is"
    ))
}

pub(super) fn post_start_gates(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let stays = the_move.form.post_start.leaves_something(the_move.container().post_start().is_some());
    stays.then(|| "the application now waits for its postStart hook; the hook must not wait for the application".into())
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_termination_order.go`: one budget for application and sidecars.
pub(super) fn grace_period_short(case: &Case<'_>) -> Option<String> {
    let grace = case.after().rest().grace_seconds;
    let keep_their_hook = case.plan.moves.iter().filter(|the_move| the_move.form.pre_stop == Change::Keep);
    let containers = keep_their_hook.map(Move::container).chain(case.plan.remaining(case.pod));
    let wait = |container: &Container<'_>| slept_seconds(container.pre_stop()?);
    let waits = containers.filter_map(|container| Some((wait(container)?, "the preStop hook of ", &*container.name)));
    let told = |the_move: &Move<'_>| told_wait_seconds(case.pod, the_move.container(), the_move.selected.entry?);
    let told =
        case.plan.moves.iter().filter_map(|the_move| Some((told(the_move)?, "after SIGTERM, ", the_move.name())));
    let (longest, who, name) = waits.chain(told).max_by_key(|(seconds, ..)| *seconds)?;
    (longest >= grace).then(|| {
        format!("{who}{name:?} waits {longest} s of the pod's {grace} s of grace, and sidecars stop last; raise terminationGracePeriodSeconds")
    })
}

/// Whether the vendor keeps the hook in its own native form, whatever it does.
fn keeps(the_move: &Move<'_>) -> bool {
    the_move.selected.entry.is_some_and(|entry| entry.pre_stop.vendor_keeps)
}

/// Whether the preStop hook that the native form keeps is of this kind, and nobody has said that it is fine.
fn does(the_move: &Move<'_>, kind: HookKind) -> bool {
    the_move.form.undecided_pre_stop == Some(kind)
}
