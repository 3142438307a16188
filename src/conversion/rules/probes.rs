//! Rules about what holds the application back until the sidecar works.

use super::{Situation, Subject};
use crate::pod::{Details, Handler, HttpGetAction, TcpSocketAction};

/// Source: KEP-753, scenario 7: what starts later cannot be waited for.
pub(super) fn start_deadlock(situation: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    let details = &subject.the_move.selected.details;
    let form = &subject.the_move.form;
    let probe = form.startup_handler(details).map(|handler| asked_ports(&handler, details));
    let post_start =
        form.post_start.leaves_something(false) || form.post_start == super::super::native_form::Change::Keep;
    let hook = details.post_start().filter(|_| post_start).map(|handler| asked_ports(handler, details));
    [("startup probe", probe), ("postStart hook", hook)].into_iter().find_map(|(what, ports)| {
        let (port, owner) = ports?.into_iter().find_map(|port| Some((port, later_owner(situation, subject, port)?)))?;
        Some(format!(
            "its {what} waits for port {port} of {owner:?}, which starts only after it; ask the sidecar itself"
        ))
    })
}

/// The container that starts later than the subject and declares `port`, where the subject does not itself.
fn later_owner(situation: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>, port: i64) -> Option<String> {
    let declares = |details: &Details<'_>| details.ports.iter().any(|declared| declared.container_port == port);
    if declares(&subject.the_move.selected.details) {
        return None;
    }
    let later = situation.plan.later(subject.index).find(|other| declares(&other.selected.details));
    let regular = || {
        let remaining = situation.plan.remaining(situation.pod);
        remaining
            .filter(|other| other.details().is_ok_and(|details| declares(&details)))
            .map(|other| other.name.clone().into_owned())
            .next()
    };
    later.map(|other| other.name().to_owned()).or_else(regular)
}

/// The ports of the pod that a handler asks.
fn asked_ports(handler: &Handler<'_>, details: &Details<'_>) -> Vec<i64> {
    let is_local = |host: &str| matches!(host, "" | "localhost" | "127.0.0.1" | "::1");
    match handler {
        Handler { http_get: Some(HttpGetAction { host, port, .. }), .. }
        | Handler { tcp_socket: Some(TcpSocketAction { host, port }), .. } => {
            details.port_number(port).filter(|_| is_local(host)).into_iter().collect()
        }
        Handler { grpc: Some(grpc), .. } => vec![grpc.port],
        Handler { exec: Some(exec), .. } => exec.command.iter().flat_map(|word| local_ports(word)).collect(),
        _ => Vec::new(),
    }
}

/// The ports behind `localhost:` and `127.0.0.1:` in a command.
fn local_ports(text: &str) -> Vec<i64> {
    let behind = |host: &'static str| text.match_indices(host).map(move |(at, host)| &text[at + host.len()..]);
    let number = |rest: &str| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    };
    behind("localhost:").chain(behind("127.0.0.1:")).filter_map(number).collect()
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go`, `computeInitContainerActions`.
pub(super) fn no_startup_gate(_: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    let (form, details) = (&subject.the_move.form, &subject.the_move.selected.details);
    let name = subject.the_move.name();
    let decided = form.startup_probe == super::super::native_form::Change::Remove;
    (details.readiness_probe.is_some() && !form.is_gated(details) && !decided).then(|| {
        format!("the application does not wait until it is ready; add startup-probe.native-sidecar.io/{name}: readiness, or none")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_commands() {
        assert_eq!(local_ports("until curl -s http://localhost:8080/x && nc 127.0.0.1:90; do :; done"), [8080, 90]);
        assert!(local_ports("curl http://db:8080").is_empty());
    }
}
