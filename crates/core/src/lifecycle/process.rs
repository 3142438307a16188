//! What a container's first process does: what it waits for, what it works on afterwards, and whether SIGTERM ends it.

use super::{
    hooks::{self, HookKind},
    script::{self, Command, End, Place, base_name},
    traffic,
};
use crate::pod::Container;

/// What a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited<'t> {
    /// That a file or socket of this path is there.
    File(&'t str),
    /// That it is gone.
    NoFile(&'t str),
    /// That a process runs.
    Process,
    /// That a process has ended.
    ProcessEnd,
    /// That a port answers.
    Port(i64),
    /// That a port answers no more.
    PortEnd(i64),
}

/// A wait, and what is done when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait<'t> {
    /// What is waited for.
    pub awaited: Awaited<'t>,
    /// The first command behind it that does more than to end the container itself.
    pub then: Option<Work<'t>>,
}

/// A command that does something that matters to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work<'t> {
    /// The name of its program.
    pub program: &'t str,
    /// Whether it takes the shell's place.
    pub is_exec: bool,
    /// Whether this or a later command takes the shell's place, as what is meant to go on running does, or is a server.
    pub serves_then: bool,
}

/// Programs that have no handler for SIGTERM, so that the kernel keeps it from the first process of a container.
const DEAF: [&str; 7] = ["tail", "sleep", "cat", "tee", "yes", "inotifywait", "read"];

/// Programs that go on running once they are started.
const SERVERS: [&str; 8] = ["nginx", "httpd", "apache2", "envoy", "haproxy", "gunicorn", "uvicorn", "caddy"];

/// Programs that stand first and pass signals on.
const INITS: [&str; 9] =
    ["tini", "dumb-init", "catatonit", "s6-svscan", "s6-overlay", "supervisord", "runit", "kubexit", "pid1"];

/// Commands that look whether something is there, or wait a little, and do no work.
const IDLE: [&str; 24] = [
    "sleep", "wait", "exit", "return", "break", "continue", "true", "false", ":", "echo", "printf", "set", "trap",
    "test", "[", "[[", "kill", "pkill", "killall", "killall5", "rm", "sync", "date", "export",
];

/// The words of a container's command line: `command`, then `args`.
#[must_use]
pub fn command_line<'c>(container: &'c Container<'_>) -> Vec<&'c str> {
    container.command_line().collect()
}

/// The script of a container's command line, if it hands one to a shell.
#[must_use]
pub fn script<'c>(container: &'c Container<'_>) -> Option<&'c str> {
    script::in_command_line(&command_line(container))
}

/// Whether the first process is known not to act on SIGTERM, and which program that is.
///
/// The kernel keeps a signal from the first process of a process namespace that has no handler for it. So this is for
/// containers with a process namespace of their own.
#[must_use]
pub fn deaf_to_term<'c>(container: &'c Container<'_>) -> Option<&'c str> {
    // Who names a signal of its own knows what ends the program.
    if container.lifecycle().is_some_and(|lifecycle| lifecycle.has_others) {
        return None;
    }
    let words = command_line(container);
    let first = words.iter().copied().find(|word| !word.is_empty())?;
    if INITS.contains(&base_name(first)) {
        return None;
    }
    match script::in_command_line(&words) {
        Some(text) => deaf_script(text),
        None => DEAF.into_iter().find(|deaf| *deaf == base_name(first)),
    }
}

/// Of a script the program that stays as first process and does not act on SIGTERM.
fn deaf_script(text: &str) -> Option<&str> {
    let commands: Vec<_> = script::commands(text).collect();
    // `trap "" TERM` has no words but the signal, and lets it be.
    if commands.iter().any(|command| command.program() == "trap" && command.words.len() > 2) {
        return None;
    }
    let deaf = |command: &Command<'_>| DEAF.into_iter().find(|deaf| *deaf == command.program());
    if let Some(exec) = commands.iter().find(|command| command.is_exec() && !command.program().is_empty()) {
        return deaf(exec);
    }
    let last = commands.last()?;
    // A shell whose last command is a plain one may put it in its own place; which one does so differs.
    let alone = commands.len() == 1 && last.place == Place::Plain && last.end == End::Done;
    let ends_in_loop = text.trim_end().trim_end_matches(';').ends_with("done") || last.place != Place::Plain;
    let waits = last.program() == "wait" || last.end == End::Background;
    let piped = commands.iter().rev().nth(1).is_some_and(|command| command.end == End::Pipe);
    match () {
        () if alone => deaf(last),
        () if ends_in_loop || waits || piped => Some("the shell"),
        () => deaf(last).map(|_| "the shell"),
    }
}

/// The file that the container follows by `tail -f`, which ends where the file is not there; `tail -F` waits for it.
#[must_use]
pub fn followed<'c>(container: &'c Container<'_>) -> Option<&'c str> {
    let words = command_line(container);
    let file = |words: &[&'c str]| {
        let is_tail = words.first().is_some_and(|word| base_name(word) == "tail");
        let options: Vec<&str> = words.iter().copied().filter(|word| word.starts_with('-')).collect();
        let short = |letter: char| options.iter().any(|word| !word.starts_with("--") && word.contains(letter));
        let follows = short('f') || options.iter().any(|word| word.starts_with("--follow"));
        let waits = short('F') || options.contains(&"--retry");
        (is_tail && follows && !waits).then(|| words.iter().copied().find(|word| is_path(word)))?
    };
    match script::in_command_line(&words) {
        Some(text) => script::commands(text).find_map(|command| file(&command.words)),
        None => file(&words),
    }
}

/// So many waits of one container are looked at.
pub const MOST_WAITS: usize = 64;

/// Everything that a script waits for, each with the first work behind it.
#[must_use]
pub fn waits(text: &str) -> Vec<Wait<'_>> {
    let commands: Vec<_> = script::commands(text).collect();
    let next_work = next(&commands, is_work);
    let next_server = next(&commands, |command| {
        (command.is_exec() && !command.arguments().is_empty()) || SERVERS.contains(&command.program())
    });
    let next_leave = next(&commands, |command| matches!(command.program(), "break" | "exit" | "return"));
    let behind_loop = behind_loops(&commands);
    let wait = |at: usize| {
        let command = &commands[at];
        let first_work = |from: usize| next_work.get(from).copied().flatten();
        let (awaited, then) = match command.place {
            Place::Asked { until } => (awaited(command, until)?, first_work(behind_loop[at])),
            // A command that waits by itself.
            Place::Plain => (blocking(command)?, first_work(at + 1)),
            // `if test -f FILE; then work; break; fi` in the body of a loop, or `test -f FILE && break`.
            Place::If | Place::Body => {
                let leave = next_leave[at].filter(|leave| *leave < behind_loop[at])?;
                let within = first_work(at + 1).filter(|work| *work < leave);
                let behind = || first_work(behind_loop[at]).filter(|_| commands[leave].program() == "break");
                (awaited(command, true)?, within.or_else(behind))
            }
        };
        let work = |work: usize| Work {
            program: commands[work].program(),
            is_exec: commands[work].is_exec(),
            serves_then: next_server[work].is_some(),
        };
        Some(Wait { awaited, then: then.map(work) })
    };
    (0..commands.len()).filter_map(wait).take(MOST_WAITS).collect()
}

/// Of each command the first one, from itself on, that is `such`.
fn next(commands: &[Command<'_>], such: impl Fn(&Command<'_>) -> bool) -> Vec<Option<usize>> {
    let mut first = None;
    let mut next = vec![None; commands.len()];
    for (at, command) in commands.iter().enumerate().rev() {
        if such(command) {
            first = Some(at);
        }
        next[at] = first;
    }
    next
}

/// Of each command the place behind the outermost loop it belongs to, or behind itself.
fn behind_loops(commands: &[Command<'_>]) -> Vec<usize> {
    let mut behind = vec![0; commands.len()];
    let mut end = commands.len();
    for (at, command) in commands.iter().enumerate().rev() {
        let same = commands.get(at + 1).is_some_and(|next| next.outermost == command.outermost);
        if command.outermost.is_none() || !same {
            end = at + 1;
        }
        behind[at] = end;
    }
    behind
}

/// What a loop waits for that asks `command`; with `until`, that it succeeds.
fn awaited<'t>(command: &Command<'t>, until: bool) -> Option<Awaited<'t>> {
    let arguments = command.arguments();
    let mut wanted = until != command.negated;
    let operand = || {
        let behind =
            arguments.iter().skip_while(|word| !matches!(**word, "-f" | "-e" | "-s" | "-S" | "-d" | "-p" | "-r"));
        behind.copied().nth(1).filter(|word| !word.is_empty())
    };
    let path = || arguments.iter().copied().find(|word| is_path(word)).or_else(operand);
    match command.program() {
        "[" | "[[" | "test" => {
            if arguments.contains(&"!") || arguments.contains(&"-z") {
                wanted = !wanted;
            }
            Some(file(path()?, wanted))
        }
        "ls" | "stat" | "cat" | "grep" | "find" | "head" => Some(file(path()?, wanted)),
        "pgrep" | "pidof" | "ps" => Some(process(wanted)),
        "kill" if arguments.contains(&"-0") => Some(process(wanted)),
        "nc" | "curl" | "wget" | "pg_isready" | "mysqladmin" | "redis-cli" | "ncat" => {
            let socket = arguments.iter().copied().find(|word| is_path(word) && word.contains(".sock"));
            if let Some(socket) = socket {
                return Some(file(socket, wanted));
            }
            let port = traffic::text::ports_in(&command.words.join(" ")).into_iter().next()?;
            Some(if wanted { Awaited::Port(port) } else { Awaited::PortEnd(port) })
        }
        _ => None,
    }
}

const fn process<'t>(wanted: bool) -> Awaited<'t> {
    if wanted { Awaited::Process } else { Awaited::ProcessEnd }
}

const fn file(path: &str, wanted: bool) -> Awaited<'_> {
    if wanted { Awaited::File(path) } else { Awaited::NoFile(path) }
}

/// What a command waits for by itself, without a loop.
fn blocking<'t>(command: &Command<'t>) -> Option<Awaited<'t>> {
    let arguments = command.arguments();
    match command.program() {
        "tail" if arguments.iter().any(|word| word.starts_with("--pid")) => Some(Awaited::ProcessEnd),
        "inotifywait" if !arguments.contains(&"-m") => {
            arguments.iter().copied().find(|word| is_path(word)).map(Awaited::File)
        }
        name if name.starts_with("wait-for") && name.contains("file") => {
            arguments.iter().copied().find(|word| is_path(word)).map(Awaited::File)
        }
        _ => None,
    }
}

/// Whether a command only looks, waits or ends.
#[must_use]
pub fn is_idle(command: &Command<'_>) -> bool {
    IDLE.contains(&command.program())
}

/// Whether a command does something that matters to others: neither looks, nor waits, nor ends the container.
fn is_work(command: &Command<'_>) -> bool {
    let name = command.program();
    let quits = || hooks::of_words(&command.words) == Some(HookKind::Quit);
    let looks = matches!(command.place, Place::Asked { .. } | Place::If);
    !looks && !IDLE.contains(&name) && !quits()
}

fn is_path(word: &str) -> bool {
    word.starts_with('/') || (word.starts_with(['$', '.']) && word.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn container(json: &str) -> Container<'_> {
        serde_json::from_str(json).unwrap()
    }

    fn told(text: &str) -> Vec<(Awaited<'_>, Option<&str>)> {
        waits(text).into_iter().map(|wait| (wait.awaited, wait.then.map(|work| work.program))).collect()
    }

    #[rstest]
    #[case("while [ ! -f /o/done ]; do sleep 1; done; aws s3 sync /o s3://r", Awaited::File("/o/done"), Some("aws"))]
    #[case("until test -e /o/x; do :; done && exec server", Awaited::File("/o/x"), Some("server"))]
    #[case("while ! ls /o/x; do sleep 1; done\nrclone copy /o r:", Awaited::File("/o/x"), Some("rclone"))]
    #[case("while [ -f /o/lock ]; do sleep 1; done; upload", Awaited::NoFile("/o/lock"), Some("upload"))]
    #[case("while [ ! -f /o/x ]; do sleep 1; done; kill $!; exit 0", Awaited::File("/o/x"), None)]
    #[case("proxy & while ! [ -f /o/x ]; do sleep 1; done; curl localhost:1/quitquitquit", Awaited::File("/o/x"), None)]
    #[case("while [ ! -f /o/x ]; do poll; sleep 1; done", Awaited::File("/o/x"), None)]
    #[case("while true; do [ -f /o/x ] && break; sleep 1; done; up", Awaited::File("/o/x"), Some("up"))]
    #[case("while :; do if [ -f /o/x ]; then up; exit; fi; sleep 1; done", Awaited::File("/o/x"), Some("up"))]
    #[case("while pgrep -x main >/dev/null; do sleep 1; done; report", Awaited::ProcessEnd, Some("report"))]
    #[case("until pidof main; do sleep 1; done; watch-it", Awaited::Process, Some("watch-it"))]
    #[case("while kill -0 7 2>/dev/null; do sleep 1; done; report", Awaited::ProcessEnd, Some("report"))]
    #[case("until nc -z localhost 6432; do sleep 1; done; migrate", Awaited::Port(6432), Some("migrate"))]
    #[case("while curl -s localhost:8080/x; do sleep 1; done; report", Awaited::PortEnd(8080), Some("report"))]
    #[case("tail --pid=7 -f /dev/null; report", Awaited::ProcessEnd, Some("report"))]
    #[case("inotifywait -e create /o/done && up", Awaited::File("/o/done"), Some("up"))]
    #[case("while [ ! -f /o/x ]; do sleep 1; done; for f in /o/*; do put $f; done", Awaited::File("/o/x"), Some("put"))]
    fn waits_are_found(#[case] script: &str, #[case] awaited: Awaited<'_>, #[case] then: Option<&str>) {
        assert_eq!(told(script), [(awaited, then)]);
    }

    #[rstest]
    #[case("while true; do sleep 5; done")]
    #[case("[ -f /o/x ] && up")]
    #[case("while read line; do put $line; done")]
    #[case("")]
    fn other_scripts_wait_for_nothing(#[case] script: &str) {
        assert_eq!(told(script), []);
    }

    #[rstest]
    #[case(r#"{"command":["tail","-F","/x"]}"#, Some("tail"))]
    #[case(r#"{"args":["/bin/sleep","infinity"]}"#, Some("sleep"))]
    #[case(r#"{"command":["sh","-c","tail -F /x"]}"#, Some("tail"))]
    #[case(r#"{"command":["sh","-c","exec tail -F /x"]}"#, Some("tail"))]
    #[case(r#"{"command":["sh","-c","tail -F /x | grep y"]}"#, Some("the shell"))]
    #[case(r#"{"command":["/bin/sh","-ec","while true; do x; sleep 1; done"]}"#, Some("the shell"))]
    #[case(r#"{"command":["bash","-c"],"args":["prepare; server & wait"]}"#, Some("the shell"))]
    #[case(r#"{"command":["sh","-c","trap 'exit' TERM; while true; do sleep 1; done"]}"#, None)]
    #[case(r#"{"command":["sh","-c","prepare; exec server"]}"#, None)]
    #[case(r#"{"command":["sh","-c","server --port=1"]}"#, None)]
    #[case(r#"{"command":["tini","--","sleep","infinity"]}"#, None)]
    #[case(r#"{"command":["sleep","infinity"],"lifecycle":{"stopSignal":"SIGKILL"}}"#, None)]
    #[case(r#"{"command":["server"]}"#, None)]
    #[case(r"{}", None)]
    fn first_processes_that_are_deaf_to_term(#[case] json: &str, #[case] program: Option<&str>) {
        assert_eq!(deaf_to_term(&container(json)), program);
    }

    #[rstest]
    #[case(r#"{"command":["tail","-f","/x"]}"#, Some("/x"))]
    #[case(r#"{"command":["sh","-c","trap x TERM; tail -n 1 -f /x & wait"]}"#, Some("/x"))]
    #[case(r#"{"command":["tail","-F","/x"]}"#, None)]
    #[case(r#"{"command":["tail","-f","--retry","/x"]}"#, None)]
    #[case(r#"{"command":["tail","/x"]}"#, None)]
    fn files_that_are_followed(#[case] json: &str, #[case] path: Option<&str>) {
        assert_eq!(followed(&container(json)), path);
    }
}
