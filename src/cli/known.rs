//! The catalogue that a command works with: the built-in one, and a file of the user's own in front of it.

use native_sidecar_core::catalogue::{Catalogue, CatalogueError};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why there is no catalogue.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read the catalogue {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a catalogue.
    #[error(transparent)]
    Format(#[from] CatalogueError),
}

/// The built-in catalogue, extended by the file at `path` where one is given.
///
/// # Errors
///
/// When the file cannot be read or does not follow the format of `docs/catalogue.md`.
pub fn load(path: Option<&Path>) -> Result<Catalogue, LoadError> {
    let Some(path) = path else { return Ok(Catalogue::built_in()) };
    let text = fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    Ok(Catalogue::built_in().extended_by(Catalogue::parse(&path.display().to_string(), &text)?))
}
