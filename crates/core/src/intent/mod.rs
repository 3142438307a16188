//! What the user asked for: the annotations of a pod, parsed once into an [`Intent`].
//!
//! Parsing never fails as a whole: what cannot be understood becomes a finding, and the rest stands.

mod annotations;
mod names;
mod probe;

pub use annotations::is_ours;
pub use annotations::{
    ACCEPT, BLOCKED, CONTAINERS, CONVERTED, KNOWN, MODE, ON_BLOCKER, POSITION_PREFIX, PRE_STOP_PREFIX,
    STARTUP_PROBE_PREFIX,
};
pub use names::{NamesError, NotAName, container_names};
pub use probe::{ProbeError, StartupProbe, patient_probe};

use crate::{
    findings::{Code, Finding, UnknownCode},
    pod::{Entries, Label, Pod},
    text::shorten,
};
use annotations::Key;
use names::{container_name, parts};
use std::collections::{BTreeMap, BTreeSet};

/// What annotations and the namespace ask for one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intent {
    /// Names in `native-sidecar.io/containers`, in the order in which they are to start, each once.
    pub containers: Vec<String>,
    /// `native-sidecar.io/known`; `None` where the pod leaves it to its namespace.
    pub known: Option<bool>,
    /// Findings that no longer hold the conversion back.
    pub accept: BTreeSet<Code>,
    /// What happens to a pod that cannot be converted.
    pub on_blocker: OnBlocker,
    /// `native-sidecar.io/mode`; `None` where the pod leaves it to its namespace and the server.
    pub mode: Option<Mode>,
    /// Wishes about single containers, by container name.
    pub wishes: BTreeMap<String, Wishes>,
    /// Names that an earlier call of the webhook recorded as converted.
    pub converted: BTreeSet<String>,
    /// What could not be understood.
    pub findings: Vec<Finding>,
}

/// What happens to a pod that cannot be converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBlocker {
    /// The pod passes unchanged.
    #[default]
    Leave,
    /// The pod is refused, with the reasons.
    Deny,
}

/// Whether a conversion is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    #[default]
    Convert,
    /// It is only told what would become of the pod, and nothing is written to it.
    Observe,
}

/// Wishes about one container that moves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// `position.native-sidecar.io/<container>`.
    pub position: Option<Position>,
    /// `startup-probe.native-sidecar.io/<container>`.
    pub startup_probe: Option<StartupProbe>,
    /// `pre-stop.native-sidecar.io/<container>`.
    pub pre_stop: Option<PreStop>,
}

/// A place among the init containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// In front of all others.
    First,
    /// Behind all others.
    Last,
    /// Directly in front of the named init container.
    Before(String),
    /// Directly behind the named init container.
    After(String),
}

/// What becomes of the container's preStop hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreStop {
    /// It stays as it is.
    Keep,
    /// It is removed.
    Remove,
}

/// Why the value of an annotation was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum ValueError {
    #[error("expected \"true\" or \"false\"")]
    Bool,
    #[error("expected `leave` or `deny`")]
    Action,
    #[error("expected `convert` or `observe`")]
    Mode,
    #[error("expected `first`, `last`, `before:<init container>` or `after:<init container>`")]
    Position,
    #[error("expected `keep` or `remove`")]
    Hook,
    #[error("{code:?}: {UnknownCode}{}", advice(*likely))]
    FindingCode { code: String, likely: Option<Code> },
    #[error(transparent)]
    Names(#[from] NamesError),
    #[error(transparent)]
    Name(#[from] NotAName),
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

// === impl Intent ===

impl Intent {
    /// Reads the annotations of `pod`.
    #[must_use]
    pub fn of(pod: &Pod<'_>) -> Self {
        let mut intent = Self::default();
        for (key, value) in pod.metadata.annotations.iter().flat_map(Entries::iter) {
            let Some(parsed) = Key::parse(key) else { continue };
            match value {
                Label::String(text) => {
                    if let Err(error) = intent.read(&parsed, text, pod) {
                        intent.findings.push(invalid_value(key, text, &parsed, &error));
                    }
                }
                Label::Other(json) => intent.read_no_string(key, json, &parsed, pod),
            }
        }
        intent
    }

    /// What the pod wishes for the container called `name`.
    #[must_use]
    pub fn wishes(&self, name: &str) -> Option<&Wishes> {
        self.wishes.get(name)
    }

    /// Whether an earlier call of the webhook recorded that it converted the container called `name`.
    #[must_use]
    pub fn has_converted(&self, name: &str) -> bool {
        self.converted.contains(name)
    }

    /// Asks for `names` as if the pod's annotation listed them; a list given by hand wins over the pod's own.
    pub fn ask_for(&mut self, names: &str) {
        let names = container_names(names);
        let read = names.as_ref().map(|names| owned(names)).map_err(|error| {
            let message = format!("the names given beside the pod: {error}");
            self.findings.push(Finding::pod(Code::InvalidValue, message));
        });
        self.containers = read.unwrap_or_default();
    }

    /// Whether there is anything to look at, even where known sidecars do not move.
    #[must_use]
    pub fn asks(&self) -> bool {
        !self.containers.is_empty() || !self.findings.is_empty() || !self.converted.is_empty()
    }

    /// Whether the pod itself asks for containers to be moved.
    #[must_use]
    pub fn asks_to_move(&self) -> bool {
        !self.containers.is_empty() || self.known == Some(true)
    }

    /// Warns about wishes for containers that `has_use` does not say have any use for them.
    pub fn unused_wishes(&self, has_use: impl Fn(&str) -> bool) -> impl Iterator<Item = Finding> {
        self.wishes.keys().filter(move |name| !has_use(name)).map(|name| {
            let message = "is named by an annotation of ours but is not being moved, so the annotation has no effect; \
                           correct the name in the key";
            Finding::container(Code::UnusedAnnotation, name, message)
        })
    }

    fn read(&mut self, key: &Key<'_>, value: &str, pod: &Pod<'_>) -> Result<(), ValueError> {
        let value = value.trim();
        match *key {
            Key::Containers => self.containers = owned(&container_names(value)?),
            // Nobody's wish: in a pod that is refused later, a container may have been moved that has no proper name.
            Key::Converted => self.converted = owned(&parts(value)?).into_iter().collect(),
            Key::Blocked => {}
            Key::Known => self.known = Some(boolean(value)?),
            Key::Accept => self.accept = codes(value)?,
            Key::OnBlocker => self.on_blocker = on_blocker(value)?,
            Key::Mode => self.take_mode(mode(value))?,
            Key::Position(name) => self.wish(name, pod, position(value)?, |wishes| &mut wishes.position)?,
            Key::StartupProbe(name) => self.wish(name, pod, value.parse()?, |wishes| &mut wishes.startup_probe)?,
            Key::PreStop(name) => self.wish(name, pod, pre_stop(value)?, |wishes| &mut wishes.pre_stop)?,
            Key::Unknown(key) => self.warn_of_unknown(key),
        }
        Ok(())
    }

    /// Notes that the annotation `key` has a value that is no string, but `json`.
    fn read_no_string(&mut self, key: &str, json: &str, parsed: &Key<'_>, pod: &Pod<'_>) {
        match *parsed {
            Key::Mode => self.mode = Some(Mode::Observe),
            Key::Unknown(key) => self.warn_of_unknown(key),
            _ => {}
        }
        self.findings.push(parsed.finding(no_string(key, json, parsed, pod)));
    }

    fn warn_of_unknown(&mut self, key: &str) {
        // Advice takes time; nobody reads it for the hundredth key.
        let likely = Some(key).filter(|_| self.findings.len() < MOST_ADVICE).and_then(annotations::likely);
        self.findings.push(unknown_annotation(key, likely.as_deref()));
    }

    /// What cannot be read may have been meant as `observe`, so it is: nothing is written, accepted or not.
    fn take_mode(&mut self, read: Result<Mode, ValueError>) -> Result<(), ValueError> {
        self.mode = Some(*read.as_ref().unwrap_or(&Mode::Observe));
        read.map(drop)
    }

    /// Notes a wish. Of a container that the pod does not have nothing is kept but that there is one.
    fn wish<T>(
        &mut self,
        container: &str,
        pod: &Pod<'_>,
        value: T,
        field: fn(&mut Wishes) -> &mut Option<T>,
    ) -> Result<(), NotAName> {
        let wishes = self.wishes.entry(container_name(container)?.to_owned()).or_default();
        if pod.container(container).is_some() {
            *field(wishes) = Some(value);
        }
        Ok(())
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// So many characters of a value are enough to recognise it.
const ENOUGH: usize = 41;
/// So many characters of a key. Those that Kubernetes takes have fewer, but for the longest of domains.
const LONGEST_KEY: usize = 150;
/// What the API server refuses: it reads annotations into a map of strings.
const NO_STRINGS: &str = "an object with an annotation that is no string";
/// How many unknown keys are compared with ours.
const MOST_ADVICE: usize = 32;

fn boolean(value: &str) -> Result<bool, ValueError> {
    value.parse().map_err(|_| ValueError::Bool)
}

fn codes(value: &str) -> Result<BTreeSet<Code>, ValueError> {
    let read = |code: &str| code.parse().map_err(|_| unknown_code(code));
    parts(value)?.into_iter().map(read).collect()
}

fn unknown_code(code: &str) -> ValueError {
    ValueError::FindingCode { code: shorten(code, ENOUGH), likely: Code::likely(code) }
}

fn advice(likely: Option<Code>) -> String {
    likely.map(|likely| format!(" (did you mean {likely}?)")).unwrap_or_default()
}

fn on_blocker(value: &str) -> Result<OnBlocker, ValueError> {
    match value {
        "leave" => Ok(OnBlocker::Leave),
        "deny" => Ok(OnBlocker::Deny),
        _ => Err(ValueError::Action),
    }
}

fn mode(value: &str) -> Result<Mode, ValueError> {
    match value {
        "convert" => Ok(Mode::Convert),
        "observe" => Ok(Mode::Observe),
        _ => Err(ValueError::Mode),
    }
}

fn position(value: &str) -> Result<Position, ValueError> {
    match value.split_once(':').map(|(place, name)| (place.trim(), name.trim())) {
        None if value == "first" => Ok(Position::First),
        None if value == "last" => Ok(Position::Last),
        Some(("before", name)) if !name.is_empty() => Ok(Position::Before(container_name(name)?.to_owned())),
        Some(("after", name)) if !name.is_empty() => Ok(Position::After(container_name(name)?.to_owned())),
        _ => Err(ValueError::Position),
    }
}

fn pre_stop(value: &str) -> Result<PreStop, ValueError> {
    match value {
        "keep" => Ok(PreStop::Keep),
        "remove" => Ok(PreStop::Remove),
        _ => Err(ValueError::Hook),
    }
}

fn invalid_value(key: &str, value: &str, parsed: &Key<'_>, error: &ValueError) -> Finding {
    let key = shorten(key, LONGEST_KEY);
    let found = match error {
        // They quote what they are about.
        ValueError::Name(_) | ValueError::Names(NamesError::NotAName(_) | NamesError::Pattern(_)) => String::new(),
        _ => format!(", found {:?}", shorten(value, ENOUGH)),
    };
    parsed.finding(format!("annotation {key}: {error}{found}"))
}

/// What is wrong with a value that is no string, but `json`, and what to write instead.
fn no_string(key: &str, json: &str, parsed: &Key<'_>, pod: &Pod<'_>) -> String {
    let (key, found) = (shorten(key, LONGEST_KEY), shorten(json, ENOUGH));
    let instead = match json.as_bytes() {
        b"null" => {
            let reason =
                "which the API server takes for an empty one; write a value in quotes, or remove the annotation";
            return format!("annotation {key}: expected a string, found null, {reason}");
        }
        [b'[', ..] if parsed.is_list() => "write one string with commas, such as \"a,b\"".to_owned(),
        [b'[' | b'{', ..] => "write a string in quotes".to_owned(),
        _ => match Intent::default().read(parsed, json, pod) {
            Ok(()) => format!("quote it (write \"{found}\")"),
            // In quotes it would be no better.
            Err(error) => error.to_string(),
        },
    };
    format!("annotation {key}: expected a string, found {found}, and the API server refuses {NO_STRINGS}; {instead}")
}

fn unknown_annotation(key: &str, likely: Option<&str>) -> Finding {
    let advice = likely.map_or_else(|| "see the README for the list".to_owned(), |key| format!("did you mean {key}?"));
    let key = shorten(key, LONGEST_KEY);
    Finding::pod(Code::UnknownAnnotation, format!("annotation {key} is not one we know and has no effect; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn intent(annotations: &[(&str, &str)]) -> Intent {
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        intent_of(&serde_json::json!(annotations))
    }

    fn intent_of(annotations: &serde_json::Value) -> Intent {
        let json = serde_json::json!({"metadata": {"annotations": annotations}}).to_string();
        Intent::of(&Pod::parse(&json).unwrap())
    }

    #[test]
    fn lists_tolerate_space_empty_parts_and_repeats() {
        let intent = intent(&[(CONTAINERS, " b ,, a,b,\n c ,")]);
        assert_eq!(intent.containers, ["b", "a", "c"]);
        assert!(intent.findings.is_empty());
    }

    #[test]
    fn a_list_beyond_all_measure_is_not_looked_at() {
        let names: Vec<_> = (0..=names::MOST_NAMES).map(|number| number.to_string()).collect();
        let names = names.join(",");
        let intent = intent(&[(CONTAINERS, &names), (CONVERTED, &names)]);
        assert!(intent.containers.is_empty() && intent.converted.is_empty());
        assert_eq!(intent.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::InvalidValue; 2]);
    }

    #[rstest]
    #[case("host-prot")]
    #[case("HOST-PORT")]
    #[case("Host_Port")]
    fn a_code_that_is_misspelt_gets_advice(#[case] code: &str) {
        let findings = intent(&[(ACCEPT, code)]).findings;
        assert!(findings[0].message.contains("did you mean host-port?"), "{}", findings[0]);
    }

    #[rstest]
    #[case(KNOWN, json!(true), "quote it (write \"true\")")]
    #[case(ON_BLOCKER, json!(5), "expected `leave` or `deny`")]
    #[case(CONTAINERS, json!(["a", "b"]), "write one string with commas")]
    #[case(ACCEPT, json!(["host-port"]), "write one string with commas")]
    #[case(CONTAINERS, json!({"a": 1}), "write a string in quotes")]
    #[case(KNOWN, json!([true]), "write a string in quotes")]
    #[case(CONTAINERS, json!(null), "takes for an empty one")]
    #[case(CONVERTED, json!(1), "quote it")]
    #[case(BLOCKED, json!(false), "quote it")]
    #[case(CONTAINERS, json!(5), "quote it (write \"5\")")]
    #[case("position.native-sidecar.io/a", json!(1), "`first`, `last`")]
    #[case("startup-probe.native-sidecar.io/a", json!({"http": 1}), "write a string in quotes")]
    #[case("pre-stop.native-sidecar.io/a", json!(false), "`keep` or `remove`")]
    fn a_value_that_is_no_string_is_a_blocker(#[case] key: &str, #[case] value: serde_json::Value, #[case] says: &str) {
        let intent = intent_of(&json!({key: value}));
        let [finding] = &*intent.findings else { panic!("{:?}", intent.findings) };
        assert_eq!(finding.code, Code::InvalidValue);
        assert!(finding.message.contains(key) && finding.message.contains(says), "{finding}");
        assert_eq!(Intent { findings: Vec::new(), ..intent }, Intent::default());
    }

    #[test]
    fn an_unknown_annotation_that_is_no_string_is_both() {
        let findings = intent_of(&json!({"native-sidecar.io/knwon": true})).findings;
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::UnknownAnnotation, Code::InvalidValue]);
    }

    #[test]
    fn a_mode_that_is_no_string_is_the_careful_one() {
        assert_eq!(intent_of(&json!({MODE: true})).mode, Some(Mode::Observe));
    }

    #[test]
    fn values_of_others_that_are_no_strings_are_none_of_our_business() {
        assert_eq!(intent_of(&json!({"example.com/a": true, "example.com/b": [1]})), Intent::default());
    }

    #[rstest]
    #[case(CONTAINERS, "b c; d")]
    #[case(CONTAINERS, "*")]
    #[case(CONTAINERS, "a,B")]
    #[case("position.native-sidecar.io/My_App", "first")]
    #[case("position.native-sidecar.io/", "first")]
    #[case("startup-probe.native-sidecar.io/a.b", "none")]
    #[case("pre-stop.native-sidecar.io/A", "keep")]
    #[case("position.native-sidecar.io/a", "before:b c")]
    #[case("position.native-sidecar.io/a", "after:B")]
    fn what_cannot_be_a_name_is_an_invalid_value(#[case] key: &str, #[case] value: &str) {
        let intent = intent(&[(key, value)]);
        let [finding] = &*intent.findings else { panic!("{:?}", intent.findings) };
        assert_eq!(finding.code, Code::InvalidValue);
        assert!(finding.message.contains(key), "{finding}");
        assert!(intent.containers.is_empty() && intent.wishes.is_empty());
    }

    #[test]
    fn a_list_from_outside_is_checked_too() {
        let mut intent = intent(&[(CONTAINERS, "a")]);
        intent.ask_for("*");
        assert_eq!(intent.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::InvalidValue]);
        assert!(intent.containers.is_empty());
    }

    #[test]
    fn the_record_of_what_was_moved_is_nobodys_wish() {
        let intent = intent(&[(CONVERTED, "My_App,b")]);
        assert!(intent.has_converted("My_App") && intent.findings.is_empty());
    }

    #[rstest]
    #[case("first", Some(Position::First))]
    #[case("last", Some(Position::Last))]
    #[case("before:init", Some(Position::Before("init".into())))]
    #[case(" after: init ", Some(Position::After("init".into())))]
    #[case("after:", None)]
    #[case("middle", None)]
    #[case("", None)]
    fn positions(#[case] value: &str, #[case] expected: Option<Position>) {
        let json = serde_json::json!({
            "metadata": {"annotations": {"position.native-sidecar.io/proxy": value}},
            "spec": {"containers": [{"name": "proxy"}]}
        });
        let json = json.to_string();
        let intent = Intent::of(&Pod::parse(&json).unwrap());
        assert_eq!(intent.wishes("proxy").and_then(|wishes| wishes.position.clone()), expected);
        assert_eq!(intent.findings.is_empty(), expected.is_some());
    }

    #[rstest]
    #[case(KNOWN, "yes")]
    #[case(ON_BLOCKER, "reject")]
    #[case(MODE, "observed")]
    #[case(ACCEPT, "host-port, host-prot")]
    #[case("pre-stop.native-sidecar.io/a", "drop")]
    #[case("startup-probe.native-sidecar.io/a", "http")]
    fn a_value_that_does_not_parse_is_a_blocker(#[case] key: &str, #[case] value: &str) {
        let findings = intent(&[(key, value)]).findings;
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].code, Code::InvalidValue);
        assert!(findings[0].message.contains(key), "{}", findings[0]);
    }

    #[rstest]
    #[case(" convert ", Mode::Convert)]
    #[case("observe", Mode::Observe)]
    #[case("Convert", Mode::Observe)]
    #[case("", Mode::Observe)]
    fn a_mode_that_is_not_understood_is_the_careful_one(#[case] value: &str, #[case] expected: Mode) {
        assert_eq!(intent(&[(MODE, value)]).mode, Some(expected));
        assert_eq!(intent(&[(MODE, value), (ACCEPT, "invalid-value")]).mode, Some(expected));
    }

    #[rstest]
    #[case("native-sidecar.io/container", "did you mean native-sidecar.io/containers?")]
    #[case("postion.native-sidecar.io/a", "did you mean position.native-sidecar.io/a?")]
    #[case("native-sidecar.io/zzzzzz", "see the README")]
    fn an_unknown_key_is_a_warning_with_advice(#[case] key: &str, #[case] advice: &str) {
        let findings = intent(&[(key, "x")]).findings;
        assert_eq!(findings[0].code, Code::UnknownAnnotation);
        assert!(findings[0].message.contains(advice), "{}", findings[0]);
    }

    #[test]
    fn keys_of_others_are_none_of_our_business() {
        let intent = intent(&[("example.com/native-sidecar.io", "x"), ("my-native-sidecar.io/containers", "x")]);
        assert_eq!(intent, Intent::default());
    }
}
