//! `native-sidecar`: parses the arguments and runs the command.

use native_sidecar::{
    cli::{Cli, look::Look},
    server::logging,
};
use native_sidecar_core::text::one_line;
use std::{io::stderr, process::ExitCode};

fn main() -> ExitCode {
    let _written = logging::written_when_dropped();
    let cli = match Cli::of_process() {
        Ok(cli) => cli,
        Err(error) => {
            // Where nobody can be told, there is nothing else to do.
            let _ = error.print();
            // Not clap's own 2, which means that `convert` left a pod as it is.
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match cli.run() {
        Ok(code) => code,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // It may quote what it could not read.
            let line = one_line(&format!("native-sidecar: {error}")).into_owned();
            logging::say_last(Look::of(&stderr()).lines(None, &line).trim_end());
            ExitCode::FAILURE
        }
    }
}
