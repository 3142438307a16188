//! Rules about who asks whom inside the pod, before and after.

use super::{Case, Move};
use crate::{
    catalogue::any_holds,
    lifecycle::{
        process::{self, Awaited},
        traffic::{Address, Ask, By, Mounts},
    },
    text::quoted,
};

/// Words of names by which a program says that it asks again, or only when it is asked itself.
const PATIENT: [&str; 18] = [
    "retr",
    "reconnect",
    "backoff",
    "wait",
    "upstream",
    "backend",
    "forward",
    "proxy",
    "reload",
    "webhook",
    "callback",
    "otel",
    "otlp",
    "exporter",
    "statsd",
    "redirect",
    "health",
    "probe",
];

/// Source: KEP-753, scenario 7: what starts later cannot be waited for.
pub(super) fn start_deadlock(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let (ask, owner) = asks_later(case, the_move, |by| matches!(by, By::StartupProbe | By::PostStart))?;
    let remedy = match ask.by {
        By::StartupProbe => "ask the sidecar itself",
        _ => "change the hook, or leave the container where it is",
    };
    Some(format!("{} waits for {} of {owner}, which starts only after it; {remedy}", ask.by, ask.address))
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go`, `computeInitContainerActions`: a sidecar's liveness probe
/// counts from its own start on.
pub(super) fn liveness_asks_application(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let (ask, owner) = asks_later(case, the_move, |by| by == By::LivenessProbe)?;
    Some(format!(
        "its liveness probe asks {} of {owner}, which starts only after it, so it is killed again and again until then; ask the sidecar itself",
        ask.address
    ))
}

pub(super) fn needs_application(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    ends_too_early(case, the_move)
        .or_else(|| asks_too_early(case, the_move))
        .or_else(|| follows_too_early(case, the_move))
}

/// Whether it is known to end while what it asks is not there, wherever it is told what to ask.
fn ends_too_early(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let entry = the_move.selected.known()?;
    let ends = any_holds(&entry.needs_application, case.pod, the_move.container());
    ends.then(|| {
        "is known to end while what it asks does not answer, and the application starts only after it: it is restarted until that one is \
         there; leave it where it is, or take a version or a flag with which it tries again"
            .to_owned()
    })
}

/// Whether it asks a port of a container that starts later, and ends where that does not answer.
fn asks_too_early(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let told = |by: By<'_>| matches!(by, By::Flag(_) | By::CommandLine | By::Variable(_));
    // First, for few containers ask anything.
    let (ask, owner) = asks_later(case, the_move, |by| told(by) && !is_patient_name(by))?;
    let ends = the_move.selected.known().is_none() && !is_patient(the_move);
    // A script that waits for the port tries again.
    let waits_for = |port: i64| the_move.waits().iter().any(|wait| wait.awaited == Awaited::Port(port));
    if !ends || matches!(ask.address, Address::Port(port) if waits_for(port)) {
        return None;
    }
    Some(format!(
        "{} points at {} of {owner}, which starts only after it; unless it tries again by itself, it ends and is restarted until that one is there",
        ask.by, ask.address
    ))
}

/// Whether it follows a file in a shared volume that the application has yet to write. Measured on 1.37.2: `tail -f` failed
/// once, and the application started within 4 s.
fn follows_too_early(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let container = the_move.container();
    let path = process::followed(container)?;
    let (volume, _) = Mounts::of(container).find(path)?;
    let place = case.plan.place(the_move);
    case.after().traffic().is_shared(volume, place, place + 1).then(|| {
        format!("follows {path:?} with tail -f, which ends as long as the application has not written that file; use tail -F")
    })
}

/// The first thing that the container asks by `such` of another one that starts later, and that one's name in quotes.
fn asks_later<'c, 'p>(
    case: &'c Case<'p>,
    the_move: &Move<'_>,
    such: impl Fn(By<'p>) -> bool,
) -> Option<(&'c Ask<'p>, String)> {
    let (life, place) = (case.after(), case.plan.place(the_move));
    let asks = life.traffic().asked_by(place).iter().filter(|ask| such(ask.by));
    let later = |ask: &'c Ask<'p>| Some((ask, life.traffic().later_server(place, ask.address)?));
    asks.into_iter().find_map(later).map(|(ask, server)| (ask, quoted(life.members()[server].name())))
}

/// Whether a flag or variable of the container says that it tries again.
fn is_patient(the_move: &Move<'_>) -> bool {
    const SAYS_SO: [&str; 4] = ["retr", "reconnect", "backoff", "wait"];
    let container = the_move.container();
    let names = container.flags().chain(container.env().iter().map(|var| &*var.name));
    names.into_iter().any(|name| has_part(name, &SAYS_SO))
}

fn is_patient_name(by: By<'_>) -> bool {
    matches!(by, By::Flag(name) | By::Variable(name) if has_part(name, &PATIENT))
}

/// Whether one of `parts` stands in `name`, which is no longer than a name.
fn has_part(name: &str, parts: &[&str]) -> bool {
    let name = name.get(..64).unwrap_or(name).to_ascii_lowercase();
    parts.iter().any(|part| name.contains(part))
}
