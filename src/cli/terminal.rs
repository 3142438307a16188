//! What commands print for people: as wide as their terminal, and broken between words.

use std::{
    io::{self, IsTerminal},
    os::fd::AsFd,
};
use terminal_size::terminal_size_of;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// Columns where nobody says how many there are.
pub const COLUMNS: usize = 80;
/// With fewer, next to nothing fits behind an indent; a terminal that is narrower breaks lines by itself.
const FEWEST: usize = 40;
/// Lines of running text that are longer are hard to read.
const WIDEST_TEXT: usize = 100;

/// The columns of `stream` where it is a terminal.
#[must_use]
pub fn columns<S: IsTerminal + AsFd>(stream: &S) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    // A terminal that nobody has told its size, such as one of a serial line, says 0.
    let width = terminal_size_of(stream).map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0);
    Some(width.unwrap_or(COLUMNS).max(FEWEST))
}

/// The columns for running text on standard output.
#[must_use]
pub fn text_columns() -> usize {
    columns(&io::stdout()).unwrap_or(COLUMNS).min(WIDEST_TEXT)
}

/// `text` in lines of at most `width` columns, broken between words; a word that is wider by itself is broken too.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    // Whatever is narrower than one character cannot be filled.
    let options = options(width.max(2)).break_words(true);
    textwrap::wrap(text, options).into_iter().map(String::from).collect()
}

/// `first` and `text` behind it, in lines of at most `width` columns that are indented to where `text` begins. A word that
/// is wider by itself stays whole: it may be copied.
#[must_use]
pub fn hanging(first: &str, text: &str, width: usize) -> String {
    let indent = " ".repeat(textwrap::core::display_width(first));
    textwrap::fill(text, options(width).initial_indent(first).subsequent_indent(&indent))
}

/// `text` in lines of at most `width` columns, of which all but the first begin with `indent`. A word that is wider by itself
/// stays whole.
#[must_use]
pub fn continued(text: &str, indent: &str, width: usize) -> String {
    textwrap::fill(text, options(width).subsequent_indent(indent))
}

/// As words are written here: `init-container` is one, and so is an image's name.
fn options<'o>(width: usize) -> Options<'o> {
    Options::new(width)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit)
        .break_words(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("", 10, &[""])]
    #[case("one two", 10, &["one two"])]
    #[case("one two", 5, &["one", "two"])]
    #[case("an init-container", 10, &["an", "init-conta", "iner"])]
    #[case("変換 a", 4, &["変換", "a"])]
    #[case("変換", 1, &["変", "換"])]
    #[case("a   b", 10, &["a   b"])]
    fn lines(#[case] text: &str, #[case] width: usize, #[case] expected: &[&str]) {
        assert_eq!(wrapped(text, width), expected);
    }

    #[test]
    fn the_next_lines_begin_where_the_text_does() {
        assert_eq!(hanging("Why: ", "one two three", 12), "Why: one two\n     three");
        assert_eq!(hanging("", "a registry.example.com/proxy b", 10), "a\nregistry.example.com/proxy\nb");
    }
}
