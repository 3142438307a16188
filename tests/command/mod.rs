//! The program as a process that is given its input and ends.

use std::{
    io::{ErrorKind, Write},
    process::{Command, Output, Stdio},
};

/// Runs the program in the folder of the repository, with `input` on its standard input.
pub(crate) fn run(arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_native-sidecar"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    given(command, input)
}

/// Runs any command, with `input` on its standard input.
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(crate) fn given(mut command: Command, input: impl AsRef<[u8]>) -> Output {
    // Whoever runs the tests may have them set.
    for name in ["CLICOLOR_FORCE", "COLUMNS", "NATIVE_SIDECAR_CATALOGUE", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    if let Err(error) = child.stdin.take().unwrap().write_all(input.as_ref()) {
        // A command that does not read its input, or ends on an error before, may have closed it already.
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
    child.wait_with_output().unwrap()
}
