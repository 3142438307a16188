//! `native-sidecar convert`: what the webhook does, done to manifests.

use super::{
    asked::Asked,
    diff,
    input::{self, InputError},
    offline::OfflineError,
    timeline::{self, Look},
};
use clap::{Args, ValueEnum};
use json_patch::{Patch, PatchError};
use native_sidecar_core::{
    conversion::{Conversion, Decision, Settings, convert},
    findings::{Finding, Severity},
    text::one_line,
};
use native_sidecar_manifest::{
    Format, Manifest, ManifestError, ObjectName, Remark, Search, Side, Template, UnfitPatch, Written,
};
use serde::Serialize;
use std::{
    fmt::Write as _,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Convert manifests offline, as the webhook would convert their pods.
///
/// Reads YAML or JSON: single documents, several of them, and Lists. Pod templates are found in Pod, PodTemplate,
/// ReplicationController, Deployment, ReplicaSet, StatefulSet, DaemonSet, Job and CronJob; the annotations that
/// count are those of the pod template. Everything else comes out as it came in.
///
/// In YAML only the lines concerned change: comments, quotes and order stay. Where that is impossible (an anchor,
/// an alias or brackets at the place of a change), the document is written anew, comments in it are lost, and
/// a line on standard error says so.
// The text is the command's help, where backticks would be noise.
#[allow(clippy::doc_markdown)]
#[derive(Args, Debug)]
#[command(after_help = "Exit status:
  0  converted, or nothing to do; pods that are only observed (native-sidecar.io/mode) are left and told of
  1  an error; nothing is written to standard output
  2  a pod was left as it is because of a blocker; all else is converted and written

Examples:
  helm template shop ./chart | native-sidecar convert | kubectl apply -f -
  native-sidecar convert --known --kubernetes 1.31 -o diff deploy/*.yaml")]
pub struct ConvertArgs {
    /// Files to read, in this order; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    asked: Asked,

    /// What to print; the format of the (first) input when not given.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Output>,

    /// Also print notes, and a line for each pod that was converted.
    #[arg(short, long)]
    verbose: bool,

    /// Also show the life of each pod before and after, as `timeline` does, on standard error.
    #[arg(long)]
    explain: bool,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The documents as YAML, with `---` between them.
    Yaml,
    /// The documents as JSON, one object after the other.
    Json,
    /// A JSON Patch (RFC 6902) for the document; for several documents an array of {file, document, kind, namespace,
    /// name, patch}, one for each that changes.
    Patch,
    /// A unified diff of each file, in YAML.
    Diff,
}

/// How a run ended that was no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything asked for was done.
    Done,
    /// At least one pod was left as it is because of a blocker.
    Left,
}

/// Why nothing was converted: one line, and nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A file could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The catalogue or the nodes could not be used.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// An input is no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A conversion's patch does not fit its template; a bug.
    #[error("{object}: {source}; please report this")]
    Unfit {
        /// The object.
        object: ObjectName,
        /// What is wrong.
        source: UnfitPatch,
    },
    /// A patch does not apply to its document; a bug.
    #[error("{file}: document {document}: the patch does not apply: {source}; please report this")]
    Patch {
        /// The file.
        file: String,
        /// The document, counted from 1.
        document: usize,
        /// What is wrong.
        source: PatchError,
    },
    /// The output could not be made.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}

/// What came of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// What goes to standard output.
    pub output: String,
    /// What goes to standard error.
    pub report: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// A patch, and the document it is for.
#[derive(Serialize)]
struct DocumentPatch {
    file: String,
    document: usize,
    kind: String,
    namespace: String,
    name: String,
    patch: Patch,
}

/// What was done, and what there is to say about it.
#[derive(Default)]
struct Report {
    lines: String,
    verbose: bool,
    /// `FILE: document N: ` in front of each line, where there is more than one document.
    place: String,
    documents: usize,
    converted: usize,
    nothing_to_do: usize,
    not_requested: usize,
    observed: usize,
    left: usize,
}

/// Runs the command.
///
/// # Errors
///
/// When an input cannot be read or is no manifest, or the output cannot be written. Standard output is then empty.
pub fn run(
    args: &ConvertArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Outcome, ConvertError> {
    let prepared = args.asked.prepare()?;
    let settings = prepared.settings();
    let mut manifests = args.files.iter().map(|path| read(path, stdin)).collect::<Result<Vec<_>, _>>()?;
    let explained = if args.explain { explained(&manifests, settings)? } else { String::new() };
    let converted = convert_manifests(&mut manifests, settings, args.output, args.verbose)?;
    // Reports come first: whoever closes standard output early still gets them. Nobody is told when
    // standard error itself is closed.
    let _ = write!(stderr, "{explained}{}{}", prepared.left_out(), converted.report);
    match stdout.write_all(converted.output.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ConvertError::Output(error)),
        _ => Ok(converted.outcome),
    }
}

/// Converts `manifests`: the command without its files.
///
/// # Errors
///
/// When a list in a manifest holds something else than objects, or the output cannot be made.
pub fn convert_manifests(
    manifests: &mut [Manifest],
    settings: Settings<'_>,
    output: Option<Output>,
    verbose: bool,
) -> Result<Converted, ConvertError> {
    let mut report = Report { verbose, ..Report::default() };
    let mut patches = Vec::new();
    let many = manifests.iter().map(|manifest| manifest.documents().len()).sum::<usize>() > 1;
    for manifest in &mut *manifests {
        patches.append(&mut convert_manifest(manifest, many, settings, &mut report)?);
    }
    let output = rendered(manifests, patches, output.unwrap_or_else(|| format_of(manifests)))?;
    Ok(Converted { output, report: report.to_string(), outcome: report.outcome() })
}

/// The lives of all pods, as they are drawn above the report.
fn explained(manifests: &[Manifest], settings: Settings<'_>) -> Result<String, ConvertError> {
    let picture = timeline::text(&timeline::drawn(manifests, settings)?, Look::of(&std::io::stderr()));
    Ok(if picture.is_empty() { picture } else { picture + "\n" })
}

fn read(path: &Path, stdin: &mut dyn Read) -> Result<Manifest, ConvertError> {
    let (name, bytes) = input::named(path, stdin)?;
    Ok(Manifest::read(&name, &bytes)?)
}

fn format_of(manifests: &[Manifest]) -> Output {
    match manifests.first().map(|manifest| manifest.format) {
        Some(Format::Json) => Output::Json,
        _ => Output::Yaml,
    }
}

fn convert_manifest(
    manifest: &mut Manifest,
    many: bool,
    settings: Settings<'_>,
    report: &mut Report,
) -> Result<Vec<DocumentPatch>, ConvertError> {
    let mut patches = Vec::new();
    for index in 0..manifest.documents().len() {
        report.documents += 1;
        report.place = if many { format!("{}: document {}: ", manifest.name, index + 1) } else { String::new() };
        let patch = convert_document(manifest, index, settings, report)?;
        if patch.0.is_empty() {
            continue;
        }
        let document = index + 1;
        let written = manifest.apply(index, &patch);
        let file = || manifest.name.clone();
        let written = written.map_err(|source| ConvertError::Patch { file: file(), document, source })?;
        let value = manifest.documents()[index].value(Side::After);
        let object = ObjectName::of_document(value);
        if let Written::Anew(_) = written {
            report.line(&object.to_string(), &written.to_string());
        }
        let ObjectName { kind, namespace, name } = object;
        patches.push(DocumentPatch { file: file(), document, kind, namespace, name, patch });
    }
    Ok(patches)
}

/// The patch that converts all pod templates in one document.
fn convert_document(
    manifest: &Manifest,
    index: usize,
    settings: Settings<'_>,
    report: &mut Report,
) -> Result<Patch, ConvertError> {
    let value = manifest.documents()[index].value(Side::Before);
    let mut operations = Vec::new();
    for remark in Search::default().remarks(value) {
        report.remark(&remark);
    }
    for template in manifest.templates(index)? {
        let workload = template.workload(value);
        let settings = template.settings(Settings { workload: Some(&workload), ..settings });
        let conversion = convert(&template.pod(value), settings);
        report.add(&template, &conversion);
        // The webhook notes on the pod why it was left; a manifest is left as it is, and the report tells.
        if conversion.decision == Decision::Converted {
            let patch = template.patch_of_document(&conversion.patch, value);
            let object = || template.object.clone();
            operations.append(&mut patch.map_err(|source| ConvertError::Unfit { object: object(), source })?.0);
        }
    }
    Ok(Patch(operations))
}

fn rendered(manifests: &[Manifest], patches: Vec<DocumentPatch>, output: Output) -> Result<String, ConvertError> {
    match output {
        Output::Yaml => Ok(Manifest::all_as_yaml(manifests, Side::After)),
        Output::Json => Ok(Manifest::all_as_json(manifests, Side::After)?),
        Output::Patch => patch(manifests, patches),
        Output::Diff => Ok(manifests.iter().map(diff::of).collect()),
    }
}

fn patch(manifests: &[Manifest], mut patches: Vec<DocumentPatch>) -> Result<String, ConvertError> {
    let documents: usize = manifests.iter().map(|manifest| manifest.documents().len()).sum();
    let json = if documents == 1 {
        serde_json::to_string_pretty(&patches.pop().map(|only| only.patch).unwrap_or_default())?
    } else {
        serde_json::to_string_pretty(&patches)?
    };
    Ok(json + "\n")
}

// === impl Outcome ===

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Left => Self::from(2),
        }
    }
}

// === impl Report ===

impl Report {
    fn add(&mut self, template: &Template, conversion: &Conversion) {
        let Conversion { decision, findings, reasons, .. } = conversion;
        let unsaid = reasons.iter().filter(|reason| !findings.contains(reason));
        for finding in findings.iter().chain(unsaid) {
            self.finding(&template.object, finding);
        }
        let outcome = match decision {
            Decision::Converted => "converted",
            Decision::NothingToDo => "nothing to do",
            Decision::NotRequested => "not asked for",
            Decision::Blocked => "left as it is",
            Decision::Denied => "left as it is; the webhook would refuse its pods",
            Decision::WouldConvert => "only observed; would be converted",
            Decision::WouldBlock => "only observed; would be left as it is",
        };
        *match decision {
            Decision::Converted => &mut self.converted,
            Decision::NothingToDo => &mut self.nothing_to_do,
            Decision::NotRequested => &mut self.not_requested,
            Decision::Blocked | Decision::Denied => &mut self.left,
            Decision::WouldConvert | Decision::WouldBlock => &mut self.observed,
        } += 1;
        if self.verbose || !matches!(decision, Decision::Converted | Decision::NothingToDo | Decision::NotRequested) {
            self.line(&template.object.to_string(), outcome);
        }
    }

    fn remark(&mut self, remark: &Remark) {
        if self.verbose || remark.severity > Severity::Note {
            self.line(
                &remark.object.to_string(),
                &format!("{} {}: {}", remark.severity, remark.kind.code(), remark.message),
            );
        }
    }

    fn finding(&mut self, object: &ObjectName, finding: &Finding) {
        if self.verbose || finding.severity() > Severity::Note {
            self.line(&object.to_string(), &format!("{} {finding}", finding.severity()));
        }
    }

    fn line(&mut self, subject: &str, what: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.lines, "{}", one_line(&format!("{}{subject}: {what}", self.place)));
    }

    fn outcome(&self) -> Outcome {
        if self.left > 0 { Outcome::Left } else { Outcome::Done }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lines, documents, converted, nothing_to_do, not_requested, observed, left, .. } = self;
        let templates = converted + nothing_to_do + not_requested + observed + left;
        let plural = |count: &usize| if *count == 1 { "" } else { "s" };
        write!(f, "{lines}{documents} document{}, {templates} pod template{}", plural(documents), plural(&templates))?;
        write!(
            f,
            ": {converted} converted, {left} left, {nothing_to_do} with nothing to do, {not_requested} not asked for"
        )?;
        if *observed > 0 {
            write!(f, ", {observed} only observed")?;
        }
        writeln!(f)
    }
}
