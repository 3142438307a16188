//! What a probe or hook does, in a few words for people.

use super::hooks::command_text;
use crate::pod::{Handler, PortRef};
use std::fmt::Write as _;

/// What `handler` does: `HTTP GET port 9090 /startup`, `exec pilot-agent wait`, `sleep 5 s`. As its author wrote it, so it
/// may hold any character.
#[must_use]
pub fn handler(handler: &Handler<'_>) -> String {
    match handler {
        Handler { exec: Some(exec), .. } => format!("exec {}", command_text(&exec.command)),
        Handler { http_get: Some(request), .. } => {
            let path = if request.path.is_empty() { "/" } else { &request.path };
            format!("HTTP GET {} {path}", place(&request.host, &request.port))
        }
        Handler { tcp_socket: Some(socket), .. } => format!("TCP {}", place(&socket.host, &socket.port)),
        Handler { grpc: Some(grpc), .. } => format!("gRPC port {}", grpc.port),
        Handler { sleep: Some(sleep), .. } => format!("sleep {} s", sleep.seconds),
        _ => "nothing".to_owned(),
    }
}

fn place(host: &str, port: &PortRef<'_>) -> String {
    let mut place = match port {
        PortRef::Number(number) => format!("port {number}"),
        PortRef::Name(name) => format!("port {:?}", &**name),
    };
    if !host.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(place, " of {host}");
    }
    place
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case(r#"{"httpGet":{"path":"/startup","port":9090}}"#, "HTTP GET port 9090 /startup")]
    #[case(r#"{"httpGet":{"port":"http","host":"127.0.0.1"}}"#, "HTTP GET port \"http\" of 127.0.0.1 /")]
    #[case(r#"{"tcpSocket":{"port":5432}}"#, "TCP port 5432")]
    #[case(r#"{"grpc":{"port":50051}}"#, "gRPC port 50051")]
    #[case(r#"{"exec":{"command":["pilot-agent","wait"]}}"#, "exec pilot-agent wait")]
    #[case(r#"{"sleep":{"seconds":5}}"#, "sleep 5 s")]
    #[case("{}", "nothing")]
    fn handlers_are_told_in_a_few_words(#[case] json: &str, #[case] words: &str) {
        assert_eq!(super::handler(&serde_json::from_str(json).unwrap()), words);
    }
}
