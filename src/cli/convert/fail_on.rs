//! From which severity on a finding makes a run fail.

use super::outcome::{RunOutcome, TemplateOutcome};
use crate::cli::level::Level;
use clap::ValueEnum;

/// From which severity on a finding makes a run fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Any finding.
    Note,
    /// Warnings, and pods that are left.
    Warning,
    /// Pods that are left because of a blocker.
    Blocker,
    /// None.
    Never,
}

// === impl FailOn ===

impl FailOn {
    /// Whether what came of the run is a failure. What a pod accepts is none.
    #[must_use]
    pub fn fails(self, run: &RunOutcome) -> bool {
        let any_from = |level| run.told().filter(|told| !told.accepted).any(|told| told.level >= level);
        let any_left = || run.templates().any(TemplateOutcome::is_left);
        match self {
            Self::Never => false,
            // Blockers of a pod that is only observed leave nothing.
            Self::Blocker => any_left(),
            Self::Warning => any_left() || any_from(Level::Warning),
            Self::Note => any_left() || any_from(Level::Note),
        }
    }
}
