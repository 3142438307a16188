//! What `convert` prints, or writes back into files.

use super::outcome::{DocumentOutcome, FileOutcome};
use crate::cli::{diff, look::Look};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use json_patch::Patch;
use native_sidecar_manifest::{Format, Manifest, ObjectName, Side};
use serde::Serialize;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

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
    /// A unified diff of each file.
    Diff,
}

/// A file could not be written; it is as it was.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}", path = path.display())]
pub struct WriteError {
    /// The file.
    path: PathBuf,
    /// What the system said.
    source: io::Error,
}

/// A patch, and the document it is for.
#[derive(Serialize)]
struct DocumentPatch<'o> {
    file: &'o str,
    document: usize,
    kind: &'o str,
    namespace: &'o str,
    name: &'o str,
    patch: &'o Patch,
}

/// What is printed where nothing is said: the format of the first input.
#[must_use]
pub fn default_output(manifests: &[Manifest]) -> Output {
    match manifests.first().map(|manifest| manifest.format) {
        Some(Format::Json) => Output::Json,
        _ => Output::Yaml,
    }
}

/// `manifests`, of which `files` came, as `output`.
///
/// # Errors
///
/// Never for what can be read: JSON can always be written.
pub fn rendered(manifests: &[Manifest], files: &[FileOutcome], output: Output) -> Result<String, serde_json::Error> {
    match output {
        Output::Yaml => Ok(Manifest::all_as_yaml(manifests, Side::After)),
        Output::Json => Manifest::all_as_json(manifests, Side::After),
        Output::Patch => patches(files),
        Output::Diff => Ok(manifests.iter().map(diff::of).collect()),
    }
}

fn patches(files: &[FileOutcome]) -> Result<String, serde_json::Error> {
    let mut documents = Vec::new();
    for file in files {
        documents.extend(file.documents.iter().map(|document| (file.name.as_str(), document)));
    }
    let json = if let [(_, only)] = &*documents {
        serde_json::to_string_pretty(&only.patch)?
    } else {
        let changed = documents.iter().filter(|(_, document)| !document.patch.0.is_empty());
        serde_json::to_string_pretty(
            &changed.map(|(file, document)| DocumentPatch::of(file, document)).collect::<Vec<_>>(),
        )?
    };
    Ok(json + "\n")
}

/// Writes `manifest` back into the file it is from: all of it, or nothing.
///
/// The file behind a symbolic link is the one that is written; permissions stay.
///
/// # Errors
///
/// When the folder or the file cannot be written.
pub fn write_back(manifest: &Manifest) -> Result<(), WriteError> {
    let path = PathBuf::from(&manifest.name);
    replace(&path, manifest.text(Side::After).as_bytes()).map_err(|source| WriteError { path, source })
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut written = NamedTempFile::new_in(folder)?;
    written.write_all(content)?;
    fs::set_permissions(written.path(), fs::metadata(&path)?.permissions())?;
    written.persist(&path)?;
    Ok(())
}

/// A unified diff with its lines in colour.
#[must_use]
pub fn painted(diff: &str, look: Look) -> String {
    if !look.colours {
        return diff.to_owned();
    }
    let paint = |line: &str| {
        let style = match line.as_bytes() {
            [b'-', b'-', b'-', b' ', ..] | [b'+', b'+', b'+', b' ', ..] => Style::new().bold(),
            [b'@', ..] => Style::new().fg_color(Some(AnsiColor::Cyan.into())),
            [b'-', ..] => Style::new().fg_color(Some(AnsiColor::Red.into())),
            [b'+', ..] => Style::new().fg_color(Some(AnsiColor::Green.into())),
            _ => Style::new(),
        };
        look.styled(style, line) + "\n"
    };
    diff.lines().map(paint).collect()
}

// === impl DocumentPatch ===

impl<'o> DocumentPatch<'o> {
    fn of(file: &'o str, document: &'o DocumentOutcome) -> Self {
        let ObjectName { kind, namespace, name } = &document.object;
        Self { file, document: document.number, kind, namespace, name, patch: &document.patch }
    }
}
