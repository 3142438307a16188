//! `native-sidecar timeline`: a pod's life before and after the conversion, as a picture.
//!
//! The lives are told by [`native_sidecar_core::timeline`]; here they are drawn.
//!
//! | File | What it does |
//! |---|---|
//! | `words` | the sentences, which all pictures share |
//! | `text` | for terminals and pipes |
//! | `svg` | for pages |

mod svg;
mod text;
mod words;

pub use svg::draw as svg;
pub use text::draw as text;

use super::{
    asked::Asked,
    input::{self, InputError},
    look::Look,
    offline::OfflineError,
};
use clap::{Args, ValueEnum};
use native_sidecar_core::{
    conversion::Settings,
    timeline::{FORMAT_VERSION, Timeline},
};
use native_sidecar_manifest::{Manifest, ManifestError, ObjectName, Search, Side, Template};
use serde::Serialize;
use serde_json::Value;
use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Show the life of pods before and after their conversion.
///
/// Who starts when and what each container holds up, who asks whom, what is restarted, how a Job ends and a deletion goes,
/// with seconds, and what is asked of the node. Reads what `convert` reads, and AdmissionReviews.
// The text is the command's help, where backticks would be noise.
#[allow(clippy::doc_markdown)]
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  native-sidecar timeline job.yaml
  helm template shop ./chart | native-sidecar timeline --known -o svg > shop.svg")]
pub struct TimelineArgs {
    /// Files to read, in this order; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    asked: Asked,

    /// What to print.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Picture,

    /// Columns of the text; by default those of the terminal, and 80 where there is none.
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(40..))]
    width: Option<u16>,
}

/// How a life is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Picture {
    /// Text; before and after stand side by side from 100 columns on.
    Text,
    /// One SVG image, for light and dark pages.
    Svg,
    /// One JSON object with everything that the others draw.
    Json,
}

/// Why nothing was drawn.
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// A file could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The catalogue or the nodes could not be used.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// An input is no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The output could not be made.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// A pod template, and the lives of its pods.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drawn {
    /// The file it is from.
    pub file: String,
    /// The document in it, counted from 1.
    pub document: usize,
    /// The object's kind.
    pub kind: String,
    /// Its namespace; empty where the manifest leaves it open.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The lives.
    #[serde(flatten)]
    pub timeline: Timeline,
}

#[derive(Serialize)]
struct Json<'d> {
    version: u32,
    pods: &'d [Drawn],
}

/// Runs the command.
///
/// # Errors
///
/// When an input cannot be read or is no manifest, or the output cannot be written.
pub fn run(
    args: &TimelineArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<ExitCode, TimelineError> {
    let prepared = args.asked.prepare()?;
    let manifests = args.files.iter().map(|path| read(path, stdin)).collect::<Result<Vec<_>, _>>()?;
    let drawn = drawn(&manifests, &args.asked.search(), prepared.settings())?;
    // Nobody is told when standard error itself is closed.
    let _ = write!(stderr, "{}", prepared.left_out());
    if drawn.is_empty() {
        let _ = writeln!(stderr, "no pod template in what was read");
    }
    let picture = match args.output {
        Picture::Text => text(&drawn, Look::of(&io::stdout()).with_width(args.width)),
        Picture::Svg => svg(&drawn),
        Picture::Json => json(&drawn)?,
    };
    stdout.write_all(picture.as_bytes())?;
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path, stdin: &mut dyn Read) -> Result<Manifest, TimelineError> {
    let (name, bytes) = input::named(path, stdin)?;
    Ok(Manifest::read(&name, &bytes)?)
}

/// The lives of all pods in `manifests`.
///
/// # Errors
///
/// When a list in a manifest holds something else than objects.
pub fn drawn(manifests: &[Manifest], search: &Search, settings: Settings<'_>) -> Result<Vec<Drawn>, ManifestError> {
    let mut drawn = Vec::new();
    for manifest in manifests {
        for (index, document) in manifest.documents().iter().enumerate() {
            let value = document.value(Side::Before);
            let mut add = |object: ObjectName, pod: &str, settings: Settings<'_>| {
                let ObjectName { kind, namespace, name } = object;
                let timeline = Timeline::of(pod, settings);
                let file = manifest.name.clone();
                drawn.push(Drawn { file, document: index + 1, kind, namespace, name, timeline });
            };
            if let Some(pod) = reviewed(value) {
                add(ObjectName::of_document(pod), &pod.to_string(), settings);
                continue;
            }
            let templates = manifest.templates_with(index, search)?;
            Template::each(&templates, value, settings, |template, settings| {
                add(template.object.clone(), &template.pod(value), settings);
                Ok::<_, ManifestError>(())
            })?;
        }
    }
    Ok(drawn)
}

/// The pod that an `AdmissionReview` is about.
fn reviewed(document: &Value) -> Option<&Value> {
    let pod = &document["request"]["object"];
    (document["kind"] == "AdmissionReview" && pod.is_object()).then_some(pod)
}

/// The lives as JSON.
///
/// # Errors
///
/// Never for what [`drawn`] makes.
pub fn json(drawn: &[Drawn]) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&Json { version: FORMAT_VERSION, pods: drawn })? + "\n")
}
