//! The transcripts of the documentation, run: what stands in it is what the program prints.
//!
//! In a block of a page, each line that begins with `$ native-sidecar` is run by bash in the folder of the repository, and
//! what follows up to the next command has to be what it prints, on both streams. `...` on a line of its own stands for any
//! lines, `[..]` for anything in a line.

// The lint knows tests, but not the functions that they share.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "other tests run the program itself")]
mod command;

use snapbox::{IntoData, assert::Assert};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A command of a page, and what the page says that it prints.
#[derive(Debug, PartialEq, Eq)]
struct Transcript {
    line: usize,
    command: String,
    output: String,
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    pages.extend(["README.md".into(), "certs/README.md".into()]);
    pages.sort();
    pages
}

/// The transcripts of a page, whatever they are of.
fn transcripts(page: &str) -> Vec<Transcript> {
    let mut found: Vec<Transcript> = Vec::new();
    let mut indent = None;
    for (number, line) in page.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (indent, fence) {
            (None, Some("console")) => indent = Some(line.len() - line.trim_start().len()),
            (Some(_), Some(_)) => indent = None,
            (Some(indent), None) => {
                let line = line.get(indent..).unwrap_or_default();
                match (line.strip_prefix("$ "), found.last_mut()) {
                    (Some(command), _) => {
                        found.push(Transcript { line: number + 1, command: command.to_owned(), output: String::new() });
                    }
                    // A command that goes on below.
                    (None, Some(last)) if last.output.is_empty() && last.command.ends_with(['|', '\\']) => {
                        last.command.push('\n');
                        last.command.push_str(line);
                    }
                    (None, Some(last)) => {
                        last.output.push_str(line);
                        last.output.push('\n');
                    }
                    (None, None) => {}
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether the program alone decides what is printed, and nothing is written.
fn is_ours(command: &str) -> bool {
    command.starts_with("native-sidecar ") && !command.contains('>') && !command.contains("| kubectl")
}

fn printed(command: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_native-sidecar"));
    let path = format!("{}:{}", program.parent().unwrap().display(), env::var("PATH").unwrap());
    let both = format!("exec 2>&1\n{command}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &both]).env("PATH", path);
    String::from_utf8(command::given(bash, "").stdout).unwrap()
}

#[test]
fn pages_show_what_the_program_prints() {
    let (mut shown, mut wrong) = (0, Vec::new());
    for page in pages() {
        for Transcript { line, command, output } in transcripts(&fs::read_to_string(&page).unwrap()) {
            if !is_ours(&command) || output.is_empty() {
                continue;
            }
            shown += 1;
            let compared = Assert::new().try_eq(None, printed(&command).into_data(), output.into_data());
            if let Err(difference) = compared {
                wrong.push(format!("{}:{line}: {command}\n{difference}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(shown >= 8, "{shown} transcripts");
}
