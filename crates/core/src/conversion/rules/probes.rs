//! Rules about what holds the application back until the sidecar works.

use super::{Case, Move};
use crate::{
    catalogue::any_holds,
    conversion::{knowledge::local_ports::asked_by, model::Change},
    pod::{Handler, Probe},
};

/// Source: KEP-753, scenario 7: what starts later cannot be waited for.
pub(super) fn start_deadlock(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let asked = |handler: &Handler<'_>| asked_by(handler, the_move.container());
    let owner_of = |ports: Option<Vec<i64>>| later_owner(case, the_move, &ports?);
    if let Some((port, owner)) = owner_of(the_move.startup_handler(asked)) {
        return Some(format!(
            "its startup probe waits for port {port} of {owner:?}, which starts only after it; ask the sidecar itself"
        ));
    }
    let (port, owner) = owner_of(the_move.kept_post_start().map(asked))?;
    Some(format!(
        "its postStart hook waits for port {port} of {owner:?}, which starts only after it; change the hook, or leave the container where it is"
    ))
}

/// The first of `ports` that another container serves which starts later than the move, and that one's name.
fn later_owner<'p>(case: &Case<'p>, the_move: &Move<'_>, ports: &[i64]) -> Option<(i64, &'p str)> {
    if ports.is_empty() {
        return None;
    }
    case.servers().first_later(ports, the_move.container(), case.plan.place(the_move))
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go`, `computeInitContainerActions`.
pub(super) fn no_startup_gate(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let form = &the_move.form;
    let decided = form.startup_probe == Change::Remove || form.probe_is_withheld;
    let readiness = the_move.container().readiness_probe().filter(|_| !the_move.is_gated() && !decided)?;
    if readiness_waits(case, the_move, readiness) {
        return None;
    }
    let name = the_move.name();
    Some(format!(
        "the application does not wait until it is ready; add startup-probe.native-sidecar.io/{name}: readiness, or none"
    ))
}

/// Whether the readiness probe waits for the application, so that it must not gate it.
fn readiness_waits(case: &Case<'_>, the_move: &Move<'_>, readiness: Probe<'_>) -> bool {
    let container = the_move.container();
    let waits = |conditions| any_holds(conditions, case.pod, container);
    let known = the_move.selected.entry.is_some_and(|entry| waits(&entry.readiness_waits_for_application));
    known || later_owner(case, the_move, &asked_by(readiness.handler, container)).is_some()
}
