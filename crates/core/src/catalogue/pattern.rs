//! Globs, compiled when the catalogue is read.
//!
//! Whatever it is compared with, a glob looks at each character a bounded number of times: the text is a pod
//! author's, and a review must cost no more than reading it.

use serde::{Deserialize, Deserializer};
use std::fmt;

/// A glob, in which `*` stands for any text, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// Where the stars are in `text`.
    stars: Vec<usize>,
    /// A slash and what stands in front of the first star.
    slash_head: String,
}

// === impl Pattern ===

impl Pattern {
    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether there is a star in it, so that it may match more than one text.
    #[must_use]
    pub const fn has_star(&self) -> bool {
        !self.stars.is_empty()
    }

    /// Whether all of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.captured(text).is_some()
    }

    /// What the first `*` stands for in `text`, as much as it can be; empty where there is none. `None` where `text`
    /// does not match.
    #[must_use]
    pub fn captured<'t>(&self, text: &'t str) -> Option<&'t str> {
        let Some(head) = self.head() else { return (self.text == text).then_some("") };
        let rest = text.strip_prefix(head)?;
        let rest = rest.strip_suffix(self.tail())?;
        self.in_front_of_middle(rest)
    }

    /// Whether the end of `path` matches, from the beginning of one of its components on (`a/b/c`: `c`, `b/c`, `a/b/c`).
    #[must_use]
    pub fn matches_end(&self, path: &str) -> bool {
        let Some(head) = self.head() else { return ends_with_components(path, &self.text) };
        let Some(rest) = path.strip_suffix(self.tail()) else { return false };
        let Some(front) = self.in_front_of_middle(rest) else { return false };
        // A star takes slashes too, so it is enough that the head begins some component of what is left.
        head.is_empty() || front.starts_with(head) || front.contains(&self.slash_head)
    }

    /// The part in front of the first star; `None` where there is no star.
    fn head(&self) -> Option<&str> {
        self.stars.first().map(|star| &self.text[..*star])
    }

    /// The part behind the last star.
    fn tail(&self) -> &str {
        self.stars.last().map_or("", |star| &self.text[star + 1..])
    }

    /// What is left of `text` in front of the parts between stars, which are found from the right, each as far to the
    /// right as it can be: whatever matches, matches so.
    fn in_front_of_middle<'t>(&self, text: &'t str) -> Option<&'t str> {
        let parts = self.stars.windows(2).rev().map(|pair| &self.text[pair[0] + 1..pair[1]]);
        parts.into_iter().try_fold(text, |left, part| left.rfind(part).map(|at| &left[..at]))
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        let stars = text.match_indices('*').map(|(at, _)| at).collect();
        let slash_head = format!("/{}", text.split('*').next().unwrap_or_default());
        Self { text, stars, slash_head }
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Whether `path` is `end`, or ends in `/` and `end`.
fn ends_with_components(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|front| front.is_empty() || front.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("a", "a", Some(""))]
    #[case("a*", "abc", Some("bc"))]
    #[case("*c", "abc", Some("ab"))]
    #[case("a*c*e", "abcde", Some("b"))]
    #[case("a*c*e", "acceee", Some("c"))]
    #[case("*", "", Some(""))]
    #[case("a*a", "a", None)]
    #[case("a", "ab", None)]
    #[case("a*c", "ab", None)]
    #[case("*ä*", "xäy", Some("x"))]
    fn globs(#[case] pattern: &str, #[case] text: &str, #[case] captured: Option<&str>) {
        assert_eq!(Pattern::from(pattern).captured(text), captured);
    }

    #[rstest]
    #[case("proxyv2", "docker.io/istio/proxyv2", true)]
    #[case("istio/proxyv2", "registry:5000/mirror/istio/proxyv2", true)]
    #[case("proxyv2", "proxyv2", true)]
    #[case("proxyv2", "example.com/my-proxyv2", false)]
    #[case("proxyv2", "example.com/proxyv2/app", false)]
    #[case("bitnami*/vector", "mirror/bitnamilegacy/vector", true)]
    #[case("bitnami*/vector", "mirror/my-bitnami/vector", false)]
    #[case("*l5d*/proxy", "cr.l5d.io/linkerd/proxy", true)]
    #[case("*l5d*/proxy", "cr.l5d.io/proxies", false)]
    #[case("aa*", "x/aaa", true)]
    #[case("a/a*b", "a/a/ab", true)]
    fn ends_match_by_whole_components(#[case] pattern: &str, #[case] path: &str, #[case] matches: bool) {
        assert_eq!(Pattern::from(pattern).matches_end(path), matches);
    }

    /// The definition, which takes time that grows with the power of the stars.
    fn slowly(pattern: &str, text: &str) -> bool {
        match pattern.split_once('*') {
            None => pattern == text,
            Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
                (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| slowly(tail, &rest[at..]))
            }),
        }
    }

    proptest! {
        #[test]
        fn a_compiled_glob_matches_what_the_definition_matches(pattern in "[ab/*]{0,7}", text in "[ab/]{0,12}") {
            let compiled = Pattern::from(&*pattern);
            prop_assert_eq!(compiled.matches(&text), slowly(&pattern, &text));
            let components = std::iter::once(0).chain(text.match_indices('/').map(|(at, _)| at + 1));
            let ends = components.into_iter().any(|at| slowly(&pattern, &text[at..]));
            prop_assert_eq!(compiled.matches_end(&text), ends);
        }
    }
}
