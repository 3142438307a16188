//! YAML as `kubectl` reads it, and as every reader can read it.
//!
//! [`granit_parser`] gives the events; what a scalar means is decided here, because `kubectl` follows YAML
//! 1.1 with changes of its own, and `defaultMode: 0644` read as decimal would be a disaster.

mod edit;
mod node;
mod scalar;
mod split;
mod value;
mod write;

pub use write::to_yaml;

use crate::error::Flaw;
use json_patch::Patch;
use serde_json::Value;
use std::ops::Range;

/// A piece of a YAML file: a document, or nothing but comments.
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    pub(super) value: Option<Value>,
}

/// The pieces of a file; together they are `text`.
///
/// # Errors
///
/// The number of the document that is wrong, and what is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<Piece>, (usize, Flaw)> {
    let (mut number, mut lines_above) = (1, 0);
    let mut pieces = Vec::new();
    for range in split::pieces(text) {
        let piece = &text[range.clone()];
        let value = value_of(piece).map_err(|flaw| (number, flaw.below(lines_above)))?;
        lines_above += piece.matches('\n').count();
        number += usize::from(value.is_some());
        pieces.push(Piece { range, value });
    }
    Ok(pieces)
}

/// The value of the one document in `text`; `None` where there is none.
fn value_of(text: &str) -> Result<Option<Value>, Flaw> {
    node::parse(text)?.map(|root| value::value(&root)).transpose()
}

/// Whether the document in `text` is read as `value`.
pub(super) fn means(text: &str, value: &Value) -> bool {
    value_of(text).is_ok_and(|read| read.as_ref() == Some(value))
}

/// Carries out `patch` on the document in `text`, comments and all; `None` where that cannot be done.
pub(super) fn edited(text: &str, patch: &Patch, wanted: &Value) -> Option<String> {
    edit::patched(text, patch, wanted)
}

/// The document in `text` written anew: only what stands above and below it is kept.
pub(super) fn rewritten(text: &str, value: &Value) -> String {
    let Ok(Some(root)) = node::parse(text) else { return to_yaml(value) };
    let line = text[..root.start].rfind('\n').map_or(0, |newline| newline + 1);
    let (head, first) = text[..root.start].split_at(line);
    // Content behind `---` on its line moves below it.
    let marker = if split::is_marker(first, "---") { "---\n" } else { "" };
    let tail = text[root.end..].find('\n').map_or("", |newline| &text[root.end + newline + 1..]);
    let written = format!("{head}{marker}{}", to_yaml(value));
    let written = if text.contains("\r\n") { written.replace("\r\n", "\n").replace('\n', "\r\n") } else { written };
    written + tail
}

/// What must stand between two texts so that they are two documents.
pub(super) fn separator(before: &str, after: &str) -> &'static str {
    if before.is_empty() || after.lines().next().is_none_or(|line| split::is_marker(line, "---")) {
        ""
    } else if after.starts_with('%') {
        "...\n"
    } else {
        "---\n"
    }
}
