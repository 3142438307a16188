//! What the user asked for: the annotations of a pod, parsed once into an [`Intent`].
//!
//! Parsing never fails as a whole: what cannot be understood becomes a finding, and the rest stands.

mod annotations;
mod probe;

pub use annotations::is_ours;
pub use annotations::{
    ACCEPT, BLOCKED, CONTAINERS, CONVERTED, KNOWN, MODE, ON_BLOCKER, POSITION_PREFIX, PRE_STOP_PREFIX,
    STARTUP_PROBE_PREFIX,
};
pub use probe::{ProbeError, StartupProbe, patient_probe};

use crate::{
    findings::{Code, Finding, UnknownCode},
    pod::{Entries, Pod},
    text::{nearest, shorten},
};
use annotations::Key;
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
    #[error("{code:?}: {UnknownCode}{}", advice(likely.as_deref()))]
    FindingCode { code: String, likely: Option<String> },
    #[error("expected at most {MOST_NAMES} names")]
    TooMany,
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
            if let Err(error) = intent.read(&parsed, value, pod) {
                intent.findings.push(invalid_value(key, value, &parsed, &error));
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
        self.containers = list(names).collect();
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
            Key::Containers => self.containers = bounded_list(value)?,
            Key::Converted => self.converted = bounded_list(value)?.into_iter().collect(),
            Key::Blocked => {}
            Key::Known => self.known = Some(boolean(value)?),
            Key::Accept => self.accept = codes(value)?,
            Key::OnBlocker => self.on_blocker = on_blocker(value)?,
            Key::Mode => self.take_mode(mode(value))?,
            Key::Position(name) => self.wish(name, pod, position(value)?, |wishes| &mut wishes.position),
            Key::StartupProbe(name) => self.wish(name, pod, value.parse()?, |wishes| &mut wishes.startup_probe),
            Key::PreStop(name) => self.wish(name, pod, pre_stop(value)?, |wishes| &mut wishes.pre_stop),
            Key::Unknown(key) => {
                // Advice takes time; nobody reads it for the hundredth key.
                let likely = Some(key).filter(|_| self.findings.len() < MOST_ADVICE).and_then(annotations::likely);
                self.findings.push(unknown_annotation(key, likely.as_deref()));
            }
        }
        Ok(())
    }

    /// What cannot be read may have been meant as `observe`, so it is: nothing is written, accepted or not.
    fn take_mode(&mut self, read: Result<Mode, ValueError>) -> Result<(), ValueError> {
        self.mode = Some(*read.as_ref().unwrap_or(&Mode::Observe));
        read.map(drop)
    }

    /// Notes a wish. Of a container that the pod does not have nothing is kept but that there is one.
    fn wish<T>(&mut self, container: &str, pod: &Pod<'_>, value: T, field: fn(&mut Wishes) -> &mut Option<T>) {
        let wishes = self.wishes.entry(container.to_owned()).or_default();
        if pod.container(container).is_some() {
            *field(wishes) = Some(value);
        }
    }
}

/// A comma list: white space around names, empty parts and repeats are tolerated; the first mention counts.
fn list(value: &str) -> impl Iterator<Item = String> {
    let mut seen = BTreeSet::new();
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.filter(move |name| seen.insert(*name)).map(str::to_owned)
}

/// The same for an annotation: no pod has so many containers, and a list takes many times its length in memory.
fn bounded_list(value: &str) -> Result<Vec<String>, ValueError> {
    let names: Vec<_> = list(value).take(MOST_NAMES + 1).collect();
    if names.len() > MOST_NAMES { Err(ValueError::TooMany) } else { Ok(names) }
}

/// So many characters of a value are enough to recognise it.
const ENOUGH: usize = 41;
/// How many unknown keys are compared with ours.
const MOST_ADVICE: usize = 32;

/// More names than any pod has containers.
const MOST_NAMES: usize = 1000;

fn boolean(value: &str) -> Result<bool, ValueError> {
    value.parse().map_err(|_| ValueError::Bool)
}

fn codes(value: &str) -> Result<BTreeSet<Code>, ValueError> {
    let read = |code: String| code.parse().map_err(|_| unknown_code(&code));
    bounded_list(value)?.into_iter().map(read).collect()
}

fn unknown_code(code: &str) -> ValueError {
    let likely = nearest(code, Code::ALL.iter().map(ToString::to_string));
    ValueError::FindingCode { code: shorten(code, ENOUGH), likely }
}

fn advice(likely: Option<&str>) -> String {
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
        Some(("before", name)) if !name.is_empty() => Ok(Position::Before(name.to_owned())),
        Some(("after", name)) if !name.is_empty() => Ok(Position::After(name.to_owned())),
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
    let message = format!("annotation {key}: {error}, found {:?}", shorten(value, ENOUGH));
    match parsed.container() {
        Some(container) => Finding::container(Code::InvalidValue, container, message),
        None => Finding::pod(Code::InvalidValue, message),
    }
}

fn unknown_annotation(key: &str, likely: Option<&str>) -> Finding {
    let advice = likely.map_or_else(|| "see the README for the list".to_owned(), |key| format!("did you mean {key}?"));
    let key = shorten(key, 150);
    Finding::pod(Code::UnknownAnnotation, format!("annotation {key} is not one we know and has no effect; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn intent(annotations: &[(&str, &str)]) -> Intent {
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
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
        let names: Vec<_> = (0..=MOST_NAMES).map(|number| number.to_string()).collect();
        let names = names.join(",");
        let intent = intent(&[(CONTAINERS, &names), (CONVERTED, &names)]);
        assert!(intent.containers.is_empty() && intent.converted.is_empty());
        assert_eq!(intent.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::InvalidValue; 2]);
    }

    #[test]
    fn a_code_that_is_misspelt_gets_advice() {
        let findings = intent(&[(ACCEPT, "host-prot")]).findings;
        assert!(findings[0].message.contains("did you mean host-port?"), "{}", findings[0]);
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
