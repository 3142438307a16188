//! Known sidecars: how each is recognised, and what its vendor would have written.
//!
//! The entries live in `known.yaml`, compiled in; `docs/catalogue.md` describes the format. A file of the
//! user's own adds entries and replaces those of the same name. An entry is data: [`crate::conversion`]
//! turns it into changes of a pod.

mod check;
mod condition;
mod entry;

pub use condition::{Condition, Image, glob};
pub(crate) use condition::{flag, is_on};
pub use entry::{
    AnnotationRewrite, CommandSuffix, Entry, ExcludedPort, Hook, Place, ProbeSource, Recognition, Redirection, Stage,
    StartupProbeForm, ValueSource, WhenEmpty,
};
pub(crate) use entry::{all_hold, any_holds};

use crate::pod::{Container, Details, Pod};
use serde::Deserialize;
use std::collections::BTreeSet;

const BUILT_IN: &str = include_str!("known.yaml");

/// The known sidecars, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    sidecars: Vec<Entry>,
}

/// Why a text is not a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue {origin} is not understood: {reason}; docs/catalogue.md describes the format")]
pub struct CatalogueError {
    /// Where the text is from.
    origin: String,
    /// What is wrong with it.
    reason: String,
}

// === impl Catalogue ===

impl Catalogue {
    /// The catalogue that is compiled in.
    #[must_use]
    pub fn built_in() -> Self {
        // A test parses the compiled-in text, so the fallback (no known sidecars) is never taken.
        Self::parse("known.yaml", BUILT_IN).unwrap_or_default()
    }

    /// The text of the catalogue that is compiled in.
    #[must_use]
    pub const fn built_in_text() -> &'static str {
        BUILT_IN
    }

    /// Reads a catalogue; `origin` says in errors where the text is from.
    ///
    /// # Errors
    ///
    /// When the text is no YAML or does not follow the format of `docs/catalogue.md`.
    pub fn parse(origin: &str, text: &str) -> Result<Self, CatalogueError> {
        let format = |reason: String| CatalogueError { origin: origin.to_owned(), reason };
        let file: File = serde_saphyr::from_str(text).map_err(|error| format(one_line(&error.to_string())))?;
        let mut seen = BTreeSet::new();
        for entry in &file.sidecars {
            if !seen.insert(entry.name.as_str()) {
                return Err(format(format!("two entries are called {:?}", entry.name)));
            }
            entry.check().map_err(|reason| format(format!("entry {:?}: {reason}", entry.name)))?;
        }
        Ok(Self { entries: file.sidecars })
    }

    /// This catalogue with the entries of `other` in front; entries of the same name are replaced.
    #[must_use]
    pub fn extended_by(mut self, other: Self) -> Self {
        self.entries.retain(|entry| other.entries.iter().all(|new| new.name != entry.name));
        let mut entries = other.entries;
        entries.append(&mut self.entries);
        Self { entries }
    }

    /// The entries, in the order in which they are tried.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The first entry that recognises `container`.
    #[must_use]
    pub fn recognise(&self, pod: &Pod<'_>, container: &Container<'_>, details: &Details<'_>) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.recognises(pod, container, details))
    }

    /// The names (globs) of sidecars that traffic is redirected to.
    pub fn carriers(&self) -> impl Iterator<Item = &str> {
        let carriers = self.entries.iter().filter(|entry| entry.is_mesh_proxy() || entry.redirected_by.is_some());
        carriers.flat_map(|entry| &entry.recognise.containers).map(String::as_str)
    }

    /// The names (globs) that mesh proxies go by.
    pub fn mesh_proxies(&self) -> impl Iterator<Item = &str> {
        let meshes = self.entries.iter().filter(|entry| entry.is_mesh_proxy());
        meshes.flat_map(|entry| &entry.recognise.containers).map(String::as_str)
    }

    /// Whether any entry could recognise a container called `name`; spares parsing the others.
    #[must_use]
    pub fn may_know(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.recognise.containers.iter().any(|pattern| glob(pattern, name)))
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_is_sound() {
        let catalogue = Catalogue::parse("known.yaml", BUILT_IN).unwrap();
        assert!(catalogue.entries().len() >= 28);
        assert_eq!(Catalogue::built_in().entries().len(), catalogue.entries().len());
    }

    #[test]
    fn a_users_entry_replaces_the_one_of_the_same_name_and_comes_first() {
        let user =
            "sidecars:\n- name: fluentd\n  vendor: us\n  stage: data\n  recognise: {containers: [x], images: [y]}\n";
        let catalogue = Catalogue::built_in().extended_by(Catalogue::parse("user", user).unwrap());
        assert_eq!(catalogue.entries()[0].vendor, "us");
        assert_eq!(catalogue.entries().iter().filter(|entry| entry.name == "fluentd").count(), 1);
    }

    fn probing(from: &str, with: &str) -> String {
        let entry = "sidecars:\n- name: a\n  vendor: b\n  stage: data\n  recognise: {containers: [a], images: [b]}\n";
        format!("{entry}  startup-probe:\n  - from: {from}\n    with: {{{with}}}\n")
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, says) in [
            ("sidecars: 5", "user.yaml"),
            ("sidecars:\n- name: a\n  vendor: b\n  stage: late\n  recognise: {containers: [a], images: [b]}\n", "late"),
            ("sidecars:\n- name: a\n  vendor: b\n  stage: data\n  recognize: {}\n", "recognize"),
            (
                "sidecars:\n- name: a\n  vendor: b\n  stage: data\n  recognise: {containers: [], images: [b]}\n",
                "containers",
            ),
            (&probing("{handler: {httpget: {port: 1}}}", ""), "httpget"),
            (&probing("{handler: {httpGet: {port: '{prt}'}}}", ""), "{prt}"),
            (&probing("readiness-handler", "periodSecond: 1"), "periodSecond"),
        ] {
            let error = Catalogue::parse("user.yaml", text).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("user.yaml") && !error.contains('\n'), "{error}");
        }
    }
}
