//! YAML as `kubectl` reads it, and as every reader can read it.
//!
//! [`granit_parser`] gives the events; what a scalar means is decided here, because `kubectl` follows YAML
//! 1.1 with changes of its own, and `defaultMode: 0644` read as decimal would be a disaster.

mod edit;
mod node;
mod obstacle;
mod parts;
mod patch;
mod place;
mod scalar;
mod split;
mod template;
mod unfold;
mod value;
mod write;

pub(super) use node::{Content, Node};
pub(super) use template::unrendered;
pub(super) use value::{is_merge, key_text};
pub use write::to_yaml;

use crate::{
    Located,
    error::{Flaw, Obstacle, Position},
};
use json_patch::Patch;
use serde_json::Value;
use std::ops::Range;

/// A piece of a YAML file: a document, or nothing but comments.
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    /// What it holds; `None` where that is no document, or an empty one.
    pub(super) content: Result<Option<Read>, Flaw>,
}

/// A document that was read.
pub(super) struct Read {
    /// Its value, as `kubectl` would send it.
    pub(super) value: Value,
    /// What other readers would understand in another way, or refuse: the first of it.
    pub(super) tolerated: Option<Flaw>,
}

/// The pieces of a file; together they are `text`.
pub(super) fn read(text: &str) -> impl Iterator<Item = Piece> {
    let mut next = Position::START;
    split::pieces(text).into_iter().map(move |range| {
        let piece = &text[range.clone()];
        let start = next;
        next = start.behind(piece);
        let mut content = tolerant(piece).map_err(|flaw| template::unrendered(piece, flaw));
        if let Ok(Some(Read { tolerated, .. })) = &mut content {
            *tolerated = tolerated.take().map(|flaw| flaw.from(start));
        }
        Piece { range, content: content.map_err(|flaw| flaw.from(start)) }
    })
}

/// Whether `text` begins as a template does that nobody has rendered, and not as JSON.
pub(super) fn begins_as_template(text: &str) -> bool {
    text.trim_start().starts_with("{{")
}

/// The one document in `text`, as `kubectl` reads it.
fn tolerant(text: &str) -> Result<Option<Read>, Flaw> {
    let node::Parsed { root, tolerated: in_text } = node::parse_tolerantly(text)?;
    let Some(root) = root else { return Ok(None) };
    let (value, in_values) = value::value(&root)?;
    Ok(Some(Read { value, tolerated: in_text.or(in_values) }))
}

/// The value of the one document in `text`, which all readers understand alike; `None` where there is none.
fn value_of(text: &str) -> Result<Option<Value>, Flaw> {
    match tolerant(text)? {
        Some(Read { tolerated: Some(flaw), .. }) => Err(flaw),
        read => Ok(read.map(|read| read.value)),
    }
}

/// Where the values of the document in `text` are, which begins at `start` in its file.
pub(super) fn located(text: &str, start: Position) -> Located {
    let root = node::parse_tolerantly(text).ok().and_then(|parsed| parsed.root);
    root.map(|root| Located::in_yaml(&root, start)).unwrap_or_default()
}

/// Whether `kubectl` reads the document in `text` as `value`.
pub(super) fn means(text: &str, value: &Value) -> bool {
    tolerant(text).is_ok_and(|read| read.is_some_and(|read| read.value == *value))
}

/// Carries out `patch` on the document in `text`, comments and all.
///
/// # Errors
///
/// When that cannot be done: what is in the way.
pub(super) fn edited(text: &str, patch: &Patch, wanted: &Value) -> Result<String, Obstacle> {
    patch::patched(text, patch, wanted).ok_or_else(|| obstacle::of(text, patch))
}

/// `text`, which is read as `value`, so that more can follow it: the line break that it lacks at its end does not become
/// part of its last text.
pub(super) fn ended(text: String, value: &Value) -> String {
    let is_ended = |text: &str| means(&format!("{text}\n"), value);
    if is_ended(&text) {
        return text;
    }
    patch::stripped_at_end(&text).filter(|text| is_ended(text)).unwrap_or_else(|| rewritten(&text, value))
}

/// The document in `text` written anew: only what stands above and below it is kept.
pub(super) fn rewritten(text: &str, value: &Value) -> String {
    let Ok(node::Parsed { root: Some(root), .. }) = node::parse_tolerantly(text) else { return to_yaml(value) };
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
    let is_ended = before.lines().next_back().is_none_or(|line| split::is_marker(line, "..."));
    if is_ended || after.lines().next().is_none_or(|line| split::is_marker(line, "---")) {
        ""
    } else if after.starts_with('%') {
        "...\n"
    } else {
        "---\n"
    }
}
