//! What came of manifests, for machines: `--report FORMAT=FILE`.
//!
//! | File | For |
//! |---|---|
//! | `json` | scripts: everything, in a format with a version and a schema |
//! | `sarif` | code scanning (GitHub, GitLab, editors): SARIF 2.1.0 |
//! | `github` | GitHub Actions: workflow commands, which become annotations |
//! | `line` | what code scanning and GitHub tell alike: one thing at one place |
//! | `junit` | test reports of CI systems: `JUnit` XML |

mod github;
pub mod json;
mod junit;
mod line;
mod sarif;

use super::convert::outcome::RunOutcome;
use clap::ValueEnum;
use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON with a version and a schema.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// Workflow commands of GitHub Actions.
    Github,
    /// `JUnit` XML.
    Junit,
}

/// A report that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How it is written.
    pub format: Format,
    /// Where to; `-` is standard output.
    pub path: PathBuf,
}

/// A report that can be written.
#[derive(Debug)]
pub struct Opened<'t> {
    target: &'t Target,
    /// `None` for standard output.
    file: Option<File>,
}

/// A text that does not say what to report.
#[derive(Debug, thiserror::Error)]
#[error("expected FORMAT=FILE, with json, sarif, github or junit for FORMAT, such as json=report.json")]
pub struct NotATarget;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A report could not be made.
    #[error("cannot make the report {path}: {message}", path = path.display())]
    Made {
        /// Where it was to go.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A report could not be written.
    #[error("cannot write the report {path}: {source}", path = path.display())]
    Written {
        /// Where it was to go.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'r> {
    /// What came of it.
    pub run: &'r RunOutcome,
    /// Whether nothing was carried out (`--check`).
    pub check: bool,
    /// The exit code of the run.
    pub exit_code: u8,
}

// === impl Target ===

impl FromStr for Target {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        let (format, path) = text.split_once('=').unwrap_or((text, "-"));
        let format = Format::from_str(format, false).map_err(|_| NotATarget)?;
        if path.is_empty() {
            return Err(NotATarget);
        }
        Ok(Self { format, path: path.into() })
    }
}

impl Target {
    /// Whether it goes to standard output.
    #[must_use]
    pub fn is_stdout(&self) -> bool {
        self.path == Path::new("-")
    }

    /// The file for the report, empty: what cannot be written is known before anything else is.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn open(&self) -> Result<Opened<'_>, ReportError> {
        let file = if self.is_stdout() {
            None
        } else {
            Some(File::create(&self.path).map_err(|error| self.unwritten(error))?)
        };
        Ok(Opened { target: self, file })
    }

    fn unwritten(&self, source: io::Error) -> ReportError {
        ReportError::Written { path: self.path.clone(), source }
    }
}

// === impl Opened ===

impl Opened<'_> {
    /// Writes the report.
    ///
    /// # Errors
    ///
    /// When it cannot be made or written.
    pub fn write(self, subject: Subject<'_>, stdout: &mut dyn Write) -> Result<(), ReportError> {
        let text = match self.target.format {
            Format::Json => json::report(subject).map_err(|error| error.to_string()),
            Format::Sarif => sarif::report(subject).map_err(|error| error.to_string()),
            Format::Github => Ok(github::report(subject)),
            Format::Junit => junit::report(subject).map_err(|error| error.to_string()),
        };
        let text = text.map_err(|message| ReportError::Made { path: self.target.path.clone(), message })?;
        let written = match self.file {
            Some(mut file) => file.write_all(text.as_bytes()),
            None => match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                written => written,
            },
        };
        written.map_err(|error| self.target.unwritten(error))
    }
}
