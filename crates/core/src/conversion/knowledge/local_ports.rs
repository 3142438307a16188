//! Who serves which port inside a pod, and who asks for which.

use crate::lifecycle::hooks::command_text;
use crate::pod::{Container, Handler, HttpGetAction, Probe, TcpSocketAction};
use std::collections::BTreeSet;

/// A container that may serve ports, and when it starts.
#[derive(Clone, Copy, Debug)]
pub(in crate::conversion) struct PortServer<'p> {
    pub(in crate::conversion) container: &'p Container<'p>,
    pub(in crate::conversion) starts: Starts,
}

/// When a container starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::conversion) enum Starts {
    /// At this place of the start order, to which it moves.
    Moved(usize),
    /// At this place of the start order, where it is a native sidecar already.
    Native(usize),
    /// With the application.
    Last,
}

/// All containers of a pod by the ports that they serve.
#[derive(Debug, Default)]
pub(in crate::conversion) struct Servers<'p> {
    /// By port, then by when they start.
    sorted: Vec<(i64, Starts, &'p str)>,
}

/// The ports of the pod that a handler asks.
pub(in crate::conversion) fn asked_by(handler: &Handler<'_>, container: &Container<'_>) -> Vec<i64> {
    match handler {
        Handler { exec: Some(exec), .. } => in_command(&command_text(&exec.command)),
        _ => asked_by_kubelet(handler, container).into_iter().collect(),
    }
}

/// The port of the pod that the kubelet itself asks.
fn asked_by_kubelet(handler: &Handler<'_>, container: &Container<'_>) -> Option<i64> {
    let is_local = |host: &str| matches!(host, "" | "localhost" | "127.0.0.1" | "::1");
    match handler {
        Handler { http_get: Some(HttpGetAction { host, port, .. }), .. }
        | Handler { tcp_socket: Some(TcpSocketAction { host, port }), .. } => {
            container.port_number(port).filter(|_| is_local(host))
        }
        Handler { grpc: Some(grpc), .. } => Some(grpc.port),
        _ => None,
    }
}

/// The ports of this pod in a command: `localhost:8080` in any spelling, and `nc localhost 8080`.
fn in_command(command: &str) -> Vec<i64> {
    const HOSTS: [&str; 5] = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]", "::1"];
    let behind = |host: &'static str| command.match_indices(host).map(move |(at, host)| &command[at + host.len()..]);
    let number = |rest: &str| {
        let rest = rest.trim_start_matches(['"', '\'']).strip_prefix([':', ' '])?.trim_start();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    };
    HOSTS.into_iter().flat_map(behind).filter_map(number).collect()
}

/// The ports that a container declares, or is asked at by a probe of its own.
fn served_by(container: &Container<'_>) -> impl Iterator<Item = i64> {
    let declared = container.ports().iter().map(|port| port.container_port);
    let probes = [container.startup_probe(), container.readiness_probe()];
    let asked = |probe: Probe<'_>| asked_by_kubelet(probe.handler, container);
    declared.chain(probes.into_iter().flatten().filter_map(asked))
}

// === impl Servers ===

impl<'p> Servers<'p> {
    /// Who serves what among `servers`.
    pub(in crate::conversion) fn of(servers: impl Iterator<Item = PortServer<'p>>) -> Self {
        let mut sorted = Vec::new();
        for PortServer { container, starts } in servers {
            sorted.extend(served_by(container).map(|port| (port, starts, &*container.name)));
        }
        // Stable, since of those that start together the first of the list counts.
        sorted.sort_by_key(|(port, starts, _)| (*port, *starts));
        Self { sorted }
    }

    /// The first of `ports` that `container`, which starts at the place `at`, does not declare itself and that is served
    /// by a container that starts later; and that one's name.
    pub(in crate::conversion) fn first_later(
        &self,
        ports: &[i64],
        container: &Container<'_>,
        at: usize,
    ) -> Option<(i64, &'p str)> {
        let served_later = ports.iter().filter_map(|port| Some((*port, self.later(*port, at)?)));
        let mut declared = None;
        served_later.into_iter().find(|(port, _)| {
            let declared: &BTreeSet<_> =
                declared.get_or_insert_with(|| container.ports().iter().map(|port| port.container_port).collect());
            !declared.contains(port)
        })
    }

    /// The container that serves `port` and starts later than the place `at`: one that moves before one that was there
    /// already, and that one before one of the application.
    fn later(&self, port: i64, at: usize) -> Option<&'p str> {
        let first = |starts: Starts| {
            let index = self.sorted.partition_point(|(other, place, _)| (*other, *place) < (port, starts));
            self.sorted.get(index).filter(|(other, place, _)| *other == port && place.is_like(starts))
        };
        let [moved, native] = [Starts::Moved(at + 1), Starts::Native(at + 1)];
        let (_, _, name) = first(moved).or_else(|| first(native)).or_else(|| first(Starts::Last))?;
        Some(name)
    }
}

// === impl Starts ===

impl Starts {
    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
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
        assert_eq!(in_command(command), ports);
    }
}
