//! Which files `convert` reads: those that are named, standard input, and what is found in folders.

use crate::cli::input::{self, InputError};
use ignore::WalkBuilder;
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// What the files of manifests end in, as `kubectl apply --recursive` takes them.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// One input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is; `-` is standard input.
    pub path: PathBuf,
    /// Whether nobody named it: what is found in a folder need not be a manifest.
    pub found: bool,
}

/// Why it is not known what to read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A folder is named, and nothing says to look into it.
    #[error("{path} is a folder; give -R to read the manifests in it", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// A folder cannot be looked into.
    #[error("cannot look into a folder: {0}")]
    Walk(#[from] ignore::Error),
    /// Standard input is named more than once.
    #[error("standard input (-) is given more than once")]
    Stdin,
    /// An input could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// What is to be read for the `paths` that were given, in the same order; in a folder by name.
///
/// # Errors
///
/// When a folder is given without `recursive`, or cannot be looked into.
pub fn sources(paths: &[PathBuf], recursive: bool) -> Result<Vec<Source>, SourceError> {
    let unsaid = [PathBuf::from(if recursive { "." } else { "-" })];
    let paths = if paths.is_empty() { &unsaid } else { paths };
    let mut sources = Vec::new();
    for path in paths {
        if !path.is_dir() {
            sources.push(Source { path: path.clone(), found: false });
        } else if recursive {
            walk(path, &mut sources)?;
        } else {
            return Err(SourceError::Folder { path: path.clone() });
        }
    }
    match sources.iter().filter(|source| source.is_stdin()).count() {
        0 | 1 => Ok(sources),
        _ => Err(SourceError::Stdin),
    }
}

/// Adds the files below `folder`, less what is hidden or named in a `.gitignore` or `.ignore`.
fn walk(folder: &Path, sources: &mut Vec<Source>) -> Result<(), SourceError> {
    let mut builder = WalkBuilder::new(folder);
    builder.require_git(false).sort_by_file_path(Ord::cmp);
    for entry in builder.build() {
        let entry = entry?;
        let path = entry.path();
        let is_manifest = path.extension().and_then(|ending| ending.to_str()).is_some_and(|e| ENDINGS.contains(&e));
        if is_manifest && path.is_file() {
            let path = path.strip_prefix("./").unwrap_or(path).to_owned();
            sources.push(Source { path, found: true });
        }
    }
    Ok(())
}

// === impl Source ===

impl Source {
    /// Whether it is standard input.
    #[must_use]
    pub fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    /// The name by which messages call it, and everything in it.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(&self, stdin: &mut dyn Read) -> Result<(String, Vec<u8>), InputError> {
        input::named(&self.path, stdin)
    }
}
