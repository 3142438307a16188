//! Files by which containers tell each other how far they are.

use crate::{
    lifecycle::{
        process,
        script::{self, base_name},
        traffic::Mounts,
    },
    pod::{Argument, Container},
};
use std::collections::BTreeSet;

/// What a file's name says about when it comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conversion) enum Marker {
    /// When its writer is ready.
    Start,
    /// When its writer has done its work.
    End,
    /// It does not say.
    Unknown,
}

const END: [&str; 16] = [
    "done",
    "finish",
    "finished",
    "complete",
    "completed",
    "success",
    "exit",
    "exited",
    "terminated",
    "terminate",
    "end",
    "ended",
    "stop",
    "stopped",
    "final",
    "shutdown",
];
const START: [&str; 12] =
    ["ready", "started", "start", "up", "live", "alive", "healthy", "init", "initialized", "sock", "socket", "pid"];

/// Programs that copy something away and end.
const COPIES: [&str; 22] = [
    "aws", "gsutil", "gcloud", "rclone", "curl", "wget", "scp", "rsync", "mc", "s3cmd", "azcopy", "az", "tar", "cp",
    "mv", "zip", "gzip", "ftp", "sftp", "lftp", "mail", "kubectl",
];

/// By words of the last part of the path: `.done`, `_SUCCESS`, `main-finished`.
pub(in crate::conversion) fn of_name(path: &str) -> Marker {
    let name = base_name(path).to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let has = |list: &[&str]| words.clone().any(|word| list.contains(&word));
    match () {
        () if has(&END) && has(&START) => Marker::Unknown,
        () if has(&END) => Marker::End,
        () if has(&START) => Marker::Start,
        () if words.any(|word| word.ends_with("done") || word.ends_with("complete")) => Marker::End,
        () => Marker::Unknown,
    }
}

/// Whether a program copies something away and ends, by its name.
pub(in crate::conversion) fn copies(program: &str) -> bool {
    const PARTS: [&str; 9] = ["upload", "report", "send", "push", "publish", "archive", "backup", "export", "notify"];
    COPIES.contains(&program) || PARTS.iter().any(|part| program.contains(part))
}

/// Whether a flag or variable of this name that holds this path says that the program works once the file is there. One
/// that says that the program ends then does not.
pub(in crate::conversion) fn awaits_end(name: &str, path: &str) -> bool {
    let name = name.get(..64).unwrap_or(name).to_ascii_lowercase();
    let has = |list: &[&str]| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| list.contains(&word));
    let quits = has(&["exit", "quit", "stop", "shutdown", "terminate", "termination", "kill"]);
    let waits = has(&["wait", "await", "marker", "sentinel", "trigger", "success", "semaphore"]);
    let ends =
        has(&["done", "complete", "completed", "completion", "finish", "finished"]) && has(&["file", "path", "marker"]);
    !quits && (ends || waits) && of_name(path) != Marker::Start && (ends || of_name(path) == Marker::End)
}

/// Flags and variables whose value is a path.
pub(in crate::conversion) fn named_paths<'c>(container: &'c Container<'_>) -> impl Iterator<Item = (&'c str, &'c str)> {
    let flags = container.arguments().filter_map(|argument| match argument {
        Argument::Flag(flag, Some(value)) => Some((flag.trim_start_matches('-'), value)),
        _ => None,
    });
    let variables = container.env().iter().map(|var| (&*var.name, var.value.as_deref().unwrap_or_default()));
    flags.chain(variables).filter(|(_, value)| value.starts_with('/'))
}

/// So many files are kept that scripts write last.
const MOST_WRITTEN: usize = 1000;

/// The files in volumes that scripts of `containers` write behind their own work: the volume and the path within it.
pub(in crate::conversion) fn written_last<'p>(
    containers: impl Iterator<Item = &'p Container<'p>>,
) -> BTreeSet<(&'p str, &'p str)> {
    containers.flat_map(last_writes).take(MOST_WRITTEN).collect()
}

/// The files in volumes that the script of one container writes last.
fn last_writes<'p>(container: &'p Container<'p>) -> impl Iterator<Item = (&'p str, &'p str)> {
    let mounts = Mounts::of(container);
    let commands: Vec<_> = process::script(container).map(script::commands).into_iter().flatten().collect();
    // From the end, up to the first command that does more than to write a mark.
    let mut is_last = commands.len() > 1;
    commands.into_iter().rev().flat_map(move |command| {
        let counts = is_last || command.program() == "trap";
        let paths: Vec<_> = writes(&command.words).take(MOST_WRITTEN).collect();
        is_last &= !paths.is_empty() || process::is_idle(&command);
        let within = paths.into_iter().filter(|_| counts).filter_map(|path| mounts.find(path));
        within.collect::<Vec<_>>()
    })
}

/// The paths that a command writes: behind `touch` and `>`, or last of `cp` and `mv`.
fn writes<'w, 't>(words: &'w [&'t str]) -> impl Iterator<Item = &'t str> + 'w {
    let program = words.first().map_or("", |word| base_name(word));
    let all = words.iter().skip(1).filter(move |_| program == "touch");
    let last = words.last().filter(move |_| matches!(program, "cp" | "mv"));
    let redirected = words.windows(2).filter(|pair| matches!(pair[0], ">" | ">>" | "1>")).map(|pair| &pair[1]);
    let joined = words.iter().filter_map(|word| word.strip_prefix('>').map(|path| path.trim_start_matches('>')));
    all.chain(last).chain(redirected).copied().chain(joined).filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/outputs/.done", Marker::End)]
    #[case("/out/_SUCCESS", Marker::End)]
    #[case("/run/app/api.sock", Marker::Start)]
    #[case("/shared/ready", Marker::Start)]
    #[case("/data/file", Marker::Unknown)]
    fn names_say_when(#[case] path: &str, #[case] marker: Marker) {
        assert_eq!(of_name(path), marker);
    }

    #[rstest]
    #[case("done-file", "/work/x", true)]
    #[case("WAIT_FOR", "/out/_SUCCESS", true)]
    #[case("wait-for", "/run/app.sock", false)]
    #[case("exit-when-done", "/work/done", false)]
    #[case("config", "/etc/done", false)]
    fn flags_say_what_is_waited_for(#[case] name: &str, #[case] path: &str, #[case] awaits: bool) {
        assert_eq!(awaits_end(name, path), awaits);
    }
}
