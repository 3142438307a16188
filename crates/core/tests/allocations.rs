//! What a review takes of memory: nothing for what it does not read, and at most a multiple of the body for what it reads.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use native_sidecar_core::{
    admission::{Context, Route, decoded_patch, memory_needed, review},
    catalogue::Catalogue,
    conversion::{ClusterFacts, NodeObject, Nodes},
};
use rstest::rstest;
use serde_json::{Map, Value, json};

#[path = "cost/adversaries.rs"]
mod adversaries;

/// Allocations of one review of `body`, which moves a container.
fn allocations(body: &[u8]) -> u64 {
    let (catalogue, facts) = (Catalogue::built_in(), ClusterFacts::default());
    let context = Context { catalogue: &catalogue, facts: &facts };
    let again = || review(body, Route::Annotated, context).unwrap();
    // The first one may set up what is made once for all of them.
    assert!(!decoded_patch(&again().body).unwrap().is_empty());
    let counted = allocation_counter::measure(|| drop(again()));
    assert!(counted.count_total > 0, "the counting allocator is not in place");
    counted.count_total
}

/// The request for a pod in which `proxy` moves and `app`, which has `env`, stays.
fn body(env: &Value) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "0d9f1a30-6f0e-4f8e-9d6c-2f4f0d3c1b11",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE", "namespace": "shop",
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"generateName": "shop-", "annotations": {"native-sidecar.io/containers": "proxy"}},
                "spec": {"containers": [
                    {"name": "app", "image": "registry.example.com/app:1", "env": env},
                    {"name": "proxy", "image": "registry.example.com/proxy:1"}
                ]}
            }
        }
    });
    serde_json::to_vec(&review).unwrap()
}

fn variables(number: usize, value: &Value) -> Value {
    (0..number).map(|n| json!({"name": format!("SETTING_{n}"), "value": value})).collect()
}

#[rstest]
#[case::many(variables(10, &"x".into()), variables(30_000, &"x".into()))]
#[case::long(variables(1, &"x".repeat(1000).into()), variables(1, &"x".repeat(1_000_000).into()))]
// A string with escapes cannot be borrowed from the request.
#[case::escaped(variables(1, &"\"\n".repeat(250).into()), variables(1, &"\"\n".repeat(250_000).into()))]
fn a_megabyte_that_stays_costs_no_allocation(#[case] few: Value, #[case] many: Value) {
    let (few, many) = (body(&few), body(&many));
    assert!(few.len() < 2_000 && many.len() > 900_000, "{} {}", few.len(), many.len());
    assert_eq!(allocations(&many), allocations(&few));
}

/// What is kept of nodes that no rule is about is their names and versions.
#[test]
fn nodes_that_are_new_enough_keep_no_labels() {
    let kept = |labels: usize| {
        let mut kept = None;
        let measured = allocation_counter::measure(|| kept = Some(with_nodes(5000, labels)));
        assert_eq!(kept.unwrap().kubelets().len(), 5000);
        // While they are learnt, no more is held than of a few hundred.
        assert!(measured.bytes_max < 8 * 1024 * 1024, "{} bytes at once", measured.bytes_max);
        measured.bytes_current
    };
    let (few, many) = (kept(1), kept(40));
    println!("{} KiB are kept of 5000 nodes", many / 1024);
    assert_eq!(few, many);
    assert!(many < 5000 * 200, "{many} bytes are kept of 5000 nodes");
}

/// Nodes of 1.36.1, each with labels of its own: too old for storage limits as all of them are, and for nothing else.
fn with_nodes(number: usize, labels: usize) -> ClusterFacts {
    let facts = ClusterFacts::default();
    let mut nodes = Nodes::new(facts.kubelet_floor());
    for node in 0..number {
        let labels: Map<_, _> = (0..labels).map(|label| (format!("label-{label}"), json!(node.to_string()))).collect();
        let object = json!({
            "metadata": {"name": format!("node-{node}"), "labels": labels},
            "status": {"nodeInfo": {"kubeletVersion": "v1.36.1"}},
        });
        nodes.add(serde_json::from_value::<NodeObject>(object).unwrap());
    }
    facts.with_nodes(nodes)
}

/// The server gives out its memory by this, so it must hold for whatever anybody sends.
#[rstest]
#[case::small(48 * 1024)]
#[case::large(256 * 1024)]
#[case::huge(2 * 1024 * 1024)]
fn a_review_needs_no_more_than_it_says(#[case] bytes: usize) {
    let (catalogue, facts) = (Catalogue::built_in(), ClusterFacts::default());
    let context = Context { catalogue: &catalogue, facts: &facts };
    for adversaries::Adversary { name, write } in adversaries::all() {
        let body = write(bytes);
        let measured = allocation_counter::measure(|| drop(review(body.as_bytes(), Route::Known, context)));
        let said = memory_needed(body.as_bytes()) as u64;
        println!("{:8} KiB of {:8}: {name}", measured.bytes_max / 1024, said / 1024);
        assert!(measured.bytes_max <= said, "{name}: {} bytes, and it says {said}", measured.bytes_max);
    }
}
