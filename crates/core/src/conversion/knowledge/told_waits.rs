//! How long a program goes on after SIGTERM because a flag or a variable tells it to.

use crate::{
    catalogue::Entry,
    pod::{Container, Pod},
};

/// The seconds for which `container`, a sidecar of `entry`, is told to go on after SIGTERM whatever happens.
pub(in crate::conversion) fn told_wait_seconds(pod: &Pod<'_>, container: &Container<'_>, entry: &Entry) -> Option<i64> {
    let told = entry.waits.iter().find_map(|source| source.value(pod, container))?;
    seconds(&told).filter(|seconds| *seconds > 0)
}

/// A duration as Go writes it (`30s`, `1m30s`, `500ms`), in seconds, rounded up.
///
/// Source: Go's time.ParseDuration.
fn seconds(duration: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    /// Longer ones are none that anybody means, and would cost time to read.
    const LONGEST: usize = 64;
    if duration == "0" {
        return Some(0);
    }
    let (mut rest, mut sum) = (duration, 0.0);
    if rest.is_empty() || rest.len() > LONGEST {
        return None;
    }
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(unit_at);
        let next_at = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(next_at);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += number.parse::<f64>().ok()? * factor;
        rest = behind;
    }
    whole(sum.ceil())
}

/// More seconds than any grace period has are none that is meant.
fn whole(seconds: f64) -> Option<i64> {
    let seconds = (seconds <= f64::from(i32::MAX)).then(|| format!("{seconds:.0}"))?;
    seconds.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("30s", Some(30))]
    #[case("1m30s", Some(90))]
    #[case("1.5h", Some(5400))]
    #[case("500ms", Some(1))]
    #[case("0", Some(0))]
    #[case("30", None)]
    #[case("s", None)]
    #[case("-5s", None)]
    #[case("1x", None)]
    #[case("", None)]
    #[case("9999999999h", None)]
    fn durations(#[case] text: &str, #[case] expected: Option<i64>) {
        assert_eq!(seconds(text), expected);
    }
}
