//! `native-sidecar manual`: the man pages and docs/cli.md, from the same texts as `--help`.

use super::{Cli, NAME};
use clap::{Args, Command, CommandFactory};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The width of help in docs/cli.md.
const COLUMNS: usize = 100;

/// Write the man pages, or print the Markdown of docs/cli.md.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct ManualArgs {
    /// Write a man page for the program and one for each command into this folder.
    #[arg(long, value_name = "FOLDER")]
    man: Option<PathBuf>,

    /// Print the help of all commands as the Markdown of docs/cli.md.
    #[arg(long)]
    markdown: bool,
}

/// Why there is no manual.
#[derive(Debug, thiserror::Error)]
pub enum ManualError {
    /// A man page could not be written.
    #[error("cannot write man pages into {folder}: {source}", folder = folder.display())]
    Man {
        /// Where to.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The Markdown could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command.
///
/// # Errors
///
/// When a page or the output cannot be written.
pub fn run(args: &ManualArgs, stdout: &mut dyn Write) -> Result<ExitCode, ManualError> {
    match &args.man {
        Some(folder) => man(folder).map_err(|source| ManualError::Man { folder: folder.clone(), source })?,
        None => markdown(stdout)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn man(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}

fn markdown(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# Commands\n")?;
    writeln!(
        out,
        "What `--help` says of each command. This page is printed by `native-sidecar manual --markdown` and checked in CI."
    )?;
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    help(out, &program)?;
    program.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|command| help(out, command))
}

fn help(out: &mut dyn Write, command: &Command) -> io::Result<()> {
    // The values that variables have where this is printed are nobody's business.
    let mut command = command.clone().term_width(COLUMNS).mut_args(|argument| argument.hide_env_values(true));
    let name = command.get_bin_name().unwrap_or(NAME).to_owned();
    let text = command.render_long_help().to_string();
    writeln!(out, "\n## {name}\n\n```text")?;
    for line in text.trim_end().lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out, "```")
}
