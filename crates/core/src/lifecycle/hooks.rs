//! What lifecycle hooks do, told by what they run.

use super::script;
use crate::pod::{ExecAction, Handler, Text};

/// What a preStop hook does, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// Ends the sidecar.
    Quit,
    /// Takes away what the sidecar has mounted for others.
    Unmount,
    /// Waits, and nothing else.
    Sleep,
    /// Lets the sidecar finish its work without ending it.
    Drain,
    /// Something else.
    Other,
}

/// Words that tell a program to end.
const QUITS: [&str; 7] = ["quitquitquit", "shutdown", "graceful_shutdown", "quit", "stop", "exit", "poweroff"];

/// What `hook` does.
#[must_use]
pub fn classify(hook: &Handler<'_>) -> HookKind {
    match hook {
        Handler { sleep: Some(_), .. } => HookKind::Sleep,
        Handler { http_get: Some(request), .. } => of_path(&request.path),
        Handler { exec: Some(exec), .. } => of_command(exec),
        _ => HookKind::Other,
    }
}

/// By the last part of the path: what is asked for, and not where it lives.
fn of_path(path: &str) -> HookKind {
    let path = path.split(['?', '#']).next().unwrap_or(path).trim_end_matches('/').to_lowercase();
    let last = path.rsplit('/').next().unwrap_or_default();
    let words: Vec<&str> = last.split(['_', '-', '.']).collect();
    match last {
        _ if QUITS.contains(&last) || words.contains(&"shutdown") => HookKind::Quit,
        _ if words.iter().any(|word| word.contains("drain")) => HookKind::Drain,
        "sleep" | "wait" => HookKind::Sleep,
        _ => HookKind::Other,
    }
}

/// A script ends the sidecar if one of its commands does, and only waits if all of them do.
fn of_command(exec: &ExecAction<'_>) -> HookKind {
    let script = command_text(&exec.command).to_lowercase();
    let kinds: Vec<_> = script::commands(&script).filter_map(|command| of_words(&command.words)).collect();
    [HookKind::Quit, HookKind::Unmount, HookKind::Drain, HookKind::Other, HookKind::Sleep]
        .into_iter()
        .find(|kind| kinds.contains(kind))
        .unwrap_or(HookKind::Other)
}

/// What one command does; `None` for one that neither does nor waits for anything by itself.
#[must_use]
pub fn of_words(words: &[&str]) -> Option<HookKind> {
    let mut words = words.iter().copied().skip_while(is_prefix).filter(|word| !word.is_empty());
    let program = words.next()?.rsplit('/').next()?;
    let arguments: Vec<&str> = words.collect();
    Some(match program {
        "exit" | "true" | "false" | ":" | "echo" | "set" | "trap" | "done" | "fi" | "[" | "test" | "break" => {
            return None;
        }
        "sleep" | "wait" => HookKind::Sleep,
        "kill" | "pkill" | "killall" => of_signal(&arguments),
        "poweroff" | "halt" | "shutdown" => HookKind::Quit,
        "umount" => HookKind::Unmount,
        _ if program.starts_with("fusermount") => HookKind::Unmount,
        _ => of_program(program, &arguments),
    })
}

/// What a program does: what it is told, else what its name says.
fn of_program(program: &str, arguments: &[&str]) -> HookKind {
    let told = arguments.iter().map(|argument| of_argument(argument)).find(|kind| *kind != HookKind::Other);
    told.unwrap_or_else(|| match program {
        // What is asked in a condition, as in `while [ $(ss -tln | wc -l) -ne 1 ]`, does nothing.
        "ss" | "wc" | "netstat" | "grep" | "pgrep" | "nc" | "seq" | "date" => HookKind::Sleep,
        _ if program.contains("drain") => HookKind::Drain,
        _ => HookKind::Other,
    })
}

/// A shell, its options and keywords, and variables that are set: what may stand in front of a command.
fn is_prefix(word: &&str) -> bool {
    const WORDS: [&str; 16] = [
        "sh", "bash", "ash", "dash", "exec", "then", "do", "else", "if", "while", "until", "!", "{", "timeout", "sudo",
        "nohup",
    ];
    let name = word.rsplit('/').next().unwrap_or_default();
    let is_number = word.starts_with(|c: char| c.is_ascii_digit());
    word.is_empty()
        || is_number
        || WORDS.contains(&name)
        || word.starts_with(['-', '+', '$', '[', ']'])
        || word.contains('=')
}

/// A signal by which programs end, or one for something else.
fn of_signal(arguments: &[&str]) -> HookKind {
    let named = arguments.iter().position(|argument| *argument == "-s").and_then(|at| arguments.get(at + 1));
    let signal =
        named.or_else(|| arguments.iter().find(|argument| argument.starts_with('-'))).copied().unwrap_or("term");
    match signal.to_ascii_lowercase().trim_start_matches('-').trim_start_matches("sig") {
        "0" => HookKind::Sleep,
        "usr2" | "12" => HookKind::Drain,
        "hup" | "1" | "usr1" | "10" | "winch" | "28" => HookKind::Other,
        _ => HookKind::Quit,
    }
}

/// A word by which a program is told to end or to drain, also as the last part of an address.
fn of_argument(argument: &str) -> HookKind {
    let word = argument.trim_start_matches('-');
    match word {
        _ if argument.contains('/') => of_path(argument),
        _ if QUITS.contains(&word) => HookKind::Quit,
        _ if word.contains("drain") => HookKind::Drain,
        _ => HookKind::Other,
    }
}

/// How long a hook that only waits does so, in seconds, where that is plain.
#[must_use]
pub fn slept_seconds(hook: &Handler<'_>) -> Option<i64> {
    if let Some(sleep) = &hook.sleep {
        return Some(sleep.seconds);
    }
    let exec = hook.exec.as_ref().filter(|_| classify(hook) == HookKind::Sleep)?;
    let text = command_text(&exec.command);
    let mut words = text.split_whitespace().skip_while(|word| !word.ends_with("sleep")).skip(1);
    words.next()?.trim_end_matches([';', 's']).parse().ok()
}

/// The words of a command with spaces between them, as a shell would be given them.
#[must_use]
pub fn command_text(words: &[Text<'_>]) -> String {
    let mut text = String::with_capacity(words.iter().map(|word| word.len() + 1).sum());
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(r#"{"httpGet":{"path":"/quitquitquit","port":9091}}"#, HookKind::Quit)]
    #[case(r#"{"httpGet":{"path":"/shutdown","port":3500}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["curl","-X","POST","localhost:15020/quitquitquit"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["sh","-c","sleep 5; kill 1"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["/bin/sh","-c","sleep 5 && vault token revoke -self"]}}"#, HookKind::Other)]
    #[case(r#"{"exec":{"command":["/cloud-sql-proxy","shutdown"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["nginx","-s","quit"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["killall","-USR2","kuma-dp"]}}"#, HookKind::Drain)]
    #[case(r#"{"exec":{"command":["pilot-agent","request","POST","drain"]}}"#, HookKind::Drain)]
    #[case(r#"{"httpGet":{"path":"/drain_listeners?graceful","port":15000}}"#, HookKind::Drain)]
    #[case(r#"{"exec":{"command":["sleep","10"]}}"#, HookKind::Sleep)]
    #[case(r#"{"sleep":{"seconds":10}}"#, HookKind::Sleep)]
    #[case(
        r#"{"exec":{"command":["sh","-c","while [ $(ss -tln | wc -l) -ne 1 ]; do sleep 1; done"]}}"#,
        HookKind::Sleep
    )]
    #[case(r#"{"exec":{"command":["/flush-logs"]}}"#, HookKind::Other)]
    #[case(r#"{"exec":{"command":["sh","-c","/opt/flush.sh; exit 0"]}}"#, HookKind::Other)]
    #[case(r#"{"exec":{"command":["sh","-c","trap 'exit 0' TERM; sleep 20"]}}"#, HookKind::Sleep)]
    #[case(r#"{"exec":{"command":["kill","-HUP","1"]}}"#, HookKind::Other)]
    #[case(r#"{"exec":{"command":["sh","-c","while kill -0 1; do sleep 1; done"]}}"#, HookKind::Sleep)]
    #[case(r#"{"exec":{"command":["pkill","-USR1","fluentd"]}}"#, HookKind::Other)]
    #[case(r#"{"exec":{"command":["kill","-s","SIGUSR1","1"]}}"#, HookKind::Other)]
    #[case(r#"{"exec":{"command":["sh","-c","kill -USR2 1; sleep 5; kill -TERM 1"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["sh","-c","sleep 5 && nginx -s quit"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["sh","-c","sleep 5; /app/flush-logs --all"]}}"#, HookKind::Other)]
    #[case(r#"{"exec":{"command":["sh","-c","curl -s localhost:2020/reload; sleep 2"]}}"#, HookKind::Other)]
    #[case(r#"{"exec":{"command":["/usr/local/stop/flush"]}}"#, HookKind::Other)]
    #[case(r#"{"exec":{"command":["sh","-c","echo stop >> /log"]}}"#, HookKind::Other)]
    #[case(r#"{"exec":{"command":["sh","-c","kill $(pidof envoy)"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["/bin/bash","-c","/bin/sleep 20"]}}"#, HookKind::Sleep)]
    #[case(r#"{"exec":{"command":["linkerd-await","--shutdown","--","sleep","1"]}}"#, HookKind::Quit)]
    #[case(
        r#"{"exec":{"command":["wget","-qO-","--post-data=","http://127.0.0.1:15000/quitquitquit"]}}"#,
        HookKind::Quit
    )]
    #[case(r#"{"exec":{"command":["sh","-c","umount /data || fusermount -uz /data"]}}"#, HookKind::Unmount)]
    #[case(r#"{"exec":{"command":["/usr/bin/fusermount3","-u","/mnt"]}}"#, HookKind::Unmount)]
    #[case(r#"{"exec":{"command":["sh","-c","sleep 5 2>&1"]}}"#, HookKind::Sleep)]
    #[case(r#"{"httpGet":{"path":"/hooks/stop/flush","port":1}}"#, HookKind::Other)]
    #[case(r#"{"httpGet":{"path":"/flush?on=exit","port":1}}"#, HookKind::Other)]
    #[case(r#"{"httpGet":{"path":"/graceful_shutdown","port":20600}}"#, HookKind::Quit)]
    #[case(r#"{"httpGet":{"path":"/agent/v1/quit","port":8200}}"#, HookKind::Quit)]
    fn hooks_are_told_apart_by_what_they_run(#[case] json: &str, #[case] kind: HookKind) {
        assert_eq!(classify(&serde_json::from_str(json).unwrap()), kind);
    }

    #[rstest]
    #[case(r#"{"sleep":{"seconds":10}}"#, Some(10))]
    #[case(r#"{"exec":{"command":["/bin/sleep","25"]}}"#, Some(25))]
    #[case(r#"{"exec":{"command":["sh","-c","sleep 25;"]}}"#, Some(25))]
    #[case(r#"{"exec":{"command":["sh","-c","sleep $N"]}}"#, None)]
    #[case(r#"{"exec":{"command":["/flush"]}}"#, None)]
    fn waits_are_measured(#[case] json: &str, #[case] seconds: Option<i64>) {
        assert_eq!(slept_seconds(&serde_json::from_str(json).unwrap()), seconds);
    }
}
