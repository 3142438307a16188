//! The conversion: a pod and what is asked for in, findings and a JSON Patch out. Pure and synchronous.

mod facts;
mod native_form;
mod patch;
mod placement;
mod plan;
mod rules;
mod selection;

pub use crate::version::{NotAVersion, Version};
pub use facts::ClusterFacts;

use crate::{
    catalogue::Catalogue,
    findings::{Code, Finding},
    intent::{Intent, OnBlocker},
    pod::{Pod, Unreadable},
};
use json_patch::Patch;
use plan::Plan;

/// Far more containers than a kubelet runs in one pod. Placing one looks at all others, so time grows with the square.
const MOST_CONTAINERS: usize = 1000;

/// What a conversion is given beside the pod.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'s> {
    /// The known sidecars.
    pub catalogue: &'s Catalogue,
    /// What is known about the cluster.
    pub facts: &'s ClusterFacts,
    /// Whether known sidecars move in pods that do not say (`native-sidecar.io/known`).
    pub known: bool,
    /// Container names given from outside (`convert --containers`), instead of the pod's annotation.
    pub containers: Option<&'s str>,
}

/// What became of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Nobody asked for a conversion.
    NotRequested,
    /// Asked, but there is nothing to move.
    NothingToDo,
    /// Containers are moved, or a moved one got its `restartPolicy` back.
    Converted,
    /// Left as it is because of a finding.
    Blocked,
    /// To be refused because of a finding, as `native-sidecar.io/on-blocker: deny` asks.
    Denied,
}

/// The result of a conversion.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// What became of the pod.
    pub decision: Decision,
    /// Everything found out, in the order of the pipeline.
    pub findings: Vec<Finding>,
    /// Findings that held the conversion back; empty unless `decision` is `Blocked` or `Denied`.
    pub reasons: Vec<Finding>,
    /// RFC 6902 operations for the pod; empty where nothing changes.
    pub patch: Patch,
}

/// Converts the pod in `json`: whole, or not at all.
///
/// Never fails: what stands in the way is a finding, and the patch is then no more than an annotation that
/// gives the reason. Every patch that is returned was applied to the pod and its result was checked.
#[must_use]
pub fn convert(json: &str, settings: Settings<'_>) -> Conversion {
    match Pod::parse(json) {
        Ok(pod) => convert_pod(json, &pod, settings),
        Err(error) => Conversion::of_unreadable(&error),
    }
}

/// Converts `pod`, which was read from `json`; see [`convert`].
#[must_use]
pub fn convert_pod(json: &str, pod: &Pod<'_>, settings: Settings<'_>) -> Conversion {
    let mut intent = Intent::of(pod);
    if let Some(names) = settings.containers {
        intent.ask_for(names);
    }
    let known = intent.known.unwrap_or(settings.known);
    if intent.containers.is_empty() && !known && intent.findings.is_empty() && intent.converted.is_empty() {
        return Conversion::unchanged(Decision::NotRequested, Vec::new(), Vec::new());
    }
    let containers = pod.spec.containers.len() + pod.init_containers().len();
    if containers > MOST_CONTAINERS {
        let message =
            format!("the pod has {containers} containers, more than the {MOST_CONTAINERS} that are looked at");
        let finding = Finding::pod(Code::TooManyContainers, message);
        return Conversion::unchanged(Decision::Blocked, vec![finding.clone()], vec![finding]);
    }
    let mut selection = selection::select(pod, &intent, settings);
    let moves = |name: &str| selection.containers.iter().any(|selected| selected.container.name == name);
    // An injector may be absent, so a wish without its container is only worth a word where something was asked for.
    let unused: Vec<_> = intent.unused_wishes(moves).filter(|finding| !is_native(pod, finding)).collect();
    let findings = std::mem::take(&mut selection.findings);
    selection.findings = intent.findings.iter().cloned().chain(findings).chain(unused).collect();
    let plan = Plan::new(pod, &intent, selection, settings);
    decide(json, pod, &intent, plan)
}

fn is_native(pod: &Pod<'_>, finding: &Finding) -> bool {
    finding
        .container
        .as_deref()
        .is_some_and(|name| pod.init_container(name).is_some_and(|(_, init)| init.restarts_always()))
}

fn decide(json: &str, pod: &Pod<'_>, intent: &Intent, plan: Plan<'_, '_, '_>) -> Conversion {
    let blocked = !plan.reasons.is_empty();
    if !blocked && plan.moves.is_empty() && plan.repairs.is_empty() && plan.repeats.is_empty() {
        return Conversion::unchanged(Decision::NothingToDo, plan.findings, Vec::new());
    }
    if blocked && intent.on_blocker == OnBlocker::Deny {
        return Conversion::unchanged(Decision::Denied, plan.findings, plan.reasons);
    }
    if pod.is_mirror() {
        return Conversion::unchanged(Decision::Blocked, plan.findings, plan.reasons);
    }
    let (decision, patch, native) = if blocked {
        (Decision::Blocked, patch::explain(pod, &plan), Vec::new())
    } else {
        (Decision::Converted, patch::carry_out(pod, &plan, intent), plan.converted(pod, intent))
    };
    let Plan { mut findings, reasons, .. } = plan;
    match patch::prove(json, &patch, &native) {
        Ok(()) => Conversion { decision, findings, reasons, patch },
        Err(doubt) => {
            findings.push(doubt.clone());
            Conversion::unchanged(Decision::Blocked, findings, reasons.into_iter().chain([doubt]).collect())
        }
    }
}

#[cfg(test)]
mod tests;

// === impl Conversion ===

impl Conversion {
    /// What becomes of a pod that [`Pod::parse`] could not read: it is left as it is.
    #[must_use]
    pub fn of_unreadable(error: &Unreadable) -> Self {
        let finding = Finding::pod(Code::UnreadablePod, format!("the pod {}", selection::unreadable(error)));
        Self::unchanged(Decision::Blocked, vec![finding.clone()], vec![finding])
    }

    fn unchanged(decision: Decision, findings: Vec<Finding>, reasons: Vec<Finding>) -> Self {
        Self { decision, findings, reasons, patch: Patch(Vec::new()) }
    }
}

// === impl Decision ===

impl Decision {
    /// The decision's name in audit annotations, logs and metrics: kebab-case, a closed set.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRequested => "not-requested",
            Self::NothingToDo => "nothing-to-do",
            Self::Converted => "converted",
            Self::Blocked => "blocked",
            Self::Denied => "denied",
        }
    }
}
