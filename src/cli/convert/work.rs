//! One manifest, converted in memory: what `convert` and `fn` share.

use super::outcome::{DocumentOutcome, FileOutcome, Moved, TemplateOutcome, Told, Unread};
use crate::cli::{
    codes::{OTHER_COMMAND, WRITTEN_ANEW},
    level::Level,
};
use json_patch::{
    Patch, PatchError,
    jsonptr::{Pointer, PointerBuf},
};
use native_sidecar_core::{
    conversion::{Conversion, Decision, Settings, convert},
    findings::{Code, Finding, Severity},
};
use native_sidecar_manifest::{
    Basis, Located, Manifest, ManifestError, ObjectName, Remark, RemarkKind, Search, Side, Special, Template,
    UnfitPatch, Written,
};
use serde_json::Value;
use std::collections::HashMap;

/// Why a manifest could not be converted; all but the first are bugs.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// A list holds something else than objects, or readers disagree on what a document that is to be converted means.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A conversion's patch does not fit its template.
    #[error("{object}: {source}; please report this")]
    Unfit {
        /// The object.
        object: ObjectName,
        /// What is wrong.
        source: UnfitPatch,
    },
    /// A patch does not apply to its document.
    #[error("{file}: document {document}: the patch does not apply: {source}; please report this")]
    Patch {
        /// The file.
        file: String,
        /// The document, counted from 1.
        document: usize,
        /// What is wrong.
        source: PatchError,
    },
}

/// One document on its way.
struct Desk<'m> {
    manifest: &'m Manifest,
    index: usize,
    value: &'m Value,
    located: Located,
}

/// Where the containers of a pod template are in its document.
struct Containers<'v>(HashMap<&'v str, PointerBuf>);

/// Converts all documents of `manifest`, and says what came of them.
///
/// A document that is not clear enough to be converted is one of the errors in what came of it, and stays as it is.
///
/// # Errors
///
/// Only for bugs; `manifest` may then be converted in part.
pub fn convert_manifest(
    manifest: &mut Manifest,
    search: &Search,
    settings: Settings<'_>,
) -> Result<FileOutcome, WorkError> {
    let (mut documents, mut errors) = (Vec::with_capacity(manifest.documents().len()), Vec::new());
    for index in 0..manifest.documents().len() {
        if manifest.documents()[index].is_opaque() {
            continue;
        }
        match convert_document(manifest, index, search, settings) {
            Ok(document) => documents.push(document),
            Err(WorkError::Manifest(error)) => errors.push(Unread::from(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(FileOutcome { name: manifest.name.clone(), documents, errors, ..FileOutcome::default() })
}

fn convert_document(
    manifest: &mut Manifest,
    index: usize,
    search: &Search,
    settings: Settings<'_>,
) -> Result<DocumentOutcome, WorkError> {
    let mut outcome = Desk::new(manifest, index).outcome(search, settings)?;
    if outcome.patch.0.is_empty() {
        return Ok(outcome);
    }
    let written = manifest.apply(index, &outcome.patch).map_err(|source| {
        let file = manifest.name.clone();
        WorkError::Patch { file, document: index + 1, source }
    })?;
    if let Written::Anew(obstacle) = &written {
        let message = written.to_string();
        outcome.findings.push(Told::warning(WRITTEN_ANEW, message, PointerBuf::new(), Some(obstacle.position)));
    }
    let after = manifest.documents()[index].value(Side::After);
    for template in &mut outcome.templates {
        number(template, after);
    }
    Ok(outcome)
}

/// Fills in where the moved containers are now.
fn number(template: &mut TemplateOutcome, document: &Value) {
    let pod = document.pointer(template.path.as_str()).unwrap_or(&Value::Null);
    let init = pod["spec"]["initContainers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = init.iter().enumerate().filter_map(|(index, container)| Some((container["name"].as_str()?, index)));
    let indices: HashMap<_, _> = names.collect();
    for moved in &mut template.moved {
        moved.index = indices.get(&*moved.container).copied();
    }
}

// === impl Desk ===

impl<'m> Desk<'m> {
    fn new(manifest: &'m Manifest, index: usize) -> Self {
        let value = manifest.documents()[index].value(Side::Before);
        Self { manifest, index, value, located: manifest.located(index) }
    }

    /// What is to become of the document; nothing is changed yet.
    fn outcome(&self, search: &Search, settings: Settings<'_>) -> Result<DocumentOutcome, WorkError> {
        let mut outcome = DocumentOutcome {
            number: self.index + 1,
            object: ObjectName::of_document(self.value),
            api_version: self.value["apiVersion"].as_str().unwrap_or_default().to_owned(),
            position: self.located.position(Pointer::root()),
            findings: self.remarks(search, settings),
            templates: Vec::new(),
            patch: Patch::default(),
        };
        let templates = self.manifest.templates_with(self.index, search)?;
        Template::each(&templates, self.value, settings, |template, settings| {
            let conversion = convert(&template.pod(self.value), settings);
            outcome.templates.push(self.template(template, &conversion, settings));
            // The webhook notes on the pod why it was left; a manifest is left as it is, and the report tells.
            if conversion.decision == Decision::Converted {
                let patch = template.patch_of_document(&conversion.patch, self.value);
                let object = || template.object.clone();
                outcome.patch.0.append(&mut patch.map_err(|source| WorkError::Unfit { object: object(), source })?.0);
            }
            Ok::<_, WorkError>(())
        })?;
        match self.manifest.documents()[self.index].tolerated() {
            Some(error) if !outcome.patch.0.is_empty() => Err(error.clone().into()),
            _ => Ok(outcome),
        }
    }

    /// What there is to say about the document beside its templates.
    fn remarks(&self, search: &Search, settings: Settings<'_>) -> Vec<Told> {
        let mut told = Vec::new();
        if let Some(special) = Special::of(self.value).filter(|special| !special.holds_objects()) {
            let (message, start) = (format!("is {special}"), self.located.position(Pointer::root()));
            told.push(Told::warning(OTHER_COMMAND, message, PointerBuf::new(), start));
        }
        told.extend(search.remarks(self.value).into_iter().map(|remark| {
            let position = self.located.position(&remark.place);
            let Remark { kind, severity, place, message, object } = remark;
            // Somebody asked for all pods, so that what is left is more than worth knowing.
            let is_asked = settings.containers.is_some() && kind == RemarkKind::UnknownKind;
            let level = if is_asked { Level::Warning } else { severity.into() };
            let code = kind.code().to_owned();
            Told { level, code, object: Some(object), container: None, path: place, message, position, accepted: false }
        }));
        told
    }

    fn template(&self, template: &Template, conversion: &Conversion, settings: Settings<'_>) -> TemplateOutcome {
        let Conversion { decision, findings, reasons, native, .. } = conversion;
        let containers = Containers::of(self.value, template);
        let place = |name: &str| self.located.position(containers.0.get(name)?);
        let position = self.located.position(&template.path);
        // A name from outside that one pod lacks says nothing about that pod.
        let is_absent = |finding: &&Finding| settings.containers.is_some() && finding.code == Code::NameNotFound;
        let unsaid = reasons.iter().filter(|reason| !findings.contains(reason));
        let all = || findings.iter().chain(unsaid.clone());
        let absent = all().filter(is_absent);
        let told = |finding: &Finding| {
            let accepted = finding.severity() == Severity::Blocker && !reasons.contains(finding);
            let path = finding.container.as_deref().and_then(|name| containers.0.get(name)).unwrap_or(&template.path);
            Told::of_finding(finding, path.clone(), self.located.position(path), accepted)
        };
        let moved = |name: &String| Moved { container: name.clone(), index: None, position: place(name) };
        TemplateOutcome {
            object: template.object.clone(),
            path: template.path.clone(),
            position,
            decision: *decision,
            moved: native.iter().map(moved).collect(),
            named: match template.basis {
                Basis::Path(number) => Some(number),
                Basis::Kind | Basis::Annotation => None,
            },
            absent: settings.containers.map(|_| absent.filter_map(|finding| finding.container.clone()).collect()),
            findings: all().filter(|finding| !is_absent(finding)).map(told).collect(),
        }
    }
}

// === impl Containers ===

impl<'v> Containers<'v> {
    fn of(document: &'v Value, template: &Template) -> Self {
        let mut pointers = HashMap::new();
        for list in ["initContainers", "containers"] {
            let mut path = template.path.clone();
            path.push_back("spec");
            path.push_back(list);
            let items = document.pointer(path.as_str()).and_then(Value::as_array);
            for (index, container) in items.into_iter().flatten().enumerate() {
                if let Some(name) = container["name"].as_str() {
                    let mut place = path.clone();
                    place.push_back(index);
                    pointers.insert(name, place);
                }
            }
        }
        Self(pointers)
    }
}
