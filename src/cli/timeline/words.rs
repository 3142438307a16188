//! The sentences of a picture: what each format shows below its bars.

use super::Drawn;
use native_sidecar_core::{
    conversion::Decision,
    lifecycle::{Restarts, Role},
    text::{one_line, shorten},
    timeline::{Asked, Deletion, End, Hold, HoldBy, Life, Meets, Patience, Place, Span, Started, Stop, Timeline},
};
use std::{collections::BTreeMap, fmt::Write as _};

/// Lines under a title.
pub(super) struct Section {
    pub(super) title: String,
    pub(super) items: Vec<Item>,
}

/// One line, or more where it is broken.
pub(super) struct Item {
    /// What stands in front, in a column of its own.
    pub(super) label: String,
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// What a line is to its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// Something that the conversion cures.
    Good,
    /// Something that it cures where it is not done yet.
    Bad,
    /// What stands behind the others.
    Quiet,
}

/// One of the two lives, and what its sentences depend on.
#[derive(Clone, Copy)]
pub(super) struct Side<'d> {
    pub(super) title: &'static str,
    pub(super) life: &'d Life,
    /// The other life, where this one is the later of two.
    before: Option<&'d Life>,
    timeline: &'d Timeline,
}

/// So many names are listed.
const MOST_NAMES: usize = 6;
/// So many ways of asking for the same are told.
const MOST_WAYS: usize = 3;
/// So much is shown of what a hook or probe does.
const LONGEST_ACTION: usize = 70;
/// The longest name that Kubernetes takes.
const LONGEST_NAME: usize = 63;

/// What the bars mean.
pub(super) const LEGEND: [(&str, &str); 5] =
    [("~", "the next one waits"), ("=", "runs"), ("-", "told to stop"), ("|", "has ended"), (">", "goes on")];

/// The object, as a heading.
pub(super) fn heading(drawn: &Drawn) -> String {
    let Drawn { kind, namespace, name, .. } = drawn;
    let parts = [kind, namespace, name].map(|part| self::name(part));
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// What becomes of the pod, and why.
pub(super) fn verdict(timeline: &Timeline) -> Vec<Item> {
    let Timeline { decision, native, reasons, warnings, notes, .. } = timeline;
    let containers = names(native);
    let (becomes, would_become) = match native.len() {
        1 => ("becomes a native sidecar", "would become a native sidecar"),
        _ => ("become native sidecars", "would become native sidecars"),
    };
    let first = match decision {
        Decision::Converted => format!("{containers} {becomes}."),
        Decision::WouldConvert => format!("Only observed: {containers} {would_become}."),
        Decision::Blocked => "Left as it is:".to_owned(),
        Decision::Denied => "Its pods are refused:".to_owned(),
        Decision::WouldBlock => "Only observed, and would be left as it is:".to_owned(),
        Decision::NothingToDo => "Left as it is: there is nothing to move.".to_owned(),
        Decision::NotRequested => {
            "Left as it is: nobody asks for a conversion; name containers with --containers, or use --known.".to_owned()
        }
    };
    let mut items = vec![Item::new("", first)];
    items.extend(reasons.iter().map(|reason| Item::new("*", reason.clone()).with(Tone::Bad)));
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let counts = [(*warnings, "warning"), (*notes, "note")].into_iter().filter(|(number, _)| *number > 0);
    let counts: Vec<_> = counts.map(|(number, what)| count(number, what)).collect();
    if !counts.is_empty() {
        let told = format!("{}: native-sidecar convert --verbose tells, or review --patch.", counts.join(", "));
        items.push(Item::new("", told).with(Tone::Quiet));
    }
    items
}

/// The life or the two lives there are to draw.
pub(super) fn sides(timeline: &Timeline) -> Vec<Side<'_>> {
    let Timeline { before, after, decision, .. } = timeline;
    let later = if *decision == Decision::WouldConvert { "As it would be" } else { "As it will be" };
    let one = before.as_ref().map(|life| Side { title: "As it is", life, before: None, timeline });
    let other = after.as_ref().map(|life| Side { title: later, life, before: before.as_ref(), timeline });
    one.into_iter().chain(other).collect()
}

/// `name` so that all of it can be seen.
pub(super) fn name(name: &str) -> String {
    shorten(&one_line(&shorten(name, LONGEST_NAME)), LONGEST_NAME)
}

/// `a, b and c`.
fn names<S: AsRef<str>>(all: &[S]) -> String {
    let shown = if all.len() > MOST_NAMES + 1 { MOST_NAMES } else { all.len() };
    let mut listed: Vec<_> = all[..shown].iter().map(|one| name(one.as_ref())).collect();
    if shown < all.len() {
        listed.push(format!("{} others", all.len() - shown));
    }
    let last = listed.pop().unwrap_or_default();
    if listed.is_empty() { last } else { format!("{} and {last}", listed.join(", ")) }
}

fn has<S>(all: &[S]) -> &'static str {
    if all.len() == 1 { "has" } else { "have" }
}

fn action(what: &str) -> String {
    shorten(what, LONGEST_ACTION)
}

// === impl Side ===

impl Side<'_> {
    /// What the bars show, in a few words.
    pub(super) fn caption(&self) -> String {
        let until = match &self.life.end {
            None => "until it is deleted",
            Some(_) if self.is_job() => "until the Job has ended",
            Some(_) => "until the pod has ended",
        };
        format!("{until}; not to scale")
    }

    /// What happens where the bars turn, in a few words.
    pub(super) const fn turn(&self) -> &'static str {
        if self.life.end.is_some() { "the work is done" } else { "it is deleted" }
    }

    /// All there is to say about the life. Both lives of a pod have the same sections.
    pub(super) fn sections(&self) -> Vec<Section> {
        let mut sections = vec![self.start()];
        let asked_before = self.before.map_or(0, |before| before.traffic.len());
        let asked_after = self.timeline.after.as_ref().map_or(0, |after| after.traffic.len());
        if self.life.traffic.len() + asked_before + asked_after > 0 {
            sections.push(self.traffic());
        }
        sections.push(self.restarts());
        sections.extend(self.life.end.as_ref().map(|end| self.end(end)));
        sections.push(self.deletion(&self.life.deletion));
        sections.push(self.requests());
        sections
    }

    fn is_job(&self) -> bool {
        self.timeline.owner.as_deref() == Some("Job")
    }

    fn job(&self) -> &'static str {
        if self.is_job() { "the Job" } else { "the pod" }
    }

    /// Whether what is asked for is done or would be.
    fn is_converted(&self) -> bool {
        self.timeline.after.is_some()
    }

    fn role(&self, index: usize) -> Option<Role> {
        self.life.containers.get(index).map(|container| container.role)
    }

    fn start(&self) -> Section {
        let mut items = Vec::new();
        let containers = &self.life.containers;
        for (index, container) in containers.iter().enumerate() {
            items.push(Item::new((index + 1).to_string(), format!("{} ({})", name(&container.name), kind(container))));
            if index + 1 == containers.len() {
                break;
            }
            if container.holds.is_empty() {
                let runs = if container.role == Role::Sidecar { "only has to run" } else { "only has to be started" };
                items.push(Item::new("v", runs).with(Tone::Quiet));
            }
            items.extend(container.holds.iter().map(|hold| Item::new("v", held(hold))));
        }
        if self.life.left_out > 0 {
            let more = format!("and {} more, which are not looked at", self.life.left_out);
            items.push(Item::new("", more).with(Tone::Quiet));
        }
        Section { title: "Start".to_owned(), items }
    }

    fn traffic(&self) -> Section {
        let mut items: Vec<_> =
            self.life.traffic.iter().map(|asked| Item::new("-", asks(asked)).with(tone(asked))).collect();
        if items.is_empty() {
            items.push(Item::new("-", "nobody, as far as it can be seen").with(Tone::Quiet));
        }
        Section { title: "Who asks whom".to_owned(), items }
    }

    fn restarts(&self) -> Section {
        let of = |wanted: Restarts| {
            let of = self.life.containers.iter().filter(|container| container.restarts == wanted);
            of.map(|container| container.name.as_str()).collect::<Vec<_>>()
        };
        let all = [
            (Restarts::Always, "is restarted however it ends", "are restarted however they end"),
            (Restarts::OnFailure, "is restarted when it fails", "are restarted when they fail"),
            (Restarts::Never, "is not restarted", "are not restarted"),
        ];
        let item = |(restarts, one, many): (Restarts, &str, &str)| {
            let of = of(restarts);
            let verb = if of.len() == 1 { one } else { many };
            (!of.is_empty()).then(|| Item::new("-", format!("{} {verb}", names(&of))))
        };
        Section { title: "When one ends".to_owned(), items: all.into_iter().filter_map(item).collect() }
    }

    fn end(&self, end: &End) -> Section {
        let End { waits_for, endless, stops, latest_seconds } = end;
        let mut items = Vec::new();
        let ended = format!("The pod has ended when {} {}.", names(waits_for), has(waits_for));
        match latest_seconds {
            None => {
                items.push(Item::new("", ended));
                items.push(self.hangs(endless));
            }
            Some(_) if stops.is_empty() => items.push(Item::new("", ended)),
            Some(latest) => {
                items.push(Item::new("", format!("When {} {} ended:", names(waits_for), has(waits_for))));
                items.append(&mut rows(stops));
                let cured = self.before.and_then(|before| before.end.as_ref()?.latest_seconds.is_none().then_some(()));
                let tone = if cured.is_some() { Tone::Good } else { Tone::Plain };
                let ended = format!(
                    "The pod has ended {latest} s later at the latest. Whether {} succeeds is up to {} alone.",
                    self.job(),
                    names(waits_for)
                );
                items.push(Item::new("", ended).with(tone));
            }
        }
        Section { title: if self.is_job() { "End of the Job" } else { "End of the pod" }.to_owned(), items }
    }

    fn hangs(&self, endless: &[String]) -> Item {
        let (job, names) = (self.job(), names(endless));
        let (runs, is, it) = if endless.len() == 1 { ("runs", "is", "it") } else { ("run", "are", "them") };
        let they = if endless.len() == 1 { "it" } else { "they" };
        let sentence = if self.is_converted() {
            format!("{names} {runs} until {they} {is} told to stop, and nobody tells {it}: {job} hangs.")
        } else {
            format!("If {names} {runs} until {they} {is} told to stop, as sidecars do, {job} hangs.")
        };
        Item::new("", sentence).with(Tone::Bad)
    }

    fn deletion(&self, deletion: &Deletion) -> Section {
        let mut items = rows(&deletion.stops);
        items.extend(self.drained(deletion));
        Section { title: format!("Deletion (grace period {} s)", deletion.grace_seconds), items }
    }

    /// Whether those are still there that the application asks while it ends.
    fn drained(&self, deletion: &Deletion) -> Vec<Item> {
        let stops: BTreeMap<_, _> = deletion.stops.iter().map(|stop| (stop.index, stop)).collect();
        let mut asked: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for Asked { asker, asker_index, server_index, .. } in &self.life.traffic {
            if self.role(*asker_index) == Some(Role::Regular) {
                let askers = asked.entry(*server_index).or_default();
                if askers.last() != Some(&&**asker) {
                    askers.push(asker);
                }
            }
        }
        let line = |(server, askers): (usize, Vec<&str>)| {
            let stop = stops.get(&server)?;
            let ends = if askers.len() == 1 { "ends" } else { "end" };
            let (server, askers) = (name(&stop.container), names(&askers));
            match self.role(stop.index)? {
                Role::Sidecar if !stop.after.is_empty() => {
                    Some(Item::new("", format!("{server} goes on while {askers} {ends}.")).with(Tone::Good))
                }
                _ if stop.pre_stop.is_none() => {
                    let sentence = format!("{server} is told to stop while {askers} may still ask it.");
                    Some(Item::new("", sentence).with(Tone::Bad))
                }
                _ => None,
            }
        };
        asked.into_iter().filter_map(line).collect()
    }

    fn requests(&self) -> Section {
        let before = self.before.map(|before| &before.requests);
        let mut differs = false;
        let mut list = Vec::new();
        for (resource, request) in &self.life.requests {
            let was = before.map(|before| before.get(resource).map_or("none", String::as_str));
            match was.filter(|was| was != request) {
                Some(was) => {
                    differs = true;
                    list.push(format!("{} {request} (was {was})", name(resource)));
                }
                None => list.push(format!("{} {request}", name(resource))),
            }
        }
        let (shown, more) = list.split_at(list.len().min(2 * MOST_NAMES));
        let mut text = if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") };
        if !more.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, " and {} more", more.len());
        }
        let tone = if differs { Tone::Bad } else { Tone::Plain };
        Section { title: "Effective requests".to_owned(), items: vec![Item::new("", text).with(tone)] }
    }
}

fn kind(container: &Started) -> &'static str {
    match container.role {
        Role::RunOnce => "init container",
        Role::Sidecar => "native sidecar",
        Role::Regular => "container",
    }
}

/// What has to come about before the next one starts.
fn held(hold: &Hold) -> String {
    let what = hold.what.as_deref().map(action).unwrap_or_default();
    match hold.by {
        HoldBy::End => "has to end".to_owned(),
        HoldBy::PostStart => format!("its postStart hook has to return: {what}"),
        HoldBy::StartupProbe => {
            let asks = hold.patience.map(asking).unwrap_or_default();
            format!("its startup probe has to succeed: {what}{asks}")
        }
    }
}

fn asking(patience: Patience) -> String {
    let Patience { initial_delay_seconds, period_seconds, total_seconds, .. } = patience;
    let every = if period_seconds == 1 { "every second".to_owned() } else { format!("every {period_seconds} s") };
    let from = if initial_delay_seconds > 0 { format!(" from {initial_delay_seconds} s on") } else { String::new() };
    format!("; {every}{from}, for up to {total_seconds} s")
}

pub(super) fn asks(asked: &Asked) -> String {
    let Asked { asker, server, address, by, at_start, .. } = asked;
    let (shown, more) = by.split_at(by.len().min(MOST_WAYS));
    let mut ways = shown.iter().map(|way| name(way)).collect::<Vec<_>>().join(", ");
    if !more.is_empty() {
        let _ = write!(ways, " and {} more", more.len());
    }
    let place = match address {
        Place::Port { port } => format!("port {port}"),
        Place::Path { volume, path } => format!("{} in volume {}", action(path), name(volume)),
    };
    let meets = match at_start {
        None => "",
        Some(Meets::StartupProbePassed) => ", which has passed its startup probe by then",
        Some(Meets::PostStartReturned) => ", whose postStart hook has returned by then",
        Some(Meets::Running) => ", which runs by then, but may not serve yet",
        Some(Meets::NotStarted) => ", which starts later",
    };
    format!("{} asks {place} of {} ({ways}){meets}", name(asker), name(server))
}

pub(super) fn tone(asked: &Asked) -> Tone {
    match asked.at_start {
        Some(meets) if meets.is_ready() => Tone::Good,
        Some(Meets::NotStarted) => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// What happens when, as rows of a table.
fn rows(stops: &[Stop]) -> Vec<Item> {
    let mut items = Vec::new();
    for Stop { container, pre_stop, .. } in stops {
        let Some(hook) = pre_stop else { continue };
        items.push(Item::new("0 s", format!("preStop hook of {}: {}", name(container), action(&hook.what))));
    }
    // Those that wait for nothing are told at the same moment.
    let at_once: Vec<_> = stops.iter().filter(|stop| stop.pre_stop.is_none() && stop.after.is_empty()).collect();
    if let Some(first) = at_once.first() {
        let told: Vec<_> = at_once.iter().map(|stop| &stop.container).collect();
        items.push(Item::new(span(first.term), format!("SIGTERM to {}", names(&told))));
    }
    for Stop { container, pre_stop, after, term, .. } in stops {
        let hook = pre_stop.as_ref().map(|_| "its hook has returned".to_owned());
        let ended = (!after.is_empty()).then(|| format!("{} {} ended", names(after), has(after)));
        let when: Vec<_> = hook.into_iter().chain(ended).collect();
        if !when.is_empty() {
            items.push(Item::new(span(*term), format!("SIGTERM to {}, when {}", name(container), when.join(" and "))));
        }
    }
    let earliest = stops.iter().map(|stop| stop.kill.earliest).min();
    let latest = stops.iter().map(|stop| stop.kill.latest).max();
    if let (Some(earliest), Some(latest)) = (earliest, latest) {
        let killed = if stops.len() == 1 { "SIGKILL, if it still runs" } else { "SIGKILL to those that still run" };
        items.push(Item::new(span(Span { earliest, latest }), killed));
    }
    for Stop { container, ignores_term, .. } in stops {
        let Some(program) = ignores_term else { continue };
        let sentence =
            format!("{} does not act on SIGTERM ({}), so it runs until SIGKILL.", name(container), name(program));
        items.push(Item::new("", sentence).with(Tone::Bad));
    }
    items
}

fn span(span: Span) -> String {
    let Span { earliest, latest } = span;
    if earliest == latest { format!("{earliest} s") } else { format!("{earliest} to {latest} s") }
}

// === impl Item ===

impl Item {
    fn new(label: impl Into<String>, text: impl AsRef<str>) -> Self {
        Self { label: label.into(), text: one_line(text.as_ref()).into_owned(), tone: Tone::Plain }
    }

    fn with(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}
