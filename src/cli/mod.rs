//! The commands, one file each.

pub mod asked;
pub mod catalogue;
pub mod codes;
pub mod completions;
pub mod convert;
mod diff;
pub mod explain;
mod heap;
pub mod input;
pub mod known;
pub mod krm;
pub mod level;
pub mod look;
pub mod manual;
pub mod nodes;
pub mod offline;
pub mod report;
pub mod review;
pub mod serve;
pub mod terminal;
pub mod timeline;
pub mod workloads;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use colorchoice_clap::Color;
use std::{
    env,
    ffi::OsString,
    io::{self, ErrorKind},
    path::Path,
    process::ExitCode,
};

/// What the program is called.
const NAME: &str = "native-sidecar";
/// The file that kubectl runs for `kubectl native-sidecar`: a dash of the command is an underscore in the file's name.
const PLUGIN_FILE: &str = "kubectl-native_sidecar";
const PLUGIN_NAME: &str = "kubectl native-sidecar";

/// Moves sidecars from `containers` into `initContainers` with `restartPolicy: Always`.
///
/// `serve` is the admission webhook; the other commands do offline what it does, or explain it.
#[derive(Debug, Parser)]
#[command(name = NAME, bin_name = NAME, version, about, long_about = None, term_width = terminal::text_columns())]
pub struct Cli {
    #[command(flatten)]
    colour: Color,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Convert(convert::ConvertArgs),
    Fn(krm::FnArgs),
    Timeline(timeline::TimelineArgs),
    Review(review::ReviewArgs),
    Explain(explain::ExplainArgs),
    Catalogue(catalogue::CatalogueArgs),
    Workloads(workloads::WorkloadsArgs),
    Completions(completions::CompletionsArgs),
    #[command(hide = true)]
    Manual(manual::ManualArgs),
}

/// Why a command ended without doing what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// `serve` failed.
    #[error(transparent)]
    Serve(#[from] serve::ServeError),
    /// `convert` failed.
    #[error(transparent)]
    Convert(#[from] convert::ConvertError),
    /// `fn` failed.
    #[error(transparent)]
    Fn(#[from] krm::FnError),
    /// `timeline` failed.
    #[error(transparent)]
    Timeline(#[from] timeline::TimelineError),
    /// `review` failed.
    #[error(transparent)]
    Review(#[from] review::ReviewError),
    /// `explain` failed.
    #[error(transparent)]
    Explain(#[from] explain::ExplainError),
    /// `catalogue` failed.
    #[error(transparent)]
    Catalogue(#[from] catalogue::ListError),
    /// `workloads` failed.
    #[error(transparent)]
    Workloads(#[from] workloads::ListError),
    /// `completions` failed.
    #[error("cannot write to standard output: {0}")]
    Completions(#[from] io::Error),
    /// `manual` failed.
    #[error(transparent)]
    Manual(#[from] manual::ManualError),
}

// === impl Cli ===

impl Cli {
    /// What the process was told by its arguments. Its help speaks of the command that was typed, which is another when
    /// kubectl runs the program.
    ///
    /// # Errors
    ///
    /// When the arguments are no command, or ask for help or the version.
    pub fn of_process() -> Result<Self, clap::Error> {
        Self::of(env::args_os().collect())
    }

    fn of(arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        if arguments.first().is_some_and(|program| Path::new(program).file_stem() == Some(PLUGIN_FILE.as_ref())) {
            command = command.bin_name(PLUGIN_NAME);
        }
        let matches = command.try_get_matches_from_mut(arguments)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }

    /// Runs the command that was given.
    ///
    /// # Errors
    ///
    /// When the command could not do what was asked; the message is one line.
    pub fn run(self) -> Result<ExitCode, CliError> {
        self.colour.write_global();
        let stdout = &mut io::stdout();
        Ok(match self.command {
            Command::Serve(args) => {
                heap::bound();
                serve::run(*args)?;
                ExitCode::SUCCESS
            }
            Command::Convert(args) => convert::run(&args, &mut io::stdin(), stdout, &mut io::stderr())?.into(),
            Command::Fn(args) => krm::run(&args, &mut io::stdin(), stdout, &mut io::stderr())?.into(),
            Command::Timeline(args) => timeline::run(&args, &mut io::stdin(), stdout, &mut io::stderr())?,
            Command::Review(args) => review::run(&args, stdout, &mut io::stderr())?,
            Command::Explain(args) => explain::run(&args, stdout)?,
            Command::Catalogue(args) => catalogue::run(&args, stdout)?,
            Command::Workloads(args) => workloads::run(&args, stdout)?,
            Command::Completions(args) => completions::run(&args, stdout)?,
            Command::Manual(args) => manual::run(&args, stdout)?,
        })
    }
}

// === impl CliError ===

impl CliError {
    /// Whether nobody reads our output any more (`native-sidecar explain | head`), which is no fault.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = source {
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
                return true;
            }
            source = error.source();
        }
        false
    }
}
