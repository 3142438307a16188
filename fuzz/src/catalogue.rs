//! A catalogue file of any content: it is read in linear time, refused in one line, or taken; and whatever an entry
//! says, pods that are converted by it keep the promises.

use crate::{choice, promises, seeds, steps::Bound};
use native_sidecar_core::{
    catalogue::Catalogue,
    conversion::{ClusterFacts, Decision, Known, Settings, convert},
    intent::Mode,
};
use serde_json::Value;
use std::sync::LazyLock;

/// Measured by `tests/steps.rs`.
pub const BOUND: Bound = Bound { fixed: 4_000_000, for_a_byte: 20_000 };

static FACTS: LazyLock<ClusterFacts> = LazyLock::new(ClusterFacts::default);
static PODS: LazyLock<Vec<Value>> = LazyLock::new(seeds::pods);
/// So many of the pods are tried with one catalogue.
const TRIED: usize = 2;

/// Runs one input.
///
/// # Panics
///
/// When a promise is broken.
#[must_use]
pub fn run(file: &[u8]) -> &'static str {
    let Ok(text) = std::str::from_utf8(file) else { return "no-text" };
    let catalogue = match BOUND.hold(text.len(), || Catalogue::parse("fuzz", text)) {
        Ok(catalogue) => catalogue,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            return "refused";
        }
    };
    let settings = Settings {
        catalogue: &catalogue,
        facts: &FACTS,
        known: Known::Move,
        containers: None,
        workload: None,
        mode: Mode::Convert,
    };
    let mut reach = "taken";
    for number in 0..TRIED {
        let pod = &PODS[(choice(file, PODS.len()) + number) % PODS.len()];
        let conversion = convert(&pod.to_string(), settings);
        let _after = promises::carried_out(pod, &conversion, &catalogue);
        if conversion.decision == Decision::Converted {
            reach = "converted";
        }
    }
    reach
}
