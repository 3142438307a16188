//! `native-sidecar review`: one `AdmissionReview` in, one out, without a server.

use super::{
    input::{self, InputError},
    look::Look,
    offline::{Offline, OfflineError, Surroundings},
};
use clap::{Args, ValueEnum};
use native_sidecar_core::admission::{self, Context, NotAReview, Reviewed, Route};
use native_sidecar_manifest::{Manifest, Side};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Answer one `AdmissionReview` as the server would, and print the answer.
#[derive(Args, Debug)]
pub struct ReviewArgs {
    /// File with the AdmissionReview, as JSON or YAML; `-` is standard input.
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
    NotAReview(#[from] NotAReview),
    /// The input is a manifest.
    #[error("it is a {kind} ({api_version}) and no AdmissionReview; `native-sidecar convert {file}` is for manifests")]
    Manifest {
        /// The first object's kind.
        kind: String,
        /// Its version.
        api_version: String,
        /// The file, as it was given.
        file: String,
    },
    /// The input has more than one document.
    #[error("it has {0} documents, and one AdmissionReview at a time is answered; give each a file of its own")]
    Several(usize),
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
    let context = Context { catalogue, facts };
    let reviewed = review(&body, route, context).or_else(|error| {
        let json = json_of_yaml(&args.file, &body, error)?;
        Ok::<_, ReviewError>(review(json.as_bytes(), route, context)?)
    })?;
    if args.patch {
        // Nobody is told when standard error itself is closed.
        let _ = write!(stderr, "{}", surroundings.left_out()).and_then(|()| tell(&reviewed, stderr));
    }
    let shown = if args.patch { decoded_patch(&reviewed.body)? } else { pretty(&reviewed.body)? };
    writeln!(stdout, "{shown}")?;
    Ok(ExitCode::SUCCESS)
}

/// The review in `body` as JSON, where it is YAML; otherwise what `body` is instead of a review, as far as that can be told,
/// or else `error`.
fn json_of_yaml(file: &Path, body: &[u8], error: NotAReview) -> Result<String, ReviewError> {
    let Ok(manifest) = Manifest::read(&file.display().to_string(), body) else { return Err(error.into()) };
    let objects: Vec<_> = manifest.documents().iter().map(|document| document.value(Side::Before)).collect();
    let word = |object: &Value, field: &str| object[field].as_str().map(str::to_owned);
    let Some(first) = objects.first() else { return Err(error.into()) };
    match (word(first, "kind"), word(first, "apiVersion")) {
        (Some(kind), _) if kind == "AdmissionReview" && objects.len() > 1 => Err(ReviewError::Several(objects.len())),
        // As JSON it was just refused.
        (Some(kind), _) if kind == "AdmissionReview" && serde_json::from_slice::<IgnoredAny>(body).is_ok() => {
            Err(error.into())
        }
        (Some(kind), _) if kind == "AdmissionReview" => Ok(first.to_string()),
        (Some(kind), Some(api_version)) => {
            Err(ReviewError::Manifest { kind, api_version, file: file.display().to_string() })
        }
        _ => Err(error.into()),
    }
}

/// What the answer says besides the patch.
fn tell(reviewed: &Reviewed, stderr: &mut dyn Write) -> std::io::Result<()> {
    let look = Look::of(&std::io::stderr());
    for finding in &reviewed.findings {
        write!(
            stderr,
            "{}",
            look.lines(Some(finding.severity().into()), &format!("{} {finding}", finding.severity()))
        )?;
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
