//! `native-sidecar explain`: what a finding means, why it matters and what to do.

use clap::Args;
use native_sidecar_core::{
    findings::{Code, Explanation},
    text::nearest,
};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Explain a finding: what it means, why it matters, and what to do.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The finding's code, for example host-port; all codes are listed when none is given.
    #[arg(value_name = "CODE")]
    code: Option<String>,

    /// Print all explanations as the Markdown of docs/findings.md.
    #[arg(long, conflicts_with = "code")]
    markdown: bool,
}

/// Why a code could not be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no such code.
    #[error("there is no finding {code:?}{advice}; `native-sidecar explain` lists them all")]
    Unknown {
        /// What was asked for.
        code: String,
        /// The likely code, as a clause.
        advice: String,
    },
    /// The explanation could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command.
///
/// # Errors
///
/// When there is no such code, or the output cannot be written.
pub fn run(args: &ExplainArgs, stdout: &mut dyn Write) -> Result<ExitCode, ExplainError> {
    match &args.code {
        Some(code) => explain(stdout, code)?,
        None if args.markdown => markdown(stdout)?,
        None => list(stdout)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(out: &mut dyn Write) -> io::Result<()> {
    for code in Code::ALL {
        writeln!(out, "{:<9}{:<32}{}", code.severity(), code, code.explanation().meaning)?;
    }
    Ok(())
}

fn explain(out: &mut dyn Write, text: &str) -> Result<(), ExplainError> {
    let code: Code = text.trim().parse().map_err(|_| unknown(text))?;
    let Explanation { meaning, why, remedy, source } = code.explanation();
    writeln!(
        out,
        "{code} ({})\n\n{meaning}\n\nWhy:        {why}\nWhat to do: {remedy}\nSource:     {source}",
        code.severity()
    )?;
    Ok(())
}

fn unknown(text: &str) -> ExplainError {
    let likely = nearest(text, Code::ALL.iter().map(ToString::to_string));
    let likely = likely.map(|code| format!(" (did you mean {code}?)"));
    ExplainError::Unknown { code: text.to_owned(), advice: likely.unwrap_or_default() }
}

fn markdown(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# Findings\n")?;
    writeln!(
        out,
        "What the webhook may say about a pod. This page is printed by `native-sidecar explain --markdown` and checked in CI.\n"
    )?;
    writeln!(out, "| Severity | Meaning |\n|---|---|")?;
    writeln!(out, "| note | Worth knowing; nothing to do. |")?;
    writeln!(out, "| warning | The pod is converted all the same; somebody should look at it. |")?;
    writeln!(out, "| blocker | The pod is left as it is, unless it lists the code in `native-sidecar.io/accept`. |")?;
    writeln!(out, "| fatal | The pod is left as it is; this cannot be accepted, as the result would be invalid. |")?;
    for code in Code::ALL {
        let Explanation { meaning, why, remedy, source } = code.explanation();
        writeln!(out, "\n## {code}\n\n*{}*. {meaning}\n", code.severity())?;
        writeln!(out, "* **Why:** {why}\n* **What to do:** {remedy}\n* **Source:** {source}")?;
    }
    Ok(())
}
