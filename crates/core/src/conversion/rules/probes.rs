//! Rules about what holds the application back until the sidecar works.

use super::{Case, Move};
use crate::{
    catalogue::any_holds,
    conversion::model::Change,
    lifecycle::traffic::{Address, asked_by},
    pod::Probe,
};

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
    let asks_later = |port: i64| case.after().traffic().later_server(case.plan.place(the_move), Address::Port(port));
    known || asked_by(readiness.handler, container).into_iter().find_map(asks_later).is_some()
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go`, `computeInitContainerActions`; KEP-753, scenario 7.
pub(super) fn startup_probe_gates(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    // A vendor knows its sidecar, and whoever wishes a probe for this move has thought of it. A port that is merely open
    // is the sidecar's own.
    let brought = the_move.selected.entry.is_none() && the_move.form.startup_probe == Change::Keep;
    let own = the_move.container().startup_probe().filter(|_| brought)?;
    own.handler.tcp_socket.is_none().then(|| {
        "the application now waits for its startup probe; the probe must not be answered by, or through to, the application".into()
    })
}
