//! `native-sidecar catalogue`: the known sidecars and the engines.

use super::known::{self, LoadError};
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
        write_entries(&entries, stdout)?;
        writeln!(stdout)?;
        write_engines(catalogue.engines(), stdout)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_entries(entries: &[&Entry], stdout: &mut dyn Write) -> io::Result<()> {
    let mut table = TabWriter::new(stdout);
    writeln!(table, "STAGE\tNAME\tCONTAINERS\tIMAGES")?;
    for entry in entries {
        let recognition = &entry.recognise;
        let (containers, images) = (listed(&recognition.containers), listed(&recognition.images));
        writeln!(table, "{}\t{}\t{containers}\t{images}", entry.stage, entry.name)?;
    }
    table.flush()
}

fn write_engines(engines: &[Engine], stdout: &mut dyn Write) -> io::Result<()> {
    let mut table = TabWriter::new(stdout);
    writeln!(table, "ENGINE\tCONTAINERS\tFINDING\tWHAT TO DO")?;
    for engine in engines {
        let finding = if engine.only_warns { "warns" } else { "blocks" };
        writeln!(table, "{}\t{}\t{finding}\t{}", engine.name, listed(&engine.containers), engine.instead)?;
    }
    table.flush()
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
