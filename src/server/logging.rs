//! Log lines on standard error: JSON for machines, text for people.

use std::{backtrace::Backtrace, panic};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For reading at a terminal.
    Text,
}

/// Begins to log what `filter` lets through (`info`, `debug`, `native_sidecar=debug,hyper=info`), panics included.
///
/// Does nothing where the process logs already.
///
/// # Errors
///
/// When `filter` is no filter.
pub fn begin(format: Format, filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        Format::Text => lines.boxed(),
    };
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// A panic's own message goes to standard error as plain text, which no reader of JSON lines understands.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    tracing::error!(location, panic = info.payload_as_str(), %backtrace, "panic");
}
