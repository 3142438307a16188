//! Log lines as JSON: `{"timestamp":…,"level":…,"message":…,FIELDS…,"target":…}`.
//!
//! In place of the layer that `tracing-subscriber` has for it, which took 25,000 instructions for the line of a review
//! where this takes 5,600 (callgrind); everything else that the server does for the request beside the review took about
//! 120,000. Spans are left out: there are none.
//!
//! What clients sent is in fields as [`one_line`](native_sidecar_core::text::one_line) shows it, so as `\\u{202e}` in JSON.
//! Invisible characters that stand in a field all the same, such as the name of a file, are JSON's own `\u202e`: they are
//! not raw in the line, and whoever reads JSON gets them back.

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use native_sidecar_core::text::{is_invisible, is_plain};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    io::{self, Write},
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// Microseconds, as many digits in each line.
const TIMESTAMPS: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

thread_local! {
    /// The line that is being written, kept for the next one.
    static LINE: RefCell<Line> = RefCell::default();
}

/// Writes each event as a line to what `open` returns, all of it in one call.
#[derive(Debug)]
pub(super) struct JsonLines<O> {
    open: O,
}

/// One line: a JSON object and its end.
#[derive(Debug, Default)]
struct Line {
    json: Vec<u8>,
    /// For values that have to be formatted before they can be escaped.
    value: String,
}

/// JSON in which everything can be seen.
struct Visible;

/// Says how many lines are missing.
pub(super) fn missing(now: Timestamp, lines: u64) -> Vec<u8> {
    let mut line = Line::default();
    line.begin(now, Level::WARN);
    line.text("message", &super::missing_lines(lines));
    line.number("lines", lines);
    line.end(module_path!());
    line.json
}

// === impl JsonLines ===

impl<O> JsonLines<O> {
    pub(super) const fn new(open: O) -> Self {
        Self { open }
    }
}

impl<O: Fn() -> W, W: Write> JsonLines<O> {
    fn write(&self, line: &mut Line, event: &Event<'_>) {
        line.write(event, Timestamp::now());
        // There is nowhere to say that a line could not be written.
        let _ = (self.open)().write_all(&line.json);
    }
}

impl<S, O, W> Layer<S> for JsonLines<O>
where
    S: Subscriber,
    O: Fn() -> W + 'static,
    W: Write,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => self.write(&mut line, event),
            // A field that logs while it is formatted, or panics, which is logged too.
            Err(_) => self.write(&mut Line::default(), event),
        });
    }
}

// === impl Line ===

impl Line {
    fn write(&mut self, event: &Event<'_>, now: Timestamp) {
        let metadata = event.metadata();
        self.begin(now, *metadata.level());
        event.record(self);
        self.end(metadata.target());
    }

    fn begin(&mut self, now: Timestamp, level: Level) {
        self.json.clear();
        self.json.extend_from_slice(b"{\"timestamp\":\"");
        // Writing into memory does not fail, here and below.
        let _ = TIMESTAMPS.print_timestamp(&now, &mut self.json);
        self.json.push(b'"');
        self.text("level", level.as_str());
    }

    fn end(&mut self, target: &str) {
        self.text("target", target);
        self.json.extend_from_slice(b"}\n");
    }

    fn key(&mut self, key: &str) {
        // Names of fields and of Rust modules have nothing to escape.
        self.json.extend_from_slice(b",\"");
        self.json.extend_from_slice(key.strip_prefix("r#").unwrap_or(key).as_bytes());
        self.json.extend_from_slice(b"\":");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        let _ = value.serialize(&mut Serializer::with_formatter(&mut self.json, Visible));
    }

    fn number(&mut self, key: &str, value: impl serde::Serialize) {
        self.key(key);
        let _ = serde_json::to_writer(&mut self.json, &value);
    }
}

// === impl Visible ===

impl Formatter for Visible {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        if is_plain(text) {
            return out.write_all(text.as_bytes());
        }
        let mut seen = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| is_invisible(*c)) {
            out.write_all(&text.as_bytes()[seen..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            seen = at + c.len_utf8();
        }
        out.write_all(&text.as_bytes()[seen..])
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = std::mem::take(&mut self.value);
        text.clear();
        let _ = write!(text, "{value:?}");
        self.text(field.name(), &text);
        self.value = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    /// Where a test's lines go.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().map_err(|error| std::io::Error::other(error.to_string()))?.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        let open = written.clone();
        let subscriber = tracing_subscriber::registry().with(JsonLines::new(move || open.clone()));
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_has_all_kinds_of_fields() {
        let none: Option<&str> = None;
        let lines = lines(|| {
            tracing::info!(text = "a", yes = true, up = 1_u64, down = -1_i64, half = 0.5, shown = %'c', debug = ?"d", none, "what {}", "happened");
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        let (head, rest) = line.split_once(",\"level\"").unwrap();
        let timestamp = head.strip_prefix("{\"timestamp\":\"").and_then(|head| head.strip_suffix('"')).unwrap();
        assert_eq!(timestamp.len(), "2026-01-01T00:00:00.000000Z".len());
        timestamp.parse::<Timestamp>().unwrap();
        assert_eq!(
            rest,
            concat!(
                r#":"INFO","message":"what happened","text":"a","yes":true,"up":1,"down":-1,"half":0.5,"shown":"c","#,
                r#""debug":"\"d\"","target":"native_sidecar::server::logging::json::tests"}"#
            )
        );
    }

    #[test]
    fn a_line_that_comes_while_another_is_written_is_not_lost() {
        let lines = lines(|| LINE.with_borrow_mut(|_| tracing::info!("inner")));
        assert!(lines.len() == 1 && lines[0].contains("inner"), "{lines:?}");
    }

    #[test]
    fn whatever_a_field_holds_stays_one_line_of_json() {
        let text = "\"quoted\"\n\\ \u{7} é \u{2028}\u{7f}\u{202e}\u{e0061} 🚀";
        let lines = lines(|| {
            tracing::warn!(text, number = f64::NAN, "{text}");
            tracing::warn!(r#type = 1, "the next one");
        });
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains(r"é \u2028\u007f\u202e\udb40\udc61 🚀"), "{}", lines[0]);
        assert!(!lines[0].chars().any(is_invisible), "{}", lines[0]);
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&line["text"], &line["message"]), (&text.into(), &text.into()));
        assert!(line["number"].is_null());
        let line: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!((&line["message"], &line["type"]), (&"the next one".into(), &1.into()));
    }
}
