//! Manifests: documents in, documents out, and the pod templates in them.
//!
//! A manifest is one input: YAML or JSON, one document or many. Documents that nobody changes come out as
//! they came in, byte for byte where the output has the format of the input.

mod error;
mod json;
mod workload;
mod yaml;

pub use error::{ManifestError, Position};
pub use workload::{
    Basis, Engine, ObjectName, Owner, PathError, Place, PodOwner, Remark, RemarkKind, Search, Special, TABLE, Template,
    TemplatePath, Treatment, UnfitPatch,
};
pub use yaml::to_yaml;

use error::Flaw;
use json_patch::{Patch, PatchError, PatchOperation};
use serde_json::Value;
use std::ops::Range;

/// How a manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML, of which JSON between `---` is a part.
    Yaml,
    /// One JSON object, or several one after the other.
    Json,
}

/// One input.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The input, as the user named it.
    pub name: String,
    /// How it is written.
    pub format: Format,
    text: String,
    /// Where the texts are that together are the input, and which document each is.
    pieces: Vec<(Range<usize>, Option<usize>)>,
    documents: Vec<Document>,
}

/// One document.
#[derive(Clone, Debug)]
pub struct Document {
    value: Value,
    change: Option<Changed>,
}

/// What became of a document.
#[derive(Clone, Debug)]
struct Changed {
    value: Value,
    /// The document's new text, where the input is YAML.
    text: Option<String>,
}

/// How a change was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Only the lines concerned were touched, or the input is not YAML.
    Edited,
    /// The whole document was written anew, without the comments in it.
    Anew,
}

/// A text before or after the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// As it was read.
    Before,
    /// With the changes.
    After,
}

/// The key that a new entry called `name` is put in front of, where there is one.
///
/// Order means nothing to machines; people look for init containers where they run, before the others.
fn stands_before(name: &str) -> Option<&'static str> {
    (name == "initContainers").then_some("containers")
}

// === impl Manifest ===

impl Manifest {
    /// Reads the input called `name`.
    ///
    /// # Errors
    ///
    /// When it is neither YAML nor JSON, a key stands twice, or a document is no object.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        let text = decode(name, bytes)?;
        if text.starts_with(['{', '[']) || text.trim_start().starts_with(['{', '[']) {
            match json::read(text) {
                Ok(documents) => return Self::of_json(name, text, documents),
                Err((number, flaw)) => {
                    // Braces and brackets are YAML too.
                    let is_json =
                        serde_json::Deserializer::from_str(text).into_iter::<Value>().all(|value| value.is_ok());
                    if is_json || yaml::read(text).is_err() {
                        return Err(flaw.in_file(name, number));
                    }
                }
            }
        }
        Self::of_yaml(name, text)
    }

    fn of_json(name: &str, text: &str, read: json::Located) -> Result<Self, ManifestError> {
        let mut manifest = Self::empty(name, Format::Json, text);
        for (range, value) in read {
            let blank = text[range.clone()].len() - text[range.clone()].trim_start().len();
            manifest.add(range.start + blank..range.end, Some(value))?;
        }
        Ok(manifest)
    }

    fn of_yaml(name: &str, text: &str) -> Result<Self, ManifestError> {
        let mut manifest = Self::empty(name, Format::Yaml, text);
        let pieces = yaml::read(text).map_err(|(number, flaw)| flaw.in_file(name, number))?;
        for yaml::Piece { range, value } in pieces {
            manifest.add(range, value)?;
        }
        Ok(manifest)
    }

    fn empty(name: &str, format: Format, text: &str) -> Self {
        Self { name: name.to_owned(), format, text: text.to_owned(), pieces: Vec::new(), documents: Vec::new() }
    }

    fn add(&mut self, range: Range<usize>, value: Option<Value>) -> Result<(), ManifestError> {
        let number = value.as_ref().map(|_| self.documents.len());
        if let Some(value) = value {
            let found = match value {
                Value::Object(_) => None,
                Value::Array(_) => Some("a list"),
                _ => Some("a single value"),
            };
            if let Some(found) = found {
                let what = format!("expected a Kubernetes object with apiVersion and kind, found {found}");
                let flaw = Flaw::at(Position::of(&self.text, range.start), what);
                return Err(flaw.in_file(&self.name, self.documents.len() + 1));
            }
            self.documents.push(Document { value, change: None });
        }
        self.pieces.push((range, number));
        Ok(())
    }

    /// The documents, without empty ones.
    #[must_use]
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// The pod templates in document `index`, counted from 0.
    ///
    /// # Errors
    ///
    /// When an item of a list is no object.
    pub fn templates(&self, index: usize) -> Result<Vec<Template>, ManifestError> {
        self.templates_with(index, &Search::default())
    }

    /// The pod templates in document `index`, counted from 0, that `search` finds.
    ///
    /// # Errors
    ///
    /// When an item of a list is no object.
    pub fn templates_with(&self, index: usize, search: &Search) -> Result<Vec<Template>, ManifestError> {
        let Some(document) = self.documents.get(index) else { return Ok(Vec::new()) };
        search.templates(&document.value).map_err(|item| {
            let what = "expected a Kubernetes object with apiVersion and kind; correct the list".to_owned();
            Flaw { position: None, item: Some(item), what }.in_file(&self.name, index + 1)
        })
    }

    /// Applies `patch` to document `index`, counted from 0.
    ///
    /// # Errors
    ///
    /// When the patch does not apply.
    pub fn apply(&mut self, index: usize, patch: &Patch) -> Result<Written, PatchError> {
        let Some(document) = self.documents.get_mut(index) else { return Ok(Written::Edited) };
        let mut value = document.value.clone();
        json_patch::patch(&mut value, patch)?;
        arrange(&mut value, patch);
        let piece = self.pieces.iter().find(|(_, number)| *number == Some(index));
        let text = piece.map(|(range, _)| &self.text[range.clone()]).filter(|_| self.format == Format::Yaml);
        let edited = text.map(|text| yaml::edited(text, patch, &value));
        let written = if matches!(edited, Some(None)) { Written::Anew } else { Written::Edited };
        let text = edited.map(|edited| edited.unwrap_or_else(|| yaml::rewritten(text.unwrap_or_default(), &value)));
        document.change = Some(Changed { value, text });
        Ok(written)
    }

    /// The manifest as YAML, in pieces with the number of the document that each is.
    #[must_use]
    pub fn yaml(&self, side: Side) -> Vec<(Option<usize>, String)> {
        let mut pieces: Vec<(Option<usize>, String)> = Vec::new();
        for (range, number) in &self.pieces {
            let document = number.and_then(|number| self.documents.get(number));
            let text = match (self.format, document) {
                (Format::Json, Some(document)) => to_yaml(document.value(side)),
                (_, document) => {
                    let changed = document.and_then(|document| document.text(side));
                    changed.unwrap_or_else(|| &self.text[range.clone()]).to_owned()
                }
            };
            push_document(&mut pieces, *number, text);
        }
        pieces
    }

    /// All of `manifests` as one YAML stream.
    #[must_use]
    pub fn all_as_yaml(manifests: &[Self], side: Side) -> String {
        let mut all = Vec::new();
        let Some((last, others)) = manifests.split_last() else { return String::new() };
        for manifest in others {
            for (number, text) in manifest.yaml(side) {
                push_document(&mut all, number, manifest.ended(number, text, side));
            }
        }
        for (number, text) in last.yaml(side) {
            push_document(&mut all, number, text);
        }
        all.into_iter().map(|(_, text)| text).collect()
    }

    /// The text of a document so that more can follow: the line break that the file lacks at its end does not become part
    /// of the document's last text.
    fn ended(&self, number: Option<usize>, text: String, side: Side) -> String {
        let document = number.and_then(|number| self.documents.get(number)).filter(|_| !text.ends_with('\n'));
        match document.map(|document| document.value(side)) {
            Some(value) if !yaml::means(&format!("{text}\n"), value) => yaml::rewritten(&text, value),
            _ => text,
        }
    }
}

/// Adds one more piece to YAML, with what must stand between.
fn push_document(pieces: &mut Vec<(Option<usize>, String)>, number: Option<usize>, mut text: String) {
    if let Some((_, before)) = pieces.last_mut() {
        if !before.ends_with('\n') && !before.is_empty() {
            before.push('\n');
        }
        let ended = before.lines().next_back().is_some_and(|line| line.trim_end() == "...");
        if !ended {
            text.insert_str(0, yaml::separator(before, &text));
        }
    }
    pieces.push((number, text));
}

/// The text of an input, without a byte order mark.
fn decode<'b>(name: &str, bytes: &'b [u8]) -> Result<&'b str, ManifestError> {
    let error = |position, what: &str| ManifestError {
        file: name.to_owned(),
        document: None,
        item: None,
        position,
        what: what.to_owned(),
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(error(None, "the file is UTF-16; save it as UTF-8"));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.trim_start_matches('\u{feff}')),
        Err(flaw) => {
            let sound = String::from_utf8_lossy(&bytes[..flaw.valid_up_to()]);
            Err(error(Some(Position::of(&sound, sound.len())), "this byte is not UTF-8; save the file as UTF-8"))
        }
    }
}

/// Puts new entries where people look for them.
fn arrange(value: &mut Value, patch: &Patch) {
    for operation in &patch.0 {
        let PatchOperation::Add(add) = operation else { continue };
        let Some((parent, token)) = add.path.split_back() else { continue };
        let Some(before) = stands_before(&token.decoded()) else { continue };
        let Some(Value::Object(map)) = value.pointer_mut(parent.as_str()) else { continue };
        let position = |name: &str| map.keys().position(|key| key == name);
        let (Some(from), Some(to)) = (position(&token.decoded()), position(before)) else { continue };
        if from > to
            && let Some((key, entry)) = map.shift_remove_entry(token.decoded().as_ref())
        {
            map.shift_insert(to, key, entry);
        }
    }
}

// === impl Document ===

impl Document {
    /// The document's value.
    #[must_use]
    pub fn value(&self, side: Side) -> &Value {
        self.change.as_ref().filter(|_| side == Side::After).map_or(&self.value, |change| &change.value)
    }

    fn text(&self, side: Side) -> Option<&str> {
        self.change.as_ref().filter(|_| side == Side::After)?.text.as_deref()
    }
}
