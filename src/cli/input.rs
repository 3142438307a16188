//! Reading a file, or standard input.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Why an input could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file.
    #[error("cannot read {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard input.
    #[error("cannot read standard input: {0}")]
    Stdin(io::Error),
}

/// The name by which messages call the input at `path`, and everything in it; `-` is `stdin`.
///
/// # Errors
///
/// When it cannot be read.
pub fn named(path: &Path, stdin: &mut dyn Read) -> Result<(String, Vec<u8>), InputError> {
    if path != Path::new("-") {
        return Ok((path.display().to_string(), read(path)?));
    }
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes).map_err(InputError::Stdin)?;
    Ok(("standard input".to_owned(), bytes))
}

/// Everything in the file at `path`; `-` is standard input.
///
/// # Errors
///
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    if path != Path::new("-") {
        return fs::read(path).map_err(|source| InputError::File { path: path.to_owned(), source });
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map_err(InputError::Stdin)?;
    Ok(bytes)
}
