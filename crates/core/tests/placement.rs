//! Which pods may run on which nodes, as `tests/placement/table.yaml` has it.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use native_sidecar_cases::placement::{Row, table};
use native_sidecar_core::{
    conversion::{ClusterFacts, NodeObject, Nodes},
    pod::Pod,
    version::Version,
};
use serde_json::{Value, json};

const OLD: Version = Version::new(1, 28, 0);

/// A cluster in which nothing but `node` is too old.
fn with_old(node: &Value) -> ClusterFacts {
    let facts = ClusterFacts::default();
    let mut nodes = Nodes::new(facts.kubelet_floor());
    let mut add = |node: &Value, version: Version| {
        let mut node = node.clone();
        node["status"] = json!({"nodeInfo": {"kubeletVersion": version.to_string()}});
        nodes.add(serde_json::from_value::<NodeObject>(node).unwrap());
    };
    add(node, OLD);
    add(&json!({"metadata": {"name": "new"}}), Version::new(1, 37, 0));
    facts.with_nodes(nodes)
}

fn may_run(pod: &Value, facts: &ClusterFacts) -> bool {
    let text = pod.to_string();
    facts.for_pod(&Pod::parse(&text).unwrap()).below_floor().is_some()
}

#[test]
fn a_node_counts_where_the_scheduler_may_send_the_pod_there() {
    let table = table();
    for Row { shows, pod, runs_on } in &table.pods {
        for node in &table.nodes {
            let name = node["metadata"]["name"].as_str().unwrap();
            let expected = runs_on.iter().any(|other| other == name);
            assert_eq!(may_run(pod, &with_old(node)), expected, "{name}: {shows}");
        }
    }
}

/// Numbers in tolerations are refused unless a feature gate is on, so that no scheduler was asked.
#[test]
fn a_toleration_may_compare_numbers() {
    let table = table();
    let levelled = table.nodes.iter().find(|node| node["metadata"]["name"] == "levelled").unwrap();
    let facts = with_old(levelled);
    let tolerates = |operator: &str, value: &str| {
        let toleration = json!({"key": "level", "operator": operator, "value": value, "effect": "NoSchedule"});
        may_run(&json!({"spec": {"tolerations": [toleration]}}), &facts)
    };
    assert!(tolerates("Gt", "799") && !tolerates("Gt", "800") && !tolerates("Gt", "many"));
    assert!(tolerates("Lt", "801") && !tolerates("Lt", "800") && !tolerates("Near", "800"));
}

#[test]
fn a_taint_that_kubernetes_sets_and_takes_away_keeps_no_pod_out() {
    for (key, keeps_out) in [
        ("node.kubernetes.io/not-ready", false),
        ("node.kubernetes.io/unschedulable", false),
        ("node.cloudprovider.kubernetes.io/uninitialized", false),
        ("example.com/node.kubernetes.io", true),
    ] {
        let taints = json!([{"key": key, "effect": "NoSchedule", "timeAdded": "2026-11-27T10:00:00Z"}]);
        let facts = with_old(&json!({"metadata": {"name": "tainted"}, "spec": {"taints": taints}}));
        assert_eq!(may_run(&json!({"spec": {}}), &facts), !keeps_out, "{key}");
    }
}

/// Source: KEP-3521: whoever takes a scheduling gate away may add tolerations before.
#[test]
fn a_gated_pod_may_come_to_tolerate_every_taint() {
    let facts =
        with_old(&json!({"metadata": {"name": "t"}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}));
    let gated = |gates: Value| may_run(&json!({"spec": {"schedulingGates": gates}}), &facts);
    assert!(gated(json!([{"name": "example.com/queue"}])) && !gated(json!([])) && !gated(Value::Null));
}

#[test]
fn a_pod_for_another_operating_system_does_not_count() {
    let windows = json!({"metadata": {"name": "w", "labels": {"kubernetes.io/os": "windows"}}});
    let facts = with_old(&windows);
    let is_for = |os: &str| may_run(&json!({"spec": {"os": {"name": os}}}), &facts);
    assert!(is_for("windows") && !is_for("linux") && may_run(&json!({"spec": {}}), &facts));
    assert!(may_run(&json!({"spec": {"os": {"name": "linux"}}}), &with_old(&json!({"metadata": {"name": "untold"}}))));
}

#[test]
fn the_name_of_a_node_may_be_asked_for_by_its_label() {
    let named =
        |name: &str| json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "pool": "a"}}});
    let facts = ClusterFacts::default();
    let mut nodes = Nodes::new(facts.kubelet_floor());
    for name in ["a", "b", "c"] {
        let mut node = named(name);
        node["status"] = json!({"nodeInfo": {"kubeletVersion": OLD.to_string()}});
        nodes.add(serde_json::from_value::<NodeObject>(node).unwrap());
    }
    let facts = facts.with_nodes(nodes);
    let found = |selector: Value| {
        let text = json!({"spec": {"nodeSelector": selector}}).to_string();
        facts.for_pod(&Pod::parse(&text).unwrap()).below_floor().map(|(node, others)| (node.name, others))
    };
    assert_eq!(found(json!({"kubernetes.io/hostname": "b"})), Some(("b".to_owned(), 0)));
    assert_eq!(found(json!({"kubernetes.io/hostname": "d"})), None);
    assert_eq!(found(json!({"pool": "a"})), Some(("a".to_owned(), 2)));
}

/// A pod's author may write as many requirements as there is room for.
#[test]
fn what_is_not_looked_at_any_more_may_run_the_pod() {
    let facts = with_old(&json!({"metadata": {"name": "old"}}));
    let values: Vec<String> = (0..60_000).map(|value| value.to_string()).collect();
    let terms = json!([{"matchExpressions": [{"key": "pool", "operator": "In", "values": values}]}]);
    let required = json!({"nodeSelectorTerms": terms});
    let pod =
        json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}});
    assert!(may_run(&pod, &facts));
}
