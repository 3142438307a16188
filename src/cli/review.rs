//! `native-sidecar review`: one `AdmissionReview` in, one out, without a server.

use super::{
    input::{self, InputError},
    offline::{Offline, OfflineError, Surroundings},
};
use clap::{Args, ValueEnum};
use native_sidecar_core::admission::{self, Context, Reviewed, Route};
use std::{io::Write, path::PathBuf, process::ExitCode};

/// Answer one `AdmissionReview` as the server would, and print the answer.
#[derive(Args, Debug)]
pub struct ReviewArgs {
    /// File with the AdmissionReview as JSON; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,

    /// Answer as in a namespace with this value of the label `native-sidecar.io/known`; `true` when none is given.
    #[arg(long, value_name = "LABEL", value_enum, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true")]
    known: Option<KnownLabel>,

    /// Answer as a server that only observes (`serve --observe`).
    #[arg(long)]
    observe: bool,

    #[command(flatten)]
    offline: Offline,

    /// Print the decoded JSON Patch instead of the whole answer, and the findings on standard error.
    #[arg(long)]
    patch: bool,
}

/// A value of the namespace's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KnownLabel {
    /// Move the containers that the catalogue knows, as /mutate/known does.
    True,
    /// Only observe, as /mutate/observe does, unless the pod asks for a conversion itself.
    Observe,
}

/// Why a review could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The input could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The catalogue or the nodes could not be used.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// The input is no AdmissionReview; the server would answer 400.
    #[error(transparent)]
    NotAReview(#[from] admission::NotAReview),
    /// The answer could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] std::io::Error),
    /// The answer is not what this program writes itself.
    #[error("the answer does not read back: {0}")]
    Answer(String),
}

/// Runs the command.
///
/// # Errors
///
/// When the input cannot be read or is no `AdmissionReview`, or the output cannot be written.
pub fn run(args: &ReviewArgs, stdout: &mut dyn Write, stderr: &mut dyn Write) -> Result<ExitCode, ReviewError> {
    let body = input::read(&args.file)?;
    let surroundings = args.offline.read()?;
    let Surroundings { catalogue, facts } = &surroundings;
    let route = match args.known {
        None => Route::Annotated,
        Some(KnownLabel::True) => Route::Known,
        Some(KnownLabel::Observe) => Route::Observed,
    };
    let review = if args.observe { admission::observe } else { admission::review };
    let reviewed = review(&body, route, Context { catalogue, facts })?;
    if args.patch {
        // Nobody is told when standard error itself is closed.
        let _ = write!(stderr, "{}", surroundings.left_out()).and_then(|()| tell(&reviewed, stderr));
    }
    let shown = if args.patch { decoded_patch(&reviewed.body)? } else { pretty(&reviewed.body)? };
    writeln!(stdout, "{shown}")?;
    Ok(ExitCode::SUCCESS)
}

/// What the answer says besides the patch.
fn tell(reviewed: &Reviewed, stderr: &mut dyn Write) -> std::io::Result<()> {
    for finding in &reviewed.findings {
        writeln!(stderr, "{} {finding}", finding.severity())?;
    }
    writeln!(stderr, "decision: {}", reviewed.decision)
}

fn pretty(body: &[u8]) -> Result<String, ReviewError> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    serde_json::to_string_pretty(&value).map_err(|error| unreadable(&error))
}

fn decoded_patch(body: &[u8]) -> Result<String, ReviewError> {
    let patch = admission::decoded_patch(body).map_err(ReviewError::Answer)?;
    serde_json::to_string_pretty(&patch).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> ReviewError {
    ReviewError::Answer(error.to_string())
}
