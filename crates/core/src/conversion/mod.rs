//! The conversion: a pod and what is asked for in, findings and a JSON Patch out. Pure and synchronous.
//!
//! ```text
//! Pod, Intent -> select -> shape -> place -> precede -> withhold -> judge -> patch -> prove
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
mod precede;
mod prove;
mod rules;
mod select;
mod shape;
mod withhold;
mod workload;

pub use crate::version::{NotAVersion, Version};
pub use facts::{ClusterFacts, Node, NodeObject, Nodes, PodFacts, StartupProbeBug};
pub use workload::{ExitCodes, Workload};

use crate::{
    catalogue::Catalogue,
    findings::{Code, Finding, Severity},
    intent::{Intent, Mode, OnBlocker},
    pod::{MOST_CONTAINERS, Pod, Unreadable},
};
use json_patch::Patch;
use knowledge::carriers::{Comes, LateCarriers, Starting};
use model::{Plan, Selection, Slot};
use rules::{Case, judge};
use serde::{Serialize, Serializer};

/// What a conversion is given beside the pod.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'s> {
    /// The known sidecars.
    pub catalogue: &'s Catalogue,
    /// What is known about the cluster.
    pub facts: &'s ClusterFacts,
    /// What becomes of known sidecars in pods that do not say (`native-sidecar.io/known`).
    pub known: Known,
    /// `Observe` where no pod is written to, whatever it says itself.
    pub mode: Mode,
    /// Container names given from outside (`convert --containers`), instead of the pod's annotation.
    pub containers: Option<&'s str>,
    /// The object that the pod's template stands in, where it is in sight: for a manifest, not in a webhook.
    pub workload: Option<&'s Workload>,
}

/// What becomes of known sidecars in the pods of a namespace, by its label `native-sidecar.io/known`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// No label: they stay.
    #[default]
    Stay,
    /// `observe`: it is told what would become of them. A pod that asks for a conversion itself gets it, as if there was
    /// no label.
    Observed,
    /// `true`: they move.
    Move,
}

/// Who has a pod observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observer {
    /// The pod itself: whoever creates it is told the outcome.
    Pod,
    /// Its namespace or the server, of which whoever creates it need not know.
    Others,
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
    /// Only observed; else it would be converted.
    WouldConvert,
    /// Only observed; else it would be left as it is, or refused, because of a finding.
    WouldBlock,
}

/// The result of a conversion.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// What became of the pod.
    pub decision: Decision,
    /// Everything found out, in the order of the pipeline.
    pub findings: Vec<Finding>,
    /// Findings that held the conversion back; empty unless `decision` is `Blocked`, `Denied` or `WouldBlock`.
    pub reasons: Vec<Finding>,
    /// RFC 6902 operations for the pod; empty where nothing changes.
    pub patch: Patch,
    /// Names of the containers that are native sidecars by our work, or would be; empty unless `decision` is `Converted`
    /// or `WouldConvert`.
    pub native: Vec<String>,
    /// Who has the pod observed; `None` where the conversion is carried out.
    pub observer: Option<Observer>,
}

/// Converts the pod in `json`: whole, or not at all.
///
/// Never fails: what stands in the way is a finding, and the patch is then no more than an annotation that
/// gives the reason. Every patch that is returned was applied to the pod and its result was checked.
#[must_use]
pub fn convert(json: &str, settings: Settings<'_>) -> Conversion {
    match Pod::parse(json) {
        Ok(pod) => convert_pod(&pod, settings),
        Err(error) => Conversion::of_unreadable(&error, settings),
    }
}

/// Converts `pod`; see [`convert`].
#[must_use]
pub fn convert_pod<'p>(pod: &'p Pod<'p>, settings: Settings<'p>) -> Conversion {
    let intent = asked_for(pod, settings);
    let conversion = outcome(pod, &intent, settings);
    conversion.observed_by(settings.observer(&intent))
}

/// Converts `pod` even where it is only to be observed, for whoever wants to see what would become of it.
#[must_use]
pub fn convert_unobserved<'p>(pod: &'p Pod<'p>, settings: Settings<'p>) -> Conversion {
    outcome(pod, &asked_for(pod, settings), settings)
}

/// What is asked for the pod.
fn asked_for(pod: &Pod<'_>, settings: Settings<'_>) -> Intent {
    let mut intent = Intent::of(pod);
    if let Some(names) = settings.containers {
        intent.ask_for(names);
    }
    intent
}

/// What becomes of `pod` where it is not only observed.
fn outcome<'p>(pod: &'p Pod<'p>, intent: &Intent, settings: Settings<'p>) -> Conversion {
    if !settings.moves_known(intent) && !intent.asks() {
        return Conversion::unchanged(Decision::NotRequested, Vec::new(), Vec::new());
    }
    if let Some(finding) = too_many_containers(pod) {
        return Conversion::unchanged(Decision::Blocked, vec![finding.clone()], vec![finding]);
    }
    let Selection { containers, repairs, repeats, findings: of_selection } = select::select(pod, intent, settings);
    let facts = settings.facts.for_pod(pod);
    let moves = shape::shape(pod, containers, intent, &facts);
    let (order, of_places) = place::place(pod, &moves, settings.catalogue);
    let plan = Plan::new(pod, moves, order, repairs, repeats);
    let (mut plan, of_init) = precede::precede(pod, plan, settings.catalogue);
    let carriers = late_carriers(pod, &plan, settings);
    withhold::withhold(pod, &mut plan.moves, &plan.order, &carriers);
    let case = Case::new(pod, settings, facts, plan, carriers);
    let of_shapes = case.plan.moves.iter().flat_map(|the_move| the_move.form.findings.iter().cloned());
    let of_intent = intent.findings.iter().cloned();
    let known = of_intent.chain(of_selection).chain(of_shapes).chain(of_places).chain(of_init);
    let findings = known.chain(judge(&case)).collect();
    decide(&case, intent, findings)
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
    let proved = prove::prove(case.pod, &operations, &converted);
    match proved.and_then(|()| patch::bounded(operations.into_patch())) {
        Ok(patch) => {
            let native = converted.into_iter().map(str::to_owned).collect();
            Conversion { decision, findings, reasons, patch, native, observer: None }
        }
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

// === impl Settings ===

impl Settings<'_> {
    /// Whether known sidecars move in a pod that asks for `intent`.
    fn moves_known(&self, intent: &Intent) -> bool {
        let unsaid = match self.known {
            Known::Stay => false,
            Known::Move => true,
            // With a mode of its own, a pod only says what is to become of what its namespace asks for.
            Known::Observed => intent.mode.is_some() || !intent.asks_to_move(),
        };
        intent.known.unwrap_or(unsaid)
    }

    /// Who has a pod observed that asks for `intent`. The server's word counts before the pod's, and that before its
    /// namespace's.
    fn observer(&self, intent: &Intent) -> Option<Observer> {
        match intent.mode {
            Some(Mode::Observe) => Some(Observer::Pod),
            _ if self.mode == Mode::Observe => Some(Observer::Others),
            None if self.known == Known::Observed && !intent.asks_to_move() => Some(Observer::Others),
            _ => None,
        }
    }
}

// === impl Conversion ===

impl Conversion {
    /// What becomes of a pod that [`Pod::parse`] could not read: it is left as it is.
    #[must_use]
    pub fn of_unreadable(error: &Unreadable, settings: Settings<'_>) -> Self {
        let finding = Finding::pod(Code::UnreadablePod, format!("the pod {}", select::unreadable(error)));
        let left = Self::unchanged(Decision::Blocked, vec![finding.clone()], vec![finding]);
        left.observed_by(settings.observer(&Intent::default()))
    }

    /// The same for a pod that is only observed, where there is an observer: it is neither written to nor refused.
    fn observed_by(self, observer: Option<Observer>) -> Self {
        if observer.is_none() {
            return self;
        }
        let decision = match self.decision {
            Decision::Converted => Decision::WouldConvert,
            Decision::Blocked | Decision::Denied => Decision::WouldBlock,
            other => other,
        };
        Self { decision, patch: Patch(Vec::new()), observer, ..self }
    }

    fn unchanged(decision: Decision, findings: Vec<Finding>, reasons: Vec<Finding>) -> Self {
        Self { decision, findings, reasons, patch: Patch(Vec::new()), native: Vec::new(), observer: None }
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
            Self::WouldConvert => "would-convert",
            Self::WouldBlock => "would-block",
        }
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
