//! Rules about the end: who ends whom, what is done then, and how long it takes.

use super::{Case, Move};
use crate::{
    catalogue::Stage,
    conversion::knowledge::{
        markers::{self, Marker},
        quits,
    },
    lifecycle::{
        Role,
        process::{self, Awaited, Wait},
        traffic::{Address, MOST_MOUNTS, Mounts},
    },
    text::quoted,
};

/// Measured on 1.37.2: killed half-way, cut off after the grace period, or failed: the pod is `Succeeded` each time.
/// Source: KEP-753: exit codes of sidecars do not count; `computePodActions`: they are stopped when the application ended.
pub(super) fn works_at_the_end(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let by_script = || the_move.waits().iter().find_map(|wait| late_work(case, the_move, wait));
    let (what, work) = by_script().or_else(|| Some((told_marker(case, the_move)?, "its work".to_owned())))?;
    let grace = case.after().rest().grace_seconds;
    Some(format!(
        "waits for {what} and then does {work}, but a native sidecar gets SIGTERM at that moment, has {grace} s, and its failure no longer counts; leave it, or do this in the application"
    ))
}

pub(super) fn application_ends_sidecar(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let (who, how) = asked_to_quit(case, the_move).or_else(|| waits_to_end(case, the_move))?;
    let is_counted = case.pod.spec.restart_policy == "OnFailure";
    let counts = if is_counted { ", which counts towards a Job's backoffLimit" } else { "" };
    Some(format!(
        "{} ends it {how}, which is no longer needed, and it is restarted now{counts}; take that out",
        quoted(who)
    ))
}

/// Source: `kill(2)` and `pid_namespaces(7)`: the first process of a namespace gets only signals that it has a handler for.
pub(super) fn ignores_term(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let rest = case.after().rest();
    if rest.shares_processes {
        return None;
    }
    let grace = rest.grace_seconds;
    let program = process::deaf_to_term(the_move.container()).filter(|_| grace > 0)?;
    Some(format!(
        "its first process, {program}, does not act on SIGTERM, so each Job and each deletion ends {grace} s late; let it trap TERM, or start it by an init such as tini"
    ))
}

/// Measured on 1.37.2: SIGTERM comes some 50 ms after the application's end.
pub(super) fn last_lines(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let entry = the_move.selected.entry.filter(|entry| entry.stage == Stage::Telemetry)?;
    let reads = entry.reads_lines.as_ref()?;
    let container = the_move.container();
    let place = case.plan.place(the_move);
    let waits = case.after().members().get(place).is_some_and(|member| member.pre_stop().is_some());
    // Who receives what it sends over the network reads no files of the application's.
    let reads_files = || container.volume_mounts().iter().any(|mount| shares(case, the_move, &mount.name));
    let wait = reads.wait_seconds;
    (!waits && reads_files()).then(|| {
        format!("gets SIGTERM as soon as the application has ended; {}, so lines that it has not read by then are lost; give it a preStop hook that waits {wait} s", reads.how)
    })
}

/// What is waited for, and what is done then, where that is at the application's end.
fn late_work(case: &Case<'_>, the_move: &Move<'_>, wait: &Wait<'_>) -> Option<(String, String)> {
    // What takes the shell's place is meant to go on running, unless it copies something away and ends.
    let work = wait.then.filter(|work| !work.serves_then || markers::copies(work.program) && work.is_exec)?;
    let copies = markers::copies(work.program);
    let program = || format!("{:?}", work.program);
    let shares_processes = case.after().rest().shares_processes;
    match wait.awaited {
        Awaited::File(path) => {
            let late = match markers::of_name(path) {
                Marker::End => true,
                Marker::Start => false,
                Marker::Unknown => copies || written_last(case, the_move, path),
            };
            (late && is_shared(case, the_move, path)).then(|| (format!("{path:?}"), program()))
        }
        // Most files that go are locks of the start.
        Awaited::NoFile(_) if !copies => None,
        Awaited::NoFile(path) => is_shared(case, the_move, path).then(|| (format!("the end of {path:?}"), program())),
        Awaited::ProcessEnd => shares_processes.then(|| ("the end of a process".to_owned(), program())),
        Awaited::PortEnd(port) => {
            let place = case.plan.place(the_move);
            let other = case.after().traffic().later_server(place, Address::Port(port))?;
            let name = quoted(case.after().members()[other].name());
            Some((format!("the end of {name}"), program()))
        }
        Awaited::Process | Awaited::Port(_) => None,
    }
}

/// The file that a flag or variable names as the mark of the application's end, in a volume shared with it.
fn told_marker(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    // A vendor's own sidecar is known to be one; and a script was read for what it waits for.
    if the_move.selected.known().is_some() || process::script(the_move.container()).is_some() {
        return None;
    }
    let marks = |(name, path): &(&str, &str)| markers::awaits_end(name, path);
    let paths = markers::named_paths(the_move.container()).filter(marks).take(process::MOST_WAITS);
    let (_, path) = paths.into_iter().find(|(_, path)| is_shared(case, the_move, path))?;
    Some(format!("{path:?}"))
}

/// Whether a container that stays mounts the volume in which the moved one has `path`. Where that cannot be told from the
/// path, any volume that they share will do.
fn is_shared(case: &Case<'_>, the_move: &Move<'_>, path: &str) -> bool {
    let container = the_move.container();
    let shares = |volume: &str| shares(case, the_move, volume);
    match Mounts::of(container).find(path) {
        Some((volume, _)) => shares(volume),
        None if path.starts_with('/') => false,
        None => container.volume_mounts().iter().take(MOST_MOUNTS).any(|mount| shares(&mount.name)),
    }
}

/// Whether a container that stays mounts `volume`.
fn shares(case: &Case<'_>, the_move: &Move<'_>, volume: &str) -> bool {
    let life = case.after();
    let first_regular = life.members().partition_point(|member| member.role != Role::Regular);
    life.traffic().is_shared(volume, case.plan.place(the_move), first_regular)
}

/// Whether the script of a container that stays writes the file behind its own work.
fn written_last(case: &Case<'_>, the_move: &Move<'_>, path: &str) -> bool {
    let wanted = Mounts::of(the_move.container()).find(path);
    wanted.is_some_and(|(volume, rest)| case.last_writes().contains(&(volume, rest)))
}

/// Who asks the sidecar to end, and how.
fn asked_to_quit<'p>(case: &Case<'p>, the_move: &Move<'_>) -> Option<(&'p str, String)> {
    let (container, entry, quits) = (the_move.container(), the_move.selected.entry, case.quits());
    let at_port = |port: i64| quits.at_port(port).map(|who| (who, format!("by a request at port {port}")));
    let ports = || {
        let served = case.after().traffic().served_by(case.plan.place(the_move)).iter();
        let served = served.filter_map(|(address, _)| address.port());
        served.chain(entry.map_or(&[][..], |entry| &entry.quit_ports).iter().copied()).find_map(at_port)
    };
    let wrapped = || {
        let (who, by) = entry.filter(|entry| entry.is_mesh_proxy()).and_then(|_| case.mesh_wrapper())?;
        Some((who, format!("by {by}")))
    };
    let killed = || {
        let killed = |name: String| Some((quits.kills(&name)?, format!("by a kill of {name:?}")));
        quits::process_names(container, entry).into_iter().find_map(killed)
    };
    // Hardly any application asks anybody to end.
    let asked = if quits.ask_ports() { ports() } else { None };
    // Only where processes are shared can one container kill another's.
    asked.or_else(wrapped).or_else(|| if case.after().rest().shares_processes { killed() } else { None })
}

/// The sidecar waits for a mark of the application's and then ends by itself.
fn waits_to_end<'p>(case: &Case<'p>, the_move: &Move<'_>) -> Option<(&'p str, String)> {
    if let Some(who) = ended_by_kubexit(case, the_move) {
        return Some((who, "by kubexit, when that one has ended".into()));
    }
    let ends = |wait: &&Wait<'_>| {
        wait.then.is_none()
            && match wait.awaited {
                Awaited::File(path) => markers::of_name(path) != Marker::Start && is_shared(case, the_move, path),
                Awaited::NoFile(path) => is_shared(case, the_move, path),
                Awaited::ProcessEnd => case.after().rest().shares_processes,
                _ => false,
            }
    };
    let wait = the_move.waits().iter().find(ends)?;
    let mark = match wait.awaited {
        Awaited::File(path) => format!("by {path:?}, for which it waits"),
        _ => "by its own end, for which it waits".into(),
    };
    let first = case.plan.remaining(case.pod).next()?;
    Some((&first.name, mark))
}

/// The container that stays at whose end kubexit ends this one.
///
/// Source: karlkfi/kubexit, cmd/kubexit/main.go.
fn ended_by_kubexit<'p>(case: &Case<'p>, the_move: &Move<'_>) -> Option<&'p str> {
    let names = the_move.container().env_value("KUBEXIT_DEATH_DEPS")?.split(',').map(str::trim);
    let name = names.into_iter().find(|name| !name.is_empty())?;
    let (_, container) = case.pod.container(name).filter(|(index, _)| case.plan.stays(*index))?;
    Some(&container.name)
}
