//! Conditions on a container and its pod, the vocabulary of the catalogue.

use super::{
    image::{Image, ImagePattern},
    pattern::Pattern,
};
use crate::{
    pod::{Container, Handler, Pod},
    version::Version,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A condition; every field that is given must hold.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Condition {
    /// The pod has this annotation.
    pub annotation: Option<String>,
    /// The pod has this label.
    pub label: Option<String>,
    /// The container sets this environment variable to a literal value.
    pub env: Option<String>,
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
        self.pod_holds(pod, container)
            && self.container_holds(container)
            && !self.not.as_ref().is_some_and(|not| not.holds(pod, container))
    }

    fn pod_holds(&self, pod: &Pod<'_>, container: &Container<'_>) -> bool {
        let annotation = self.annotation.as_deref().is_none_or(|key| {
            let value = pod.annotation(key);
            self.value_matches(value) && self.lists(value, &container.name)
        });
        annotation
            && self.label.as_ref().is_none_or(|key| self.value_matches(pod.label(key)))
            && self.init_container.as_deref().is_none_or(|name| pod.init_container(name).is_some())
    }

    fn container_holds(&self, container: &Container<'_>) -> bool {
        self.env.as_deref().is_none_or(|name| self.value_matches(container.env_value(name)))
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

    fn lists(&self, annotation: Option<&str>, name: &str) -> bool {
        let Some(key) = &self.lists_container else { return true };
        let json = annotation.and_then(|text| serde_json::from_str::<Value>(text).ok());
        json.is_some_and(|json| json[key].as_array().is_some_and(|names| names.iter().any(|listed| listed == name)))
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
