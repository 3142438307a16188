//! `native-sidecar catalogue`: the known sidecars and the engines.

use super::{
    known::{self, LoadError},
    terminal,
};
use clap::Args;
use native_sidecar_core::catalogue::{Catalogue, Engine, Entry};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};
use tabwriter::TabWriter;

/// List the known sidecars, in the order in which they start, and the engines whose containers stay where they are.
#[derive(Args, Debug)]
pub struct CatalogueArgs {
    /// Catalogue that adds to the built-in one and overrides it.
    #[arg(long, value_name = "FILE", env = "NATIVE_SIDECAR_CATALOGUE")]
    catalogue: Option<PathBuf>,

    /// Print the built-in catalogue as YAML, to start one of your own from.
    #[arg(long)]
    yaml: bool,

    /// Print the list as tables in Markdown, as in docs/catalogue.md.
    #[arg(long, conflicts_with = "yaml")]
    markdown: bool,
}

/// Why the catalogue could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The catalogue could not be used.
    #[error(transparent)]
    Catalogue(#[from] LoadError),
    /// The list could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// What a list has to say, once for each way to print it.
struct Table<const C: usize> {
    header: [&'static str; C],
    rows: Vec<[String; C]>,
}

/// Runs the command.
///
/// # Errors
///
/// When the catalogue cannot be used, or the output cannot be written.
pub fn run(args: &CatalogueArgs, stdout: &mut dyn Write) -> Result<ExitCode, ListError> {
    if args.yaml {
        stdout.write_all(Catalogue::built_in_text().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let catalogue = known::load(args.catalogue.as_deref())?;
    let mut entries: Vec<_> = catalogue.entries().iter().collect();
    entries.sort_by_key(|entry| entry.stage);
    if args.markdown {
        write_markdown(&entries, catalogue.engines(), stdout)?;
    } else {
        let columns = terminal::columns(&io::stdout());
        let (sidecars, engines) =
            (sidecars(&entries).printed(columns)?, engines(catalogue.engines()).printed(columns)?);
        write!(stdout, "{sidecars}\n{engines}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn sidecars(entries: &[&Entry]) -> Table<4> {
    let row = |entry: &&Entry| {
        let recognition = &entry.recognise;
        let (containers, images) = (listed(&recognition.containers), listed(&recognition.images));
        [entry.stage.to_string(), entry.name.clone(), containers, images]
    };
    Table { header: ["STAGE", "NAME", "CONTAINERS", "IMAGES"], rows: entries.iter().map(row).collect() }
}

fn engines(engines: &[Engine]) -> Table<4> {
    let row = |engine: &Engine| {
        let finding = if engine.only_warns { "warns" } else { "blocks" };
        [engine.name.clone(), finding.to_owned(), listed(&engine.containers), engine.instead.clone()]
    };
    Table { header: ["ENGINE", "FINDING", "CONTAINERS", "WHAT TO DO"], rows: engines.iter().map(row).collect() }
}

fn write_markdown(entries: &[&Entry], engines: &[Engine], stdout: &mut dyn Write) -> io::Result<()> {
    writeln!(stdout, "| Stage | Sidecar | Made by | Images | In known mode |\n|---|---|---|---|---|")?;
    for entry in entries {
        let Entry { name, stage, vendor, recognise, .. } = entry;
        let images = recognise.images.iter().map(|image| format!("`{image}`")).collect::<Vec<_>>().join(", ");
        let images = if images.is_empty() { "by other signs".to_owned() } else { images };
        writeln!(stdout, "| {stage} | `{name}` | {vendor} | {images} | {} |", in_known_mode(entry))?;
    }
    writeln!(stdout, "\n| Engine | Product | What it does with a container | What to do | |\n|---|---|---|---|---|")?;
    for Engine { name, product, how, instead, only_warns, .. } in engines {
        let finding = if *only_warns { "warns" } else { "blocks" };
        writeln!(stdout, "| `{name}` | {product} | {how} | {instead} | {finding} |")?;
    }
    Ok(())
}

const fn in_known_mode(entry: &Entry) -> &'static str {
    if entry.only_when_named {
        "only when named"
    } else if !entry.needs_application.is_empty() {
        "moves, but not versions that end without the application"
    } else {
        "moves"
    }
}

fn listed(patterns: &[impl ToString]) -> String {
    patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

// === impl Table ===

impl<const C: usize> Table<C> {
    /// A line for each row, which can be searched, unless there are fewer `columns` at a terminal than it needs.
    fn printed(&self, columns: Option<usize>) -> io::Result<String> {
        let aligned = self.aligned()?;
        let is_too_wide = |columns: &usize| aligned.lines().any(|line| line.chars().count() > *columns);
        Ok(columns.filter(is_too_wide).map_or(aligned, |columns| self.folded(columns)))
    }

    fn aligned(&self) -> io::Result<String> {
        let mut table = TabWriter::new(Vec::new());
        writeln!(table, "{}", self.header.join("\t"))?;
        for row in &self.rows {
            writeln!(table, "{}", row.join("\t"))?;
        }
        let bytes = table.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    /// The first two cells of each row in a line, and below it the others, each with its header.
    fn folded(&self, columns: usize) -> String {
        let mut lines = Vec::new();
        for row in &self.rows {
            let [first, second, others @ ..] = &row[..] else { continue };
            lines.push(format!("{first}  {second}"));
            for (header, cell) in self.header.iter().skip(2).zip(others).filter(|(_, cell)| !cell.is_empty()) {
                // Lists break behind their commas.
                let cell = cell.replace(',', ", ").replace(",  ", ", ");
                lines.push(terminal::hanging(&format!("    {}: ", header.to_lowercase()), &cell, columns));
            }
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_has_all_of_it() {
        let catalogue = Catalogue::built_in();
        let entries: Vec<_> = catalogue.entries().iter().collect();
        for table in [sidecars(&entries), engines(catalogue.engines())] {
            let (wide, narrow) = (table.printed(None).unwrap(), table.printed(Some(80)).unwrap());
            assert_eq!(wide.lines().count(), table.rows.len() + 1);
            assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
            let in_one = |text: &str| text.split([' ', ',', '\n']).collect::<String>();
            for cell in table.rows.iter().flatten() {
                assert!(in_one(&narrow).contains(&in_one(cell)), "{cell}");
            }
        }
    }

    #[test]
    fn a_table_that_fits_is_one() {
        let table = Table { header: ["A", "B", "C"], rows: vec![["a", "b", "c"].map(str::to_owned)] };
        assert_eq!(table.printed(Some(80)).unwrap(), "A   B   C\na   b   c\n");
        assert_eq!(table.printed(Some(5)).unwrap(), "a  b\n    c: c\n");
    }
}
