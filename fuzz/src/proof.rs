//! The conversion of any pod: the patch was proved on as much of the pod as it touches, and here it is applied to the
//! whole, where nothing but the promised changes may be found. A second pass finds nothing to do.

use crate::{KNOWN, choice, promises};
use native_sidecar_cases::catalogue;
use native_sidecar_core::{
    conversion::{ClusterFacts, Conversion, Settings, Version, convert},
    intent::Mode,
};
use serde_json::Value;
use std::sync::LazyLock;

static FACTS: LazyLock<[ClusterFacts; 4]> = LazyLock::new(|| {
    let at = |minor| ClusterFacts::all_at(Version::new(1, minor, 0));
    [ClusterFacts::default(), at(29), at(32), at(37)]
});

/// Runs one input: a pod as JSON.
///
/// # Panics
///
/// When a promise is broken.
#[must_use]
pub fn run(json: &[u8]) -> &'static str {
    let Ok(text) = std::str::from_utf8(json) else { return "no-text" };
    let which = choice(json, FACTS.len() * KNOWN.len());
    let settings = Settings {
        catalogue: catalogue(),
        facts: &FACTS[which % FACTS.len()],
        known: KNOWN[which / FACTS.len()],
        containers: None,
        workload: None,
        mode: Mode::Convert,
    };
    let conversion = convert(text, settings);
    let Ok(pod) = serde_json::from_str::<Value>(text) else { return conversion.decision.as_str() };
    // Values have each key once, as the API server's own JSON does.
    let unique = pod.to_string();
    let again = if unique == text { conversion } else { convert(&unique, settings) };
    let after = promises::carried_out(&pod, &again, catalogue());
    if !promises::has_name_twice(&pod) {
        assert_settled(&after, settings);
    }
    again.decision.as_str()
}

/// A second pass changes nothing.
fn assert_settled(after: &Value, settings: Settings<'_>) {
    let Conversion { patch, .. } = convert(&after.to_string(), settings);
    assert!(patch.is_empty(), "a second pass changes more: {patch}");
}
