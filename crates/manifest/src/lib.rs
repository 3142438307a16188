//! Manifests: documents in, documents out, and the pod templates in them.
//!
//! A manifest is one input: YAML or JSON, one document or many. Documents that nobody changes come out as
//! they came in, byte for byte where the output has the format of the input.

mod document;
mod error;
mod json;
mod located;
mod workload;
mod yaml;

pub use document::Document;
pub use error::{Fault, ManifestError, Obstacle, Position};
pub use located::Located;
pub use workload::{
    Basis, Engine, ObjectName, Owner, PathError, Place, PodOwner, Remark, RemarkKind, Search, Special, TABLE, Template,
    TemplatePath, Treatment, UnfitPatch,
};
pub use yaml::to_yaml;

use document::Change;
use error::Flaw;
use json_patch::{Patch, PatchError, PatchOperation};
use serde_json::Value;
use std::ops::Range;

/// A byte order mark.
const MARK: char = '\u{feff}';

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
    /// The byte order mark that the input begins with, which is no part of its text.
    mark: String,
    text: String,
    pieces: Vec<Piece>,
    documents: Vec<Document>,
}

/// A part of an input; all parts together are its text.
#[derive(Clone, Debug)]
struct Piece {
    range: Range<usize>,
    /// Where in the file it begins.
    start: Position,
    /// Which document it is, counted from 0; `None` where it is none.
    document: Option<usize>,
}

/// How a change was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Only the lines concerned were touched, or the input is not YAML.
    Edited,
    /// The whole document was written anew, without the comments in it, because of this.
    Anew(Obstacle),
}

/// A text before or after the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// As it was read.
    Before,
    /// With the changes.
    After,
}

// === impl Written ===

/// What there is to say about a document that was written anew: `written anew, without its comments: an alias in line 12
/// cannot be edited in place`.
impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Edited => f.write_str("edited in place"),
            Self::Anew(obstacle) => {
                write!(f, "written anew, without its comments: {obstacle} cannot be edited in place")
            }
        }
    }
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
    /// A document that only `kubectl` understands (a key stands in it twice, say) is read too where it has no
    /// key of ours; see [`Document::tolerated`].
    ///
    /// # Errors
    ///
    /// When it is neither YAML nor JSON, a key stands twice in a document that has one of ours, or a document is no object.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        let (manifest, errors) = Self::read_all(name, bytes);
        errors.into_iter().next().map_or(Ok(manifest), Err)
    }

    /// Reads the input called `name` with what cannot be read in it: each such document is kept as it is, is counted, and
    /// has its error here; see [`Document::is_opaque`]. Behind a fault in JSON all that follows is one such document. What
    /// is no text at all cannot be cut into documents: the manifest is then empty, and the error says [`Fault::Encoding`].
    #[must_use]
    pub fn read_all(name: &str, bytes: &[u8]) -> (Self, Vec<ManifestError>) {
        let (mark, text) = match decode(name, bytes) {
            Ok(whole) => whole.split_at(whole.len() - whole.trim_start_matches(MARK).len()),
            Err(error) => return (Self::empty(name, Format::Yaml, ""), vec![error]),
        };
        let (manifest, errors) = Self::of_text(name, text);
        (Self { mark: mark.to_owned(), ..manifest }, errors)
    }

    fn of_text(name: &str, text: &str) -> (Self, Vec<ManifestError>) {
        let may_be_json = text.trim_start().starts_with(['{', '[']) && !yaml::begins_as_template(text);
        match may_be_json.then(|| json::read(text)) {
            Some((documents, None)) => Self::of_json(name, text, documents, None),
            Some((documents, Some(flaw))) => {
                // Braces and brackets are YAML too.
                let yaml = Self::of_yaml(name, text);
                let is_yaml = yaml.1.is_empty() || yaml.0.pieces.len() > 1;
                if is_yaml { yaml } else { Self::of_json(name, text, documents, Some(yaml::unrendered(text, flaw))) }
            }
            None => Self::of_yaml(name, text),
        }
    }

    fn of_json(name: &str, text: &str, read: Vec<json::Piece>, broken: Option<Flaw>) -> (Self, Vec<ManifestError>) {
        let mut manifest = Self::empty(name, Format::Json, text);
        let mut errors = Vec::new();
        for json::Piece { range, value, tolerated } in read {
            manifest.add_text(range.start);
            errors.extend(manifest.add_document(range, Ok((value, tolerated))));
        }
        if let Some(flaw) = broken {
            let from = manifest.end();
            let blank = text[from..].len() - text[from..].trim_start().len();
            manifest.add_text(from + blank);
            errors.extend(manifest.add_document(from + blank..text.len(), Err(flaw)));
        }
        manifest.add_text(text.len());
        (manifest, errors)
    }

    fn of_yaml(name: &str, text: &str) -> (Self, Vec<ManifestError>) {
        let mut manifest = Self::empty(name, Format::Yaml, text);
        let mut errors = Vec::new();
        for yaml::Piece { range, content } in yaml::read(text) {
            match content.transpose() {
                Some(read) => {
                    let read = read.map(|yaml::Read { value, tolerated }| (value, tolerated));
                    errors.extend(manifest.add_document(range, read));
                }
                None => manifest.add_text(range.end),
            }
        }
        (manifest, errors)
    }

    fn empty(name: &str, format: Format, text: &str) -> Self {
        let (name, text) = (name.to_owned(), text.to_owned());
        Self { name, format, mark: String::new(), text, pieces: Vec::new(), documents: Vec::new() }
    }

    /// Where the pieces end.
    fn end(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.range.end)
    }

    fn add(&mut self, range: Range<usize>, document: Option<usize>) -> Position {
        let start =
            self.pieces.last().map_or(Position::START, |last| last.start.behind(&self.text[last.range.clone()]));
        self.pieces.push(Piece { range, start, document });
        start
    }

    /// Adds the text up to `end`, which is no document.
    fn add_text(&mut self, end: usize) {
        if end > self.end() {
            self.add(self.end()..end, None);
        }
    }

    /// Adds a document; what is wrong with it comes back.
    fn add_document(
        &mut self,
        range: Range<usize>,
        read: Result<(Value, Option<Flaw>), Flaw>,
    ) -> Option<ManifestError> {
        let number = self.documents.len();
        let start = self.add(range, Some(number));
        let piece = self.pieces.len() - 1;
        let in_file = |flaw: Flaw| flaw.in_file(&self.name, number + 1);
        let read = read.and_then(|(value, tolerated)| Ok((as_object(value, start)?, tolerated)));
        let (document, error) = match read {
            Ok((value, None)) => (Document::read(piece, value), None),
            Ok((value, Some(flaw))) if !document::has_our_key(&value) => {
                (Document::tolerant(piece, value, in_file(flaw)), None)
            }
            Ok((_, Some(flaw))) | Err(flaw) => (Document::opaque(piece), Some(in_file(flaw))),
        };
        self.documents.push(document);
        error
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
        search.templates(document.value(Side::Before)).map_err(|item| {
            let what = "expected a Kubernetes object with apiVersion and kind; correct the list".to_owned();
            Flaw { position: None, item: Some(item), fault: Fault::NotAnObject, what }.in_file(&self.name, index + 1)
        })
    }

    /// Where the values of document `index`, counted from 0, are in the file as it was read. Whoever has many questions asks
    /// them of one answer.
    #[must_use]
    pub fn located(&self, index: usize) -> Located {
        let Some(document) = self.documents.get(index).filter(|document| !document.is_opaque()) else {
            return Located::default();
        };
        let start = self.pieces.get(document.piece).map_or(Position::START, |piece| piece.start);
        match self.format {
            Format::Yaml => yaml::located(self.source(document), start),
            Format::Json => Located::in_json(self.source(document), start),
        }
    }

    /// Applies `patch` to document `index`, counted from 0.
    ///
    /// # Errors
    ///
    /// When the patch does not apply.
    pub fn apply(&mut self, index: usize, patch: &Patch) -> Result<Written, PatchError> {
        let Some(document) = self.documents.get(index) else { return Ok(Written::Edited) };
        let mut value = document.value(Side::Before).clone();
        json_patch::patch(&mut value, patch)?;
        arrange(&mut value, patch);
        let (text, written) = match self.format {
            Format::Yaml => {
                let text = self.source(document);
                match yaml::edited(text, patch, &value) {
                    Ok(text) => (Some(text), Written::Edited),
                    Err(obstacle) => {
                        let start = self.pieces.get(document.piece).map_or(Position::START, |piece| piece.start);
                        let position = obstacle.position.from(start);
                        (Some(yaml::rewritten(text, &value)), Written::Anew(Obstacle { position, ..obstacle }))
                    }
                }
            }
            Format::Json => (Some(json::edited(self.source(document), patch, &value)), Written::Edited),
        };
        if let Some(document) = self.documents.get_mut(index) {
            document.change = Some(Change { value, text });
        }
        Ok(written)
    }

    /// The text of a document as it was read.
    fn source(&self, document: &Document) -> &str {
        self.pieces.get(document.piece).map_or("", |piece| &self.text[piece.range.clone()])
    }

    /// Whether a document was changed.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.documents.iter().any(|document| document.change.is_some())
    }

    /// The input's text, as it was written: what was not changed is as it came in, byte for byte.
    #[must_use]
    pub fn text(&self, side: Side) -> String {
        self.pieces(side).into_iter().map(|(_, text)| text).collect()
    }

    /// The input's text in pieces, with the number of the document that each is.
    #[must_use]
    pub fn pieces(&self, side: Side) -> Vec<(Option<usize>, String)> {
        let mut pieces = match self.format {
            Format::Yaml => self.yaml(side),
            Format::Json => {
                self.pieces.iter().map(|piece| (piece.document, self.piece(piece, side).to_owned())).collect()
            }
        };
        match pieces.first_mut() {
            Some((_, first)) => first.insert_str(0, &self.mark),
            None if !self.mark.is_empty() => pieces.push((None, self.mark.clone())),
            None => {}
        }
        pieces
    }

    fn piece(&self, piece: &Piece, side: Side) -> &str {
        let document = piece.document.and_then(|number| self.documents.get(number));
        document.and_then(|document| document.text(side)).unwrap_or_else(|| &self.text[piece.range.clone()])
    }

    /// The manifest as YAML, in pieces with the number of the document that each is, without a byte order mark.
    #[must_use]
    pub fn yaml(&self, side: Side) -> Vec<(Option<usize>, String)> {
        let mut pieces: Vec<(Option<usize>, String)> = Vec::new();
        for piece in &self.pieces {
            let document = piece.document.and_then(|number| self.documents.get(number));
            let text = match (self.format, document) {
                (Format::Json, None) => continue,
                (Format::Json, Some(document)) if !document.is_opaque() => to_yaml(document.value(side)),
                _ => self.piece(piece, side).to_owned(),
            };
            push_document(&mut pieces, piece.document, text);
        }
        pieces
    }

    /// All of `manifests` as JSON, one object after the other. What came in as JSON stays as it was written, but for a byte
    /// order mark inside; of YAML, a document that could not be read is left out, for it has no form in JSON.
    ///
    /// # Errors
    ///
    /// When a value cannot be written.
    pub fn all_as_json(manifests: &[Self], side: Side) -> Result<String, serde_json::Error> {
        let mark = Self::first_mark(manifests, Format::Json);
        let mut all = mark.to_owned();
        for manifest in manifests {
            if all.len() > mark.len() && !all.ends_with('\n') {
                all.push('\n');
            }
            match manifest.format {
                Format::Json => all.extend(manifest.pieces.iter().map(|piece| manifest.piece(piece, side))),
                Format::Yaml => {
                    for document in manifest.documents.iter().filter(|document| !document.is_opaque()) {
                        all.push_str(&serde_json::to_string_pretty(document.value(side))?);
                        all.push('\n');
                    }
                }
            }
        }
        Ok(all)
    }

    /// The byte order mark that all of `manifests` together begin with when they are written in `format`: that of the first
    /// one, where its text comes out as it came in.
    fn first_mark(manifests: &[Self], format: Format) -> &str {
        manifests.first().filter(|first| first.format == format).map_or("", |first| &first.mark)
    }

    /// All of `manifests` as one YAML stream. A byte order mark stays at its beginning, and nowhere else.
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
        let mark = Self::first_mark(manifests, Format::Yaml).to_owned();
        all.into_iter().fold(mark, |all, (_, text)| all + &text)
    }

    /// The text of a document so that more can follow: the line break that the file lacks at its end does not become part
    /// of the document's last text.
    fn ended(&self, number: Option<usize>, text: String, side: Side) -> String {
        let document = number.and_then(|number| self.documents.get(number));
        let document = document.filter(|document| !text.ends_with('\n') && !document.is_opaque());
        match document {
            Some(document) => yaml::ended(text, document.value(side)),
            None => text,
        }
    }
}

/// Adds one more piece to YAML, with what must stand between.
fn push_document(pieces: &mut Vec<(Option<usize>, String)>, number: Option<usize>, mut text: String) {
    if let Some((_, before)) = pieces.last_mut() {
        if !before.ends_with('\n') && !before.is_empty() {
            before.push('\n');
        }
        text.insert_str(0, yaml::separator(before, &text));
    }
    pieces.push((number, text));
}

/// `value`, which begins at `start`, where it is an object.
fn as_object(value: Value, start: Position) -> Result<Value, Flaw> {
    let found = match value {
        Value::Object(_) => return Ok(value),
        Value::Array(_) => "a list",
        _ => "a single value",
    };
    let what = format!("expected a Kubernetes object with apiVersion and kind, found {found}");
    Err(Flaw::at(start, Fault::NotAnObject, what))
}

/// The text of an input, with its byte order mark.
fn decode<'b>(name: &str, bytes: &'b [u8]) -> Result<&'b str, ManifestError> {
    let error = |position, what: &str| ManifestError {
        file: name.to_owned(),
        document: None,
        item: None,
        position,
        fault: Fault::Encoding,
        what: what.to_owned(),
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(error(None, "the file is UTF-16; save it as UTF-8"));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(flaw) => {
            let sound = String::from_utf8_lossy(&bytes[..flaw.valid_up_to()]);
            let sound = sound.trim_start_matches(MARK);
            Err(error(Some(Position::of(sound, sound.len())), "this byte is not UTF-8; save the file as UTF-8"))
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
