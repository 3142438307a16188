//! The commands, one file each.

pub mod asked;
pub mod catalogue;
pub mod convert;
pub mod explain;
mod heap;
pub mod input;
pub mod known;
pub mod nodes;
pub mod offline;
pub mod review;
pub mod serve;
pub mod timeline;

use clap::{Parser, Subcommand};
use std::{
    io::{self, ErrorKind},
    process::ExitCode,
};

/// Moves sidecars from `containers` into `initContainers` with `restartPolicy: Always`.
///
/// `serve` is the admission webhook; the other commands do offline what it does, or explain it.
#[derive(Debug, Parser)]
#[command(name = "native-sidecar", version, about, long_about = None, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Convert(convert::ConvertArgs),
    Timeline(timeline::TimelineArgs),
    Review(review::ReviewArgs),
    Explain(explain::ExplainArgs),
    Catalogue(catalogue::CatalogueArgs),
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
}

// === impl Cli ===

impl Cli {
    /// Runs the command that was given.
    ///
    /// # Errors
    ///
    /// When the command could not do what was asked; the message is one line.
    pub fn run(self) -> Result<ExitCode, CliError> {
        let stdout = &mut io::stdout();
        Ok(match self.command {
            Command::Serve(args) => {
                heap::bound();
                serve::run(*args)?;
                ExitCode::SUCCESS
            }
            Command::Convert(args) => convert::run(&args, &mut io::stdin(), stdout, &mut io::stderr())?.into(),
            Command::Timeline(args) => timeline::run(&args, &mut io::stdin(), stdout, &mut io::stderr())?,
            Command::Review(args) => review::run(&args, stdout, &mut io::stderr())?,
            Command::Explain(args) => explain::run(&args, stdout)?,
            Command::Catalogue(args) => catalogue::run(&args, stdout)?,
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
