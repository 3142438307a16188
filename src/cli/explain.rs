//! `native-sidecar explain`: what a finding means, why it matters and what to do.

use super::{
    codes::{self, Described, OF_MANIFESTS},
    terminal,
};
use clap::Args;
use native_sidecar_core::findings::Code;
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Explain a finding: what it means, why it matters, and what to do.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Codes of findings, for example host-port, in any case and with spaces too; all codes are listed when none is given.
    #[arg(value_name = "CODE")]
    code: Vec<String>,

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
    let columns = terminal::text_columns();
    match &*args.code {
        [] if args.markdown => markdown(stdout)?,
        [] => list(stdout, columns)?,
        words => explain_all(stdout, words, columns)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(out: &mut dyn Write, columns: usize) -> io::Result<()> {
    for Described { code, severity, meaning, .. } in codes::all() {
        writeln!(out, "{}", terminal::hanging(&format!("{severity:<9}{code:<31}"), meaning, columns))?;
    }
    Ok(())
}

/// Several words are several codes, or one that was written with blanks.
fn explain_all(out: &mut dyn Write, words: &[String], columns: usize) -> Result<(), ExplainError> {
    if words.len() > 1 && words.iter().any(|word| codes::described(word).is_none()) {
        return explain(out, &words.join(" "), columns);
    }
    for (number, word) in words.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        explain(out, word, columns)?;
    }
    Ok(())
}

fn explain(out: &mut dyn Write, text: &str, columns: usize) -> Result<(), ExplainError> {
    let described = codes::described(text).ok_or_else(|| unknown(text))?;
    let Described { code, severity, meaning, why, remedy, source } = described;
    writeln!(out, "{code} ({severity})\n\n{}\n", terminal::hanging("", meaning, columns))?;
    for (label, text) in [("Why:        ", why), ("What to do: ", remedy), ("Source:     ", source)] {
        writeln!(out, "{}", terminal::hanging(label, text, columns))?;
    }
    Ok(())
}

fn unknown(text: &str) -> ExplainError {
    let likely = codes::likely(text).map(|code| format!(" (did you mean {code}?)"));
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
        section(out, &Described::from(*code))?;
    }
    writeln!(out, "\n# About manifests\n")?;
    writeln!(out, "What `native-sidecar convert` and `fn` say of files and documents. Nobody has to accept these.")?;
    OF_MANIFESTS.iter().try_for_each(|described| section(out, described))
}

fn section(out: &mut dyn Write, described: &Described) -> io::Result<()> {
    let Described { code, severity, meaning, why, remedy, source } = described;
    writeln!(out, "\n## {code}\n\n*{severity}*. {meaning}\n")?;
    writeln!(out, "* **Why:** {why}\n* **What to do:** {remedy}\n* **Source:** {source}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    /// Lines that are too long are of one word.
    fn fits(text: &str, columns: usize) -> bool {
        text.lines().all(|line| line.len() <= columns || words(line).len() <= 3)
    }

    #[test]
    fn no_word_is_broken() {
        for Described { code, severity, meaning, why, remedy, source } in codes::all() {
            for columns in [40, 80] {
                let mut out = Vec::new();
                explain(&mut out, code, columns).unwrap();
                let text = String::from_utf8(out).unwrap();
                let whole = format!("{code} ({severity}) {meaning} Why: {why} What to do: {remedy} Source: {source}");
                assert_eq!(words(&text), words(&whole));
                assert!(fits(&text, columns), "{text}");
            }
        }
    }

    #[test]
    fn the_list_fits_into_80_columns() {
        let mut out = Vec::new();
        list(&mut out, 80).unwrap();
        let text = String::from_utf8(out).unwrap();
        let whole = codes::all().map(|described| [described.severity, described.code, described.meaning].join(" "));
        assert_eq!(words(&text), words(&whole.collect::<Vec<_>>().join(" ")));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
