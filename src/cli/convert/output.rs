//! What `convert` prints, or writes back into files.

use super::outcome::{DocumentOutcome, FileOutcome, RunOutcome};
use crate::cli::{diff, look::Look};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use json_patch::Patch;
use native_sidecar_manifest::{Document, Fault, Format, Manifest, ObjectName, Side};
use serde::Serialize;
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, chown},
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
        Output::Patch => patches(manifests, files),
        Output::Diff => Ok(manifests.iter().map(diff::of).collect()),
    }
}

fn patches(manifests: &[Manifest], files: &[FileOutcome]) -> Result<String, serde_json::Error> {
    let mut documents = Vec::new();
    for file in files {
        documents.extend(file.documents.iter().map(|document| (file.name.as_str(), document)));
    }
    let count: usize = manifests.iter().map(|manifest| manifest.documents().len()).sum();
    let json = if let ([(_, only)], 1) = (&*documents, count) {
        serde_json::to_string_pretty(&only.patch)?
    } else {
        let changed = documents.iter().filter(|(_, document)| !document.patch.0.is_empty());
        serde_json::to_string_pretty(
            &changed.map(|(file, document)| DocumentPatch::of(file, document)).collect::<Vec<_>>(),
        )?
    };
    Ok(json + "\n")
}

/// Whether `format` has no room for something that cannot be read and is to be passed on.
#[must_use]
pub fn loses(manifests: &[Manifest], run: &RunOutcome, format: Output) -> bool {
    let other = match format {
        Output::Yaml => Format::Json,
        Output::Json => Format::Yaml,
        // They show what changes, and nothing else.
        Output::Patch | Output::Diff => return false,
    };
    let is_opaque = |manifest: &Manifest| manifest.documents().iter().any(Document::is_opaque);
    let of_other_format = manifests.iter().any(|manifest| manifest.format == other && is_opaque(manifest));
    of_other_format || run.errors().any(|error| error.code == Fault::Encoding.code())
}

/// Writes manifests back into the files that they are from: all of them, or none, but for what happens while names change.
///
/// The file behind a symbolic link is the one that is written; permissions stay, and so does the owner where this process
/// may give files away.
///
/// # Errors
///
/// When a file is none to write, or its folder cannot be written.
pub fn write_back<'m>(changed: impl Iterator<Item = (&'m PathBuf, &'m Manifest)>) -> Result<(), WriteError> {
    let mut ready = Vec::new();
    for (path, manifest) in changed {
        let error = |source| WriteError { path: path.clone(), source };
        ready.push((path, prepared(path, manifest.text(Side::After).as_bytes()).map_err(error)?));
    }
    for (path, (target, written)) in ready {
        written.persist(target).map_err(|error| WriteError { path: path.clone(), source: error.error })?;
    }
    Ok(())
}

/// A new file beside the one at `path`, to take its place.
fn prepared(path: &Path, content: &[u8]) -> io::Result<(PathBuf, NamedTempFile)> {
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    if !old.is_file() {
        return Err(io::Error::other("it is no regular file; name another output"));
    }
    if old.permissions().readonly() {
        return Err(io::Error::other("it is read-only; make it writable first"));
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut written = NamedTempFile::new_in(folder)?;
    written.write_all(content)?;
    // Without the right to give files away, the new file is ours, as with `sed --in-place`.
    let _ = chown(written.path(), Some(old.uid()), Some(old.gid()));
    fs::set_permissions(written.path(), old.permissions())?;
    Ok((path, written))
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
        let text = line.trim_end_matches(['\r', '\n']);
        look.styled(style, text) + &line[text.len()..]
    };
    diff.split_inclusive('\n').map(paint).collect()
}

// === impl DocumentPatch ===

impl<'o> DocumentPatch<'o> {
    fn of(file: &'o str, document: &'o DocumentOutcome) -> Self {
        let ObjectName { kind, namespace, name } = &document.object;
        Self { file, document: document.number, kind, namespace, name, patch: &document.patch }
    }
}
