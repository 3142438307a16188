//! Rules about what holds the application back until the sidecar works.

use super::{Case, Move};
use crate::{
    catalogue::{Entry, Serves, any_holds},
    conversion::{
        knowledge::{addresses::is_local, carriers::asks_pod},
        model::{Change, ProbeOrigin},
    },
    lifecycle::traffic::{Address, By, asked_by},
    pod::{Handler, Probe},
    text::shorten,
};

/// Source: `pkg/kubelet/prober/prober.go`: where a probe has no host, the pod's address is asked.
pub(super) fn probe_cannot_reach(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let entry = the_move.selected.entry.filter(|entry| !entry.listens.is_empty())?;
    let (pod, container, name) = (case.pod, the_move.container(), the_move.name());
    let asked = |handler: &Handler<'_>| if asks_pod(handler) { asked_by(handler, container) } else { Vec::new() };
    let port = *the_move.startup_handler(asked)?.first()?;
    let listener = entry.listens.iter().find(|listener| listener.serves(port, pod, container))?;
    let why = if !the_move.form.probe_origin.is_catalogue() && listener.is_off(pod, container) {
        "nothing answers there".to_owned()
    } else {
        let address = listener.address(pod, container).filter(|address| is_local(address))?;
        format!("it listens on {} only", shorten(&address, LONGEST_ADDRESS))
    };
    let set = &listener.reached_by;
    let can_be_had = the_move.form.gate_can_be_had;
    let from_inside =
        if can_be_had { format!(", or startup-probe.native-sidecar.io/{name}: vendor") } else { String::new() };
    Some(format!("its startup probe asks port {port} of the pod's address, but {why}; set {set}{from_inside}"))
}

/// So many characters of an address are enough to recognise it.
const LONGEST_ADDRESS: usize = 40;

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go`, `computeInitContainerActions`.
pub(super) fn no_startup_gate(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let form = &the_move.form;
    let serves_others = the_move.selected.entry.is_some_and(|entry| entry.serves == Serves::Others);
    let has_none = form.startup_probe == Change::Remove || form.probe_origin == ProbeOrigin::Withheld;
    if serves_others || has_none || the_move.is_gated() {
        return None;
    }
    gate_is_off(case, the_move).or_else(|| readiness_is_no_gate(case, the_move))
}

/// The vendor has a gate, and it is off or cannot be asked.
fn gate_is_off(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let gate = the_move.selected.entry?.gate.as_ref()?;
    let (pod, container, name) = (case.pod, the_move.container(), the_move.name());
    let by = &gate.turned_on_by;
    let wish = format!("startup-probe.native-sidecar.io/{name}");
    Some(match () {
        () if gate.has_no_probe && gate.is_on(pod, container) => return None,
        () if gate.is_on(pod, container) => {
            format!(
                "the application does not wait until it works, as nothing is known that asks it as it is set up; add {wish} with a probe of your own, or none"
            )
        }
        () if the_move.form.gate_can_be_had => {
            format!(
                "the application does not wait until it works, which takes {by}; add {wish}: vendor to have both, or none"
            )
        }
        () => format!("the application does not wait until it works, which takes {by}; set it, or add {wish}: none"),
    })
}

/// It is known when it is ready, but nobody waits for that.
fn readiness_is_no_gate(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let (container, name) = (the_move.container(), the_move.name());
    let readiness = container.readiness_probe()?;
    if readiness_waits(case, the_move, readiness) {
        return None;
    }
    let may_wait = |entry: &Entry| any_holds(&entry.readiness_may_wait_for_application, case.pod, container);
    // A proxy in front of the application may answer through to it.
    let place = case.plan.place(the_move);
    let traffic = case.after().traffic();
    let told = |by: By<'_>| matches!(by, By::Flag(_) | By::Variable(_) | By::CommandLine);
    let mut asks = traffic.asked_by(place).iter().filter(|ask| told(ask.by));
    let is_in_front = asks.any(|ask| traffic.later_server(place, ask.address).is_some());
    if is_in_front || the_move.selected.entry.is_some_and(may_wait) {
        return Some(format!(
            "the application does not wait for it, and its readiness may wait for the application; add startup-probe.native-sidecar.io/{name}: tcp:PORT, or none"
        ));
    }
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
    let brought = the_move.selected.known().is_none() && the_move.form.startup_probe == Change::Keep;
    let own = the_move.container().startup_probe().filter(|_| brought)?;
    own.handler.tcp_socket.is_none().then(|| {
        "the application now waits for its startup probe; the probe must not be answered by, or through to, the application".into()
    })
}
