//! `native-sidecar workloads`: the kinds whose pod templates are known.

use super::terminal;
use clap::Args;
use native_sidecar_manifest::{Engine, Place, TABLE, Treatment};
use std::{
    io::{self, Write},
    process::ExitCode,
};
use tabwriter::TabWriter;

/// List the kinds in which pod templates are found, and those that are left because of their engine.
#[derive(Args, Debug)]
pub struct WorkloadsArgs {
    /// Print the list as tables in Markdown, as in docs/workloads.md.
    #[arg(long)]
    markdown: bool,
}

/// Why the kinds could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub struct ListError(#[from] io::Error);

/// Kinds that have the same places, which are treated in the same way.
struct Row {
    engine: &'static Engine,
    kinds: Vec<&'static str>,
    paths: Vec<&'static str>,
    treatment: Treatment,
}

/// Runs the command.
///
/// # Errors
///
/// When the output cannot be written.
pub fn run(args: &WorkloadsArgs, stdout: &mut dyn Write) -> Result<ExitCode, ListError> {
    if args.markdown {
        write_markdown(stdout)?;
    } else if let Some(columns) = terminal::columns(&io::stdout()) {
        write_blocks(stdout, columns)?;
    } else {
        write_columns(stdout)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// For a terminal, which is narrower than any row.
fn write_blocks(stdout: &mut dyn Write, columns: usize) -> io::Result<()> {
    for row in of_kinds() {
        let kinds =
            terminal::continued(&format!("{} ({})", row.kinds.join(", "), groups(row.engine, ", ")), "    ", columns);
        let why = row.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let places = if row.paths == [""] { String::new() } else { format!(" {}", row.paths.join(", ")) };
        let what = format!("{}{places}{why}", row.treatment.name());
        writeln!(stdout, "{kinds}\n{}", terminal::hanging("    ", &what, columns))?;
    }
    Ok(())
}

fn write_columns(stdout: &mut dyn Write) -> io::Result<()> {
    let mut table = TabWriter::new(stdout);
    writeln!(table, "KIND\tGROUP\tTEMPLATES\tWHAT IS DONE")?;
    for row in of_kinds() {
        let kind = row.kinds.join(",");
        let places = if row.paths == [""] { "-".to_owned() } else { row.paths.join(",") };
        let why = row.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        writeln!(table, "{kind}\t{}\t{places}\t{}{why}", groups(row.engine, ","), row.treatment.name())?;
    }
    table.flush()
}

fn write_markdown(stdout: &mut dyn Write) -> io::Result<()> {
    let (left, converted): (Vec<_>, Vec<_>) = rows().into_iter().partition(|row| row.reason().is_some());
    writeln!(stdout, "## Kinds that are converted\n")?;
    writeln!(stdout, "| Product | Kind | Group | Pod templates | Whose pods |\n|---|---|---|---|---|")?;
    for row in &converted {
        let Row { engine, treatment, .. } = row;
        let kind = row.kinds();
        let owner = match treatment {
            Treatment::Converted(owner) => format!("`{}` `{}`", owner.api_version, owner.kind),
            Treatment::Holds => "those of the objects that it holds".to_owned(),
            _ => "its own".to_owned(),
        };
        let group = groups(engine, "`, `");
        writeln!(stdout, "| {} | {kind} | `{group}` | {} | {owner} |", engine.product, row.places())?;
    }
    writeln!(stdout, "\n## Kinds that are left\n")?;
    writeln!(stdout, "| Product | Kind | Group | Place | | Why, and what to do instead |\n|---|---|---|---|---|---|")?;
    for row in &left {
        let Row { engine, treatment, .. } = row;
        let kind = row.kinds();
        let (group, reason) = (groups(engine, "`, `"), row.reason().unwrap_or_default());
        let name = treatment.name();
        writeln!(stdout, "| {} | {kind} | `{group}` | {} | {name} | {reason} |", engine.product, row.places())?;
    }
    writeln!(stdout, "\n## Sources\n\n| Product | Groups | What was read |\n|---|---|---|")?;
    for engines in TABLE.chunk_by(|one, next| one.product == next.product && one.source == next.source) {
        let Some(Engine { product, source, .. }) = engines.first() else { continue };
        let groups = engines.iter().map(|engine| groups(engine, "`, `")).collect::<Vec<_>>().join("`, `");
        writeln!(stdout, "| {product} | `{groups}` | {source} |")?;
    }
    Ok(())
}

/// The places of each kind, with those together that are treated alike.
fn of_kinds() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for engine in TABLE {
        for Place { kind, path, treatment } in engine.places {
            match rows.last_mut() {
                Some(row) if row.kinds == [*kind] && row.engine == engine && row.treatment == *treatment => {
                    row.paths.push(path);
                }
                _ => rows.push(Row { engine, kinds: vec![kind], paths: vec![path], treatment: *treatment }),
            }
        }
    }
    rows
}

/// The same, with kinds together that are alike.
fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for row in of_kinds() {
        match rows.last_mut() {
            Some(last) if last.is_like(&row) => last.kinds.extend(row.kinds),
            _ => rows.push(row),
        }
    }
    rows
}

fn groups(engine: &Engine, between: &str) -> String {
    engine.groups.iter().map(|group| if group.is_empty() { "core" } else { group }).collect::<Vec<_>>().join(between)
}

// === impl Row ===

impl Row {
    const fn reason(&self) -> Option<&'static str> {
        match self.treatment {
            Treatment::Left(reason) | Treatment::Merged(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether the places of other kinds of the engine are the same.
    fn is_like(&self, other: &Self) -> bool {
        self.engine == other.engine && self.paths == other.paths && self.treatment == other.treatment
    }

    /// The kinds in Markdown.
    fn kinds(&self) -> String {
        self.kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ")
    }

    /// The places in Markdown.
    fn places(&self) -> String {
        if self.paths == [""] {
            return "the object itself".to_owned();
        }
        self.paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
    }
}
