//! `native-sidecar completions`: what a shell needs to complete the program's commands and options.

use super::{Cli, NAME};
use clap::{Args, Command, CommandFactory};
use clap_complete::{Shell, generate};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Print the script by which a shell completes commands and options.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  native-sidecar completions bash > ~/.local/share/bash-completion/completions/native-sidecar
  native-sidecar completions fish > ~/.config/fish/completions/native-sidecar.fish
  native-sidecar completions zsh > ~/.zfunc/_native-sidecar     (a folder of $fpath)
  native-sidecar completions powershell | Out-String | Invoke-Expression")]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
///
/// When the output cannot be written.
pub fn run(args: &CompletionsArgs, stdout: &mut dyn Write) -> io::Result<ExitCode> {
    // Into memory first: the generator panics where its output cannot be written, as when nobody reads it.
    let mut script = Vec::new();
    generate(args.shell, &mut offered(), NAME, &mut script);
    if args.shell == Shell::Bash {
        script = mended(&String::from_utf8_lossy(&script)).into_bytes();
    }
    stdout.write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// The program's definition less hidden commands, which bash would offer all the same.
fn offered() -> Command {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new(NAME).version(env!("CARGO_PKG_VERSION")).subcommands(shown)
}

/// The generator spells the program's dash in two ways, so that no option is completed behind a command
/// (<https://github.com/clap-rs/clap/issues/6421>).
fn mended(script: &str) -> String {
    script.replace(&NAME.replace('-', "__subcmd__"), &NAME.replace('-', "__"))
}
