//! The report as JSON.
//!
//! These types are the format: a field may be added, but none changes its meaning or goes without a new [`VERSION`].
//! `schemas/convert-report.v1.json` is made from them.

use super::Subject;
use crate::cli::{
    convert::{
        lines::Counts,
        outcome::{DocumentOutcome, FileOutcome, Moved, RunOutcome, TemplateOutcome, Told, Unread},
    },
    level::Level,
};
use native_sidecar_core::conversion::Decision;
use native_sidecar_manifest::Position;
use schemars::JsonSchema;
use serde::Serialize;

/// The version of the format.
pub const VERSION: u32 = 1;

/// What came of manifests that `native-sidecar convert` read.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConvertReport<'r> {
    /// The version of this format: 1.
    version: u32,
    /// What wrote the report.
    tool: Tool,
    /// Whether nothing was carried out (`--check`): then what is said to be converted would be.
    check: bool,
    /// The exit code of the run: 0, 1 (something could not be read) or 2 (see `native-sidecar convert --help`).
    exit_code: u8,
    /// How many of what there are.
    summary: Summary,
    /// What is to be said about all files together, such as a name given with `--containers` that no pod has.
    findings: Vec<Finding<'r>>,
    /// The files that were read, in their order.
    files: Vec<FileReport<'r>>,
}

/// What wrote the report.
#[derive(Debug, Serialize, JsonSchema)]
struct Tool {
    /// `native-sidecar`.
    name: &'static str,
    /// Its version.
    version: &'static str,
}

/// How many of what there are.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// Files that were read.
    files: usize,
    /// Files found in a folder that are no manifests.
    passed_over: usize,
    /// What could not be read.
    errors: usize,
    /// Documents that were read.
    documents: usize,
    /// Pod templates in them: the five below together.
    templates: usize,
    /// Pod templates that were converted, or would be.
    converted: usize,
    /// Pod templates that were left because of a finding.
    left: usize,
    /// Pod templates with nothing to do.
    nothing_to_do: usize,
    /// Pod templates for which nobody asks for anything.
    not_requested: usize,
    /// Pod templates that are only observed.
    observed: usize,
}

/// One file, or standard input.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct FileReport<'r> {
    /// The file as it was named; `standard input`.
    file: &'r str,
    /// What in a file found in a folder is no manifest.
    passed_over: Vec<Unreadable<'r>>,
    /// What cannot be read in it.
    errors: Vec<Unreadable<'r>>,
    /// Its documents, in their order.
    documents: Vec<DocumentReport<'r>>,
}

/// Something that cannot be read.
#[derive(Debug, Serialize, JsonSchema)]
struct Unreadable<'r> {
    /// What kind of thing it is.
    code: &'r str,
    /// What is wrong, and what to do.
    message: &'r str,
    /// The document's number in the file, counted from 1; `null` where the file has none.
    document: Option<usize>,
    #[serde(flatten)]
    place: Place<'r>,
}

/// One document.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DocumentReport<'r> {
    /// Its number in the file, counted from 1.
    document: usize,
    #[serde(flatten)]
    place: Place<'r>,
    /// `apiVersion`; `null` where it has none.
    api_version: Option<&'r str>,
    #[serde(flatten)]
    object: Object<'r>,
    /// Whether it is another now, or would be.
    changed: bool,
    /// What is to be said about it beside its pod templates.
    findings: Vec<Finding<'r>>,
    /// Its pod templates.
    templates: Vec<Template<'r>>,
}

/// One pod template.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Template<'r> {
    #[serde(flatten)]
    object: Object<'r>,
    /// The JSON pointer to it in its document; empty where the document is the pod.
    path: &'r str,
    #[serde(flatten)]
    place: Place<'r>,
    /// What became of it.
    decision: DecisionName,
    /// The containers that are native sidecars by this run, or would be.
    moved: Vec<MovedContainer<'r>>,
    /// Everything that was found out.
    findings: Vec<Finding<'r>>,
}

/// What an object is called.
#[derive(Debug, Serialize, JsonSchema)]
struct Object<'r> {
    /// `kind`; `null` where it has none.
    kind: Option<&'r str>,
    /// `metadata.namespace`; `null` where the manifest leaves it open.
    namespace: Option<&'r str>,
    /// `metadata.name`, or `metadata.generateName` with a `*`; `null` where it has neither.
    name: Option<&'r str>,
}

/// A place in the source.
#[derive(Debug, Serialize, JsonSchema)]
struct Place<'r> {
    /// The file as it was named; `standard input`; empty where all files are meant.
    file: &'r str,
    /// The line, counted from 1; `null` where no single place is meant.
    line: Option<usize>,
    /// The column in characters, counted from 1.
    column: Option<usize>,
}

/// A container that is a native sidecar now.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MovedContainer<'r> {
    /// Its name.
    container: &'r str,
    /// Its index in `initContainers`; `null` where the template was not changed.
    init_container: Option<usize>,
    #[serde(flatten)]
    place: Place<'r>,
}

/// Something that was found out.
#[derive(Debug, Serialize, JsonSchema)]
struct Finding<'r> {
    /// Its code: `native-sidecar explain CODE` has more on it.
    code: &'r str,
    /// How much it weighs.
    severity: Severity,
    /// Whether the pod accepts it, so that it does not hold the conversion back.
    accepted: bool,
    /// The object in the document that it is about, such as an item of a list; `null` where that is clear.
    object: Option<Object<'r>>,
    /// The container it is about; `null` where it is about the pod or the document.
    container: Option<&'r str>,
    /// The JSON pointer in the document to the container, the pod template, or whatever else it is about.
    path: &'r str,
    /// What happens, where, and what to do.
    message: &'r str,
    #[serde(flatten)]
    place: Place<'r>,
}

/// How much a finding weighs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Severity {
    /// Worth knowing; nothing to do.
    Note,
    /// Converted all the same; somebody should look at it.
    Warning,
    /// Holds the conversion back unless the pod accepts it.
    Blocker,
    /// Holds the conversion back and cannot be accepted.
    Fatal,
    /// Something cannot be read.
    Error,
}

/// The names of decisions.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum DecisionName {
    /// Nobody asked for a conversion.
    NotRequested,
    /// Asked, but there is nothing to move.
    NothingToDo,
    /// Containers are moved.
    Converted,
    /// Left as it is because of a finding.
    Blocked,
    /// Left as it is; the webhook would refuse its pods.
    Denied,
    /// Only observed; else it would be converted.
    WouldConvert,
    /// Only observed; else it would be left as it is.
    WouldBlock,
}

/// The report as JSON, with a line end.
pub(super) fn report(subject: Subject<'_>) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&ConvertReport::of(subject))? + "\n")
}

/// The format's JSON Schema, with a line end.
///
/// # Errors
///
/// Never: it does not depend on anything that is given.
pub fn schema() -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&schemars::schema_for!(ConvertReport<'_>))? + "\n")
}

// === impl ConvertReport ===

impl<'r> ConvertReport<'r> {
    fn of(Subject { run, check, exit_code }: Subject<'r>) -> Self {
        Self {
            version: VERSION,
            tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
            check,
            exit_code,
            summary: Summary::of(run),
            findings: run.findings.iter().map(|told| Finding::of("", told)).collect(),
            files: run.files.iter().map(FileReport::of).collect(),
        }
    }
}

// === impl Summary ===

impl Summary {
    fn of(run: &RunOutcome) -> Self {
        let counts = Counts::of(run);
        Self {
            files: run.files.len() - counts.passed_over,
            passed_over: counts.passed_over,
            errors: counts.unreadable,
            documents: counts.documents,
            templates: counts.templates(),
            converted: counts.converted,
            left: counts.left,
            nothing_to_do: counts.nothing_to_do,
            not_requested: counts.not_requested,
            observed: counts.observed,
        }
    }
}

// === impl FileReport ===

impl<'r> FileReport<'r> {
    fn of(outcome: &'r FileOutcome) -> Self {
        let file = outcome.name.as_str();
        Self {
            file,
            passed_over: outcome.passed_over.iter().map(|other| Unreadable::of(file, other)).collect(),
            errors: outcome.errors.iter().map(|error| Unreadable::of(file, error)).collect(),
            documents: outcome.documents.iter().map(|document| DocumentReport::of(file, document)).collect(),
        }
    }
}

// === impl Unreadable ===

impl<'r> Unreadable<'r> {
    fn of(file: &'r str, error: &'r Unread) -> Self {
        let place = Place::of(file, error.position);
        Self { code: error.code, message: &error.message, document: error.document, place }
    }
}

// === impl DocumentReport ===

impl<'r> DocumentReport<'r> {
    fn of(file: &'r str, outcome: &'r DocumentOutcome) -> Self {
        Self {
            document: outcome.number,
            place: Place::of(file, outcome.position),
            api_version: Some(outcome.api_version.as_str()).filter(|version| !version.is_empty()),
            object: Object::of(&outcome.object),
            changed: !outcome.patch.0.is_empty(),
            findings: outcome.findings.iter().map(|told| Finding::of(file, told)).collect(),
            templates: outcome.templates.iter().map(|template| Template::of(file, template)).collect(),
        }
    }
}

// === impl Template ===

impl<'r> Template<'r> {
    fn of(file: &'r str, outcome: &'r TemplateOutcome) -> Self {
        Self {
            object: Object::of(&outcome.object),
            path: outcome.path.as_str(),
            place: Place::of(file, outcome.position),
            decision: outcome.decision.into(),
            moved: outcome.moved.iter().map(|moved| MovedContainer::of(file, moved)).collect(),
            findings: outcome.findings.iter().map(|told| Finding::of(file, told)).collect(),
        }
    }
}

// === impl Object ===

impl<'r> Object<'r> {
    fn of(name: &'r native_sidecar_manifest::ObjectName) -> Self {
        // No kind and no name begins with a parenthesis; what people are told in their place does.
        let known = |text: &'r str| Some(text).filter(|text| !text.is_empty() && !text.starts_with('('));
        Self { kind: known(&name.kind), namespace: known(&name.namespace), name: known(&name.name) }
    }
}

// === impl Place ===

impl<'r> Place<'r> {
    fn of(file: &'r str, position: Option<Position>) -> Self {
        Self { file, line: position.map(|position| position.line), column: position.map(|position| position.column) }
    }
}

// === impl MovedContainer ===

impl<'r> MovedContainer<'r> {
    fn of(file: &'r str, moved: &'r Moved) -> Self {
        Self { container: &moved.container, init_container: moved.index, place: Place::of(file, moved.position) }
    }
}

// === impl Finding ===

impl<'r> Finding<'r> {
    fn of(file: &'r str, told: &'r Told) -> Self {
        Self {
            code: &told.code,
            severity: told.level.into(),
            accepted: told.accepted,
            object: told.object.as_ref().map(Object::of),
            container: told.container.as_deref(),
            path: told.path.as_str(),
            message: &told.message,
            place: Place::of(file, told.position),
        }
    }
}

// === impl Severity ===

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Note => Self::Note,
            Level::Warning => Self::Warning,
            Level::Blocker => Self::Blocker,
            Level::Fatal => Self::Fatal,
            Level::Error => Self::Error,
        }
    }
}

// === impl DecisionName ===

impl From<Decision> for DecisionName {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::NotRequested => Self::NotRequested,
            Decision::NothingToDo => Self::NothingToDo,
            Decision::Converted => Self::Converted,
            Decision::Blocked => Self::Blocked,
            Decision::Denied => Self::Denied,
            Decision::WouldConvert => Self::WouldConvert,
            Decision::WouldBlock => Self::WouldBlock,
        }
    }
}
