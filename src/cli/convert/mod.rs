//! `native-sidecar convert`: what the webhook does, done to manifests.
//!
//! | File | What it does |
//! |---|---|
//! | `sources` | which files are read |
//! | `item` | one input, from its bytes to what came of it |
//! | `work` | one manifest, converted in memory |
//! | `fail_on` | when a run fails |
//! | `outcome` | what came of it, as data |
//! | `lines` | the same in lines for people; [`super::report`] has it for machines |
//! | `output` | the manifests, printed or written back |

pub mod fail_on;
mod item;
pub mod lines;
pub mod outcome;
pub mod output;
mod progress;
pub mod sources;
pub mod work;

use super::{
    asked::Asked,
    input,
    look::Look,
    offline::OfflineError,
    report::{ReportError, Subject, Target},
    timeline,
};
use clap::Args;
use fail_on::FailOn;
use item::Item;
use lines::{Telling, Verbosity};
use native_sidecar_core::conversion::Settings;
use native_sidecar_manifest::{Manifest, ManifestError, Search};
use outcome::{FileOutcome, RunOutcome, Unread};
use output::{Output, WriteError};
use progress::Progress;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use sources::{Source, SourceError, Sources};
use std::{
    collections::HashSet,
    io::{self, ErrorKind, Read, Write, stderr, stdout},
    path::PathBuf,
    process::ExitCode,
};
use work::WorkError;

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
  1  an error; nothing is written but reports (with --keep-going: all else is)
  2  a pod was left as it is because of a blocker, all else is converted and written; see --fail-on and --blocked-ok;
     with --check also: something would change

Examples:
  helm template shop ./chart | native-sidecar convert | kubectl apply -f -
  native-sidecar convert --known --kubernetes 1.31 -o diff deploy/*.yaml
  native-sidecar convert -R --in-place deploy/
  native-sidecar convert -R --check --report sarif=native-sidecar.sarif .")]
pub struct ConvertArgs {
    /// Files to read, in this order; `-` is standard input. When none is given, it is standard input, and with -R the
    /// current folder.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Also read what is in folders: the files that end in .yaml, .yml or .json, less hidden ones and those that a
    /// .gitignore or .ignore names. Links are not followed, and files in there that are no manifests are passed over.
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

    /// Also write a report for machines; may be given several times. FORMAT is json, sarif, github or junit; FILE `-`, or
    /// none, is standard output, where then nothing else goes.
    #[arg(long, value_name = "FORMAT[=FILE]")]
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
    #[error("{count} errors, so nothing was written; --keep-going writes all else")]
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

/// Runs the command.
///
/// # Errors
///
/// When an input cannot be read or is no manifest, or the output cannot be written.
pub fn run(
    args: &ConvertArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Outcome, ConvertError> {
    let sources = Sources::of(&args.files, args.recursive)?;
    args.check_arguments(&sources)?;
    let prepared = args.asked.prepare()?;
    let settings = prepared.settings();
    let search = args.asked.search();
    let items = convert_all(&sources, stdin, &search, settings)?;
    let (manifests, files): (Vec<_>, Vec<_>) = items.into_iter().map(|item| (item.manifest, item.outcome)).unzip();
    let (paths, manifests): (Vec<_>, Vec<_>) = manifests.into_iter().flatten().unzip();
    let run = RunOutcome::of(files, &search, settings.containers);
    let outcome = args.outcome(&run);
    let refused = if args.keep_going { None } else { refused(&run) };
    // What is told comes first: whoever closes standard output early still gets it. Nobody is told when standard error
    // itself is closed.
    let explained = if args.explain { explained(&manifests, &search, settings)? } else { String::new() };
    let told = if refused.is_some() { args.told_unread(&run) } else { lines::lines(&run, args.telling(&run)) };
    let _ = write!(stderr, "{explained}{}{told}", prepared.left_out());
    let reports = args.report.iter().map(Target::open).collect::<Result<Vec<_>, _>>()?;
    let written = match refused {
        Some(error) => Err(error),
        None => args.write(&paths, &manifests, &run, stdout),
    };
    let exit_code = if written.is_err() { Outcome::Unread.code() } else { outcome.code() };
    for report in reports {
        report.write(Subject { run: &run, check: args.check, exit_code }, stdout)?;
    }
    written.map(|()| outcome)
}

/// Reads and converts everything, several files side by side.
fn convert_all(
    sources: &Sources,
    stdin: &mut dyn Read,
    search: &Search,
    settings: Settings<'_>,
) -> Result<Vec<Item>, ConvertError> {
    let progress = Progress::of(sources.inputs.len());
    // Standard input is one, and nobody else's.
    let piped = sources.inputs.iter().find(|source| source.is_stdin()).map(|source| source.read(stdin)).transpose();
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
    let mut items = sources.inputs.par_iter().map(convert).collect::<Result<Vec<_>, _>>()?;
    let closed =
        sources.closed.iter().map(|(folder, why)| Item::unread(folder.display().to_string(), Unread::of_file(why)));
    items.extend(closed);
    Ok(items)
}

/// Why nothing is written, where something cannot be read.
fn refused(run: &RunOutcome) -> Option<ConvertError> {
    let mut errors = run.errors();
    let first = errors.next()?;
    Some(match errors.count() {
        0 => ConvertError::Unread(first.clone()),
        others => ConvertError::SeveralUnread { count: 1 + others },
    })
}

/// The lives of all pods, as they are drawn above what is told.
fn explained(manifests: &[Manifest], search: &Search, settings: Settings<'_>) -> Result<String, ConvertError> {
    let picture = timeline::text(&timeline::drawn(manifests, search, settings)?, Look::of(&stderr()));
    Ok(if picture.is_empty() { picture } else { picture + "\n" })
}

// === impl ConvertArgs ===

impl ConvertArgs {
    fn check_arguments(&self, sources: &Sources) -> Result<(), ConvertError> {
        let error = |text| Err(ConvertError::Arguments(text));
        let reports = self.report.iter().filter(|report| report.is_stdout()).count();
        if reports > 1 || reports == 1 && self.output.is_some() {
            return error("only one thing can go to standard output; give the report a file");
        }
        if self.check && matches!(self.output, Some(Output::Yaml | Output::Json)) {
            return error("--check prints no manifests; give -o diff or -o patch, or no -o");
        }
        if self.in_place && sources.inputs.iter().any(Source::is_stdin) {
            return error("standard input cannot be written back; name the files for --in-place");
        }
        let mut files = HashSet::new();
        let mut of_reports = self.report.iter().filter(|report| !report.is_stdout());
        if of_reports.any(|report| sources.has(&report.path) || !files.insert(&report.path)) {
            return error("a report would overwrite an input or another report; give it a file of its own");
        }
        Ok(())
    }

    fn telling(&self, run: &RunOutcome) -> Telling {
        let documents: usize = run.files.iter().map(FileOutcome::count).sum();
        let is_piped = matches!(&*run.files, [file] if file.name == input::STDIN);
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
            (false, true) => Verbosity::Verbose,
        };
        Telling { verbosity, check: self.check, places: documents > 1 || !is_piped, look: Look::of(&stderr()) }
    }

    /// What is told where nothing is written; a single error is the command's own.
    fn told_unread(&self, run: &RunOutcome) -> String {
        if run.errors().count() == 1 { String::new() } else { lines::errors(run.errors(), self.telling(run)) }
    }

    fn outcome(&self, run: &RunOutcome) -> Outcome {
        let fail_on = if self.blocked_ok { FailOn::Never } else { self.fail_on };
        if run.errors().next().is_some() {
            Outcome::Unread
        } else if fail_on.fails(run) || self.check && run.files.iter().any(FileOutcome::changes) {
            Outcome::Failed
        } else {
            Outcome::Done
        }
    }

    /// Prints the manifests, or writes them back to `paths`.
    fn write(
        &self,
        paths: &[PathBuf],
        manifests: &[Manifest],
        run: &RunOutcome,
        out: &mut dyn Write,
    ) -> Result<(), ConvertError> {
        if self.in_place {
            let changed = paths.iter().zip(manifests).filter(|(_, manifest)| manifest.is_changed());
            return Ok(output::write_back(changed)?);
        }
        let prints = !self.check && !self.report.iter().any(Target::is_stdout);
        let Some(format) = self.output.or_else(|| prints.then(|| output::default_output(manifests))) else {
            return Ok(());
        };
        if output::loses(manifests, run, format) {
            let text = "what cannot be read cannot be passed on in this output; give no -o, or leave the input out";
            return Err(ConvertError::Arguments(text));
        }
        let mut text = output::rendered(manifests, &run.files, format)?;
        if format == Output::Diff {
            text = output::painted(&text, Look::of(&stdout()));
        }
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ConvertError::Output(error)),
            _ => Ok(()),
        }
    }
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
