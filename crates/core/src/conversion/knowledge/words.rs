//! Probes and hooks in few words.

use crate::{
    lifecycle::hooks::command_text,
    pod::{Handler, HttpGetAction, PortRef, Text},
    text::shorten,
};
use serde::Deserialize;
use serde_json::Value;

/// So many words of a command, and so many characters, are enough to recognise it.
const WORDS: usize = 12;
const CHARACTERS: usize = 100;

/// What `handler` does: `exec: sleep 20`, `httpGet: 9090/startup`.
pub(in crate::conversion) fn in_words(handler: &Handler<'_>) -> String {
    match handler {
        Handler { exec: Some(exec), .. } => format!("exec: {}", shortened(&exec.command)),
        Handler { http_get: Some(HttpGetAction { port, path, .. }), .. } => {
            format!("httpGet: {}{}", number(port), shorten(path, CHARACTERS))
        }
        Handler { tcp_socket: Some(socket), .. } => format!("tcpSocket: {}", number(&socket.port)),
        Handler { grpc: Some(grpc), .. } => format!("grpc: {}", grpc.port),
        Handler { sleep: Some(sleep), .. } => format!("sleep: {}", sleep.seconds),
        _ => "something else".to_owned(),
    }
}

/// The same for a probe or hook that is on its way into the pod.
pub(in crate::conversion) fn value_in_words(handler: &Value) -> String {
    Handler::deserialize(handler).map_or_else(|_| "something else".to_owned(), |handler| in_words(&handler))
}

fn shortened(command: &[Text<'_>]) -> String {
    let text = command_text(&command[..command.len().min(WORDS)]);
    let rest = if command.len() > WORDS { " …" } else { "" };
    shorten(&text, CHARACTERS) + rest
}

fn number(port: &PortRef<'_>) -> String {
    match port {
        PortRef::Number(number) => number.to_string(),
        PortRef::Name(name) => shorten(name, CHARACTERS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(r#"{"exec":{"command":["sleep","20"]}}"#, "exec: sleep 20")]
    #[case(r#"{"httpGet":{"path":"/startup","port":9090}}"#, "httpGet: 9090/startup")]
    #[case(r#"{"tcpSocket":{"port":"db"}}"#, "tcpSocket: db")]
    #[case(r#"{"grpc":{"port":7}}"#, "grpc: 7")]
    #[case(r#"{"sleep":{"seconds":3}}"#, "sleep: 3")]
    #[case("{}", "something else")]
    fn handlers(#[case] handler: &str, #[case] words: &str) {
        assert_eq!(value_in_words(&serde_json::from_str(handler).unwrap()), words);
    }

    #[test]
    fn a_long_command_is_cut() {
        let command = vec!["x".repeat(1000); 1000];
        let words = value_in_words(&serde_json::json!({"exec": {"command": command}}));
        assert_eq!(words.chars().count(), "exec: ".len() + CHARACTERS + " …".chars().count());
    }
}
