//! Names of containers, one or a list of them.

use crate::text::{LONGEST_NAME, quoted};
use std::collections::BTreeSet;

/// A text that no container can be called by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} cannot be a container's name; names are lower-case letters, digits and `-`, {LONGEST_NAME} at most, with a letter \
     or digit at both ends",
    quoted(.0)
)]
pub struct NotAName(String);

/// Why a text is no list of container names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// What would be all containers, or some, if names were patterns.
    #[error(
        "{} is a pattern, and only names are understood; for every sidecar that is known set native-sidecar.io/known: \
         \"true\" (--known) instead",
        quoted(.0)
    )]
    Pattern(String),
    /// No container can be called so.
    #[error(
        "{} cannot be a container's name; write names with commas between them, such as \"istio-proxy,vault-agent\"",
        quoted(.0)
    )]
    NotAName(String),
    /// No pod has so many containers, and a list takes many times its length in memory.
    #[error("expected at most {MOST_NAMES} names")]
    TooMany,
}

/// More names than any pod has containers.
pub(super) const MOST_NAMES: usize = 1000;

/// The names in a comma list such as `istio-proxy,vault-agent`, each once, in the order of their first mention. White space
/// around names and empty parts are tolerated.
///
/// # Errors
///
/// When a part cannot be the name of a container, or there are more of them than any pod has containers.
pub fn container_names(text: &str) -> Result<Vec<&str>, NamesError> {
    let names = parts(text)?;
    match names.iter().find(|name| !is_container_name(name)) {
        Some(pattern) if pattern.contains('*') => Err(NamesError::Pattern((*pattern).to_owned())),
        Some(name) => Err(NamesError::NotAName((*name).to_owned())),
        None => Ok(names),
    }
}

/// The parts of a comma list, whatever they are.
pub(super) fn parts(text: &str) -> Result<Vec<&str>, NamesError> {
    let mut seen = BTreeSet::new();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let parts: Vec<_> = parts.filter(|part| seen.insert(*part)).take(MOST_NAMES + 1).collect();
    if parts.len() > MOST_NAMES { Err(NamesError::TooMany) } else { Ok(parts) }
}

/// The same text, where a container can be called so.
pub(super) fn container_name(text: &str) -> Result<&str, NotAName> {
    if is_container_name(text) { Ok(text) } else { Err(NotAName(text.to_owned())) }
}

/// Whether a container can be called so.
///
/// Source: k8s.io/apimachinery/pkg/util/validation/validation.go, `IsDNS1123Label`.
pub(super) fn is_container_name(text: &str) -> bool {
    let is_inside = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_end = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
    let bytes = text.as_bytes();
    bytes.len() <= LONGEST_NAME && bytes.iter().all(is_inside) && is_end(bytes.first()) && is_end(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a", true)]
    #[case("0", true)]
    #[case("istio-proxy", true)]
    #[case("a--b", true)]
    #[case(&"a".repeat(63), true)]
    #[case(&"a".repeat(64), false)]
    #[case("", false)]
    #[case("-a", false)]
    #[case("a-", false)]
    #[case("A", false)]
    #[case("a_b", false)]
    #[case("a.b", false)]
    #[case("a b", false)]
    #[case("ä", false)]
    #[case("*", false)]
    fn names(#[case] text: &str, #[case] is_one: bool) {
        assert_eq!(is_container_name(text), is_one);
        assert_eq!(container_name(text).is_ok(), is_one);
    }

    #[rstest]
    #[case("", &[])]
    #[case(" , ,", &[])]
    #[case(" b ,, a,b,\n c ,", &["b", "a", "c"])]
    fn lists(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(container_names(text).unwrap(), expected);
    }

    #[rstest]
    #[case("b c; d", "\"b c; d\" cannot be a container's name")]
    #[case("a,b;c", "\"b;c\" cannot be a container's name")]
    #[case("a,\"b\"", "cannot be a container's name")]
    #[case("[a]", "cannot be a container's name")]
    #[case("Istio-Proxy", "cannot be a container's name")]
    #[case("*", "native-sidecar.io/known: \"true\"")]
    #[case("a,istio-*", "\"istio-*\" is a pattern")]
    fn what_is_no_list_of_names(#[case] text: &str, #[case] says: &str) {
        let error = container_names(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
