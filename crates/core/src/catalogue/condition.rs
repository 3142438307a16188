//! Conditions on a container and its pod, the vocabulary of the catalogue.

use crate::{
    pod::{Details, Handler, Pod},
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
    pub value: Option<String>,
    /// The variable or flag is a switch that is on (`true`) or off (`false`). On is all but a word for no.
    pub on: Option<bool>,
    /// The first word behind the program, its subcommand, matches this glob.
    pub subcommand: Option<String>,
    /// A word of the command line matches this glob.
    pub argument: Option<String>,
    /// The image, as it is written, is exactly this.
    pub image: Option<String>,
    /// The image's tag is a version older than this; false where the tag is none.
    pub tag_before: Option<String>,
    /// The annotation holds JSON in which this key lists the container's name.
    pub lists_container: Option<String>,
    /// The readiness probe asks this port.
    pub readiness_port: Option<i64>,
    /// The readiness probe has these fields with these values, among others.
    pub readiness_has: Option<Map<String, Value>>,
    /// The container has a probe of this kind: `startupProbe` or `readinessProbe`.
    pub probe: Option<String>,
    /// The first word of the postStart hook's command matches this glob.
    pub post_start: Option<String>,
    /// This condition does not hold.
    pub not: Option<Box<Self>>,
}

/// An image reference, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'i> {
    /// Registry and repository, without tag and digest.
    pub repository: &'i str,
    /// The tag, if there is one.
    pub tag: Option<&'i str>,
}

/// Whether `text` matches `pattern`, in which `*` stands for any text, also none.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    captured(pattern, text).is_some()
}

/// Whether a switch with this value is on: all but a word for no, as programs read them (`false`, `0`, `no` ...).
/// A switch that takes no value may have a word behind it that is not its own, and is on.
#[must_use]
pub(crate) fn is_on(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "false" | "f" | "0" | "no" | "n" | "off" | "")
}

/// What the first `*` of `pattern` stands for in `text`; empty where the pattern has none.
#[must_use]
pub(crate) fn captured<'t>(pattern: &str, text: &'t str) -> Option<&'t str> {
    let Some((head, tail)) = pattern.split_once('*') else { return (pattern == text).then_some("") };
    let rest = text.strip_prefix(head)?;
    // The longest match first, so that a pattern's only star takes all it can.
    let ends = (0..=rest.len()).rev().filter(|end| rest.is_char_boundary(*end));
    ends.map(|end| rest.split_at(end)).find(|(_, after)| glob(tail, after)).map(|(star, _)| star)
}

// === impl Condition ===

impl Condition {
    /// Whether the condition holds for a container called `name` in `pod`.
    #[must_use]
    pub fn holds(&self, pod: &Pod<'_>, name: &str, details: &Details<'_>) -> bool {
        self.pod_holds(pod, name) && self.container_holds(details) && !self.not_holds(pod, name, details)
    }

    fn not_holds(&self, pod: &Pod<'_>, name: &str, details: &Details<'_>) -> bool {
        self.not.as_ref().is_some_and(|not| not.holds(pod, name, details))
    }

    fn pod_holds(&self, pod: &Pod<'_>, name: &str) -> bool {
        let annotation = self.annotation.as_deref().is_none_or(|key| {
            let value = pod.annotation(key);
            self.value_matches(value) && self.lists(value, name)
        });
        annotation && self.label.as_ref().is_none_or(|key| self.value_matches(pod.label(key)))
    }

    fn container_holds(&self, details: &Details<'_>) -> bool {
        let image = Image::parse(&details.image);
        self.env.as_deref().is_none_or(|name| self.value_matches(details.env_value(name)))
            && self.flag.as_deref().is_none_or(|name| self.value_matches(flag(details, name)))
            && self.argument.as_deref().is_none_or(|pattern| details.command_line().any(|word| glob(pattern, word)))
            && self
                .subcommand
                .as_deref()
                .is_none_or(|pattern| details.subcommand().is_some_and(|word| glob(pattern, word)))
            && self.image.as_deref().is_none_or(|image| image == details.image)
            && self.tag_before.as_deref().is_none_or(|version| image.is_older(version))
            && self.readiness_port.is_none_or(|port| readiness_port(details) == Some(port))
            && self.readiness_has.as_ref().is_none_or(|fields| readiness_has(details, fields))
            && self.probe.as_deref().is_none_or(|probe| has_probe(details, probe))
            && self
                .post_start
                .as_deref()
                .is_none_or(|pattern| first_word(details.post_start()).is_some_and(|word| glob(pattern, word)))
    }

    fn value_matches(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| {
            self.value.as_deref().is_none_or(|pattern| glob(pattern, value))
                && self.on.is_none_or(|on| is_on(value) == on)
        })
    }

    fn lists(&self, annotation: Option<&str>, name: &str) -> bool {
        let Some(key) = &self.lists_container else { return true };
        let json = annotation.and_then(|text| serde_json::from_str::<Value>(text).ok());
        json.is_some_and(|json| json[key].as_array().is_some_and(|names| names.iter().any(|listed| listed == name)))
    }
}

/// The value of a flag: the text behind `=`, else the next word, else `true` for one that stands alone.
#[must_use]
pub(crate) fn flag<'d>(details: &'d Details<'_>, name: &str) -> Option<&'d str> {
    let mut words = details.command_line().peekable();
    let mut found = None;
    while let Some(word) = words.next() {
        let Some(rest) = word.trim_start_matches('-').strip_prefix(name).filter(|_| word.starts_with('-')) else {
            continue;
        };
        match rest.strip_prefix('=') {
            Some(value) => found = Some(value),
            None if rest.is_empty() => {
                found = Some(words.peek().copied().filter(|next| !next.starts_with('-')).unwrap_or("true"));
            }
            None => {}
        }
    }
    found
}

fn first_word<'h>(hook: Option<&'h Handler<'_>>) -> Option<&'h str> {
    hook?.exec.as_ref()?.command.first().map(AsRef::as_ref)
}

fn has_probe(details: &Details<'_>, kind: &str) -> bool {
    match kind {
        "startupProbe" => details.startup_probe.is_some(),
        "readinessProbe" => details.readiness_probe.is_some(),
        _ => false,
    }
}

fn readiness_has(details: &Details<'_>, fields: &Map<String, Value>) -> bool {
    let probe = details.readiness_probe.as_ref().and_then(|probe| serde_json::from_str::<Value>(probe.raw.get()).ok());
    probe.is_some_and(|probe| fields.iter().all(|(key, value)| probe.get(key) == Some(value)))
}

fn readiness_port(details: &Details<'_>) -> Option<i64> {
    details.port_number(&details.readiness_probe.as_ref()?.handler.http_get.as_ref()?.port)
}

// === impl Image ===

impl<'i> Image<'i> {
    /// Takes an image reference apart: `registry:5000/a/b:1.2@sha256:…`.
    #[must_use]
    pub fn parse(reference: &'i str) -> Self {
        let reference = reference.split('@').next().unwrap_or(reference);
        let name_at = reference.rfind('/').map_or(0, |slash| slash + 1);
        match reference[name_at..].split_once(':') {
            Some((name, tag)) => Self { repository: &reference[..name_at + name.len()], tag: Some(tag) },
            None => Self { repository: reference, tag: None },
        }
    }

    /// Whether the repository ends in what `pattern` says: whole path components from the right, whatever
    /// registry or mirror stands in front.
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        let starts = std::iter::once(0).chain(self.repository.match_indices('/').map(|(at, _)| at + 1));
        starts.into_iter().any(|at| glob(pattern, &self.repository[at..]))
    }

    /// Whether the tag is a version older than `version`; false where it is none.
    pub(crate) fn is_older(&self, version: &str) -> bool {
        let tag = self.tag.and_then(|tag| tag.parse::<Version>().ok());
        tag.zip(version.parse().ok()).is_some_and(|(tag, version)| tag < version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a", "a", true)]
    #[case("a*", "abc", true)]
    #[case("*c", "abc", true)]
    #[case("a*c*e", "abcde", true)]
    #[case("*", "", true)]
    #[case("a", "ab", false)]
    #[case("a*c", "ab", false)]
    fn globs(#[case] pattern: &str, #[case] text: &str, #[case] matches: bool) {
        assert_eq!(glob(pattern, text), matches);
    }

    #[rstest]
    #[case("docker.io/istio/proxyv2:1.26.2", "proxyv2", true)]
    #[case("registry:5000/mirror/istio/proxyv2@sha256:ab", "istio/proxyv2", true)]
    #[case("proxyv2", "proxyv2", true)]
    #[case("example.com/my-proxyv2", "proxyv2", false)]
    #[case("vault:1.5.4", "vault", true)]
    #[case("example.com/proxyv2/app", "proxyv2", false)]
    fn images_match_from_the_right(#[case] image: &str, #[case] pattern: &str, #[case] matches: bool) {
        assert_eq!(Image::parse(image).matches(pattern), matches);
    }

    #[test]
    fn a_port_in_the_registry_is_no_tag() {
        assert_eq!(Image::parse("registry:5000/a/b"), Image { repository: "registry:5000/a/b", tag: None });
        assert_eq!(Image::parse("a/b:1@sha256:c"), Image { repository: "a/b", tag: Some("1") });
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

    #[rstest]
    #[case(r#"["--port=1"]"#, Some("1"))]
    #[case(r#"["-port","1"]"#, Some("1"))]
    #[case(r#"["--port","--other"]"#, Some("true"))]
    #[case(r#"["--port"]"#, Some("true"))]
    #[case(r#"["--port=1","--port=2"]"#, Some("2"))]
    #[case(r#"["--ports=1"]"#, None)]
    #[case(r#"["port=1"]"#, None)]
    fn flags(#[case] args: &str, #[case] value: Option<&str>) {
        let json = format!(r#"{{"args":{args}}}"#);
        let details: Details<'_> = serde_json::from_str(&json).unwrap();
        assert_eq!(flag(&details, "port"), value);
    }
}
