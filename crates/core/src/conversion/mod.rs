//! The conversion: a pod and what is asked for in, findings and a JSON Patch out. Pure and synchronous.
//!
//! ```text
//! Pod, Intent -> select -> shape -> place -> withhold -> judge -> patch -> prove
//! ```
//!
//! Each step is a file of its own and knows none of the others; [`convert_pod`] calls them in this order. What they hand
//! to each other is in `model`, what several of them must know about containers in `knowledge`.

mod facts;
mod knowledge;
mod model;
mod operations;
mod patch;
mod place;
mod prove;
mod rules;
mod select;
mod shape;
mod withhold;

pub use crate::version::{NotAVersion, Version};
pub use facts::{ClusterFacts, Node, StartupProbeBug};

use crate::{
    catalogue::Catalogue,
    findings::{Code, Finding, Severity},
    intent::{Intent, OnBlocker},
    pod::{MOST_CONTAINERS, Pod, Unreadable},
};
use json_patch::Patch;
use knowledge::carriers::{Comes, LateCarriers, Starting};
use model::{Plan, Selection, Slot};
use rules::{Case, judge};

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
        Ok(pod) => convert_pod(&pod, settings),
        Err(error) => Conversion::of_unreadable(&error),
    }
}

/// Converts `pod`; see [`convert`].
#[must_use]
pub fn convert_pod<'p>(pod: &'p Pod<'p>, settings: Settings<'p>) -> Conversion {
    let mut intent = Intent::of(pod);
    if let Some(names) = settings.containers {
        intent.ask_for(names);
    }
    if !intent.known.unwrap_or(settings.known) && !intent.asks() {
        return Conversion::unchanged(Decision::NotRequested, Vec::new(), Vec::new());
    }
    if let Some(finding) = too_many_containers(pod) {
        return Conversion::unchanged(Decision::Blocked, vec![finding.clone()], vec![finding]);
    }
    let Selection { containers, repairs, repeats, findings: of_selection } = select::select(pod, &intent, settings);
    let moves = shape::shape(pod, containers, &intent, settings.facts);
    let (order, of_places) = place::place(pod, &moves, settings.catalogue);
    let mut plan = Plan::new(pod, moves, order, repairs, repeats);
    let carriers = late_carriers(pod, &plan, settings);
    withhold::withhold(&mut plan.moves, &plan.order, &carriers);
    let case = Case::new(pod, settings, plan, carriers);
    let of_shapes = case.plan.moves.iter().flat_map(|the_move| the_move.form.findings.iter().cloned());
    let of_intent = intent.findings.iter().cloned();
    let known = of_intent.chain(of_selection).chain(of_shapes).chain(of_places);
    let findings = known.chain(judge(&case)).collect();
    decide(&case, &intent, findings)
}

fn too_many_containers(pod: &Pod<'_>) -> Option<Finding> {
    let count = pod.container_count();
    let message = || format!("the pod has {count} containers, more than the {MOST_CONTAINERS} that are looked at");
    (count > MOST_CONTAINERS).then(|| Finding::pod(Code::TooManyContainers, message()))
}

fn late_carriers<'p>(pod: &'p Pod<'p>, plan: &Plan<'p>, settings: Settings<'p>) -> LateCarriers<'p> {
    let starting = |slot: &Slot| Starting {
        container: plan.container(pod, *slot),
        comes: match *slot {
            Slot::Moved(index) => Comes::Moved(plan.moves[index].selected.entry),
            Slot::Existing(_) => Comes::Existing,
        },
    };
    let order: Vec<_> = plan.order.iter().map(starting).collect();
    LateCarriers::of(pod, settings.catalogue, &order, plan.remaining(pod))
}

fn decide(case: &Case<'_>, intent: &Intent, mut findings: Vec<Finding>) -> Conversion {
    let mut reasons: Vec<_> = findings.iter().filter(|finding| holds_back(finding, intent)).cloned().collect();
    let is_blocked = !reasons.is_empty();
    if !is_blocked && case.plan.is_empty() {
        return Conversion::unchanged(Decision::NothingToDo, findings, reasons);
    }
    if is_blocked && intent.on_blocker == OnBlocker::Deny {
        return Conversion::unchanged(Decision::Denied, findings, reasons);
    }
    if case.pod.is_mirror() {
        return Conversion::unchanged(Decision::Blocked, findings, reasons);
    }
    let (decision, operations, converted) = if is_blocked {
        (Decision::Blocked, patch::explain(case, &reasons), Vec::new())
    } else {
        let converted = patch::converted(case, intent);
        (Decision::Converted, patch::carry_out(case, &converted), converted)
    };
    match prove::prove(case.pod, &operations, &converted) {
        Ok(()) => Conversion { decision, findings, reasons, patch: operations.into_patch() },
        Err(doubt) => {
            findings.push(doubt.clone());
            reasons.push(doubt);
            Conversion::unchanged(Decision::Blocked, findings, reasons)
        }
    }
}

fn holds_back(finding: &Finding, intent: &Intent) -> bool {
    match finding.severity() {
        Severity::Fatal => true,
        Severity::Blocker => !intent.accept.contains(&finding.code),
        Severity::Warning | Severity::Note => false,
    }
}

#[cfg(test)]
mod tests;

// === impl Conversion ===

impl Conversion {
    /// What becomes of a pod that [`Pod::parse`] could not read: it is left as it is.
    #[must_use]
    pub fn of_unreadable(error: &Unreadable) -> Self {
        let finding = Finding::pod(Code::UnreadablePod, format!("the pod {}", select::unreadable(error)));
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
