//! Conditions on a container and its pod, the vocabulary of the catalogue.

use super::{
    image::{Image, ImagePattern},
    pattern::Pattern,
};
use crate::{
    pod::{Container, Entries, Handler, Label, Pod},
    version::Version,
};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// A condition; every field that is given must hold.
// `remote` leaves room for a check behind what serde reads.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Condition {
    /// The pod has this annotation.
    pub annotation: Option<Key>,
    /// The pod has this label.
    pub label: Option<Key>,
    /// The controller that owns the pod is of this API group and kind, as in `apps/DaemonSet`.
    pub owner: Option<Pattern>,
    /// The pod names this scheduler.
    pub scheduler: Option<String>,
    /// The pod has this condition among its readiness gates.
    pub readiness_gate: Option<String>,
    /// The pod has a regular container of this name.
    pub container: Option<String>,
    /// The container sets this environment variable to a literal value.
    pub env: Option<String>,
    /// The container has this environment variable, with a value from elsewhere.
    pub env_from_elsewhere: Option<String>,
    /// The command line has this flag: `--flag`, `--flag=value` or `--flag value`, with one dash or two.
    pub flag: Option<String>,
    /// The value of the annotation, label, variable or flag matches this glob.
    pub value: Option<Pattern>,
    /// The variable or flag is a switch that is on (`true`) or off (`false`). On is all but a word for no.
    pub on: Option<bool>,
    /// The first word behind the program, its subcommand, matches this glob.
    pub subcommand: Option<Pattern>,
    /// A word of the command line matches this glob.
    pub argument: Option<Pattern>,
    /// The program that `command` names, without its directories, matches this glob; false where there is no `command`.
    pub program: Option<Pattern>,
    /// Whether `command` begins with a shell, so that flags may stand inside a text instead of in words of their own.
    pub shell: Option<bool>,
    /// The pod has an init container of this name.
    pub init_container: Option<String>,
    /// The image, as it is written, is exactly this.
    pub image: Option<String>,
    /// The image's repository matches this glob from the right.
    pub repository: Option<ImagePattern>,
    /// The image's tag matches this glob; false where there is no tag.
    pub tag: Option<Pattern>,
    /// The image's tag is a version older than this; false where the tag is none.
    pub tag_before: Option<Version>,
    /// The container requests or limits a resource whose name matches this glob.
    pub resource: Option<Pattern>,
    /// The annotation holds JSON in which this key lists the container's name.
    pub lists_container: Option<String>,
    /// The readiness probe asks this port.
    pub readiness_port: Option<i64>,
    /// The readiness probe is an HTTP request whose path matches this glob.
    pub readiness_path: Option<Pattern>,
    /// What the readiness probe does: `exec`, `httpGet`, `tcpSocket` or `grpc`.
    pub readiness_asks: Option<String>,
    /// The readiness probe has these fields with these values, among others. A number that is not given is what
    /// Kubernetes takes for it.
    pub readiness_has: Option<Map<String, Value>>,
    /// The container has a probe of this kind: `startupProbe` or `readinessProbe`.
    pub probe: Option<String>,
    /// The first word of the postStart hook's command matches this glob.
    pub post_start: Option<Pattern>,
    /// This condition does not hold.
    pub not: Option<Box<Self>>,
}

/// The key of an annotation or label.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum Key {
    /// Exactly this one.
    Exact(String),
    /// Any that begins so, written with a `*` at the end.
    Begins(String),
}

/// Whether a switch with this value is on: all but a word for no, as programs read them (`false`, `0`, `no` ...).
/// A switch that takes no value may have a word behind it that is not its own, and is on.
#[must_use]
pub(crate) fn is_on(value: &str) -> bool {
    let noes = ["false", "f", "0", "no", "n", "off", ""];
    !noes.iter().any(|no| value.eq_ignore_ascii_case(no))
}

/// Whether every one of `conditions` holds.
pub(crate) fn all_hold(conditions: &[Condition], pod: &Pod<'_>, container: &Container<'_>) -> bool {
    conditions.iter().all(|condition| condition.holds(pod, container))
}

/// Whether at least one of `conditions` holds.
pub(crate) fn any_holds(conditions: &[Condition], pod: &Pod<'_>, container: &Container<'_>) -> bool {
    conditions.iter().any(|condition| condition.holds(pod, container))
}

// === impl Condition ===

impl Condition {
    /// Whether the condition holds for `container` of `pod`.
    #[must_use]
    pub fn holds(&self, pod: &Pod<'_>, container: &Container<'_>) -> bool {
        self.pod_holds(pod)
            && self.lists(pod, &container.name)
            && self.container_holds(container)
            && !self.not.as_ref().is_some_and(|not| not.holds(pod, container))
    }

    /// Whether the condition holds for `pod`, whichever its container. Only for one that says nothing of containers.
    #[must_use]
    pub(super) fn holds_for_pod(&self, pod: &Pod<'_>) -> bool {
        self.pod_holds(pod) && !self.not.as_ref().is_some_and(|not| not.holds_for_pod(pod))
    }

    /// # Errors
    ///
    /// When it would always hold, or asks for what takes a search.
    fn check(&self) -> Result<(), &'static str> {
        let begins = |key: &Option<Key>| matches!(key, Some(Key::Begins(_)));
        let has_key = self.annotation.is_some() || self.label.is_some();
        let asks_for_value = self.value.is_some() || self.on.is_some();
        if *self == Self::default() {
            Err("a condition without a field would always hold; give it one")
        } else if asks_for_value && !has_key && self.env.is_none() && self.flag.is_none() {
            Err("value and on need an annotation, label, env or flag")
        } else if self.lists_container.is_some() && self.annotation.is_none() {
            Err("lists-container needs an annotation")
        } else if (asks_for_value || self.lists_container.is_some())
            && (begins(&self.annotation) || begins(&self.label))
        {
            Err("value, on and lists-container need a whole key, without a star")
        } else if self.owner.as_ref().is_some_and(|owner| !owner.as_str().contains('/')) {
            Err("owner is an API group and a kind, as in apps/DaemonSet")
        } else {
            Ok(())
        }
    }

    /// Whether nothing in it asks for a container, but for such as the pod has.
    pub(super) fn is_about_the_pod(&self) -> bool {
        let pods = Self {
            annotation: self.annotation.clone(),
            label: self.label.clone(),
            value: self.value.clone(),
            on: self.on,
            owner: self.owner.clone(),
            scheduler: self.scheduler.clone(),
            readiness_gate: self.readiness_gate.clone(),
            container: self.container.clone(),
            init_container: self.init_container.clone(),
            not: self.not.clone(),
            ..Self::default()
        };
        *self == pods && self.not.as_ref().is_none_or(|not| not.is_about_the_pod())
    }

    fn pod_holds(&self, pod: &Pod<'_>) -> bool {
        self.annotation.as_ref().is_none_or(|key| self.has(pod.metadata.annotations.as_ref(), key))
            && self.label.as_ref().is_none_or(|key| self.has(pod.metadata.labels.as_ref(), key))
            && self.owner.as_ref().is_none_or(|pattern| owner(pod).is_some_and(|owner| pattern.matches(&owner)))
            && self.scheduler.as_deref().is_none_or(|name| pod.spec.scheduler_name == name)
            && self.readiness_gate.as_deref().is_none_or(|gate| pod.has_readiness_gate(gate))
            && self.container.as_deref().is_none_or(|name| pod.container(name).is_some())
            && self.init_container.as_deref().is_none_or(|name| pod.init_container(name).is_some())
    }

    /// Whether one of `entries` has this key, with the value that is asked for.
    fn has(&self, entries: Option<&Entries<'_, Label<'_>>>, key: &Key) -> bool {
        entries.is_some_and(|entries| match key {
            Key::Exact(key) => self.value_matches(entries.get(key).map(|value| &**value)),
            Key::Begins(prefix) => entries.has_prefix(prefix),
        })
    }

    fn container_holds(&self, container: &Container<'_>) -> bool {
        self.env.as_deref().is_none_or(|name| self.value_matches(container.env_value(name)))
            && self.env_from_elsewhere.as_deref().is_none_or(|name| container.has_env_from_elsewhere(name))
            && self.resource.as_ref().is_none_or(|pattern| has_resource(container, pattern))
            && self.flag.as_deref().is_none_or(|name| self.value_matches(container.flag(name)))
            && self.argument.as_ref().is_none_or(|pattern| container.command_line().any(|word| pattern.matches(word)))
            && self
                .subcommand
                .as_ref()
                .is_none_or(|pattern| container.subcommand().is_some_and(|word| pattern.matches(word)))
            && self
                .program
                .as_ref()
                .is_none_or(|pattern| program(container).is_some_and(|program| pattern.matches(program)))
            && self.shell.is_none_or(|shell| program(container).is_some_and(is_shell) == shell)
            && self.image_holds(container)
            && self.readiness_holds(container)
            && self.probe.as_deref().is_none_or(|probe| has_probe(container, probe))
            && self
                .post_start
                .as_ref()
                .is_none_or(|pattern| first_word(container.post_start()).is_some_and(|word| pattern.matches(word)))
    }

    fn image_holds(&self, container: &Container<'_>) -> bool {
        self.image.as_deref().is_none_or(|image| image == container.image())
            && self.repository.as_ref().is_none_or(|pattern| Image::parse(container.image()).matches(pattern))
            && self
                .tag
                .as_ref()
                .is_none_or(|pattern| Image::parse(container.image()).tag.is_some_and(|tag| pattern.matches(tag)))
            && self.tag_before.is_none_or(|version| Image::parse(container.image()).is_older(version))
    }

    fn readiness_holds(&self, container: &Container<'_>) -> bool {
        self.readiness_port.is_none_or(|port| readiness_port(container) == Some(port))
            && self
                .readiness_path
                .as_ref()
                .is_none_or(|pattern| readiness_path(container).is_some_and(|path| pattern.matches(path)))
            && self.readiness_asks.as_deref().is_none_or(|kind| readiness_asks(container) == Some(kind))
            && self.readiness_has.as_ref().is_none_or(|fields| readiness_has(container, fields))
    }

    fn value_matches(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| {
            self.value.as_ref().is_none_or(|pattern| pattern.matches(value))
                && self.on.is_none_or(|on| is_on(value) == on)
        })
    }

    fn lists(&self, pod: &Pod<'_>, name: &str) -> bool {
        let (Some(key), Some(Key::Exact(annotation))) = (&self.lists_container, &self.annotation) else { return true };
        pod.lists(annotation, key, name)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let condition = Self::deserialize(deserializer)?;
        condition.check().map_err(de::Error::custom)?;
        Ok(condition)
    }
}

// === impl Key ===

impl TryFrom<String> for Key {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once('*') {
            None => Ok(Self::Exact(text)),
            Some((prefix, "")) => Ok(Self::Begins(prefix.to_owned())),
            Some(_) => Err("the star of a key stands at its end"),
        }
    }
}

/// The API group and the kind of the controller that owns the pod; `None` also where they are longer than Kubernetes
/// takes, so that it costs the same for each container.
///
/// Source: apimachinery, `validation.go`: 253 characters of a group, 63 of a kind.
fn owner(pod: &Pod<'_>) -> Option<String> {
    const LONGEST: usize = 320;
    let owner = pod.controller()?;
    let (group, kind) = (owner.group(), &*owner.kind);
    (group.len() + kind.len() <= LONGEST).then(|| format!("{group}/{kind}"))
}

fn has_resource(container: &Container<'_>, pattern: &Pattern) -> bool {
    container.resources().is_some_and(|resources| {
        let mut names = resources.requests.iter().chain(resources.limits.iter()).map(|(name, _)| name);
        names.any(|name| pattern.matches(name))
    })
}

/// Whether `container` does nothing but stay, so that others may run what they like in it: the program of its image is not
/// started.
pub(super) fn only_stays(container: &Container<'_>) -> bool {
    let mut words = container.command_line();
    let Some(first) = words.next() else { return false };
    let program = first.rsplit('/').next().unwrap_or_default();
    if is_shell(program) {
        // What a person writes for this is short.
        const LONGEST: usize = 256;
        let text = words.next().filter(|flag| flag.starts_with('-')).and_then(|_| words.next());
        return text.is_some_and(|text| text.len() <= LONGEST && stays(text.split_whitespace()));
    }
    stays(std::iter::once(program).chain(words.take(3)))
}

/// Whether this is a command that only waits for its own end.
fn stays<'w>(mut words: impl Iterator<Item = &'w str>) -> bool {
    match words.next() {
        Some("cat") => words.next().is_none(),
        Some("sleep") => words.nth(1).is_none(),
        Some("tail") => words.any(|word| word == "/dev/null"),
        _ => false,
    }
}

fn first_word<'h>(hook: Option<&'h Handler<'_>>) -> Option<&'h str> {
    hook?.exec.as_ref()?.command.first().map(AsRef::as_ref)
}

fn has_probe(container: &Container<'_>, kind: &str) -> bool {
    match kind {
        "startupProbe" => container.startup_probe().is_some(),
        "readinessProbe" => container.readiness_probe().is_some(),
        _ => false,
    }
}

/// The program that `command` names, without its directories.
pub(super) fn program<'c>(container: &'c Container<'_>) -> Option<&'c str> {
    container.command().first()?.rsplit('/').next()
}

fn is_shell(program: &str) -> bool {
    ["sh", "bash", "ash", "dash", "zsh", "busybox"].contains(&program)
}

fn readiness_asks(container: &Container<'_>) -> Option<&'static str> {
    match container.readiness_probe()?.handler {
        Handler { exec: Some(_), .. } => Some("exec"),
        Handler { http_get: Some(_), .. } => Some("httpGet"),
        Handler { tcp_socket: Some(_), .. } => Some("tcpSocket"),
        Handler { grpc: Some(_), .. } => Some("grpc"),
        _ => None,
    }
}

fn readiness_path<'c>(container: &'c Container<'_>) -> Option<&'c str> {
    Some(&container.readiness_probe()?.handler.http_get.as_ref()?.path)
}

/// Source: pkg/apis/core/v1/defaults.go, `SetDefaults_Probe`.
const PROBE_DEFAULTS: [(&str, i64); 5] = [
    ("initialDelaySeconds", 0),
    ("timeoutSeconds", 1),
    ("periodSeconds", 10),
    ("successThreshold", 1),
    ("failureThreshold", 3),
];

fn readiness_has(container: &Container<'_>, fields: &Map<String, Value>) -> bool {
    let probe = container.readiness_probe().and_then(|probe| serde_json::from_str::<Value>(probe.raw.get()).ok());
    let unsaid = |key: &str, value: &Value| {
        PROBE_DEFAULTS.iter().any(|(field, default)| *field == key && value.as_i64() == Some(*default))
    };
    // To the API server 0 is the same as no number.
    let is_said = |value: &&Value| !value.is_null() && value.as_i64() != Some(0);
    probe.is_some_and(|probe| {
        fields.iter().all(|(key, value)| match probe.get(key).filter(is_said) {
            Some(own) => own == value,
            None => unsaid(key, value),
        })
    })
}

fn readiness_port(container: &Container<'_>) -> Option<i64> {
    container.port_number(&container.readiness_probe()?.handler.http_get.as_ref()?.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const POD: &str = r#"{"metadata":{"labels":{"example.com/a":"x","app":"shop"},
        "ownerReferences":[{"apiVersion":"apps.kruise.io/v1alpha1","kind":"CloneSet","controller":true}]},
        "spec":{"schedulerName":"own","readinessGates":[{"conditionType":"InPlaceUpdateReady"},null],
        "containers":[{"name":"dind","image":"docker:27-dind","env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"B","value":"b"}],
        "resources":{"limits":{"nvidia.com/gpumem":"1"},"requests":{"cpu":"1"}}}]}}"#;

    #[rstest]
    #[case("label: example.com/*", true)]
    #[case("label: example.org/*", false)]
    #[case("annotation: '*'", false)]
    #[case("{label: app, value: shop}", true)]
    #[case("owner: apps.kruise.io/*", true)]
    #[case("owner: apps/*", false)]
    #[case("{owner: '*/CloneSet', not: {label: app}}", false)]
    #[case("scheduler: own", true)]
    #[case("readiness-gate: InPlaceUpdateReady", true)]
    #[case("readiness-gate: Ready", false)]
    #[case("container: dind", true)]
    #[case("container: app", false)]
    fn conditions_of_the_pod(#[case] text: &str, #[case] holds: bool) {
        let (pod, condition) = (Pod::parse(POD).unwrap(), condition(text));
        assert!(condition.is_about_the_pod());
        assert_eq!(condition.holds_for_pod(&pod), holds);
        assert_eq!(condition.holds(&pod, &pod.spec.containers[0]), holds);
    }

    #[rstest]
    #[case("tag: '*dind*'", true)]
    #[case("{repository: docker, tag: '*-cli'}", false)]
    #[case("resource: '*/gpumem*'", true)]
    #[case("resource: cpu", true)]
    #[case("resource: memory", false)]
    #[case("env-from-elsewhere: A", true)]
    #[case("env-from-elsewhere: B", false)]
    #[case("{label: app, not: {tag: latest}}", true)]
    fn conditions_of_a_container(#[case] text: &str, #[case] holds: bool) {
        let (pod, condition) = (Pod::parse(POD).unwrap(), condition(text));
        assert!(!condition.is_about_the_pod());
        assert_eq!(condition.holds(&pod, &pod.spec.containers[0]), holds);
    }

    #[rstest]
    #[case("{label: example.com/*, value: x}", "whole key")]
    #[case("{annotation: example.com/*, on: true}", "whole key")]
    #[case("label: '*.example.com/a'", "at its end")]
    #[case("{}", "always hold")]
    #[case("{value: x}", "need an annotation")]
    #[case("{not: {on: true}}", "need an annotation")]
    #[case("{label: a, lists-container: x}", "needs an annotation")]
    #[case("owner: DaemonSet", "apps/DaemonSet")]
    fn a_condition_that_means_nothing_is_refused(#[case] text: &str, #[case] says: &str) {
        let error = serde_saphyr::from_str::<Condition>(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[rstest]
    #[case(r#""command":["cat"]"#, true)]
    #[case(r#""command":["/bin/sleep","infinity"]"#, true)]
    #[case(r#""args":["tail","-f","/dev/null"]"#, true)]
    #[case(r#""command":["sh","-c","sleep infinity"]"#, true)]
    #[case(r#""command":["sh","-c"],"args":[" cat "]"#, true)]
    #[case(r#""command":["sh","-c","sleep 5; exec fluent-bit"]"#, false)]
    #[case(r#""command":["cat","/config"]"#, false)]
    #[case(r#""command":["tail","-F","/var/log/app.log"]"#, false)]
    #[case(r#""args":["--sleep"]"#, false)]
    #[case(r#""image":"cat""#, false)]
    fn a_container_may_only_stay(#[case] fields: &str, #[case] expected: bool) {
        let pod = format!(r#"{{"spec":{{"containers":[{{"name":"a",{fields}}}]}}}}"#);
        assert_eq!(only_stays(&Pod::parse(&pod).unwrap().spec.containers[0]), expected);
    }

    fn condition(text: &str) -> Condition {
        serde_saphyr::from_str(text).unwrap()
    }

    #[rstest]
    #[case("true", true)]
    #[case("1", true)]
    #[case("project:region:instance", true)]
    #[case("False", false)]
    #[case("0", false)]
    #[case("no", false)]
    fn switches(#[case] value: &str, #[case] on: bool) {
        assert_eq!(is_on(value), on);
    }
}
