//! Log lines on standard error: JSON for machines, text for people.
//!
//! A thread of their own writes them, so that a reader that stalls stops nobody. So the process has to wait for it at its
//! end ([`written_when_dropped`]), and whatever else is to stand on standard error goes the same way ([`say_last`]).

mod json;
mod queue;

use jiff::Timestamp;
use json::JsonLines;
use native_sidecar_core::text::{is_invisible, is_plain};
use prometheus_client::metrics::counter::Counter;
use queue::{Queue, QueueWriter};
use std::{
    backtrace::Backtrace,
    borrow::Cow,
    env,
    io::{self, IsTerminal, Write, stderr},
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

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text is no filter for log lines.
    #[error(transparent)]
    Filter(#[from] NotAFilter),
    /// The system has no thread for log lines.
    #[error("cannot start the thread that writes log lines: {0}")]
    Thread(io::Error),
}

/// Waits for the log lines to be written when it is dropped.
#[derive(Debug)]
#[must_use = "the lines are waited for when this is dropped"]
pub struct WrittenWhenDropped(());

/// Writes lines of text in which everything can be seen, and of which none can pass for another.
struct TextWriter<W> {
    lines: W,
    /// The escape characters are ours: those of others are replaced before they come here.
    has_colours: bool,
}

/// The lines of this process, of which there is one standard error.
static LINES: Queue = Queue::new();

/// Begins to log what `filter` lets through (`info`, `debug`, `native_sidecar=debug,hyper=info`), panics included.
///
/// Does nothing where the process logs already.
///
/// # Errors
///
/// When `filter` is no filter, or there is no thread for the lines.
pub fn begin(format: Format, filter: &str) -> Result<(), Error> {
    let filter = read(filter)?;
    let open = || QueueWriter(&LINES);
    let lines = match format {
        Format::Json => JsonLines::new(open).boxed(),
        Format::Text => {
            let has_colours = shows_colours();
            let open = move || TextWriter { lines: open(), has_colours };
            fmt::layer().with_writer(open).with_ansi(has_colours).boxed()
        }
    };
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let notice = match format {
            Format::Json => json::missing,
            Format::Text => missing,
        };
        LINES.begin(stderr(), notice).map_err(Error::Thread)?;
        panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// For `main` to keep: at its end, a panic's included, the log lines are written, unless nobody reads them.
pub const fn written_when_dropped() -> WrittenWhenDropped {
    WrittenWhenDropped(())
}

/// Says in a line, behind all log lines, why the process ends.
pub fn say_last(line: &str) {
    if !LINES.push_last(line) {
        eprintln!("{line}");
    }
}

/// How many log lines have been dropped, since nobody read them.
pub(super) fn dropped_lines() -> &'static Counter {
    LINES.dropped()
}

/// Says how many lines are missing, in as many words as [`json::missing`].
fn missing(now: Timestamp, lines: u64) -> Vec<u8> {
    format!("{now:.6}  WARN {}: {}\n", module_path!(), missing_lines(lines)).into_bytes()
}

fn missing_lines(lines: u64) -> String {
    format!("{lines} log lines were dropped, since standard error did not take them fast enough")
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
    let filter_of_all = EnvFilter::builder().parse(filter).map_err(|_| NotAFilter)?;
    let is_finer =
        |directive: &str| directive.trim().parse::<LevelFilter>().is_ok_and(|level| level > LevelFilter::INFO);
    if filter.contains("h2") || filter.split(',').any(is_finer) {
        return Ok(filter_of_all);
    }
    // It warns of each frame that is odd, as any client may send a million of them.
    Ok(filter_of_all.add_directive("h2=off".parse().map_err(|_| NotAFilter)?))
}

/// A panic's own message goes to standard error as plain text, which no reader of JSON lines understands.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    tracing::error!(location, panic = info.payload_as_str(), %backtrace, "panic");
}

fn visible(line: &str, has_colours: bool) -> Cow<'_, str> {
    let text = line.strip_suffix('\n').unwrap_or(line);
    if is_plain(text) {
        return line.into();
    }
    let mut shown = String::with_capacity(line.len());
    for c in text.chars() {
        match c {
            // A backtrace has many lines, which are not to look like the beginning of another.
            '\n' => shown.push_str("\n    "),
            '\u{1b}' if has_colours => shown.push(c),
            _ if is_invisible(c) => shown.extend(c.escape_unicode()),
            _ => shown.push(c),
        }
    }
    (shown + "\n").into()
}

// === impl TextWriter ===

impl<W: Write> Write for TextWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = String::from_utf8_lossy(line);
        self.lines.write_all(visible(&shown, self.has_colours).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

// === impl WrittenWhenDropped ===

impl Drop for WrittenWhenDropped {
    fn drop(&mut self) {
        LINES.flush();
    }
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

    #[rstest]
    #[case("info", false)]
    #[case("info,native_sidecar=debug", false)]
    #[case("debug", true)]
    #[case("info,h2=warn", true)]
    fn http2_warns_only_who_asked(#[case] text: &str, #[case] asked: bool) {
        let filter = read(text).unwrap_or_else(|_| panic!("{text} is a filter")).to_string();
        assert_eq!(!filter.contains("h2=off"), asked, "{filter}");
    }

    #[rstest]
    #[case("plain\n", "plain\n")]
    #[case("ä\u{202e}b\u{7f}\n", "ä\\u{202e}b\\u{7f}\n")]
    #[case("a\n2026-01-01  INFO forged\n", "a\n    2026-01-01  INFO forged\n")]
    #[case("\u{1b}[2m", "\\u{1b}[2m\n")]
    fn text_can_be_seen(#[case] line: &str, #[case] shown: &str) {
        assert_eq!(visible(line, false), shown);
    }

    #[test]
    fn colours_stay() {
        assert_eq!(visible("\u{1b}[2mä\n", true), "\u{1b}[2mä\n");
    }
}
