//! What the webhook has to say about a pod: stable codes, four severities, and the text behind each code.
//!
//! A code is a promise to users: it appears in annotations, warnings, audit annotations, logs and metrics,
//! can be looked up with `native-sidecar explain CODE`, and can be listed in `native-sidecar.io/accept`.

mod codes;

pub use codes::{Code, Explanation, UnknownCode};

use crate::text::one_line;
use std::fmt;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Note,
    /// Converted all the same; somebody should look at it.
    Warning,
    /// Holds the conversion back unless the pod accepts it.
    Blocker,
    /// Holds the conversion back and cannot be accepted: the result would be invalid.
    Fatal,
}

/// One thing found out about one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing it is.
    pub code: Code,
    /// The container it is about; `None` where it is about the pod.
    pub container: Option<String>,
    /// One sentence: what happens, where, and what to do.
    pub message: String,
    severity: Severity,
}

// === impl Severity ===

impl Severity {
    /// The severity's name, as it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Blocker => "blocker",
            Self::Fatal => "fatal",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

// === impl Finding ===

impl Finding {
    /// A finding about the pod as a whole.
    #[must_use]
    pub fn pod(code: Code, message: impl Into<String>) -> Self {
        Self { code, container: None, message: message.into(), severity: code.severity() }
    }

    /// A finding about one container.
    #[must_use]
    pub fn container(code: Code, container: impl Into<String>, message: impl Into<String>) -> Self {
        Self { container: Some(container.into()), ..Self::pod(code, message) }
    }

    /// The same as a warning, of a code that is a note where all went well.
    #[must_use]
    pub const fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// How much the finding weighs.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }
}

/// `code: container "name": sentence`, on one line, in which everything can be seen.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code)?;
        if let Some(container) = &self.container {
            write!(f, "container {container:?}: ")?;
        }
        f.write_str(&one_line(&self.message))
    }
}
