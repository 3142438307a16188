//! `native-sidecar convert`: what the webhook does, done to manifests.
//!
//! | File | What it does |
//! |---|---|
//! | `sources` | which files are read |
//! | `work` | one manifest, converted in memory |
//! | `fail_on` | when a run fails |
//! | `outcome` | what came of it, as data |
//! | `lines` | the same in lines for people; [`super::report`] has it for machines |
//! | `output` | the manifests, printed or written back |

pub mod fail_on;
pub mod lines;
pub mod outcome;
pub mod output;
mod progress;
pub mod sources;
pub mod work;

use super::{
    asked::Asked,
    codes::OTHER_COMMAND,
    input::{self, InputError},
    look::Look,
    offline::OfflineError,
    report::{ReportError, Subject, Target},
    timeline,
};
use clap::Args;
use fail_on::FailOn;
use json_patch::jsonptr::PointerBuf;
use lines::{Counts, Telling, Verbosity};
use native_sidecar_core::conversion::Settings;
use native_sidecar_manifest::{Document, Fault, Manifest, ManifestError, Search, Side, Special};
use outcome::{FileOutcome, Unread};
use output::{Output, WriteError};
use progress::Progress;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use sources::{Source, SourceError};
use std::{
    io::{self, ErrorKind, Read, Write, stderr, stdout},
    path::PathBuf,
    process::ExitCode,
};
use work::{WorkError, convert_manifest, found_nowhere};

/// Convert manifests offline, as the webhook would convert their pods.
///
/// Reads YAML or JSON: single documents, several of them, and Lists. Pod templates are found in the built-in workloads and
/// in custom ones (docs/workloads.md); the annotations that count are those of the pod template. Everything else comes
/// out as it came in.
///
/// In YAML only the lines concerned change: comments, quotes and order stay. Where that is impossible, the document is
/// written anew, comments in it are lost, and a line on standard error says which construct is the cause.
// The text is the command's help, where backticks would be noise.
#[allow(clippy::doc_markdown, clippy::struct_excessive_bools)]
#[derive(Args, Debug)]
#[command(after_help = "Exit status:
  0  converted, or nothing to do; pods that are only observed (native-sidecar.io/mode) are left and told of
  1  an error; nothing is written (with --keep-going: all else is)
  2  a pod was left as it is because of a blocker, all else is converted and written; see --fail-on and --blocked-ok;
     with --check also: something would change

Examples:
  helm template shop ./chart | native-sidecar convert | kubectl apply -f -
  native-sidecar convert --known --kubernetes 1.31 -o diff deploy/*.yaml
  native-sidecar convert -R --in-place deploy/
  native-sidecar convert -R --check --report sarif=native-sidecar.sarif .")]
pub struct ConvertArgs {
    /// Files to read, in this order; `-` is standard input, which is also read when none is given. Folders with -R.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Also read what is in folders: the files that end in .yaml, .yml or .json, less hidden ones and those that a
    /// .gitignore or .ignore names. Files in there that are no manifests are passed over.
    #[arg(short = 'R', long)]
    recursive: bool,

    #[command(flatten)]
    asked: Asked,

    /// What to print; the format of the (first) input when not given.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Output>,

    /// Write what changes back into its files, and print nothing.
    #[arg(short, long, conflicts_with_all = ["output", "check"])]
    in_place: bool,

    /// Write nothing; the exit status is 2 if something would change or a pod is left because of a blocker. With
    /// `-o diff` or `-o patch`, print what would change.
    #[arg(long)]
    check: bool,

    /// Pass what cannot be read on as it is and convert all else; the exit status is 1 all the same.
    #[arg(long)]
    keep_going: bool,

    /// Exit with 2 if there is a finding of this severity or a worse one that no pod accepts.
    #[arg(long, value_name = "SEVERITY", default_value = "blocker")]
    fail_on: FailOn,

    /// Exit with 0 although a pod is left because of a blocker; the same as --fail-on never.
    #[arg(long, conflicts_with = "fail_on")]
    blocked_ok: bool,

    /// Also write a report for machines; may be given several times. FORMAT is json, sarif, github or junit; FILE `-` is
    /// standard output, where then nothing else goes.
    #[arg(long, value_name = "FORMAT=FILE")]
    report: Vec<Target>,

    /// Also print notes, and a line for each pod template, whatever became of it.
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,

    /// Print no more than warnings, blockers and errors.
    #[arg(short, long)]
    quiet: bool,

    /// Also show the life of each pod before and after, as `timeline` does, on standard error.
    #[arg(long)]
    explain: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything asked for was done.
    Done,
    /// Something could not be read, and was passed on as it is.
    Unread,
    /// A pod was left as it is because of a blocker, or whatever else the arguments want to fail on.
    Failed,
}

/// Why nothing was converted: one line, and nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// It is not known what to read, or it cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The catalogue or the nodes could not be used.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// A list in a manifest holds something else than objects.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An input could not be read.
    #[error("{0}")]
    Unread(Unread),
    /// Several inputs, or documents in them, could not be read; each has been told.
    #[error("{count} documents could not be read, so nothing was written; --keep-going writes all else")]
    SeveralUnread {
        /// How many.
        count: usize,
    },
    /// A manifest could not be converted.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// Arguments that do not go together.
    #[error("{0}")]
    Arguments(&'static str),
    /// The output could not be made.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A report could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// What every object says.
const API_VERSION: &[u8] = b"apiVersion";

/// One input on its way: its manifest, where it is one, and what came of it.
struct Item {
    manifest: Option<Manifest>,
    outcome: FileOutcome,
}

/// Runs the command.
///
/// # Errors
///
/// When an input cannot be read or is no manifest, or the output cannot be written. Nothing has then been written but
/// the reports.
pub fn run(
    args: &ConvertArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Outcome, ConvertError> {
    args.check_arguments()?;
    let sources = sources::sources(&args.files, args.recursive)?;
    if args.in_place && sources.iter().any(Source::is_stdin) {
        return Err(ConvertError::Arguments("standard input cannot be written back; name the files for --in-place"));
    }
    let prepared = args.asked.prepare()?;
    let settings = prepared.settings();
    let search = args.asked.search();
    let items = convert_all(&sources, stdin, &search, settings)?;
    let (manifests, files): (Vec<_>, Vec<_>) = items.into_iter().map(|item| (item.manifest, item.outcome)).unzip();
    let manifests: Vec<_> = manifests.into_iter().flatten().collect();
    let outcome = args.outcome(&files);
    let refused = if args.keep_going { None } else { refused(&files) };
    // What is told comes first: whoever closes standard output early still gets it. Nobody is told when standard error
    // itself is closed.
    let explained = if args.explain { explained(&manifests, settings)? } else { String::new() };
    let told = if refused.is_some() { args.told_unread(&files) } else { args.told(&files, settings) };
    let _ = write!(stderr, "{explained}{}{told}", prepared.left_out());
    let exit_code = if refused.is_some() { Outcome::Unread.code() } else { outcome.code() };
    for report in &args.report {
        report.write(Subject { files: &files, check: args.check, exit_code }, stdout)?;
    }
    match refused {
        Some(error) => Err(error),
        None => args.write(&manifests, &files, stdout).map(|()| outcome),
    }
}

/// Reads and converts everything, several files side by side.
fn convert_all(
    sources: &[Source],
    stdin: &mut dyn Read,
    search: &Search,
    settings: Settings<'_>,
) -> Result<Vec<Item>, ConvertError> {
    let progress = Progress::of(sources.len());
    // Standard input is one, and nobody else's.
    let piped = sources.iter().find(|source| source.is_stdin()).map(|source| source.read(stdin)).transpose();
    let piped = piped.map_err(SourceError::Input)?;
    let convert = |source: &Source| {
        let read = match &piped {
            Some(piped) if source.is_stdin() => Ok(piped.clone()),
            _ => source.read(&mut io::empty()),
        };
        let item = Item::of(source, read, search, settings);
        progress.step();
        item
    };
    sources.par_iter().map(convert).collect()
}

/// Why nothing is written, where something cannot be read.
fn refused(files: &[FileOutcome]) -> Option<ConvertError> {
    let mut errors = files.iter().flat_map(|file| &file.errors);
    let first = errors.next()?;
    Some(match errors.count() {
        0 => ConvertError::Unread(first.clone()),
        others => ConvertError::SeveralUnread { count: 1 + others },
    })
}

/// The lives of all pods, as they are drawn above what is told.
fn explained(manifests: &[Manifest], settings: Settings<'_>) -> Result<String, ConvertError> {
    let picture = timeline::text(&timeline::drawn(manifests, settings)?, Look::of(&stderr()));
    Ok(if picture.is_empty() { picture } else { picture + "\n" })
}

// === impl ConvertArgs ===

impl ConvertArgs {
    fn check_arguments(&self) -> Result<(), ConvertError> {
        let reports = self.report.iter().filter(|report| report.is_stdout()).count();
        if reports > 1 || reports == 1 && self.output.is_some() {
            return Err(ConvertError::Arguments("only one thing can go to standard output; give the report a file"));
        }
        if self.check && matches!(self.output, Some(Output::Yaml | Output::Json)) {
            return Err(ConvertError::Arguments("--check prints no manifests; give -o diff or -o patch, or no -o"));
        }
        Ok(())
    }

    fn telling(&self, files: &[FileOutcome]) -> Telling {
        let documents: usize = files.iter().map(|file| file.documents.len()).sum();
        let is_piped = matches!(files, [file] if file.name == input::STDIN);
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
            (false, true) => Verbosity::Verbose,
        };
        Telling { verbosity, check: self.check, places: documents > 1 || !is_piped, look: Look::of(&stderr()) }
    }

    fn told(&self, files: &[FileOutcome], settings: Settings<'_>) -> String {
        let telling = self.telling(files);
        let mut told = lines::lines(files, telling);
        if settings.containers.is_some() {
            for name in found_nowhere(files) {
                told.push_str(&lines::found_nowhere(name, telling));
            }
        }
        if !self.quiet {
            told.push_str(&lines::summary(&Counts::of(files), telling));
        }
        told
    }

    /// What is told where nothing is written; a single error is the command's own.
    fn told_unread(&self, files: &[FileOutcome]) -> String {
        let errors: Vec<_> = files.iter().flat_map(|file| &file.errors).collect();
        if errors.len() == 1 { String::new() } else { lines::errors(errors, self.telling(files)) }
    }

    fn outcome(&self, files: &[FileOutcome]) -> Outcome {
        let fail_on = if self.blocked_ok { FailOn::Never } else { self.fail_on };
        let fails = fail_on.fails(files);
        if files.iter().any(|file| !file.errors.is_empty()) {
            Outcome::Unread
        } else if fails || self.check && files.iter().any(FileOutcome::changes) {
            Outcome::Failed
        } else {
            Outcome::Done
        }
    }

    /// Prints the manifests, or writes them back.
    fn write(&self, manifests: &[Manifest], files: &[FileOutcome], out: &mut dyn Write) -> Result<(), ConvertError> {
        if self.in_place {
            let changed = |manifest: &&Manifest| manifest.is_changed();
            return Ok(manifests.iter().filter(changed).try_for_each(output::write_back)?);
        }
        let prints = !self.check && !self.report.iter().any(Target::is_stdout);
        let Some(format) = self.output.or_else(|| prints.then(|| output::default_output(manifests))) else {
            return Ok(());
        };
        let mut text = output::rendered(manifests, files, format)?;
        if format == Output::Diff {
            text = output::painted(&text, Look::of(&stdout()));
        }
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ConvertError::Output(error)),
            _ => Ok(()),
        }
    }
}

// === impl Item ===

impl Item {
    fn of(
        source: &Source,
        read: Result<(String, Vec<u8>), InputError>,
        search: &Search,
        settings: Settings<'_>,
    ) -> Result<Self, ConvertError> {
        let (name, bytes) = match read {
            Ok(read) => read,
            Err(error) => {
                return Ok(Self::unread(source.path.display().to_string(), Unread::from(&error)));
            }
        };
        let (mut manifest, errors) = Manifest::read_all(&name, &bytes);
        if source.found
            && let Some(why) = no_manifest(&manifest, &errors, &bytes)
        {
            let outcome = FileOutcome { name, skipped: Some(why), ..FileOutcome::default() };
            return Ok(Self { manifest: None, outcome });
        }
        let others = for_other_commands(&manifest);
        let mut outcome = convert_manifest(&mut manifest, search, settings)?;
        outcome.errors.extend(errors.iter().map(Unread::from).chain(others));
        outcome.errors.sort_by_key(|error| error.document);
        Ok(Self { manifest: Some(manifest), outcome })
    }

    fn unread(name: String, error: Unread) -> Self {
        Self { manifest: None, outcome: FileOutcome { name, errors: vec![error], ..FileOutcome::default() } }
    }
}

/// Why a file that nobody named is none to convert.
fn no_manifest(manifest: &Manifest, errors: &[ManifestError], bytes: &[u8]) -> Option<String> {
    if let Some(error) = errors.iter().find(|error| error.fault == Fault::Template) {
        return Some(error.what.clone());
    }
    let mut readable = manifest.documents().iter().filter(|document| !document.is_opaque());
    match (errors.first(), readable.next()) {
        // A configuration of something else, in some dialect of JSON or YAML.
        (Some(error), None) if !bytes.windows(API_VERSION.len()).any(|part| part == API_VERSION) => {
            Some(error.what.clone())
        }
        (None, Some(only)) if readable.next().is_none() => {
            let special = Special::of(only.value(Side::Before))?;
            Some(format!("it is {}; run {}", special.name(), special.command()))
        }
        _ => None,
    }
}

/// What holds objects that `convert` would not see.
fn for_other_commands(manifest: &Manifest) -> Vec<Unread> {
    let documents = manifest.documents().iter().enumerate().filter(|(_, document)| !document.is_opaque());
    let unread = |(index, document): (usize, &Document)| {
        let special = Special::of(document.value(Side::Before))?;
        special.holds_objects().then(|| {
            let message = format!("this is {}; run {}", special.name(), special.command());
            let position = manifest.located(index).position(&PointerBuf::new());
            Unread::of_document(&manifest.name, OTHER_COMMAND, index + 1, position, message)
        })
    };
    documents.filter_map(unread).collect()
}

// === impl Outcome ===

impl Outcome {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unread => 1,
            Self::Failed => 2,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}
