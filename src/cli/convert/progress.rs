//! A bar on a terminal, while many files are converted.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    sync::Once,
    time::{Duration, Instant},
};

/// Work that takes less long needs no bar.
const PATIENCE: Duration = Duration::from_millis(500);
/// A count is enough for so few.
const FEW: usize = 2;

/// How far the work has come.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
    show: Once,
}

// === impl Progress ===

impl Progress {
    /// Of `files` to do.
    pub(super) fn of(files: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(files as u64), ProgressDrawTarget::hidden());
        // Without a pattern that is understood, the library has one of its own.
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} files") {
            bar.set_style(style);
        }
        Self { bar, began: Instant::now(), show: Once::new() }
    }

    /// One more is done. The bar draws itself only where standard error is a terminal.
    pub(super) fn step(&self) {
        if self.began.elapsed() > PATIENCE && self.bar.length().is_some_and(|files| files > FEW as u64) {
            self.show.call_once(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
        }
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
