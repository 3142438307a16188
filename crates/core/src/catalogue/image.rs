//! Image references.

use super::pattern::Pattern;
use crate::version::Version;

/// An image reference, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'i> {
    /// Registry and repository, without tag and digest.
    pub repository: &'i str,
    /// The tag, if there is one.
    pub tag: Option<&'i str>,
}

/// A longer reference is none: a repository has at most 255 characters, a tag 128, and a digest less than 200.
///
/// Source: github.com/distribution/reference, `NameTotalLengthMax` and the grammar in reference.go.
const LONGEST: usize = 1024;

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
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// Whether the repository ends in what `pattern` says: whole path components from the right, whatever
    /// registry or mirror stands in front.
    #[must_use]
    pub fn matches(&self, pattern: &Pattern) -> bool {
        pattern.matches_end(self.repository)
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
