//! Which files `convert` reads: those that are named, standard input, and what is found in folders.

use crate::cli::input::{self, InputError};
use ignore::WalkBuilder;
use std::{
    collections::HashSet,
    fs,
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

/// What is to be read.
#[derive(Debug, Default)]
pub struct Sources {
    /// The inputs, each file once.
    pub inputs: Vec<Source>,
    /// Folders, or what is in them, that cannot be looked into, and why.
    pub closed: Vec<(PathBuf, String)>,
    /// Files that are among the inputs, by what they are called in the end.
    seen: HashSet<PathBuf>,
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
    /// A folder is named in which there is nothing to read.
    #[error(
        "{path} has no file that ends in .yaml, .yml or .json, but for hidden ones, links, and those that a .gitignore or \
         .ignore names",
        path = path.display()
    )]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
    /// Standard input is named more than once.
    #[error("standard input (-) is given more than once")]
    Stdin,
    /// Standard input could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
}

// === impl Sources ===

impl Sources {
    /// What is to be read for the `paths` that were given, in the same order; in a folder by name.
    ///
    /// # Errors
    ///
    /// When a folder is given without `recursive`, or has nothing in it.
    pub fn of(paths: &[PathBuf], recursive: bool) -> Result<Self, SourceError> {
        let unsaid = [PathBuf::from(if recursive { "." } else { "-" })];
        let paths = if paths.is_empty() { &unsaid } else { paths };
        if paths.iter().filter(|path| path.as_path() == Path::new("-")).count() > 1 {
            return Err(SourceError::Stdin);
        }
        let mut sources = Self::default();
        for path in paths {
            if !path.is_dir() {
                sources.add(path, false);
            } else if recursive {
                sources.walk(path)?;
            } else {
                return Err(SourceError::Folder { path: path.clone() });
            }
        }
        Ok(sources)
    }

    /// Adds the files below `folder`, less what is hidden or named in a `.gitignore` or `.ignore`. Links are not followed.
    fn walk(&mut self, folder: &Path) -> Result<(), SourceError> {
        let mut builder = WalkBuilder::new(folder);
        // What somebody has set up for Git on one machine must not decide what is read.
        builder.require_git(false).git_global(false).git_exclude(false).sort_by_file_path(Ord::cmp);
        let mut any = false;
        for entry in builder.build() {
            match entry {
                Ok(entry) => {
                    let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
                    if is_file && has_ending(entry.path()) {
                        any = true;
                        self.add(entry.path().strip_prefix("./").unwrap_or_else(|_| entry.path()), true);
                    }
                }
                Err(error) => {
                    any = true;
                    self.closed.push((folder.to_owned(), error.to_string()));
                }
            }
        }
        if any { Ok(()) } else { Err(SourceError::Nothing { path: folder.to_owned() }) }
    }

    fn add(&mut self, path: &Path, found: bool) {
        let meant = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if self.seen.insert(meant) {
            self.inputs.push(Source { path: path.to_owned(), found });
        }
    }

    /// Whether the file at `path` is one of the inputs.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        fs::canonicalize(path).is_ok_and(|path| self.seen.contains(&path))
    }
}

fn has_ending(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.iter().any(|one| ending.eq_ignore_ascii_case(one)))
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
