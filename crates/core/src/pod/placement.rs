//! What a pod says about the nodes that it may run on.

use super::json::{Entries, Label, Text, null_is_default};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The nodes that a pod selects, and the taints that it tolerates. What cannot be read says nothing.
#[derive(Debug, Default)]
pub struct Placement<'a> {
    node_selector: Entries<'a, Label<'a>>,
    /// Of `nodeSelectorTerms`, of which one is enough, the requirements on labels, which must all hold.
    terms: Vec<Vec<Requirement<'a>>>,
    tolerations: Vec<Toleration<'a>>,
}

/// One of `matchExpressions`.
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

/// `operator` of a requirement, as far as it says what a node has to have.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(field_identifier)]
enum Operator {
    In,
    Exists,
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
    #[serde(borrow, deserialize_with = "null_is_default", rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: NodeSelector<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSelector<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    node_selector_terms: Vec<Term<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    match_expressions: Vec<Requirement<'a>>,
}

// === impl Placement ===

impl<'a> Placement<'a> {
    /// Reads `nodeSelector`, `affinity` and `tolerations`.
    pub(super) fn read(
        node_selector: Option<&'a RawValue>,
        affinity: Option<&'a RawValue>,
        tolerations: Option<&'a RawValue>,
    ) -> Self {
        let Affinity { node_affinity } = value(affinity);
        let terms = node_affinity.required.node_selector_terms.into_iter().map(|term| term.match_expressions);
        Self { node_selector: value(node_selector), terms: terms.collect(), tolerations: value(tolerations) }
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
        let of_terms = self.terms.iter().flatten().map(|requirement| &*requirement.key);
        self.node_selector.iter().map(|(key, _)| key).chain(of_terms)
    }

    /// `tolerations`.
    #[must_use]
    pub fn tolerations(&self) -> &[Toleration<'a>] {
        &self.tolerations
    }

    /// Whether in each of the terms a requirement holds `is_met`.
    fn every_term(&self, is_met: impl Fn(&Requirement<'_>) -> bool) -> bool {
        !self.terms.is_empty() && self.terms.iter().all(|requirements| requirements.iter().any(&is_met))
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
