//! Known sidecars: how each is recognised, and what its vendor would have written; and engines, which look for a
//! container at its place.
//!
//! The entries live in `known/`, the engines in `engines.yaml`, compiled in; `docs/catalogue.md` describes the format. A
//! file of the user's own adds entries and engines, and replaces those of the same name. An entry is data: [`crate::conversion`]
//! turns it into changes of a pod.

mod check;
mod condition;
mod engine;
mod entry;
mod image;
mod index;
mod pattern;

pub use condition::{Condition, Key};
pub(crate) use condition::{all_hold, any_holds, is_on};
pub use engine::Engine;
pub use entry::{
    AnnotationRewrite, Bypass, CommandSuffix, Entry, ExcludedPort, Gate, Hook, Listener, Place, ProbeSource,
    ReadsLines, Recognition, Redirection, Serves, Stage, StartupProbeForm, ValueSource, WhenEmpty, first_value,
};
pub use image::{Image, ImagePattern, Origins};
pub use pattern::Pattern;

use crate::{
    pod::{Container, Pod},
    text::joined,
};
use index::Index;
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::BTreeSet;

/// One YAML document in several files, by what the sidecars do; the order counts.
const BUILT_IN: &str = concat!(
    "# Known sidecars: how each is recognised and what its vendor would have written.\n",
    "# docs/catalogue.md describes the format. The order counts: the first entry that recognises a container wins.\n",
    "#\n",
    "# A startup probe is only given where something proves that the sidecar answers it: the vendor's own native form,\n",
    "# a probe the container brings, or a flag. A declared port proves nothing, and a wrong probe keeps the application\n",
    "# from ever starting.\n",
    "sidecars:\n\n",
    include_str!("known/network.yaml"),
    "\n",
    include_str!("known/identity.yaml"),
    "\n",
    include_str!("known/workflows.yaml"),
    "\n",
    include_str!("known/telemetry.yaml"),
    "\n",
    include_str!("known/data.yaml"),
    "\n",
    include_str!("known/exporters.yaml"),
    "\n",
    include_str!("known/edge.yaml"),
    "\n",
    include_str!("engines.yaml"),
);

/// The known sidecars and the engines, each in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
    index: Index,
    engines: Vec<Engine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    sidecars: Option<Vec<Spanned<Entry>>>,
    engines: Option<Vec<Spanned<Engine>>>,
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
        Self::parse("known/", BUILT_IN).unwrap_or_default()
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
        let error = |reason: String| CatalogueError { origin: origin.to_owned(), reason };
        let file = read(text).map_err(error)?;
        if file.sidecars.is_none() && file.engines.is_none() {
            return Err(error("it has neither sidecars nor engines".to_owned()));
        }
        let sidecars = file.sidecars.unwrap_or_default();
        let entries = checked("sidecar", sidecars, |entry| &entry.name, Entry::check).map_err(error)?;
        let engines = file.engines.unwrap_or_default();
        let engines = checked("engine", engines, |engine| &engine.name, Engine::check).map_err(error)?;
        Ok(Self::of(entries, engines))
    }

    /// This catalogue with the entries and engines of `other` in front; those of the same name are replaced.
    #[must_use]
    pub fn extended_by(mut self, other: Self) -> Self {
        self.entries.retain(|entry| other.entries.iter().all(|new| new.name != entry.name));
        self.engines.retain(|engine| other.engines.iter().all(|new| new.name != engine.name));
        let (mut entries, mut engines) = (other.entries, other.engines);
        entries.append(&mut self.entries);
        engines.append(&mut self.engines);
        Self::of(entries, engines)
    }

    /// The entries, in the order in which they are tried.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The engines, in the order in which they are tried.
    #[must_use]
    pub fn engines(&self) -> &[Engine] {
        &self.engines
    }

    /// The entry called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The first entry that recognises `container` of `pod`. One in which nothing is started that its image is for is none.
    #[must_use]
    pub fn recognise(&self, pod: &Pod<'_>, container: &Container<'_>) -> Option<&Entry> {
        if condition::only_stays(container) {
            return None;
        }
        let origins = Image::parse(container.image()).origins();
        let mut candidates = self.index.by_image(&origins).filter_map(|index| self.entries.get(index));
        candidates.find(|entry| entry.recognises(pod, container, &origins))
    }

    /// Whether a container called `name` may be a mesh proxy, by its name alone.
    #[must_use]
    pub fn may_be_mesh_proxy(&self, name: &str) -> bool {
        self.may_be(name, Entry::is_mesh_proxy)
    }

    /// Whether a container called `name` may be a sidecar that traffic is redirected to, by its name alone.
    #[must_use]
    pub fn may_carry(&self, name: &str) -> bool {
        self.may_be(name, Entry::is_carrier)
    }

    /// Whether one of the entries that are `such` has a container called `name`.
    fn may_be(&self, name: &str, such: impl Fn(&Entry) -> bool) -> bool {
        let fits = |entry: &Entry| entry.recognise.containers.iter().any(|pattern| pattern.matches(name));
        self.candidates(name).any(|entry| such(entry) && fits(entry))
    }

    /// The entries that may recognise a container called `name`, in the order in which they are tried.
    fn candidates(&self, name: &str) -> impl Iterator<Item = &Entry> {
        self.index.by_name(name).filter_map(|index| self.entries.get(index))
    }

    fn of(entries: Vec<Entry>, engines: Vec<Engine>) -> Self {
        Self { index: Index::of(&entries), entries, engines }
    }
}

/// The parts of a file's list, where each has a name of its own and passes its `check`; or what is wrong, and where.
fn checked<T>(
    kind: &str,
    parts: Vec<Spanned<T>>,
    name: impl Fn(&T) -> &String,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<Vec<T>, String> {
    let mut seen = BTreeSet::new();
    for Spanned { value: part, referenced, .. } in &parts {
        let place = format!("line {}: {kind} {:?}", referenced.line(), name(part));
        if !seen.insert(name(part)) {
            return Err(format!("{place}: an earlier one has the same name"));
        }
        check(part).map_err(|reason| format!("{place}: {reason}"))?;
    }
    Ok(parts.into_iter().map(|part| part.value).collect())
}

/// The file; or, as text, the line and the field at which it is none, and why.
fn read(text: &str) -> Result<File, String> {
    let mut field = String::new();
    let file = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            // `value` is the wrapper's, which keeps the line.
            field = error.path().to_string().replacen("].value", "]", 1);
            error.into_inner()
        })
    });
    file.map_err(|error| {
        let error = error.without_snippet();
        let place =
            error.location().map(|at| format!("line {}, column {}", at.line(), at.column())).unwrap_or_default();
        let reason = reason_of(error).replacen(&format!(" at {place}"), "", 1);
        // What is wrong with the whole file, or with a key, has no field.
        let field = field.trim_end_matches(['.', '?']);
        joined(&[&place, field, &reason].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": "))
    })
}

/// What the library says, where that is for people and not for programmers.
fn reason_of(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => match key {
            Some(key) => format!("the key {key} is given twice"),
            None => "a key is given twice".to_owned(),
        },
        serde_saphyr::Error::MultipleDocuments { .. } => "there is more than one document; write one".to_owned(),
        other => match other.to_string() {
            text if text.starts_with("expected sequence start") => {
                text.replacen("expected sequence start", "a list is wanted here", 1)
            }
            text if text.starts_with("expected mapping start") => {
                text.replacen("expected mapping start", "fields are wanted here", 1)
            }
            text if text.starts_with("expected string scalar") => {
                text.replacen("expected string scalar", "a text is wanted here", 1)
            }
            text => text,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_is_sound() {
        let catalogue = Catalogue::parse("known/", BUILT_IN).unwrap();
        assert!(catalogue.entries().len() >= 28 && catalogue.engines().len() >= 20);
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

    #[test]
    fn a_users_engine_replaces_the_one_of_the_same_name_and_comes_first() {
        let user = format!("{ENGINE}{}", ENGINE.trim_start_matches("engines:\n").replace("own", "tekton"));
        let catalogue = Catalogue::built_in().extended_by(Catalogue::parse("user", &user).unwrap());
        assert_eq!(catalogue.engines()[0].name, "own");
        let products = |name: &str| -> Vec<_> {
            let engines = catalogue.engines().iter().filter(|engine| engine.name == name);
            engines.map(|engine| &*engine.product).collect()
        };
        assert_eq!(products("tekton"), ["Ours"]);
        assert_eq!(catalogue.entries().len(), Catalogue::built_in().entries().len());
    }

    /// A file with one engine.
    const ENGINE: &str =
        "engines:\n- {name: own, product: Ours, containers: [a], how: execs into it, instead: leave it}\n";

    /// The beginning of a file with one entry.
    const ENTRY: &str =
        "sidecars:\n- name: a\n  vendor: b\n  stage: data\n  recognise: {containers: [a], images: [b]}\n";

    fn probing(from: &str, with: &str) -> String {
        format!("{ENTRY}  startup-probe:\n  - from: {from}\n    with: {{{with}}}\n")
    }

    fn setting(annotation: &str) -> String {
        format!("{ENTRY}  set-annotations: {{{annotation:?}: x}}\n")
    }

    #[test]
    fn entries_are_tried_in_their_order_whatever_they_are_found_by() {
        let entry = |name: &str, containers: &str| {
            format!(
                "- {{name: {name}, vendor: v, stage: data, recognise: {{containers: [{containers}], images: [i]}}}}\n"
            )
        };
        let file = ["a", "b", "c", "d", "e"].into_iter().zip(["'x*'", "x", "'*', x", "y", "x, x"]);
        let text: String = file.map(|(name, containers)| entry(name, containers)).collect();
        let catalogue = Catalogue::parse("user", &format!("sidecars:\n{text}")).unwrap();
        let names = |container: &str| -> Vec<_> { catalogue.candidates(container).map(|entry| &*entry.name).collect() };
        assert_eq!(names("x"), ["a", "b", "c", "e"]);
        assert_eq!(names("y"), ["a", "c", "d"]);
        assert_eq!(names("z"), ["a", "c"]);
    }

    #[test]
    fn the_index_leaves_out_no_entry_that_would_recognise() {
        let catalogue = Catalogue::built_in();
        let images =
            ["x/proxyv2-rhel9", "a/l5d-x-proxy", "vault:1", "rancher/mirrored-fluent-fluent-bit", "b/git_sync", ""];
        for (image, name) in pairs(&images, &["istio-proxy", "linkerd-proxy", "vault-agent-x", "a", "otc-container"]) {
            let pod = serde_json::json!({"metadata": {"labels": {"linkerd.io/control-plane-ns": "l"}},
                "spec": {"containers": [{"name": name, "image": image}]}});
            let text = pod.to_string();
            let pod = Pod::parse(&text).unwrap();
            let container = &pod.spec.containers[0];
            let origins = Image::parse(image).origins();
            let all = catalogue.entries().iter().find(|entry| entry.recognises(&pod, container, &origins));
            let indexed = catalogue.recognise(&pod, container);
            assert_eq!(indexed.map(|entry| &entry.name), all.map(|entry| &entry.name), "{name} {image}");
        }
    }

    fn pairs<'a>(images: &[&'a str], names: &[&'a str]) -> Vec<(&'a str, &'a str)> {
        images.iter().flat_map(|image| names.iter().map(move |name| (*image, *name))).collect()
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, says) in [
            ("sidecars: 5", "line 1, column 11: sidecars: "),
            ("sidecars:\n- name: [\n", "line 2, column 9: sidecars[0].name: a text is wanted here"),
            (
                "sidecars:\n- name: a\n  vendor: b\n  stage: late\n  recognise: {containers: [a], images: [b]}\n",
                "line 4, column 10: sidecars[0].stage: unknown variant `late`, expected one of network, ",
            ),
            (
                "sidecars:\n- name: a\n  vendor: b\n  stage: data\n  recognize: {}\n",
                "line 5, column 3: sidecars[0].recognize: unknown field `recognize`, expected one of name, ",
            ),
            (
                "sidecars:\n- name: a\n  vendor: b\n  stage: data\n  recognise: {containers: [], images: [b]}\n",
                "line 2: sidecar \"a\": recognise.containers needs at least one pattern",
            ),
            ("sidecars:\n- name: a\n  name: b\n", "line 3, column 3: sidecars[0]: the key name is given twice"),
            ("sidecars: []\n---\nsidecars: []\n", "more than one document"),
            ("- a\n", "line 1, column 1: "),
            (
                &format!("{ENTRY}  one-shot: [{{}}]\n"),
                "line 6, column 14: sidecars[0].one-shot[0]: a condition without a field would always hold",
            ),
            (&format!("{ENTRY}{}", &ENTRY[10..]), "line 6: sidecar \"a\": an earlier one has the same name"),
            (&probing("{handler: {httpget: {port: 1}}}", ""), "httpget"),
            (&probing("{handler: {httpGet: {port: '{prt}'}}}", ""), "{prt}"),
            (&probing("readiness-handler", "periodSecond: 1"), "periodSecond"),
            (&format!("{ENTRY}  gate: {{on-if: [], turned-on-by: x}}\n"), "on-if"),
            (&format!("{ENTRY}  gate: {{on-if: [{{flag: x}}], turned-on-by: x, env: {{'A=B': x}}}}\n"), "env"),
            (&format!("{ENTRY}  listens: [{{ports: [], address: [], reached-by: x}}]\n"), "address"),
            ("{}", "neither sidecars nor engines"),
            (&ENGINE.replace("[a]", "[]"), "containers"),
            (&ENGINE.replace("execs into it", "''"), "how and instead"),
            (&ENGINE.replace("Ours", "''"), "product"),
            (&ENGINE.replace("leave it", "\"leave\\nit\""), "one line"),
            (&ENGINE.replace("product", "pods: [{env: A}], product"), "env"),
            (&ENGINE.replace("product", "pods: [{not: {tag: A}}], product"), "pods"),
            (&ENGINE.replace("product", "pods: [{label: 'a*', value: b}], product"), "whole key"),
            (&format!("{ENGINE}{}", &ENGINE["engines:\n".len()..]), "line 3: engine \"own\": an earlier one"),
            (&setting("native-sidecar.io/converted"), "own"),
            (&setting("position.native-sidecar.io/a"), "own"),
            (&setting("example.com/a b"), "no annotation key"),
            (&setting("-example.com/a"), "no annotation key"),
            (&setting("a/b/c"), "no annotation key"),
        ] {
            let error = Catalogue::parse("user.yaml", text).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("user.yaml") && !error.contains('\n'), "{error}");
        }
    }
}
