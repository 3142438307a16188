//! Conditions on a container and its pod, the vocabulary of the catalogue.

use super::{image::Image, pattern::Pattern};
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
    /// The image, as it is written, is exactly this.
    pub image: Option<String>,
    /// The image's tag is a version older than this; false where the tag is none.
    pub tag_before: Option<Version>,
    /// The annotation holds JSON in which this key lists the container's name.
    pub lists_container: Option<String>,
    /// The readiness probe asks this port.
    pub readiness_port: Option<i64>,
    /// The readiness probe has these fields with these values, among others.
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
        annotation && self.label.as_ref().is_none_or(|key| self.value_matches(pod.label(key)))
    }

    fn container_holds(&self, container: &Container<'_>) -> bool {
        self.env.as_deref().is_none_or(|name| self.value_matches(container.env_value(name)))
            && self.flag.as_deref().is_none_or(|name| self.value_matches(container.flag(name)))
            && self.argument.as_ref().is_none_or(|pattern| container.command_line().any(|word| pattern.matches(word)))
            && self
                .subcommand
                .as_ref()
                .is_none_or(|pattern| container.subcommand().is_some_and(|word| pattern.matches(word)))
            && self.image.as_deref().is_none_or(|image| image == container.image())
            && self.tag_before.is_none_or(|version| Image::parse(container.image()).is_older(version))
            && self.readiness_port.is_none_or(|port| readiness_port(container) == Some(port))
            && self.readiness_has.as_ref().is_none_or(|fields| readiness_has(container, fields))
            && self.probe.as_deref().is_none_or(|probe| has_probe(container, probe))
            && self
                .post_start
                .as_ref()
                .is_none_or(|pattern| first_word(container.post_start()).is_some_and(|word| pattern.matches(word)))
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

fn readiness_has(container: &Container<'_>, fields: &Map<String, Value>) -> bool {
    let probe = container.readiness_probe().and_then(|probe| serde_json::from_str::<Value>(probe.raw.get()).ok());
    probe.is_some_and(|probe| fields.iter().all(|(key, value)| probe.get(key) == Some(value)))
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
