//! The two programs of a person at a terminal: kubectl and `native-sidecar convert`.

use super::{cluster::Namespace, command::given, process::Process};
use std::{
    env,
    process::{Command, Output},
};

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    is_success: bool,
    out: String,
    error: String,
}

/// The kubectl that goes with the cluster.
pub(crate) fn kubectl() -> Command {
    Command::new(env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned()))
}

/// What `convert` makes of a manifest; ends the test where it leaves something as it was.
#[track_caller]
pub(crate) fn convert(options: &str, manifest: &str) -> String {
    let mut command = Process::program();
    command.arg("convert").args(options.split_whitespace());
    Answer::from(given(command, manifest)).done()
}

// === impl Namespace ===

impl Namespace<'_> {
    /// Runs kubectl in the namespace, with words as they would be typed. `-f -` reads the input.
    ///
    /// It blocks, so no neighbour of the test can be asked meanwhile.
    pub(crate) fn kubectl(&self, words: &str, input: &str) -> Answer {
        let mut command = kubectl();
        command.args(["-n", &self.name]).args(words.split_whitespace());
        given(command, input).into()
    }
}

// === impl Answer ===

impl Answer {
    /// What was printed; ends the test where the command failed.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert!(self.is_success, "{self:?}");
        self.out
    }

    /// What was said against it; ends the test where the command succeeded.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert!(!self.is_success, "expected a refusal: {self:?}");
        self.error
    }

    /// Whether the error has this in it.
    pub(crate) fn says(&self, part: &str) -> bool {
        self.error.contains(part)
    }

    /// Ends the test where the command failed or said anything at all.
    #[track_caller]
    pub(crate) fn silent(self) {
        assert!(self.is_success && self.out.is_empty() && self.error.is_empty(), "{self:?}");
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { is_success: output.status.success(), out: text(&output.stdout), error: text(&output.stderr) }
    }
}
