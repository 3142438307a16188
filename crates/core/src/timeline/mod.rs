//! The life of a pod before and after its conversion, as data from which pictures are drawn.
//!
//! [`Timeline::of`] converts a pod, applies the patch to it, and tells the [`Life`] of each: who starts when, who asks
//! whom, what is restarted, how the end goes, what is asked of the node. It is plain data: `native-sidecar timeline -o json`
//! prints it, with [`FORMAT_VERSION`] in front, and the other pictures are drawn from it.
//!
//! | File | What it says |
//! |---|---|
//! | `start` | the containers in their order, and what each holds up |
//! | `traffic` | who asks whom, and whether that one is there by then |
//! | `stop` | the end of a Job and a deletion, with seconds |
//! | `chart` | when each container runs, in ticks that are not to scale |

mod chart;
mod start;
mod stop;
mod traffic;

pub use chart::{Chart, Lane};
pub use start::{Hold, HoldBy, Patience, Started};
pub use stop::{Deletion, End, Hook, Span, Stop};
pub use traffic::{Asked, Meets, Place};

use crate::{
    conversion::{Conversion, Decision, Settings, convert_pod, convert_unobserved},
    findings::{Code, Finding, Severity},
    intent::Intent,
    lifecycle::{
        Lifecycle,
        requests::{Part, effective},
    },
    pod::{Containers, Pod, Quantity},
    version::Version,
};
use json_patch::Patch;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The version of the JSON: a field that goes or changes its meaning raises it, a field that is new does not.
pub const FORMAT_VERSION: u32 = 1;

/// One pod before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// What becomes of the pod.
    pub decision: Decision,
    /// The containers that become native sidecars.
    pub native: Vec<String>,
    /// Why the pod is left as it is.
    pub reasons: Vec<String>,
    /// How many warnings the conversion has to tell.
    pub warnings: usize,
    /// How many notes.
    pub notes: usize,
    /// The kind of the object that owns the pod, for example `Job`.
    pub owner: Option<String>,
    /// The life of the pod as it is; `None` where it cannot be read.
    pub before: Option<Life>,
    /// The life of the pod as it will be, or would be; `None` where nothing changes.
    pub after: Option<Life>,
}

/// One life.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Life {
    /// The containers in the order in which they start.
    pub containers: Vec<Started>,
    /// How many more containers there are than are looked at.
    pub left_out: usize,
    /// Who asks whom inside the pod, as far as it can be seen.
    pub traffic: Vec<Asked>,
    /// How the pod ends by itself; `None` where its containers are restarted however they end.
    pub end: Option<End>,
    /// How it is deleted.
    pub deletion: Deletion,
    /// The effective requests, by resource, as Kubernetes computes them.
    pub requests: BTreeMap<String, String>,
    /// When each container runs.
    #[serde(skip)]
    pub chart: Chart,
}

/// Findings by which a container ends by itself, or is ended by another one.
const ENDS: [Code; 3] = [Code::OneShot, Code::WorksAtTheEnd, Code::ApplicationEndsSidecar];

/// What of the pod's own `spec.resources` counts for the pod as a whole.
///
/// Source: `component-helpers/resource/helpers.go`, `IsSupportedPodLevelResource`.
fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

// === impl Timeline ===

impl Timeline {
    /// The lives of the pod in `json`.
    #[must_use]
    pub fn of(json: &str, settings: Settings<'_>) -> Self {
        let pod = match Pod::parse(json) {
            Ok(pod) => pod,
            Err(error) => return Self::new(&Conversion::of_unreadable(&error, settings)),
        };
        let conversion = convert_pod(&pod, settings);
        let unobserved = conversion.observer.is_some().then(|| convert_unobserved(&pod, settings));
        let patch = &unobserved.as_ref().unwrap_or(&conversion).patch;
        let kubelet = settings.facts.for_pod(&pod).oldest_kubelet();
        let endless = endless(&pod, &conversion, settings);
        let is_to_convert = matches!(conversion.decision, Decision::Converted | Decision::WouldConvert);
        let after = if is_to_convert { patched(json, patch) } else { None };
        let after = after.and_then(|json| life_of(&json, kubelet, &endless));
        let before = Some(Life::of(&pod, kubelet, &endless));
        let owner = pod.controller().map(|owner| owner.kind.to_string());
        Self { owner, before, after, ..Self::new(&conversion) }
    }

    fn new(conversion: &Conversion) -> Self {
        let Conversion { decision, findings, reasons, native, .. } = conversion;
        let count = |severity| findings.iter().filter(|finding| finding.severity() == severity).count();
        Self {
            decision: *decision,
            native: native.clone(),
            reasons: reasons.iter().map(ToString::to_string).collect(),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
            owner: None,
            before: None,
            after: None,
        }
    }
}

fn life_of(json: &str, kubelet: Option<Version>, endless: &BTreeSet<String>) -> Option<Life> {
    let pod = Pod::parse(json).ok()?;
    Some(Life::of(&pod, kubelet, endless))
}

/// The pod in `json` after `patch`.
fn patched(json: &str, patch: &Patch) -> Option<String> {
    let mut pod = serde_json::from_str(json).ok()?;
    json_patch::patch(&mut pod, patch).ok()?;
    Some(pod.to_string())
}

/// The containers that run until they are told to stop: those that are sidecars to whoever asks, unless something is
/// known by which they end.
fn endless(pod: &Pod<'_>, conversion: &Conversion, settings: Settings<'_>) -> BTreeSet<String> {
    let asked = settings.containers.map_or_else(
        || Intent::of(pod).containers,
        |names| names.split(',').map(|name| name.trim().to_owned()).collect(),
    );
    let mut endless: BTreeSet<_> = conversion.native.iter().cloned().chain(asked).collect();
    let ends = |finding: &&Finding| ENDS.contains(&finding.code);
    for name in conversion.findings.iter().filter(ends).filter_map(|finding| finding.container.as_ref()) {
        endless.remove(name);
    }
    endless
}

// === impl Life ===

impl Life {
    /// The life of `pod` on a kubelet of this version, where the containers called `endless` do not end by themselves.
    #[must_use]
    pub fn of<'p>(pod: &'p Pod<'p>, kubelet: Option<Version>, endless: &BTreeSet<String>) -> Self {
        let life = Lifecycle::of(pod, kubelet);
        let end = End::of(&life, endless);
        Self {
            containers: start::containers(&life),
            left_out: left_out(pod.spec.init_containers.as_ref()) + left_out(Some(&pod.spec.containers)),
            traffic: traffic::asked(&life),
            chart: Chart::of(&life, end.as_ref()),
            end,
            deletion: Deletion::of(&life),
            requests: requests(pod, &life),
        }
    }
}

fn left_out(containers: Option<&Containers<'_>>) -> usize {
    containers.map_or(0, |containers| containers.count() - containers.len())
}

/// What the pod as a whole asks for counts instead of what its containers ask for.
fn requests(pod: &Pod<'_>, life: &Lifecycle<'_>) -> BTreeMap<String, String> {
    let parts = life.members().iter().map(|member| Part { container: member.container, role: member.role });
    let mut requests = effective(parts);
    let pod_level = pod.spec.resources.iter().flat_map(|resources| resources.requests.iter());
    for (name, request) in pod_level.filter(|(name, _)| is_pod_level(name)) {
        if let Some(request) = Quantity::parse(request.get()) {
            requests.insert(name, request);
        }
    }
    requests.into_iter().map(|(name, request)| (name.to_owned(), request.to_string())).collect()
}

#[cfg(test)]
mod tests;
