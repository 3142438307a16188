//! Reading a file, or standard input.

use std::{
    fs,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
};

/// What messages call it.
pub const STDIN: &str = "standard input";

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

/// The name by which messages call the input at `path`, and everything in it; `-` is [`STDIN`]. Somebody at a terminal is told
/// that it is read.
///
/// # Errors
///
/// When it cannot be read.
pub fn named(path: &Path, stdin: &mut dyn Read) -> Result<(String, Vec<u8>), InputError> {
    if path != Path::new("-") {
        return Ok((path.display().to_string(), read(path)?));
    }
    Ok((STDIN.to_owned(), all_of(stdin)?))
}

/// Everything in the file at `path`; `-` is standard input. Somebody at a terminal is told that it is read.
///
/// # Errors
///
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    if path != Path::new("-") {
        return fs::read(path).map_err(|source| InputError::File { path: path.to_owned(), source });
    }
    all_of(&mut io::stdin())
}

fn all_of(stdin: &mut dyn Read) -> Result<Vec<u8>, InputError> {
    if io::stdin().is_terminal() {
        // Where nobody can be told, there is nothing else to do.
        let _ = writeln!(io::stderr(), "native-sidecar: reading {STDIN}; end it with Ctrl-D");
    }
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes).map_err(InputError::Stdin)?;
    Ok(bytes)
}
