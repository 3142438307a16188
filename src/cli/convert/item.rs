//! One input, from its bytes to what came of it.

use super::{
    outcome::{FileOutcome, Unread},
    sources::Source,
    work::{WorkError, convert_manifest},
};
use crate::cli::{codes::OTHER_COMMAND, input::InputError};
use json_patch::jsonptr::Pointer;
use native_sidecar_core::conversion::Settings;
use native_sidecar_manifest::{Document, Fault, Manifest, ManifestError, Search, Side, Special};
use std::path::PathBuf;

/// What every object says.
const API_VERSION: &[u8] = b"apiVersion";
/// What stands wherever somebody asks us for something.
const OURS: &[u8] = b"native-sidecar.io/";

/// One input, read and converted.
pub(super) struct Item {
    /// The manifest and where it is from; `None` where it could not be read, or is none.
    pub(super) manifest: Option<(PathBuf, Manifest)>,
    /// What came of it.
    pub(super) outcome: FileOutcome,
}

// === impl Item ===

impl Item {
    /// # Errors
    ///
    /// Only for bugs.
    pub(super) fn of(
        source: &Source,
        read: Result<(String, Vec<u8>), InputError>,
        search: &Search,
        settings: Settings<'_>,
    ) -> Result<Self, WorkError> {
        let (name, bytes) = match read {
            Ok(read) => read,
            Err(error) => return Ok(Self::unread(source.path.display().to_string(), Unread::from(&error))),
        };
        let (mut manifest, errors) = Manifest::read_all(&name, &bytes);
        let none_is_read = manifest.documents().iter().all(Document::is_opaque);
        let says_nothing = none_is_read && !contains(&bytes, API_VERSION);
        let is_other = |error: &ManifestError| match error.fault {
            Fault::Template => true,
            // A list such as a JSON Patch.
            Fault::NotAnObject => none_is_read,
            // The configuration of something else, in some dialect of JSON or YAML.
            _ => says_nothing,
        };
        let (others, errors): (Vec<_>, Vec<_>) = errors.into_iter().partition(|error| source.found && is_other(error));
        let mut passed_over: Vec<_> = others.iter().map(Unread::from).collect();
        if source.found && errors.is_empty() {
            passed_over.extend(no_manifest(&manifest, &bytes));
            if !passed_over.is_empty() && (others.is_empty() || none_is_read) {
                let outcome = FileOutcome { name, passed_over, ..FileOutcome::default() };
                return Ok(Self { manifest: None, outcome });
            }
        }
        let for_others = for_other_commands(&manifest);
        let mut outcome = convert_manifest(&mut manifest, search, settings)?;
        outcome.passed_over = passed_over;
        outcome.errors.extend(errors.iter().map(Unread::from).chain(for_others));
        outcome.errors.sort_by_key(|error| error.document);
        Ok(Self { manifest: Some((source.path.clone(), manifest)), outcome })
    }

    /// What cannot be read at all.
    pub(super) fn unread(name: String, error: Unread) -> Self {
        Self { manifest: None, outcome: FileOutcome { name, errors: vec![error], ..FileOutcome::default() } }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Why a file that nobody named is none to convert, although it can be read.
fn no_manifest(manifest: &Manifest, bytes: &[u8]) -> Option<Unread> {
    let readable = || manifest.documents().iter().enumerate().filter(|(_, document)| !document.is_opaque());
    let is_object = |document: &Document| {
        let value = document.value(Side::Before);
        value.get("apiVersion").is_some() || value.get("kind").is_some()
    };
    let (index, first) = readable().next()?;
    let unread = |message| Unread::of_document(&manifest.name, OTHER_COMMAND, index + 1, None, message);
    if let (Some(special), 1) = (Special::of(first.value(Side::Before)), readable().count()) {
        return Some(unread(format!("this is {special}")));
    }
    let any_object = readable().any(|(_, document)| is_object(document));
    (!any_object && !contains(bytes, OURS)).then(|| unread("this is no Kubernetes object".to_owned()))
}

/// What holds objects that `convert` would not see.
fn for_other_commands(manifest: &Manifest) -> Vec<Unread> {
    let documents = manifest.documents().iter().enumerate().filter(|(_, document)| !document.is_opaque());
    let unread = |(index, document): (usize, &Document)| {
        let special = Special::of(document.value(Side::Before))?;
        special.holds_objects().then(|| {
            let message = format!("this is {special}");
            let position = manifest.located(index).position(Pointer::root());
            Unread::of_document(&manifest.name, OTHER_COMMAND, index + 1, position, message)
        })
    };
    documents.filter_map(unread).collect()
}
