//! Helm templates that nobody has rendered: YAML with holes in it.

use crate::error::{Fault, Flaw, Position};

const ADVICE: &str = "this looks like a Helm template; render it first: helm template CHART | native-sidecar convert";

/// The flaw of `text`, or that it is a template, where that is the likelier cause.
pub(crate) fn unrendered(text: &str, flaw: Flaw) -> Flaw {
    if !matches!(flaw.fault, Fault::Syntax | Fault::NoJson | Fault::Ambiguous) {
        return flaw;
    }
    let line = flaw.position.map(|position| position.line);
    match hole(text, line) {
        Some(position) => Flaw::at(position, Fault::Template, ADVICE),
        None => flaw,
    }
}

/// The first `{{` that is no comment, no part of a quoted text and in no block of text; in the line `flawed` it counts
/// wherever it stands but in a comment.
fn hole(text: &str, flawed: Option<usize>) -> Option<Position> {
    let mut block: Option<usize> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let indentation = line.len() - line.trim_start().len();
        let is_inside = block.is_some_and(|column| indentation > column || line.trim().is_empty());
        block = block.filter(|_| is_inside);
        let code = without_comment(line);
        let at = match code.find("{{") {
            Some(at) if flawed == Some(number) => Some(at),
            Some(_) if !is_inside => unquoted(code),
            _ => None,
        };
        if let Some(at) = at {
            return Some(Position { line: number, column: 1 + line[..at].chars().count() });
        }
        if !is_inside && opens_block(code) {
            block = Some(indentation);
        }
    }
    None
}

/// `line` up to a `#` at its beginning or behind a space.
fn without_comment(line: &str) -> &str {
    let is_comment = |(at, _): &(usize, &str)| *at == 0 || line[..*at].ends_with([' ', '\t']);
    line.match_indices('#').find(is_comment).map_or(line, |(at, _)| &line[..at])
}

/// The first `{{` before which all quotes are closed.
fn unquoted(code: &str) -> Option<usize> {
    let mut open = None;
    for (at, c) in code.char_indices() {
        match (open, c) {
            (None, '"' | '\'') => open = Some(c),
            (Some(quote), c) if c == quote => open = None,
            (None, '{') if code[at..].starts_with("{{") => return Some(at),
            _ => {}
        }
    }
    None
}

/// Whether the lines below are a block of text: `key: |-`.
fn opens_block(code: &str) -> bool {
    let header = code.trim_end().rsplit([' ', '\t']).next().unwrap_or_default();
    header.starts_with(['|', '>']) && header[1..].bytes().all(|byte| matches!(byte, b'+' | b'-' | b'1'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::line_of_its_own("a: 1\n{{- if .x }}\nb: 2\n", None, Some((2, 1)))]
    #[case::value("é: {{ .x }}\n", None, Some((1, 4)))]
    #[case::comment("# {{ .x }}\na: 1 # {{ .x }}\n", Some(2), None)]
    #[case::quoted("a: \"{{ .x }}\"\nb: '{{ .x }}'\nc: [\n", Some(3), None)]
    #[case::quoted_in_the_line_of_the_flaw("a: \"{{ f \"x\" }}\"\n", Some(1), Some((1, 5)))]
    #[case::block("a: |-\n  {{ .x }}\n\n  {{ .y }}\nb: [\n", Some(5), None)]
    #[case::behind_a_block("a: >2+\n  x\nb: {{ .x }}\n", Some(1), Some((3, 4)))]
    fn holes(#[case] text: &str, #[case] flawed: Option<usize>, #[case] expected: Option<(usize, usize)>) {
        let found = hole(text, flawed).map(|Position { line, column }| (line, column));
        assert_eq!(found, expected);
    }
}
