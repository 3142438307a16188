//! Why an input is no manifest.

use std::fmt;

/// What is wrong with an input, where, and what to do: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// The file, as the user named it.
    pub file: String,
    /// Which document of the file, counted from 1; empty documents do not count.
    pub document: Option<usize>,
    /// Which item of the document's `items`, counted from 1.
    pub item: Option<usize>,
    /// Where in the file.
    pub position: Option<Position>,
    /// What is wrong, and what to do.
    pub what: String,
}

/// A place in a text, counted from 1 as editors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// What is wrong with one document; the document's number and file are not known where it is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) position: Option<Position>,
    pub(super) item: Option<usize>,
    pub(super) what: String,
}

// === impl ManifestError ===

/// `FILE:LINE:COLUMN: document N, item I: WHAT`, which editors and CI systems turn into a link.
impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(document) = self.document {
            write!(f, ": document {document}")?;
        }
        if let Some(item) = self.item {
            write!(f, ", item {item}")?;
        }
        write!(f, ": {}", self.what)
    }
}

// === impl Position ===

impl Position {
    /// The place of the byte at `offset` in `text`.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        Self { line: 1 + before.matches('\n').count(), column: column + 1 }
    }
}

// === impl Flaw ===

impl Flaw {
    pub(super) fn at(position: Position, what: impl Into<String>) -> Self {
        Self { position: Some(position), item: None, what: what.into() }
    }

    pub(super) fn in_file(self, file: &str, document: usize) -> ManifestError {
        let Self { position, item, what } = self;
        ManifestError { file: file.to_owned(), document: Some(document), item, position, what }
    }

    /// The flaw of a document that begins after `lines` lines of its file.
    pub(super) fn below(mut self, lines: usize) -> Self {
        if let Some(position) = &mut self.position {
            position.line += lines;
        }
        self
    }
}
