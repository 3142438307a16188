//! Image references, and how images are known that were copied or rebuilt.

use super::pattern::Pattern;
use crate::version::Version;
use serde::{Deserialize, Deserializer};
use std::fmt;

/// An image reference, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'i> {
    /// Registry and repository, without tag and digest.
    pub repository: &'i str,
    /// The tag, if there is one.
    pub tag: Option<&'i str>,
}

/// The repositories that an image may have come from: its own, and those whose name a mirror or a rebuild has made its own
/// from. All of them have dashes where there were underscores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins(Vec<String>);

/// A glob of repositories, matched from the right by whole path components. Dashes and underscores are the same to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePattern {
    written: String,
    pattern: Pattern,
}

/// A longer reference is none: a repository has at most 255 characters, a tag 128, and a digest less than 200.
///
/// Source: github.com/distribution/reference, `NameTotalLengthMax` and the grammar in reference.go.
const LONGEST: usize = 1024;

/// What a rebuild adds to the name: for whom, on what, or for which processor.
const VARIANTS: [&str; 10] =
    ["-fips", "-iamguarded", "-rhel7", "-rhel8", "-rhel9", "-rhel10", "-ubi8", "-ubi9", "-amd64", "-arm64"];

/// How the name begins of an image that a mirror keeps in one place for all organisations: `mirrored-ORGANISATION-NAME`
/// (Source: rancher/image-mirror), or the registry that it is from, as people copy them by hand.
const COPIED: [&str; 9] = [
    "mirrored-",
    "docker.io-",
    "quay.io-",
    "ghcr.io-",
    "gcr.io-",
    "registry.k8s.io-",
    "k8s.gcr.io-",
    "public.ecr.aws-",
    "mcr.microsoft.com-",
];

/// The registries, and below any registry the organisations, that rebuild what others make: the organisation, where it is
/// told at all, stands in front of the name.
const REBUILDERS: [&str; 11] = [
    "bitnami",
    "bitnamilegacy",
    "bitnamisecure",
    "chainguard",
    "chainguard-private",
    "ironbank",
    "openshift",
    "openshift-logging",
    "openshift-service-mesh",
    "openshift4",
    "rancher",
];
const REBUILDING_REGISTRIES: [&str; 2] = ["cgr.dev", "dhi.io"];

/// How many words an organisation's name has at most, of those that are looked for.
const WORDS: usize = 3;

// === impl Image ===

impl<'i> Image<'i> {
    /// Takes an image reference apart: `registry:5000/a/b:1.2@sha256:…`. What cannot be one has no repository.
    #[must_use]
    pub fn parse(reference: &'i str) -> Self {
        if reference.len() > LONGEST {
            return Self { repository: "", tag: None };
        }
        let reference = reference.split('@').next().unwrap_or(reference);
        let name_at = reference.rfind('/').map_or(0, |slash| slash + 1);
        match reference[name_at..].split_once(':') {
            Some((name, tag)) => Self { repository: &reference[..name_at + name.len()], tag: Some(tag) },
            None => Self { repository: reference, tag: None },
        }
    }

    /// The last component of the repository: `proxyv2`.
    #[must_use]
    pub fn product(&self) -> &'i str {
        last_component(self.repository)
    }

    /// The repositories that it may have come from.
    #[must_use]
    pub fn origins(&self) -> Origins {
        let own = self.repository.replace('_', "-");
        let mut plain = own.as_str();
        while let Some(shorter) = VARIANTS.iter().find_map(|variant| plain.strip_suffix(variant)) {
            plain = shorter;
        }
        let mut origins = Vec::new();
        if let Some(name) = copied_name(plain) {
            origins.push(name.to_owned());
            let dashes = name.match_indices('-').take(WORDS);
            origins.extend(dashes.map(|(dash, _)| format!("{}/{}", &name[..dash], &name[dash + 1..])));
        }
        if plain.len() < own.len() {
            origins.push(plain.to_owned());
        }
        origins.insert(0, own);
        Origins(origins)
    }

    /// Whether one of the repositories that it may have come from ends in what `pattern` says.
    #[must_use]
    pub fn matches(&self, pattern: &ImagePattern) -> bool {
        self.origins().match_any(pattern)
    }

    /// Whether the tag is a version older than `version`; false where it is none.
    #[must_use]
    pub fn is_older(&self, version: Version) -> bool {
        self.version().is_some_and(|tag| tag < version)
    }

    /// The version that the tag is, where it is one.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.tag?.parse().ok()
    }
}

/// The name of a copy without what the copy added in front of it, where `repository` is one.
fn copied_name(repository: &str) -> Option<&str> {
    let name = last_component(repository);
    let path = &repository[..repository.len() - name.len()];
    let (registry, organisations) = match path.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) => (first, rest),
        _ => ("", path),
    };
    let is_rebuilt =
        || REBUILDING_REGISTRIES.contains(&registry) || organisations.split('/').any(|part| REBUILDERS.contains(&part));
    COPIED.iter().find_map(|begin| name.strip_prefix(begin)).or_else(|| is_rebuilt().then_some(name))
}

fn last_component(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

// === impl Origins ===

impl Origins {
    /// Whether one of them ends in what `pattern` says: whole path components from the right, whatever registry stands in
    /// front.
    #[must_use]
    pub fn match_any(&self, pattern: &ImagePattern) -> bool {
        self.0.iter().any(|repository| pattern.pattern.matches_end(repository))
    }

    /// Their last components.
    pub fn products(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|repository| last_component(repository))
    }
}

// === impl ImagePattern ===

impl ImagePattern {
    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The last component of what it matches, as [`Origins::products`] has it, where there is only one.
    #[must_use]
    pub fn product(&self) -> Option<&str> {
        let product = last_component(self.pattern.as_str());
        (!product.contains('*')).then_some(product)
    }
}

impl From<&str> for ImagePattern {
    fn from(written: &str) -> Self {
        Self { written: written.to_owned(), pattern: written.replace('_', "-").into() }
    }
}

impl<'de> Deserialize<'de> for ImagePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|written| written.as_str().into())
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("docker.io/istio/proxyv2:1.26.2", "proxyv2", true)]
    #[case("registry:5000/mirror/istio/proxyv2@sha256:ab", "istio/proxyv2", true)]
    #[case("vault:1.5.4", "vault", true)]
    #[case("example.com/my-proxyv2", "proxyv2", false)]
    fn images_match_from_the_right(#[case] image: &str, #[case] pattern: &str, #[case] matches: bool) {
        assert_eq!(Image::parse(image).matches(&pattern.into()), matches);
    }

    #[rstest]
    #[case("rancher/mirrored-kiwigrid-k8s-sidecar:1.26.1", "k8s-sidecar", true)]
    #[case("rancher/mirrored-kiwigrid-k8s-sidecar:1.26.1", "kiwigrid/k8s-sidecar", true)]
    #[case("rancher/mirrored-prometheus-operator-prometheus-config-reloader", "prometheus-config-reloader", true)]
    #[case("registry.suse.com/rancher/mirrored-grafana-grafana-agent", "grafana/agent", false)]
    #[case("cgr.dev/acme/fluent-bit-fips:3", "fluent-bit", true)]
    #[case("cgr.dev/chainguard/prometheus-redis-exporter", "redis_exporter", true)]
    #[case("cgr.dev/chainguard/datadog-agent", "datadog/agent", true)]
    #[case("quay.io/pusher/oauth2_proxy:v5.1.0", "oauth2-proxy", true)]
    #[case("oliver006/redis_exporter", "redis_exporter", true)]
    #[case("registry.redhat.io/openshift4/ose-kube-rbac-proxy-rhel9:v4.16", "kube-rbac-proxy", true)]
    #[case("bitnamilegacy/redis-exporter-iamguarded-fips", "redis-exporter", true)]
    #[case("mirror.example.com/all/quay.io_brancz_kube-rbac-proxy:v1", "brancz/kube-rbac-proxy", true)]
    #[case("example.com/team/grafana-agent", "grafana/agent", false)]
    #[case("example.com/team/my-fluent-bit", "fluent-bit", false)]
    #[case("rancher/fleet-fluent-bit-operator", "fluent-bit", false)]
    #[case("rancher.example.com:5000/team/my-fluent-bit", "fluent-bit", false)]
    #[case("registry.example.com/openshift-apps/my-fluent-bit", "fluent-bit", false)]
    #[case("registry.example.com/rancher/my-fluent-bit", "fluent-bit", true)]
    fn copies_and_rebuilds_are_known_by_what_they_come_from(
        #[case] image: &str,
        #[case] pattern: &str,
        #[case] matches: bool,
    ) {
        assert_eq!(Image::parse(image).matches(&pattern.into()), matches);
    }

    #[test]
    fn an_image_has_few_origins_whatever_its_name() {
        let image = format!("rancher/{}", "a-fips".repeat(170));
        assert!(Image::parse(&image).origins().0.len() <= WORDS + 3);
    }

    #[test]
    fn a_port_in_the_registry_is_no_tag() {
        assert_eq!(Image::parse("registry:5000/a/b"), Image { repository: "registry:5000/a/b", tag: None });
        assert_eq!(Image::parse("a/b:1@sha256:c"), Image { repository: "a/b", tag: Some("1") });
    }

    #[test]
    fn what_is_too_long_for_a_reference_matches_nothing() {
        let image = format!("{}vault", "l5d/".repeat(1000));
        assert!(!Image::parse(&image).matches(&"vault".into()));
    }
}
