//! How much something weighs that a command tells.

use native_sidecar_core::findings::Severity;
use std::fmt;

/// How much something weighs that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing; nothing to do.
    Note,
    /// Somebody should look at it.
    Warning,
    /// A pod template is left as it is, unless it accepts this.
    Blocker,
    /// A pod template is left as it is.
    Fatal,
    /// Something could not be read.
    Error,
}

// === impl Level ===

impl Level {
    /// Its name, as it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => Severity::Note.as_str(),
            Self::Warning => Severity::Warning.as_str(),
            Self::Blocker => Severity::Blocker.as_str(),
            Self::Fatal => Severity::Fatal.as_str(),
            Self::Error => "error",
        }
    }
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Note => Self::Note,
            Severity::Warning => Self::Warning,
            Severity::Blocker => Self::Blocker,
            Severity::Fatal => Self::Fatal,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
