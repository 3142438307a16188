//! Rules about what holds the application back until the sidecar works.

use super::{Situation, Subject};
use crate::{
    catalogue::any_holds,
    conversion::native_form::Change,
    pod::{Details, Handler, HttpGetAction, Probe, TcpSocketAction},
};

/// Source: KEP-753, scenario 7: what starts later cannot be waited for.
pub(super) fn start_deadlock(situation: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    let details = &subject.the_move.selected.details;
    let form = &subject.the_move.form;
    let probe = form.startup_handler(details).map(|handler| asked_ports(&handler, details));
    let hook_stays = form.post_start == Change::Keep;
    let hook = details.post_start().filter(|_| hook_stays).map(|handler| asked_ports(handler, details));
    let found = |ports: Option<Vec<i64>>| {
        ports?.into_iter().find_map(|port| Some((port, later_owner(situation, subject, port)?)))
    };
    if let Some((port, owner)) = found(probe) {
        return Some(format!(
            "its startup probe waits for port {port} of {owner:?}, which starts only after it; ask the sidecar itself"
        ));
    }
    let (port, owner) = found(hook)?;
    Some(format!(
        "its postStart hook waits for port {port} of {owner:?}, which starts only after it; change the hook, or leave the container where it is"
    ))
}

/// The container that starts later than the subject and serves `port`, where the subject does not itself.
fn later_owner(situation: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>, port: i64) -> Option<String> {
    if declares(&subject.the_move.selected.details, port) {
        return None;
    }
    let moved = situation.plan.later(subject.index).find(|other| serves(&other.selected.details, port));
    let existing = || {
        let mut later = situation.plan.later_existing(situation.pod, subject.index);
        later.find(|init| init.restarts_always() && init.details().is_ok_and(|details| serves(&details, port)))
    };
    let regular = || {
        let mut remaining = situation.plan.remaining(situation.pod);
        remaining.find(|other| other.details().is_ok_and(|details| serves(&details, port)))
    };
    let name = moved.map(|other| other.name().to_owned());
    name.or_else(|| existing().or_else(regular).map(|other| other.name.clone().into_owned()))
}

fn declares(details: &Details<'_>, port: i64) -> bool {
    details.ports.iter().any(|declared| declared.container_port == port)
}

/// Whether a container declares the port, or is asked at it by a probe of its own.
fn serves(details: &Details<'_>, port: i64) -> bool {
    let probes = [&details.startup_probe, &details.readiness_probe];
    let asked = |probe: &Probe<'_>| network_port(&probe.handler, details) == Some(port);
    declares(details, port) || probes.into_iter().flatten().any(asked)
}

/// The ports of the pod that a handler asks.
fn asked_ports(handler: &Handler<'_>, details: &Details<'_>) -> Vec<i64> {
    match handler {
        Handler { exec: Some(exec), .. } => local_ports(&exec.command.join(" ")),
        _ => network_port(handler, details).into_iter().collect(),
    }
}

/// The port of the pod that the kubelet itself asks.
fn network_port(handler: &Handler<'_>, details: &Details<'_>) -> Option<i64> {
    let is_local = |host: &str| matches!(host, "" | "localhost" | "127.0.0.1" | "::1");
    match handler {
        Handler { http_get: Some(HttpGetAction { host, port, .. }), .. }
        | Handler { tcp_socket: Some(TcpSocketAction { host, port }), .. } => {
            details.port_number(port).filter(|_| is_local(host))
        }
        Handler { grpc: Some(grpc), .. } => Some(grpc.port),
        _ => None,
    }
}

/// The ports of this pod in a command: `localhost:8080` in any spelling, and `nc localhost 8080`.
fn local_ports(command: &str) -> Vec<i64> {
    const HOSTS: [&str; 5] = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]", "::1"];
    let behind = |host: &'static str| command.match_indices(host).map(move |(at, host)| &command[at + host.len()..]);
    let number = |rest: &str| {
        let rest = rest.trim_start_matches(['"', '\'']).strip_prefix([':', ' '])?.trim_start();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    };
    HOSTS.into_iter().flat_map(behind).filter_map(number).collect()
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go`, `computeInitContainerActions`.
pub(super) fn no_startup_gate(
    situation: Situation<'_, '_, '_, '_>,
    subject: Subject<'_, '_, '_, '_>,
) -> Option<String> {
    let (form, details) = (&subject.the_move.form, &subject.the_move.selected.details);
    let decided = form.startup_probe == Change::Remove || form.is_probe_withheld();
    let asks = details.readiness_probe.as_ref().filter(|_| !form.is_gated(details) && !decided)?;
    if readiness_waits(situation, subject, asks) {
        return None;
    }
    let name = subject.the_move.name();
    Some(format!(
        "the application does not wait until it is ready; add startup-probe.native-sidecar.io/{name}: readiness, or none"
    ))
}

/// Whether the readiness probe waits for the application, so that it must not gate it.
fn readiness_waits(
    situation: Situation<'_, '_, '_, '_>,
    subject: Subject<'_, '_, '_, '_>,
    readiness: &Probe<'_>,
) -> bool {
    let selected = &subject.the_move.selected;
    let (name, details) = (&selected.container.name, &selected.details);
    let known = selected
        .entry
        .is_some_and(|entry| any_holds(&entry.readiness_waits_for_application, situation.pod, name, details));
    let ports = asked_ports(&readiness.handler, details);
    known || ports.into_iter().any(|port| later_owner(situation, subject, port).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("until curl -s http://localhost:8080/x && nc 127.0.0.1:90; do :; done", &[8080, 90])]
    #[case("until nc -z localhost 8080; do sleep 1; done", &[8080])]
    #[case("curl -s 'http://[::1]:8080/'", &[8080])]
    #[case("curl \"localhost\":81", &[81])]
    #[case("curl http://db:8080", &[])]
    #[case("echo localhost", &[])]
    fn ports_are_found_in_commands(#[case] command: &str, #[case] ports: &[i64]) {
        assert_eq!(local_ports(command), ports);
    }
}
