//! Pod templates in documents: which objects have one, where it is, and whose pods come from it.
//!
//! Kinds that are known are in a table with the places of their templates ([`TABLE`]). In all other kinds, what looks like
//! a pod template is one where it asks for a conversion itself, by an annotation, or where its place was named.

mod kinds;
mod path;
mod remark;
mod special;
mod structure;
mod survey;
mod template;

pub use kinds::{Engine, Place, PodOwner, TABLE, Treatment};
pub use path::{PathError, TemplatePath};
pub use remark::{Remark, RemarkKind};
pub use special::Special;
pub(super) use template::with_paths;
pub use template::{Basis, Owner, Template, UnfitPatch};

use json_patch::jsonptr::PointerBuf;
use native_sidecar_core::text::one_line;
use path::LONGEST_FIELD;
use serde_json::Value;
use std::fmt;
use survey::Survey;

/// What an object is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectName {
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`; empty where the manifest leaves it open.
    pub namespace: String,
    /// `metadata.name`, or `metadata.generateName` with a `*`.
    pub name: String,
}

/// How pod templates are looked for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Ways to templates in objects of kinds that are not known, or of a kind that they name.
    pub paths: Vec<TemplatePath>,
    /// Whether a `ResourceList` is a list, as it is for a function of kustomize.
    pub resource_list: bool,
}

/// The API group of an `apiVersion`; empty for Kubernetes' own `v1`.
fn group(version: &str) -> &str {
    version.split_once('/').map_or("", |(group, _)| group)
}

fn below(path: &PointerBuf, tokens: &[impl AsRef<str>]) -> PointerBuf {
    let mut path = path.clone();
    for token in tokens {
        path.push_back(token.as_ref());
    }
    path
}

/// `name` on one line, as it is told, and copied for each template. The API server takes no longer one than what is left here.
fn short(name: &str) -> String {
    match name.char_indices().nth(LONGEST_FIELD) {
        Some((end, _)) => format!("{}…", one_line(&name[..end])),
        None => one_line(name).into_owned(),
    }
}

// === impl Search ===

impl Search {
    /// All pod templates in `document`.
    ///
    /// # Errors
    ///
    /// The number of the item of a `List` that is no object, counted from 1.
    pub fn templates(&self, document: &Value) -> Result<Vec<Template>, usize> {
        Ok(Survey::of(self, document)?.templates())
    }

    /// What there is to say about `document` beside the findings of its templates: wishes that nobody reads, and templates
    /// that are left.
    #[must_use]
    pub fn remarks(&self, document: &Value) -> Vec<Remark> {
        // A list that is none is an error of its own.
        Survey::of(self, document).map(|survey| remark::remarks(&survey)).unwrap_or_default()
    }
}

// === impl ObjectName ===

impl ObjectName {
    /// What `object`, which is a `kind`, is called.
    fn of(object: &Value, kind: &str) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().map(short).unwrap_or_default();
        let generated = || metadata["generateName"].as_str().map(|name| format!("{}*", short(name)));
        let name = Some(text("name")).filter(|name| !name.is_empty()).or_else(generated);
        Self {
            kind: short(kind),
            namespace: text("namespace"),
            name: name.unwrap_or_else(|| "(without a name)".to_owned()),
        }
    }

    /// What the document as a whole is called.
    #[must_use]
    pub fn of_document(document: &Value) -> Self {
        Self::of(document, document["kind"].as_str().unwrap_or("(without a kind)"))
    }
}

/// `Deployment/shop/web`, or `Deployment/web` where the namespace is open.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

#[cfg(test)]
mod tests;
