//! How text for people is to look: in so many columns, with or without colours.

use super::{level::Level, terminal};
use anstream::{AutoStream, ColorChoice, stream::RawStream};
use anstyle::{AnsiColor, Style};
use std::{io::IsTerminal, os::fd::AsFd};

/// How text is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns there are.
    pub width: usize,
    /// Whether the reader sees colours.
    pub colours: bool,
    /// Whether a person reads along: else a line stays a line, however long it is.
    pub is_terminal: bool,
}

/// What a line begins with that continues another.
const CONTINUED: &str = "    ";

// === impl Look ===

impl Look {
    /// Plain text, as in a pipe.
    pub const PLAIN: Self = Self { width: terminal::COLUMNS, colours: false, is_terminal: false };

    /// What suits `stream`: its own width where it is a terminal; colours as `--color` and the environment say.
    #[must_use]
    pub fn of<S: RawStream + IsTerminal + AsFd>(stream: &S) -> Self {
        let columns = terminal::columns(stream);
        let colours = AutoStream::choice(stream) != ColorChoice::Never;
        Self { width: columns.unwrap_or(terminal::COLUMNS), colours, is_terminal: columns.is_some() }
    }

    /// The same with another width, where one is given.
    #[must_use]
    pub fn with_width(self, width: Option<u16>) -> Self {
        Self { width: width.map_or(self.width, usize::from), ..self }
    }

    /// `line` with a line end, broken between words for a terminal; its level is painted.
    #[must_use]
    pub fn lines(self, level: Option<Level>, line: &str) -> String {
        let broken = if self.is_terminal { terminal::continued(line, CONTINUED, self.width) } else { line.to_owned() };
        match level {
            Some(level) if self.colours => painted(&broken, level) + "\n",
            _ => broken + "\n",
        }
    }

    /// `text` in `style`, where there are colours.
    #[must_use]
    pub fn styled(self, style: Style, text: &str) -> String {
        if self.colours { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// `line` with the word of its level in colour, or all of it where the word is not in it.
fn painted(line: &str, level: Level) -> String {
    let colour = match level {
        Level::Note => AnsiColor::Cyan,
        Level::Warning => AnsiColor::Yellow,
        Level::Blocker | Level::Fatal | Level::Error => AnsiColor::Red,
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    let word = format!("{level} ");
    match line.find(&word) {
        Some(at) => {
            let (before, after) = (&line[..at], &line[at + level.as_str().len()..]);
            format!("{before}{style}{level}{style:#}{after}")
        }
        None => format!("{style}{line}{style:#}"),
    }
}
