//! Who serves which port inside a pod, and who asks for which.

use super::hooks::command_text;
use crate::pod::{Container, Handler, HttpGetAction, Probe, TcpSocketAction};
use std::collections::{HashMap, HashSet};

/// A container that may serve ports, and when it starts.
#[derive(Clone, Copy, Debug)]
pub(in crate::conversion) struct Server<'p> {
    pub(in crate::conversion) container: &'p Container<'p>,
    pub(in crate::conversion) starts: Starts,
}

/// When a container starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub(in crate::conversion) struct Servers<'p>(HashMap<i64, OfPort<'p>>);

/// The containers that serve one port, in start order.
#[derive(Debug, Default)]
struct OfPort<'p> {
    moved: Vec<(usize, &'p str)>,
    native: Vec<(usize, &'p str)>,
    last: Option<&'p str>,
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
    let asked = |probe: &Probe<'_>| asked_by_kubelet(&probe.handler, container);
    declared.chain(probes.into_iter().flatten().filter_map(asked).collect::<Vec<_>>())
}

// === impl Servers ===

impl<'p> Servers<'p> {
    /// Who serves what among `servers`, which are in start order.
    pub(in crate::conversion) fn of(servers: impl Iterator<Item = Server<'p>>) -> Self {
        let mut by_port: HashMap<i64, OfPort<'p>> = HashMap::new();
        for Server { container, starts } in servers {
            let name = &*container.name;
            for port in served_by(container) {
                let of_port = by_port.entry(port).or_default();
                match starts {
                    Starts::Moved(at) => of_port.moved.push((at, name)),
                    Starts::Native(at) => of_port.native.push((at, name)),
                    Starts::Last => of_port.last = of_port.last.or(Some(name)),
                }
            }
        }
        Self(by_port)
    }

    /// The first of `ports` that `container`, which starts at the place `at`, does not declare itself and that is served
    /// by a container that starts later; and that one's name.
    pub(in crate::conversion) fn first_later(
        &self,
        ports: &[i64],
        container: &Container<'_>,
        at: usize,
    ) -> Option<(i64, &'p str)> {
        if ports.is_empty() {
            return None;
        }
        let own: HashSet<_> = container.ports().iter().map(|port| port.container_port).collect();
        let foreign = ports.iter().filter(|port| !own.contains(port));
        foreign.copied().find_map(|port| Some((port, self.0.get(&port)?.later(at)?)))
    }
}

// === impl OfPort ===

impl<'p> OfPort<'p> {
    fn later(&self, at: usize) -> Option<&'p str> {
        let first = |list: &[(usize, &'p str)]| {
            list.get(list.partition_point(|(place, _)| *place <= at)).map(|(_, name)| *name)
        };
        first(&self.moved).or_else(|| first(&self.native)).or(self.last)
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
