//! What a pod says about the nodes that it may run on, and whether it may run on one of them.
//!
//! Sources: k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go, `RequiredNodeAffinity.Match`;
//! k8s.io/apimachinery/pkg/labels/selector.go, `Requirement.Matches`; k8s.io/api/core/v1/toleration.go, `ToleratesTaint`.

use super::json::{Entries, Label, Text, null_is_default};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The nodes that a pod selects, and the taints that it tolerates. What cannot be read says nothing.
#[derive(Debug, Default)]
pub struct Placement<'a> {
    node_selector: Entries<'a, Label<'a>>,
    /// `nodeSelectorTerms`, of which one is enough; `None` where there is no required node affinity.
    terms: Option<Vec<Term<'a>>>,
    tolerations: Vec<Toleration<'a>>,
    /// Whether the pod has yet to be let into scheduling: who does so may add tolerations.
    is_gated: bool,
}

/// By what a pod selects a node.
#[derive(Clone, Copy, Debug)]
pub struct NodeLabels<'n> {
    /// `metadata.name`.
    pub name: &'n str,
    /// The label `kubernetes.io/hostname`, which is another one for each node.
    pub hostname: Option<&'n str>,
    /// All other labels.
    pub labels: &'n BTreeMap<String, String>,
}

/// One of a node's `taints`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(default)]
pub struct Taint {
    /// `key`.
    pub key: String,
    /// `value`.
    #[serde(deserialize_with = "null_is_default")]
    pub value: String,
    /// `effect`: `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// One of `matchExpressions` or `matchFields`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Requirement<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(deserialize_with = "null_is_default")]
    operator: Operator,
    #[serde(borrow, deserialize_with = "null_is_default")]
    values: Vec<Text<'a>>,
}

/// `operator` of a requirement.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(field_identifier)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
    #[default]
    #[serde(other)]
    Other,
}

/// One of `tolerations`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Toleration<'a> {
    /// `key`; empty where every taint is tolerated.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// `value`; empty where it does not matter.
    #[serde(borrow)]
    pub value: Text<'a>,
    #[serde(borrow)]
    operator: Text<'a>,
    #[serde(borrow)]
    effect: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    node_affinity: NodeAffinity<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeAffinity<'a> {
    #[serde(borrow, rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSelector<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    node_selector_terms: Vec<Term<'a>>,
}

/// One of `nodeSelectorTerms`, all of whose requirements must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    match_expressions: Vec<Requirement<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    match_fields: Vec<Requirement<'a>>,
}

/// The label that names the node.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// The only field that `matchFields` may ask for.
const NAME_FIELD: &str = "metadata.name";

/// How the keys of taints begin that come and go by themselves: of a node that is not ready or cordoned, that starts, or that
/// an autoscaler takes away. They say nothing about where a pod runs that waits until they are gone.
const PASSING_TAINTS: [&str; 5] = [
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "karpenter.sh/",
    "ToBeDeletedByClusterAutoscaler",
    "DeletionCandidateOfClusterAutoscaler",
];
/// How they end for nodes on which a network or storage plugin is yet to start.
const STARTING_TAINT: &str = "/agent-not-ready";

// === impl Placement ===

impl<'a> Placement<'a> {
    /// Reads `nodeSelector`, `affinity`, `tolerations` and `schedulingGates`.
    pub(super) fn read(
        node_selector: Option<&'a RawValue>,
        affinity: Option<&'a RawValue>,
        tolerations: Option<&'a RawValue>,
        scheduling_gates: Option<&'a RawValue>,
    ) -> Self {
        let Affinity { node_affinity } = value(affinity);
        let terms = node_affinity.required.map(|required| required.node_selector_terms);
        let is_gated = scheduling_gates.is_some_and(|gates| !matches!(gates.get(), "null" | "[]"));
        Self { node_selector: value(node_selector), terms, tolerations: value(tolerations), is_gated }
    }

    /// Whether a pod selects `node`, by its node selector and its required node affinity. A requirement that cannot be
    /// understood leaves no node out.
    #[must_use]
    pub fn selects(&self, node: NodeLabels<'_>) -> bool {
        self.node_selector.iter().all(|(key, value)| node.label(key) == Some(value))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.admits(node)))
    }

    /// Whether none of a node's `taints` keeps the pod off it.
    #[must_use]
    pub fn tolerates_all(&self, taints: &[Taint]) -> bool {
        self.is_gated || taints.iter().all(|taint| !taint.keeps_out() || self.tolerates(taint))
    }

    /// Whether [`selects`](Self::selects) may say something else of two nodes that differ in nothing but their names.
    #[must_use]
    pub fn depends_on_name(&self) -> bool {
        let of_terms = || self.terms().any(|term| !term.match_fields.is_empty());
        self.keys().any(|key| key == HOSTNAME) || of_terms()
    }

    /// How many comparisons it takes at most to say whether a node is selected.
    #[must_use]
    pub fn comparisons(&self) -> usize {
        let of_terms = self.terms().flat_map(Term::requirements).map(|requirement| 1 + requirement.values.len());
        1 + self.node_selector.iter().count() + of_terms.sum::<usize>()
    }

    /// Whether the pod runs only on nodes that have the label `key` with a value for which `counts` holds.
    #[must_use]
    pub fn demands(&self, key: &str, counts: impl Fn(&str) -> bool) -> bool {
        let selected = self.node_selector.get(key).is_some_and(|value| counts(value));
        selected || self.every_term(|requirement| requirement.key == key && requirement.demands(&counts))
    }

    /// The same where the key alone is enough.
    #[must_use]
    pub fn demands_key(&self, key: &str) -> bool {
        let exists = |requirement: &Requirement<'_>| matches!(requirement.operator, Operator::Exists | Operator::In);
        self.node_selector.contains_key(key)
            || self.every_term(|requirement| requirement.key == key && exists(requirement))
    }

    /// The keys of labels that the pod asks nodes for, or that they must not have.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let of_terms = self.terms().flat_map(|term| &term.match_expressions).map(|requirement| &*requirement.key);
        self.node_selector.iter().map(|(key, _)| key).chain(of_terms)
    }

    /// `tolerations`.
    #[must_use]
    pub fn tolerations(&self) -> &[Toleration<'a>] {
        &self.tolerations
    }

    /// Whether in each of the terms a requirement on labels holds `is_met`.
    fn every_term(&self, is_met: impl Fn(&Requirement<'_>) -> bool) -> bool {
        self.terms().next().is_some() && self.terms().all(|term| term.match_expressions.iter().any(&is_met))
    }

    fn terms(&self) -> impl Iterator<Item = &Term<'a>> {
        self.terms.iter().flatten()
    }

    fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }
}

// === impl NodeLabels ===

impl<'n> NodeLabels<'n> {
    fn label(&self, key: &str) -> Option<&'n str> {
        if key == HOSTNAME { self.hostname } else { self.labels.get(key).map(String::as_str) }
    }
}

// === impl Taint ===

impl Taint {
    /// Whether it keeps pods off the node that do not tolerate it.
    fn keeps_out(&self) -> bool {
        matches!(&*self.effect, "NoSchedule" | "NoExecute")
            && !PASSING_TAINTS.iter().any(|begin| self.key.starts_with(begin))
            && !self.key.ends_with(STARTING_TAINT)
    }
}

// === impl Toleration ===

impl Toleration<'_> {
    fn tolerates(&self, taint: &Taint) -> bool {
        let is = |own: &str, other: &str| own.is_empty() || own == other;
        is(&self.effect, &taint.effect) && is(&self.key, &taint.key) && self.value_tolerates(&taint.value)
    }

    /// Source: the operators `Gt` and `Lt` came with KEP-5471.
    fn value_tolerates(&self, value: &str) -> bool {
        match &*self.operator {
            "" | "Equal" => self.value == *value,
            "Exists" => true,
            "Gt" => number(value).zip(number(&self.value)).is_some_and(|(taint, own)| taint > own),
            "Lt" => number(value).zip(number(&self.value)).is_some_and(|(taint, own)| taint < own),
            _ => false,
        }
    }
}

// === impl Term ===

impl<'a> Term<'a> {
    /// A term that asks for nothing admits nothing.
    fn admits(&self, node: NodeLabels<'_>) -> bool {
        let label = |requirement: &Requirement<'_>| requirement.holds_for(node.label(&requirement.key));
        let field =
            |requirement: &Requirement<'_>| requirement.key != NAME_FIELD || requirement.holds_for(Some(node.name));
        self.requirements().next().is_some()
            && self.match_expressions.iter().all(label)
            && self.match_fields.iter().all(field)
    }

    fn requirements(&self) -> impl Iterator<Item = &Requirement<'a>> {
        self.match_expressions.iter().chain(&self.match_fields)
    }
}

/// The field's value; nothing where it is absent, null or not of its type.
fn value<'a, T: Default + Deserialize<'a>>(field: Option<&'a RawValue>) -> T {
    field.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

// === impl Requirement ===

impl Requirement<'_> {
    fn demands(&self, counts: impl Fn(&str) -> bool) -> bool {
        self.operator == Operator::In && !self.values.is_empty() && self.values.iter().all(|value| counts(value))
    }

    /// Whether a label of this value, or that is not there, is what is asked for.
    fn holds_for(&self, label: Option<&str>) -> bool {
        let is_listed = |label: &str| self.values.iter().any(|value| *value == *label);
        let compared = || {
            let [bound] = &*self.values else { return None };
            number(label?).zip(number(bound))
        };
        match self.operator {
            Operator::In => label.is_some_and(is_listed),
            Operator::NotIn => !label.is_some_and(is_listed),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::Gt => compared().is_some_and(|(label, bound)| label > bound),
            Operator::Lt => compared().is_some_and(|(label, bound)| label < bound),
            Operator::Other => true,
        }
    }
}

/// As Go reads it: `strconv.ParseInt(text, 10, 64)`. What is longer than a label may be is none, and is not read for each
/// of many nodes.
///
/// Source: apimachinery/pkg/labels/selector.go, `NewRequirement`, which refuses longer values.
fn number(text: &str) -> Option<i64> {
    const LONGEST: usize = 63;
    if text.len() <= LONGEST { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use crate::pod::Pod;
    use rstest::rstest;

    fn affinity(terms: &str) -> String {
        format!(
            r#"{{"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":{terms}}}}}}}}}"#
        )
    }

    #[rstest]
    #[case(r#"{"nodeSelector":{"os":"x"}}"#, true)]
    #[case(r#"{"nodeSelector":{"os":"y","o":"x"}}"#, false)]
    #[case(r#"{"nodeSelector":null,"affinity":null,"tolerations":null}"#, false)]
    #[case(r#"{"nodeSelector":5,"affinity":[],"tolerations":{}}"#, false)]
    #[case(&affinity(r#"[{"matchExpressions":[{"key":"a","operator":"Exists"},{"key":"os","operator":"In","values":["x"]}]}]"#), true)]
    #[case(&affinity(r#"[{"matchExpressions":[{"key":"os","operator":"In","values":["x","y"]}]}]"#), false)]
    #[case(&affinity(r#"[{"matchExpressions":[{"key":"os","operator":"NotIn","values":["x"]}]}]"#), false)]
    #[case(&affinity(r#"[{"matchExpressions":[{"key":"a","operator":null},{"key":"os","operator":"In","values":["x"]}]}]"#), true)]
    #[case(&affinity(r#"[{"matchExpressions":[{"key":"os","operator":"In","values":["x"]}]},{"matchExpressions":[]}]"#), false)]
    #[case(r#"{"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"preference":{"matchExpressions":[{"key":"os","operator":"In","values":["x"]}]}}]}}}"#, false)]
    fn a_label_is_demanded_where_no_other_node_will_do(#[case] spec: &str, #[case] expected: bool) {
        let pod = format!(r#"{{"spec":{spec}}}"#);
        let pod = Pod::parse(&pod).unwrap();
        assert_eq!(pod.placement().demands("os", |value| value == "x"), expected);
    }

    #[test]
    fn a_key_that_must_exist_is_demanded_with_any_value() {
        let pod = format!(r#"{{"spec":{}}}"#, affinity(r#"[{"matchExpressions":[{"key":"os","operator":"Exists"}]}]"#));
        let pod = Pod::parse(&pod).unwrap();
        assert!(pod.placement().demands_key("os") && !pod.placement().demands("os", |value| value == "x"));
        assert_eq!(pod.placement().keys().collect::<Vec<_>>(), ["os"]);
    }
}
