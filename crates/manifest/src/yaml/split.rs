//! A YAML file -> its documents, as pieces of its text.

use std::ops::Range;

/// The pieces of `text`, one a document; together they are `text`.
///
/// A line that begins with `---` begins a piece, and belongs to it; a line that begins with `...` ends one.
/// YAML allows neither at the start of a line inside a document (YAML 1.2.2, section 9.1.2). Directives
/// belong to the document below them.
pub(super) fn pieces(text: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut prologue = Prologue::Blank;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        if is_marker(line, "---") {
            if at > start && prologue != Prologue::Directives {
                pieces.push(start..at);
                start = at;
            }
            prologue = Prologue::Over;
        } else if is_marker(line, "...") {
            pieces.push(start..end);
            start = end;
            prologue = Prologue::Blank;
        } else if line.starts_with('%') && prologue == Prologue::Blank {
            prologue = Prologue::Directives;
        } else if prologue == Prologue::Blank && !is_blank(line) {
            prologue = Prologue::Over;
        }
        at = end;
    }
    if start < text.len() {
        pieces.push(start..text.len());
    }
    pieces
}

/// What stands above a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prologue {
    Blank,
    Directives,
    Over,
}

/// Whether `line` is the marker `---` or `...`, with whatever may follow it.
pub(super) fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("", &[])]
    #[case("a: 1\n", &["a: 1\n"])]
    #[case("---\na: 1\n--- # next\nb: 2\n---", &["---\na: 1\n", "--- # next\nb: 2\n", "---"])]
    #[case("# only\n---\r\na: 1\r\n", &["# only\n", "---\r\na: 1\r\n"])]
    #[case("%YAML 1.1\n# x\n---\na: 1\n", &["%YAML 1.1\n# x\n---\na: 1\n"])]
    #[case("a: 1\n...\n%YAML 1.1\n---\nb: 2\n", &["a: 1\n...\n", "%YAML 1.1\n---\nb: 2\n"])]
    #[case("a: |\n  ---\n  x\n---x: 1\n", &["a: |\n  ---\n  x\n---x: 1\n"])]
    fn documents(#[case] text: &str, #[case] expected: &[&str]) {
        let found: Vec<_> = pieces(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, expected);
    }
}
