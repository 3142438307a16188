//! One document of a manifest, and what became of it.

use crate::{ManifestError, Side};
use native_sidecar_core::intent;
use serde_json::Value;

/// One document.
#[derive(Clone, Debug)]
pub struct Document {
    /// The number of its piece of the input.
    pub(super) piece: usize,
    pub(super) change: Option<Change>,
    content: Content,
}

/// What became of a document.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) value: Value,
    /// The document's new text.
    pub(super) text: Option<String>,
}

/// What is known of a document.
#[derive(Clone, Debug)]
enum Content {
    Read(Value),
    /// Only `kubectl` reads it, and it has no key of ours.
    Tolerated(Value, ManifestError),
    Opaque,
}

/// Whether a key of ours stands anywhere in `value`.
pub(super) fn has_our_key(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| intent::is_ours(key) || has_our_key(value)),
        Value::Array(items) => items.iter().any(has_our_key),
        _ => false,
    }
}

// === impl Document ===

impl Document {
    pub(super) fn read(piece: usize, value: Value) -> Self {
        Self { piece, change: None, content: Content::Read(value) }
    }

    pub(super) fn tolerant(piece: usize, value: Value, error: ManifestError) -> Self {
        Self { piece, change: None, content: Content::Tolerated(value, error) }
    }

    pub(super) fn opaque(piece: usize) -> Self {
        Self { piece, change: None, content: Content::Opaque }
    }

    /// The document's value; null where it is opaque.
    #[must_use]
    pub fn value(&self, side: Side) -> &Value {
        let before = match &self.content {
            Content::Read(value) | Content::Tolerated(value, _) => value,
            Content::Opaque => &Value::Null,
        };
        self.change.as_ref().filter(|_| side == Side::After).map_or(before, |change| &change.value)
    }

    /// Whether the document could not be read: it has no value, and its text comes out as it came in.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        matches!(self.content, Content::Opaque)
    }

    /// Why other readers than `kubectl` would refuse the document, or understand it in another way. Its value is what
    /// `kubectl` makes of it, it has no key of ours, and its text comes out as it came in. Nothing in it is to be changed.
    #[must_use]
    pub fn tolerated(&self) -> Option<&ManifestError> {
        match &self.content {
            Content::Tolerated(_, error) => Some(error),
            Content::Read(_) | Content::Opaque => None,
        }
    }

    /// The document's new text on `side`, where there is one.
    pub(super) fn text(&self, side: Side) -> Option<&str> {
        self.change.as_ref().filter(|_| side == Side::After)?.text.as_deref()
    }
}
