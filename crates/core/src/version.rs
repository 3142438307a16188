//! Kubernetes versions.

use serde::{Deserialize, Deserializer, de};
use std::{fmt, str::FromStr};

/// A Kubernetes version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// `1` in `v1.29.6`.
    pub major: u32,
    /// `29` in `v1.29.6`.
    pub minor: u32,
    /// `6` in `v1.29.6`.
    pub patch: u32,
}

/// A text that is no Kubernetes version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a Kubernetes version; expected one such as 1.31 or v1.31.4")]
pub struct NotAVersion(String);

// === impl Version ===

impl Version {
    /// The version `major.minor.patch`.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }
}

/// Reads `1.31`, `v1.31.4`, and what distributions append (`v1.31.4+k3s1`, `v1.30.5-gke.1014001`).
/// A version without a patch number is its first release: what a later patch repaired is not taken for granted.
impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.trim().trim_start_matches('v');
        let numbers = numbers.split(['+', '-']).next().unwrap_or_default();
        let parts: Option<Vec<u32>> = numbers.split('.').map(|part| part.parse().ok()).collect();
        match parts.as_deref() {
            Some([major, minor]) => Ok(Self::new(*major, *minor, 0)),
            Some([major, minor, patch]) => Ok(Self::new(*major, *minor, *patch)),
            _ => Err(NotAVersion(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("1.31", Version::new(1, 31, 0))]
    #[case("v1.31.4", Version::new(1, 31, 4))]
    #[case("v1.31.4+k3s1", Version::new(1, 31, 4))]
    #[case("v1.30.5-gke.1014001", Version::new(1, 30, 5))]
    #[case("v1.34.0-rc.1", Version::new(1, 34, 0))]
    fn versions(#[case] text: &str, #[case] version: Version) {
        assert_eq!(text.parse(), Ok(version));
    }

    #[rstest]
    #[case("")]
    #[case("latest")]
    #[case("1")]
    #[case("1.31.x")]
    #[case("1.2.3.4")]
    fn no_versions(#[case] text: &str) {
        assert!(text.parse::<Version>().is_err());
    }
}
