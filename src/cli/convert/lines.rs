//! What came of manifests, in lines for people.

use super::outcome::{DocumentOutcome, FileOutcome, RunOutcome, TemplateOutcome, Told, Unread};
use crate::cli::{level::Level, look::Look};
use native_sidecar_core::{conversion::Decision, text::one_line};
use native_sidecar_manifest::Position;
use std::fmt::Write as _;

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings, blockers and errors.
    Quiet,
    /// What was done and left too.
    #[default]
    Normal,
    /// Notes, and pod templates with nothing to do, too.
    Verbose,
}

/// What is to be told, and how.
#[derive(Clone, Copy, Debug)]
pub struct Telling {
    /// How much is told.
    pub verbosity: Verbosity,
    /// Nothing is carried out: it is told what would be.
    pub check: bool,
    /// Whether each line says which document it is about.
    pub places: bool,
    /// How the lines are to look.
    pub look: Look,
}

/// How many pod templates came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents that were read.
    pub documents: usize,
    /// Converted, or would be.
    pub converted: usize,
    /// With nothing to do.
    pub nothing_to_do: usize,
    /// Nobody asked.
    pub not_requested: usize,
    /// Only observed.
    pub observed: usize,
    /// Left because of a finding.
    pub left: usize,
    /// Files that were found in a folder and are no manifests.
    pub passed_over: usize,
    /// Files and documents that cannot be read.
    pub unreadable: usize,
}

/// Lines as they come about.
struct Lines<'o> {
    out: String,
    telling: Telling,
    file: &'o FileOutcome,
    document: Option<&'o DocumentOutcome>,
}

/// All there is to tell about `run`, with its totals.
#[must_use]
pub fn lines(run: &RunOutcome, telling: Telling) -> String {
    let mut lines: String = run.files.iter().map(|file| Lines::of(file, telling)).collect();
    for told in &run.findings {
        lines.push_str(&telling.look.lines(Some(told.level), &one_line(&told.to_string())));
    }
    if telling.verbosity != Verbosity::Quiet {
        lines.push_str(&summary(&Counts::of(run), telling));
    }
    lines
}

/// What cannot be read, a line each.
#[must_use]
pub fn errors<'e>(errors: impl IntoIterator<Item = &'e Unread>, telling: Telling) -> String {
    let line = |error| telling.look.lines(Some(Level::Error), &format!("error {error}"));
    errors.into_iter().map(line).collect()
}

/// The last line.
fn summary(counts: &Counts, telling: Telling) -> String {
    let Counts { documents, converted, nothing_to_do, not_requested, observed, left, passed_over, unreadable } = counts;
    let templates = counts.templates();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let converted_word = if telling.check { "would be converted" } else { "converted" };
    let mut line = format!("{documents} document{}, {templates} pod template{}", plural(*documents), plural(templates));
    let mut add = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = line.write_fmt(text);
    };
    add(format_args!(": {converted} {converted_word}, {left} left, {nothing_to_do} with nothing to do, "));
    add(format_args!("{not_requested} not asked for"));
    if *observed > 0 {
        add(format_args!(", {observed} only observed"));
    }
    if *unreadable > 0 {
        add(format_args!("; {unreadable} error{}", plural(*unreadable)));
    }
    if *passed_over > 0 {
        add(format_args!("; {passed_over} other file{} passed over", plural(*passed_over)));
    }
    telling.look.lines(None, &line)
}

// === impl Counts ===

impl Counts {
    /// What a run comes to.
    #[must_use]
    pub fn of(run: &RunOutcome) -> Self {
        let mut counts = Self::default();
        for file in &run.files {
            counts.documents += file.documents.len();
            counts.passed_over += usize::from(file.is_passed_over());
            counts.unreadable += file.errors.len();
            file.templates().for_each(|template| counts.add(template.decision));
        }
        counts
    }

    fn add(&mut self, decision: Decision) {
        *match decision {
            Decision::Converted => &mut self.converted,
            Decision::NothingToDo => &mut self.nothing_to_do,
            Decision::NotRequested => &mut self.not_requested,
            Decision::Blocked | Decision::Denied => &mut self.left,
            Decision::WouldConvert | Decision::WouldBlock => &mut self.observed,
        } += 1;
    }

    /// All pod templates.
    #[must_use]
    pub const fn templates(&self) -> usize {
        self.converted + self.nothing_to_do + self.not_requested + self.observed + self.left
    }
}

// === impl Lines ===

impl<'o> Lines<'o> {
    fn of(file: &'o FileOutcome, telling: Telling) -> String {
        let mut lines = Self { out: String::new(), telling, file, document: None };
        for other in file.passed_over.iter().filter(|_| telling.verbosity == Verbosity::Verbose) {
            lines.push(None, &format!("passed over: {other}"));
        }
        lines.out.push_str(&errors(&file.errors, telling));
        for document in &file.documents {
            lines.document = Some(document);
            document.findings.iter().for_each(|told| lines.told(&document.object.to_string(), told));
            document.templates.iter().for_each(|template| lines.template(template));
        }
        lines.out
    }

    fn template(&mut self, template: &TemplateOutcome) {
        let object = template.object.to_string();
        template.findings.iter().for_each(|told| self.told(&object, told));
        let Telling { verbosity, check, .. } = self.telling;
        let moved = || template.moved.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let what = match template.decision {
            Decision::Converted if verbosity == Verbosity::Quiet => return,
            Decision::Converted if check => format!("would move {}", moved()),
            Decision::Converted => format!("moved {}", moved()),
            Decision::NothingToDo | Decision::NotRequested if verbosity != Verbosity::Verbose => return,
            Decision::NothingToDo => "nothing to do".to_owned(),
            Decision::NotRequested => "not asked for".to_owned(),
            Decision::Blocked => "left as it is".to_owned(),
            Decision::Denied => "left as it is; the webhook would refuse its pods".to_owned(),
            Decision::WouldConvert => format!("only observed; would be converted: {}", moved()),
            Decision::WouldBlock => "only observed; would be left as it is".to_owned(),
        };
        self.line(None, &object, &what, template.place());
    }

    fn told(&mut self, object: &str, told: &Told) {
        if told.level > Level::Note && !told.accepted || self.telling.verbosity == Verbosity::Verbose {
            let own = told.object.as_ref().map(ToString::to_string);
            let object = own.as_deref().unwrap_or(object);
            self.line(Some(told.level), object, &told.to_string(), told.position);
        }
    }

    fn line(&mut self, level: Option<Level>, object: &str, what: &str, position: Option<Position>) {
        let mut place = String::new();
        if let Some(document) = self.document.filter(|_| self.telling.places) {
            place.push_str(&self.file.name);
            if let Some(Position { line, column }) = position.or(document.position) {
                place.extend([":", &line.to_string(), ":", &column.to_string()]);
            }
            if self.file.count() > 1 {
                place.extend([": document ", &document.number.to_string()]);
            }
            place.push_str(": ");
        }
        self.push(level, &format!("{place}{object}: {what}"));
    }

    fn push(&mut self, level: Option<Level>, line: &str) {
        self.out.push_str(&self.telling.look.lines(level, &one_line(line)));
    }
}
