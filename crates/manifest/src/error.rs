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
    /// What kind of fault it is.
    pub fault: Fault,
    /// What is wrong, and what to do.
    pub what: String,
}

/// The kinds of fault in an input, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The text is not UTF-8.
    Encoding,
    /// The text is neither YAML nor JSON.
    Syntax,
    /// It is a template that nobody has rendered: `{{ .Values.image }}`.
    Template,
    /// A key stands twice in one mapping.
    Duplicate,
    /// Readers of YAML disagree on what is meant.
    Ambiguous,
    /// Something in it has no form in JSON, which is all that the API server takes.
    NoJson,
    /// It is nested too deep, or its aliases unfold to too much.
    Limit,
    /// It is a list or a single value, where an object was expected.
    NotAnObject,
}

/// A place in a text, counted from 1 as editors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// What kept a document from being edited in place, so that it had to be written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What stands there: `an alias`.
    pub what: &'static str,
    /// Where in the file as it was read.
    pub position: Position,
}

/// What is wrong with one document; the document's number and file are not known where it is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) position: Option<Position>,
    pub(super) item: Option<usize>,
    pub(super) fault: Fault,
    pub(super) what: String,
}

// === impl Fault ===

impl Fault {
    /// The name for machines.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Syntax => "syntax",
            Self::Template => "unrendered-template",
            Self::Duplicate => "duplicate-key",
            Self::Ambiguous => "ambiguous",
            Self::NoJson => "no-json",
            Self::Limit => "limit",
            Self::NotAnObject => "not-an-object",
        }
    }
}

// === impl ManifestError ===

impl ManifestError {
    /// The name of the fault for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }
}

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

// === impl Fault ===

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Encoding,
        Self::Syntax,
        Self::Template,
        Self::Duplicate,
        Self::Ambiguous,
        Self::NoJson,
        Self::Limit,
        Self::NotAnObject,
    ];
}

// === impl Obstacle ===

/// `an alias in line 12`
impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in line {}", self.what, self.position.line)
    }
}

// === impl Position ===

impl Position {
    /// The first character of a text.
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// The place of the byte at `offset` in `text`.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        Self::START.behind(text.get(..offset).unwrap_or(text))
    }

    /// The place behind `text`, which begins here.
    pub(super) fn behind(self, text: &str) -> Self {
        match text.rsplit_once('\n') {
            Some((above, line)) => {
                Self { line: self.line + above.matches('\n').count() + 1, column: line.chars().count() + 1 }
            }
            None => Self { column: self.column + text.chars().count(), ..self },
        }
    }

    /// This place in a text as one in the file, where the text begins at `start`.
    pub(super) fn from(self, start: Self) -> Self {
        let column = if self.line == 1 { start.column - 1 } else { 0 };
        Self { line: start.line - 1 + self.line, column: self.column + column }
    }
}

// === impl Flaw ===

impl Flaw {
    pub(super) fn at(position: Position, fault: Fault, what: impl Into<String>) -> Self {
        Self { position: Some(position), item: None, fault, what: what.into() }
    }

    pub(super) fn in_file(self, file: &str, document: usize) -> ManifestError {
        let Self { position, item, fault, what } = self;
        ManifestError { file: file.to_owned(), document: Some(document), item, position, fault, what }
    }

    /// The flaw of a document that begins at `start` in its file.
    pub(super) fn from(mut self, start: Position) -> Self {
        self.position = self.position.map(|position| position.from(start));
        self
    }
}
