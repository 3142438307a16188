//! Log lines on standard error: JSON for machines, text for people.

mod json;

use json::JsonLines;
use std::{
    backtrace::Backtrace,
    env,
    io::{IsTerminal, stderr},
    panic,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For reading at a terminal.
    Text,
}

/// A text that is no filter for log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a level (off, error, warn, info, debug, trace), or levels by module such as info,native_sidecar=debug"
)]
pub struct NotAFilter;

/// Begins to log what `filter` lets through (`info`, `debug`, `native_sidecar=debug,hyper=info`), panics included.
///
/// Does nothing where the process logs already.
///
/// # Errors
///
/// When `filter` is no filter.
pub fn begin(format: Format, filter: &str) -> Result<(), NotAFilter> {
    let filter = read(filter)?;
    let lines = match format {
        Format::Json => JsonLines::new(stderr).boxed(),
        Format::Text => fmt::layer().with_writer(stderr).with_ansi(shows_colours()).boxed(),
    };
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// Colours are for eyes (no-color.org), and no reader of files has any.
fn shows_colours() -> bool {
    stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Any word would do as the name of a module, so that `verbose` would silence everything else.
fn read(filter: &str) -> Result<EnvFilter, NotAFilter> {
    let is_level = |directive: &str| directive.contains('=') || directive.trim().parse::<LevelFilter>().is_ok();
    if filter.trim().is_empty() || !filter.split(',').all(is_level) {
        return Err(NotAFilter);
    }
    EnvFilter::builder().parse(filter).map_err(|_| NotAFilter)
}

/// A panic's own message goes to standard error as plain text, which no reader of JSON lines understands.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    tracing::error!(location, panic = info.payload_as_str(), %backtrace, "panic");
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("info", true)]
    #[case("info,native_sidecar=debug", true)]
    #[case("off", true)]
    #[case("", false)]
    #[case("verbose", false)]
    #[case("warning", false)]
    #[case("info,native_sidecar", false)]
    #[case("info,native_sidecar=loud", false)]
    fn filters(#[case] text: &str, #[case] is_one: bool) {
        assert_eq!(read(text).is_ok(), is_one);
    }
}
