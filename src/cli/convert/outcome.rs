//! What came of manifests, as data: every way to tell it, to people or machines, is made from this.

use crate::cli::{
    codes::{UNREADABLE_FILE, UNREADABLE_TEMPLATE},
    input::InputError,
    level::Level,
};
use json_patch::{Patch, jsonptr::PointerBuf};
use native_sidecar_core::{
    conversion::Decision,
    findings::{Code, Finding},
    text::one_line,
};
use native_sidecar_manifest::{ManifestError, ObjectName, Position, Search};
use std::{
    collections::{BTreeSet, HashSet},
    fmt,
};

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct RunOutcome {
    /// What came of each file, in their order.
    pub files: Vec<FileOutcome>,
    /// What is to be said about all of them together.
    pub findings: Vec<Told>,
}

/// What came of one file, or of standard input.
#[derive(Clone, Debug, Default)]
pub struct FileOutcome {
    /// The file, as the user named it.
    pub name: String,
    /// What was found in a folder, and is no manifest: it was passed over.
    pub passed_over: Vec<Unread>,
    /// What cannot be read in it.
    pub errors: Vec<Unread>,
    /// What came of its documents, in their order.
    pub documents: Vec<DocumentOutcome>,
}

/// Something that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// What kind of thing it is.
    pub code: &'static str,
    /// The document's number in the file, counted from 1; `None` where it is the whole file.
    pub document: Option<usize>,
    /// Where it is.
    pub position: Option<Position>,
    /// What is wrong, and what to do.
    pub message: String,
    /// The same with its place: one line.
    pub line: String,
}

/// What came of one document.
#[derive(Clone, Debug)]
pub struct DocumentOutcome {
    /// Its number in the file, counted from 1.
    pub number: usize,
    /// What it is called.
    pub object: ObjectName,
    /// `apiVersion`; empty where it has none.
    pub api_version: String,
    /// Where it begins.
    pub position: Option<Position>,
    /// What is to be said about it beside its pod templates.
    pub findings: Vec<Told>,
    /// What came of its pod templates.
    pub templates: Vec<TemplateOutcome>,
    /// What was done to it; empty where nothing was.
    pub patch: Patch,
}

/// What came of one pod template.
#[derive(Clone, Debug)]
pub struct TemplateOutcome {
    /// The object that it belongs to: the document, or an item of a list.
    pub object: ObjectName,
    /// Where it is in its document.
    pub path: PointerBuf,
    /// Where it begins.
    pub position: Option<Position>,
    /// What became of it.
    pub decision: Decision,
    /// The containers that were moved, or would be.
    pub moved: Vec<Moved>,
    /// The number of the place given from outside (`--template-path`) at which it was found.
    pub named: Option<usize>,
    /// Names given from outside (`--containers`) that the pod does not have; `None` where none were given for it.
    pub absent: Option<Vec<String>>,
    /// Everything that was found out.
    pub findings: Vec<Told>,
}

/// A container that is a native sidecar now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The container's name.
    pub container: String,
    /// Its index in `initContainers`; `None` where the template was not written.
    pub index: Option<usize>,
    /// Where it was in the source.
    pub position: Option<Position>,
}

/// One thing that is told about a document or a pod template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How much it weighs.
    pub level: Level,
    /// What kind of thing it is; `native-sidecar explain` has more on it.
    pub code: String,
    /// The object in the document that it is about; `None` where it is that of the template, or the document.
    pub object: Option<ObjectName>,
    /// The container that it is about.
    pub container: Option<String>,
    /// Where in the document it is: a JSON pointer.
    pub path: PointerBuf,
    /// One sentence: what happens, where, and what to do.
    pub message: String,
    /// Where the container, or what it is about, stands in the source.
    pub position: Option<Position>,
    /// Whether the pod template accepts it, so that it holds nothing back.
    pub accepted: bool,
}

// === impl RunOutcome ===

impl RunOutcome {
    /// What came of `files`, with a warning for each name of `containers`, and each place of `search`, that leads nowhere.
    #[must_use]
    pub fn of(files: Vec<FileOutcome>, search: &Search, containers: Option<&str>) -> Self {
        let warning = |code, message| Told::warning(code, message, PointerBuf::new(), None);
        let nowhere = found_nowhere(&files, containers).into_iter().map(|name| {
            let message = "is named by --containers, and no pod that was read has it; check the name".to_owned();
            Told { container: Some(name.to_owned()), ..warning(Code::NameNotFound.as_str(), message) }
        });
        let is_used = |number| {
            let by_template =
                files.iter().flat_map(FileOutcome::templates).any(|template| template.named == Some(number));
            by_template || files.iter().flat_map(FileOutcome::told).any(|told| told.code == UNREADABLE_TEMPLATE)
        };
        let unused = search.paths.iter().enumerate().filter(|(number, _)| !is_used(*number)).map(|(_, path)| {
            let message = format!("--template-path {path} leads nowhere in what was read; check the path");
            warning(UNREADABLE_TEMPLATE, message)
        });
        let findings = nowhere.chain(unused).collect();
        Self { files, findings }
    }

    /// All pod templates.
    pub fn templates(&self) -> impl Iterator<Item = &TemplateOutcome> {
        self.files.iter().flat_map(FileOutcome::templates)
    }

    /// Everything that cannot be read.
    pub fn errors(&self) -> impl Iterator<Item = &Unread> {
        self.files.iter().flat_map(|file| &file.errors)
    }

    /// Everything that is told.
    pub fn told(&self) -> impl Iterator<Item = &Told> {
        self.findings.iter().chain(self.files.iter().flat_map(FileOutcome::told))
    }
}

/// The names in `asked` that no pod has of those for which they were given.
fn found_nowhere<'n>(files: &'n [FileOutcome], asked: Option<&'n str>) -> BTreeSet<&'n str> {
    let names = asked.into_iter().flat_map(|asked| asked.split(',')).map(str::trim).filter(|name| !name.is_empty());
    let mut nowhere: BTreeSet<_> = names.collect();
    for template in files.iter().flat_map(FileOutcome::templates) {
        let Some(absent) = &template.absent else { continue };
        if nowhere.is_empty() {
            break;
        }
        let absent: HashSet<_> = absent.iter().map(String::as_str).collect();
        nowhere.retain(|name| absent.contains(name));
    }
    nowhere
}

// === impl FileOutcome ===

impl FileOutcome {
    /// How many documents there are in it, those that cannot be read among them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.documents.len() + self.errors.len()
    }

    /// Whether nothing in it was looked at.
    #[must_use]
    pub fn is_passed_over(&self) -> bool {
        !self.passed_over.is_empty() && self.documents.is_empty() && self.errors.is_empty()
    }

    /// All pod templates.
    pub fn templates(&self) -> impl Iterator<Item = &TemplateOutcome> {
        self.documents.iter().flat_map(|document| &document.templates)
    }

    /// Everything told about its documents and templates.
    pub fn told(&self) -> impl Iterator<Item = &Told> {
        self.documents.iter().flat_map(DocumentOutcome::told)
    }

    /// Whether a document is another now.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.documents.iter().any(|document| !document.patch.0.is_empty())
    }
}

// === impl Unread ===

impl Unread {
    /// What is wrong with a whole file or folder, which `text` names.
    #[must_use]
    pub fn of_file(text: &str) -> Self {
        let line = one_line(text).into_owned();
        Self { code: UNREADABLE_FILE, document: None, position: None, message: line.clone(), line }
    }

    /// What is wrong with one document of `file`.
    #[must_use]
    pub fn of_document(
        file: &str,
        code: &'static str,
        document: usize,
        position: Option<Position>,
        message: String,
    ) -> Self {
        let place = position.map(|Position { line, column }| format!(":{line}:{column}")).unwrap_or_default();
        let line = one_line(&format!("{file}{place}: document {document}: {message}")).into_owned();
        Self { code, document: Some(document), position, message, line }
    }
}

impl From<&ManifestError> for Unread {
    fn from(error: &ManifestError) -> Self {
        let (code, message) = (error.code(), one_line(&error.what).into_owned());
        let line = one_line(&error.to_string()).into_owned();
        Self { code, document: error.document, position: error.position, message, line }
    }
}

impl From<&InputError> for Unread {
    fn from(error: &InputError) -> Self {
        Self::of_file(&error.to_string())
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

// === impl DocumentOutcome ===

impl DocumentOutcome {
    /// Everything told about it and its templates.
    pub fn told(&self) -> impl Iterator<Item = &Told> {
        self.findings.iter().chain(self.templates.iter().flat_map(|template| &template.findings))
    }
}

// === impl TemplateOutcome ===

impl TemplateOutcome {
    /// Whether it is another now, or would be.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.decision == Decision::Converted
    }

    /// Where the first of the moved containers stands in the source, or the template.
    #[must_use]
    pub fn place(&self) -> Option<Position> {
        self.moved.first().and_then(|moved| moved.position).or(self.position)
    }

    /// The names of the moved containers.
    #[must_use]
    pub fn moved_names(&self) -> String {
        self.moved.iter().map(|moved| moved.container.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Whether it was left as it is because of a finding.
    #[must_use]
    pub fn is_left(&self) -> bool {
        matches!(self.decision, Decision::Blocked | Decision::Denied)
    }
}

// === impl Moved ===

/// `proxy to initContainers[0]`.
impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{} to initContainers[{index}]", self.container),
            None => f.write_str(&self.container),
        }
    }
}

// === impl Told ===

impl Told {
    /// A finding about a pod; `accepted` where it would hold the conversion back and does not.
    #[must_use]
    pub fn of_finding(finding: &Finding, path: PointerBuf, position: Option<Position>, accepted: bool) -> Self {
        Self {
            level: finding.severity().into(),
            code: finding.code.to_string(),
            object: None,
            container: finding.container.clone(),
            path,
            message: finding.message.clone(),
            position,
            accepted,
        }
    }

    /// The message with the container that it is about.
    #[must_use]
    pub fn sentence(&self) -> String {
        match &self.container {
            Some(container) => format!("container {container:?}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// A warning about a document.
    #[must_use]
    pub fn warning(code: &str, message: String, path: PointerBuf, position: Option<Position>) -> Self {
        let (level, code) = (Level::Warning, code.to_owned());
        Self { level, code, object: None, container: None, path, message, position, accepted: false }
    }
}

/// `warning host-port: container "proxy": message`; `accepted` in place of the level where the pod accepts it.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.accepted { "accepted" } else { self.level.as_str() };
        write!(f, "{level} {}: {}", self.code, self.sentence())
    }
}
