//! `native-sidecar fn`: the conversion as a KRM function, for kustomize, kpt and others that run such functions.
//!
//! Source: kubernetes-sigs/kustomize, `cmd/config/docs/api-conventions/functions-spec.md`.

use super::{
    asked::{Asked, Overrides},
    convert::{
        Outcome,
        fail_on::FailOn,
        lines::{self, Telling, Verbosity},
        outcome::{RunOutcome, TemplateOutcome, Told, Unread},
        work::{WorkError, convert_manifest},
    },
    input::{self, InputError},
    level::Level,
    look::Look,
    offline::OfflineError,
};
use clap::{Args, ValueEnum};
use json_patch::{
    AddOperation, Patch, PatchError, PatchOperation,
    jsonptr::{Pointer, PointerBuf},
};
use native_sidecar_core::intent::container_names;
use native_sidecar_manifest::{Manifest, ManifestError, Search, Side, Written};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write, stderr},
    path::Path,
};

/// Convert the items of a ResourceList, as a KRM function: for kustomize, kpt and others.
///
/// Reads a ResourceList (config.kubernetes.io/v1) on standard input and writes it to standard output with its items
/// converted and what was found out in its results. What the functionConfig says counts before the arguments: the data
/// of a ConfigMap, or the spec of a NativeSidecar (native-sidecar.io/v1alpha1), with the keys containers, known,
/// kubernetes and failOn.
// The text is the command's help, where backticks would be noise.
#[allow(clippy::doc_markdown)]
#[derive(Args, Debug)]
#[command(after_help = "Exit status:
  0  converted, or nothing to do; pods that are left as they are because of a blocker are told of in the results
  1  an error; standard output is empty
  2  there is a finding as --fail-on or failOn says; the ResourceList is written all the same")]
pub struct FnArgs {
    #[command(flatten)]
    asked: Asked,

    /// Exit with 2 if there is a finding of this severity or a worse one that no pod accepts.
    #[arg(long, value_name = "SEVERITY", default_value = "never")]
    fail_on: FailOn,
}

/// Why a `ResourceList` could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum FnError {
    /// Standard input could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Standard input is neither YAML nor JSON.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Standard input is something else.
    #[error(
        "standard input is {found}, and no ResourceList; `native-sidecar fn` is run by kustomize or kpt, `native-sidecar \
         convert` takes manifests"
    )]
    NoResourceList {
        /// What it is.
        found: String,
    },
    /// The functionConfig says something that is not understood.
    #[error("functionConfig: {what}")]
    Config {
        /// What, and what to do.
        what: String,
    },
    /// The catalogue or the nodes could not be used.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// An item is not what it should be, or not clear enough to be converted.
    #[error("{0}")]
    Unread(Unread),
    /// An item could not be converted.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The results could not be added; a bug.
    #[error("the results cannot be added: {0}; please report this")]
    Results(#[from] PatchError),
    /// The output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// What a functionConfig says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Config {
    overrides: Overrides,
    fail_on: Option<FailOn>,
}

/// One of the `results`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KrmResult {
    message: String,
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_ref: Option<ResourceRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileRef>,
    tags: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceRef {
    api_version: String,
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    name: String,
}

#[derive(Serialize)]
struct Field {
    path: String,
}

#[derive(Serialize)]
struct FileRef {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
}

/// The versions of a `ResourceList` that are alike in what is read and written here.
const VERSIONS: [&str; 3] =
    ["config.kubernetes.io/v1", "config.kubernetes.io/v1beta1", "config.kubernetes.io/v1alpha1"];
/// The keys that a functionConfig may have.
const KEYS: [&str; 4] = ["containers", "known", "kubernetes", "failOn"];

/// Runs the command.
///
/// # Errors
///
/// When standard input is no `ResourceList`, its functionConfig is not understood, or the output cannot be written.
/// Standard output is then empty.
pub fn run(
    args: &FnArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<Outcome, FnError> {
    let (name, bytes) = input::named(Path::new("-"), stdin)?;
    let mut manifest = Manifest::read(&name, &bytes)?;
    let config = Config::of(resource_list(&manifest)?)?;
    let asked = args.asked.overridden(config.overrides);
    let prepared = asked.prepare()?;
    let settings = prepared.settings();
    let search = Search { resource_list: true, ..asked.search() };
    let outcome = convert_manifest(&mut manifest, &search, settings)?;
    if let Some(error) = outcome.errors.first() {
        return Err(FnError::Unread(error.clone()));
    }
    let run = RunOutcome::of(vec![outcome], &search, settings.containers);
    let fails = config.fail_on.unwrap_or(args.fail_on).fails(&run);
    let results = results(&run, manifest.documents()[0].value(Side::Before), fails);
    let (text, anew) = with_results(&manifest, results)?;
    let telling = Telling { verbosity: Verbosity::Normal, check: false, places: false, look: Look::of(&stderr()) };
    let anew = anew.map(|anew| telling.look.lines(None, &format!("{}: {anew}", input::STDIN))).unwrap_or_default();
    // Nobody is told when standard error itself is closed.
    let _ = write!(errors, "{}{anew}{}", prepared.left_out(), lines::lines(&run, telling));
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(if fails { Outcome::Failed } else { Outcome::Done })
}

/// The one document of `manifest`, which has to be a `ResourceList`.
fn resource_list(manifest: &Manifest) -> Result<&Value, FnError> {
    let error = |found: &str| Err(FnError::NoResourceList { found: found.to_owned() });
    let list = match manifest.documents() {
        [] => return error("empty"),
        [list] => list.value(Side::Before),
        _ => return error("several documents"),
    };
    let version = list["apiVersion"].as_str().unwrap_or_default();
    match list["kind"].as_str() {
        Some("ResourceList") if VERSIONS.contains(&version) && !list["items"].is_array() => {
            error("a ResourceList without a list of items")
        }
        Some("ResourceList") if VERSIONS.contains(&version) => Ok(list),
        Some(kind) => error(&format!("a {kind}")),
        None => error("without a kind"),
    }
}

/// The manifest's text with `results` behind those that are there, and how it was written where that cost its comments.
fn with_results(manifest: &Manifest, results: Vec<KrmResult>) -> Result<(String, Option<Written>), FnError> {
    let text = manifest.text(Side::After);
    // What is not clear must not be written; standard error has the results then.
    if results.is_empty() || manifest.documents().iter().any(|list| list.tolerated().is_some()) {
        return Ok((text, None));
    }
    let mut converted = Manifest::read(&manifest.name, text.as_bytes())?;
    let Some(list) = converted.documents().first() else { return Ok((text, None)) };
    let mut all = list.value(Side::Before)["results"].as_array().cloned().unwrap_or_default();
    all.extend(results.into_iter().map(|result| json!(result)));
    let path = PointerBuf::from_tokens(["results"]);
    let add = PatchOperation::Add(AddOperation { path, value: Value::Array(all) });
    let written = converted.apply(0, &Patch(vec![add]))?;
    Ok((converted.text(Side::After), Some(written).filter(|written| *written != Written::Edited)))
}

fn results(run: &RunOutcome, list: &Value, fails: bool) -> Vec<KrmResult> {
    let of = |told: &Told| KrmResult::of(told, item_of(&told.path, list), fails);
    let mut results: Vec<_> = run.findings.iter().map(of).collect();
    for document in run.files.iter().flat_map(|file| &file.documents) {
        results.extend(document.findings.iter().map(of));
        for template in &document.templates {
            results.extend(template.findings.iter().map(of));
            if let Some(item) = item_of(&template.path, list).filter(|_| template.changes()) {
                results.push(KrmResult::converted(template, item));
            }
        }
    }
    results
}

/// The item that `path` leads into, and the way in it.
fn item_of<'l>(path: &Pointer, list: &'l Value) -> Option<(&'l Value, String)> {
    let mut tokens = path.tokens();
    let (items, index) = (tokens.next()?, tokens.next()?);
    let item = list["items"].get(index.decoded().parse::<usize>().ok()?).filter(|_| items.decoded() == "items")?;
    let mut rest = String::new();
    for token in tokens {
        let token = token.decoded();
        if token.parse::<usize>().is_ok() {
            rest.extend(["[", &token, "]"]);
        } else {
            rest.extend([if rest.is_empty() { "" } else { "." }, &token]);
        }
    }
    Some((item, rest))
}

// === impl Config ===

impl Config {
    fn of(list: &Value) -> Result<Self, FnError> {
        let config = &list["functionConfig"];
        let keys = match (config["apiVersion"].as_str(), config["kind"].as_str()) {
            (None, None) if config.is_null() => return Ok(Self::default()),
            (Some("v1"), Some("ConfigMap")) => &config["data"],
            (Some("native-sidecar.io/v1alpha1"), Some("NativeSidecar")) => &config["spec"],
            _ => {
                let what =
                    "expected a ConfigMap (v1) with data, or a NativeSidecar (native-sidecar.io/v1alpha1) with a \
                            spec"
                        .to_owned();
                return Err(FnError::Config { what });
            }
        };
        match keys {
            Value::Null => Ok(Self::default()),
            Value::Object(keys) => Self::read(keys).map_err(|what| FnError::Config { what }),
            _ => Err(FnError::Config { what: format!("expected keys ({}) with values", KEYS.join(", ")) }),
        }
    }

    fn read(keys: &Map<String, Value>) -> Result<Self, String> {
        let mut config = Self::default();
        for (key, value) in keys {
            let text =
                as_text(value).ok_or_else(|| format!("{key}: expected a text or a list of texts; quote a number"))?;
            match key.as_str() {
                "containers" => {
                    container_names(&text).map_err(|error| format!("containers: {error}"))?;
                    config.overrides.containers = Some(text);
                }
                "known" => {
                    let known = text.parse().map_err(|_| format!("known: expected true or false, found {text:?}"))?;
                    config.overrides.known = Some(known);
                }
                "kubernetes" => {
                    let version = text.parse().map_err(|error| format!("kubernetes: {error}"))?;
                    config.overrides.kubernetes = Some(version);
                }
                "failOn" => {
                    let fail_on = FailOn::from_str(&text, false);
                    config.fail_on =
                        Some(fail_on.map_err(|_| {
                            format!("failOn: expected note, warning, blocker or never, found {text:?}")
                        })?);
                }
                _ => return Err(format!("there is no key {key:?}; expected {}", KEYS.join(", "))),
            }
        }
        Ok(config)
    }
}

/// A text, `true`, or a list of texts as one with commas.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Array(items) => Some(items.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?.join(",")),
        _ => None,
    }
}

// === impl KrmResult ===

impl KrmResult {
    /// `item` is the one that it is about, with the way in it; `None` where it is about all.
    fn of(told: &Told, item: Option<(&Value, String)>, fails: bool) -> Self {
        let severity = match told.level {
            _ if told.accepted => "info",
            Level::Note => "info",
            // What does not fail is no error, whoever runs the function says.
            level if level > Level::Warning && fails => "error",
            _ => "warning",
        };
        let accepted = if told.accepted { "accepted: " } else { "" };
        let mut result = Self::about(item, severity, format!("{}: {accepted}{}", told.code, told.sentence()));
        result.tags.extend([("code", told.code.clone()), ("severity", told.level.to_string())]);
        result.tags.extend(told.container.clone().map(|name| ("container", name)));
        result
    }

    fn converted(template: &TemplateOutcome, item: (&Value, String)) -> Self {
        let moved: Vec<_> = template.moved.iter().map(ToString::to_string).collect();
        let mut result = Self::about(Some(item), "info", format!("moved {}", moved.join(", ")));
        result.tags.insert("decision", template.decision.as_str().to_owned());
        result
    }

    fn about(item: Option<(&Value, String)>, severity: &'static str, message: String) -> Self {
        let (resource_ref, file, field) = match item {
            Some((item, path)) => {
                (Some(ResourceRef::of(item)), FileRef::of(item), Some(path).filter(|path| !path.is_empty()))
            }
            None => (None, None, None),
        };
        Self { message, severity, resource_ref, field: field.map(|path| Field { path }), file, tags: BTreeMap::new() }
    }
}

// === impl ResourceRef ===

impl ResourceRef {
    fn of(item: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            api_version: text(&item["apiVersion"]),
            kind: text(&item["kind"]),
            namespace: text(&item["metadata"]["namespace"]),
            name: text(&item["metadata"]["name"]),
        }
    }
}

// === impl FileRef ===

impl FileRef {
    /// What kustomize and kpt note on an item.
    fn of(item: &Value) -> Option<Self> {
        let annotation = |name: &str| {
            let both = ["internal.config.kubernetes.io", "config.kubernetes.io"];
            both.iter().find_map(|prefix| item["metadata"]["annotations"][format!("{prefix}/{name}")].as_str())
        };
        let index = annotation("index").and_then(|index| index.parse().ok());
        annotation("path").map(|path| Self { path: path.to_owned(), index })
    }
}
