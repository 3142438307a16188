//! Whatever a pod's author writes, a review costs at most a multiple of its bytes: the instructions are counted by
//! valgrind's callgrind, for bodies of one size and of four times that size. No clock is asked, so the test says the
//! same on a machine that is busy with something else.
//!
//! Needs `valgrind`; where it is not installed, a line says so. For every day there are a few bodies; with
//! `NATIVE_SIDECAR_VALGRIND=required`, as in CI, there are all of them, and valgrind has to be there.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod adversaries;

use adversaries::{Adversary, all};
use native_sidecar_cases::{admission_review, catalogue};
use native_sidecar_core::{
    admission::{Context, Route, review},
    conversion::{ClusterFacts, NodeObject, Nodes, Version},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env, fs,
    hint::black_box,
    path::Path,
    process::{Command, Stdio},
};

/// The smaller of the two bodies, in bytes; the other has [`TIMES`] as many.
const BYTES: usize = 5 * 1024;
const TIMES: usize = 4;
/// So many per cent of the instructions are still taken for linear: hash tables grow, and sorting takes a logarithm.
const MOST_PER_CENT: u64 = 140 * TIMES as u64;
/// So many of the bodies are for every day: those that once stopped the server.
const EVERYDAY: usize = 9;
/// The environment variable that asks for all of them.
const REQUIRED: &str = "NATIVE_SIDECAR_VALGRIND";
/// The environment variable that turns this program into the one that is measured.
const MEASURED: &str = "NATIVE_SIDECAR_MEASURED";

#[test]
fn instructions_grow_with_the_bytes_of_the_body_and_no_faster() {
    if !has_valgrind() {
        return;
    }
    let counts = count_instructions("the_measured_program");
    let adversaries = chosen();
    assert_eq!(counts.len(), 2 * adversaries.len(), "one count for each body");
    let faster: Vec<_> = adversaries.iter().zip(counts.chunks(2)).filter_map(grows_faster).collect();
    assert!(faster.is_empty(), "{}", faster.join("\n"));
}

#[test]
fn thousands_of_nodes_cost_a_review_nothing() {
    if !has_valgrind() {
        return;
    }
    let counts = count_instructions("the_measured_program_with_nodes");
    let [none, thousands, few_of_them, all_of_them, alone, together, short, long] = counts[..] else {
        panic!("{counts:?}")
    };
    assert!(thousands * 100 <= none * 105, "{thousands} instructions with 5000 nodes, {none} without");
    // Whatever the pod asks of nodes, and however different they are.
    assert!(all_of_them < few_of_them + 15_000_000, "{all_of_them} with 5000 old nodes, {few_of_them} with one");
    // And however many of its containers make the nodes matter.
    assert!(together < alone + 45_000_000, "{together} with 5000 nodes for 400 sidecars, {alone} with one node");
    // And however long the number is with which a label is compared.
    assert!(long < short + 15_000_000, "{long} with 5000 old nodes and a long number, {short} with one");
}

/// What runs below valgrind for the first test.
#[test]
fn the_measured_program() {
    if env::var_os(MEASURED).is_some() {
        let facts = ClusterFacts::default();
        // Reading the catalogue is no part of a review.
        assert!(!catalogue().entries().is_empty());
        for Adversary { write, .. } in chosen() {
            for bytes in [BYTES, TIMES * BYTES] {
                let body = write(bytes);
                counted_review(&body, &facts);
            }
        }
    }
}

/// What runs below valgrind for the second.
#[test]
fn the_measured_program_with_nodes() {
    if env::var_os(MEASURED).is_some() {
        let body = (all()[0].write)(BYTES);
        counted_review(&body, &ClusterFacts::default());
        counted_review(&body, &with_nodes(5000, |node| Version::new(1, 30 + node % 7, node % 5)));
        let particular = particular_pod();
        counted_review(&particular, &with_nodes(1, |_| Version::new(1, 28, 0)));
        counted_review(&particular, &with_nodes(5000, |_| Version::new(1, 28, 0)));
        let many = pod_of_many();
        // One node of 1.37, so that not all of them ignore storage limits.
        let mixed = |node: u32| if node == 0 { Version::new(1, 37, 0) } else { Version::new(1, 35, 0) };
        counted_review(&many, &with_nodes(2, mixed));
        counted_review(&many, &with_nodes(5000, mixed));
        let long = pod_of_a_long_number();
        counted_review(&long, &with_nodes(1, |_| Version::new(1, 28, 0)));
        counted_review(&long, &with_nodes(5000, |_| Version::new(1, 28, 0)));
    }
}

/// Nodes of which none is like another.
fn with_nodes(number: u32, version: impl Fn(u32) -> Version) -> ClusterFacts {
    let facts = ClusterFacts::default();
    let mut nodes = Nodes::new(facts.kubelet_floor());
    for node in 0..number {
        let labels: BTreeMap<_, _> =
            (0..20).map(|label| (format!("example.com/label-{label}"), node.to_string())).collect();
        let taints = json!([{"key": "dedicated", "value": node.to_string(), "effect": "NoSchedule"}]);
        let object = json!({
            "metadata": {"name": format!("node-{node}"), "labels": labels},
            "spec": {"taints": taints},
            "status": {"nodeInfo": {"kubeletVersion": version(node).to_string()}},
        });
        nodes.add(serde_json::from_value::<NodeObject>(object).unwrap());
    }
    facts.with_nodes(nodes)
}

/// The review of a pod that asks much of its nodes, which none of them has.
fn particular_pod() -> String {
    let asked =
        |key: u32| json!({"key": format!("example.com/label-{}", key % 20), "operator": "NotIn", "values": ["none"]});
    let mut asks: Vec<_> = (0..300).map(asked).collect();
    asks.push(json!({"key": "example.com/absent", "operator": "Exists"}));
    let required = json!({"nodeSelectorTerms": [{"matchExpressions": asks}]});
    let tolerations: Vec<_> = (0..300).map(|value| json!({"key": "dedicated", "value": format!("x{value}")})).collect();
    reviewed(&json!({
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
        "tolerations": tolerations,
        "containers": [
            {"name": "app", "image": "registry.example.com/app:1"},
            {"name": "proxy", "image": "registry.example.com/proxy:1"},
        ],
    }))
}

/// The review of a pod with many sidecars, for each of which the nodes matter, and which tolerates every taint.
fn pod_of_many() -> String {
    let sidecar = |number: u32| {
        json!({
            "name": format!("dind-{number}"), "image": "docker:29-dind", "securityContext": {"privileged": true},
            "resources": {"limits": {"ephemeral-storage": "1Gi"}},
        })
    };
    let mut containers = vec![json!({"name": "app", "image": "registry.example.com/app:1"})];
    containers.extend((0..400).map(sidecar));
    reviewed(&json!({"tolerations": [{"operator": "Exists"}], "containers": containers}))
}

/// The review of a pod with this spec, in which the container `proxy` is named and known ones move.
fn reviewed(spec: &Value) -> String {
    let annotations = json!({"native-sidecar.io/containers": "proxy", "native-sidecar.io/known": "true"});
    let metadata = json!({"generateName": "shop-", "annotations": annotations});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    admission_review("0d9f1a30-6f0e-4f8e-9d6c-2f4f0d3c1b11", &pod.to_string())
}

/// The review of a pod that compares a label of each node with a number that is long to read.
fn pod_of_a_long_number() -> String {
    let ask = json!({"key": "example.com/label-0", "operator": "Gt", "values": ["0".repeat(20_000)]});
    let required = json!({"nodeSelectorTerms": [{"matchExpressions": [ask]}]});
    reviewed(&json!({
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {"name": "app", "image": "registry.example.com/app:1"},
            {"name": "proxy", "image": "registry.example.com/proxy:1"},
        ],
    }))
}

/// Bodies that were not what they are meant to be would prove nothing.
#[test]
fn the_bodies_are_as_large_as_they_say_and_are_answered() {
    for Adversary { name, write } in all() {
        let (few, many) = (write(BYTES).len(), write(TIMES * BYTES).len());
        assert!((TIMES * few * 4 / 5..TIMES * few * 6 / 5).contains(&many), "{name}: {few} and {many} bytes");
        for bytes in [BYTES, TIMES * BYTES] {
            let body = write(bytes);
            assert!((bytes / 2..bytes * 2).contains(&body.len()), "{name}: {} bytes for {bytes}", body.len());
            let facts = ClusterFacts::default();
            let context = Context { catalogue: catalogue(), facts: &facts };
            let reviewed = review(body.as_bytes(), Route::Known, context).unwrap();
            assert_ne!(reviewed.decision, "not-understood", "{name}");
        }
    }
}

/// The bodies that are counted.
fn chosen() -> Vec<Adversary> {
    let count = if is_required() { usize::MAX } else { EVERYDAY };
    all().into_iter().take(count).collect()
}

fn is_required() -> bool {
    env::var(REQUIRED).as_deref() == Ok("required")
}

/// The function whose instructions are counted, by its name.
#[inline(never)]
fn counted_review(body: &str, facts: &ClusterFacts) {
    let context = Context { catalogue: catalogue(), facts };
    // The route on which more is looked at.
    black_box(review(black_box(body.as_bytes()), Route::Known, context).unwrap());
}

fn grows_faster((adversary, counts): (&Adversary, &[u64])) -> Option<String> {
    let [few, many] = *counts else { return Some(format!("{}: {counts:?}", adversary.name)) };
    // In hundredths.
    let times = many * 100 / few;
    println!("{few:>12} {many:>12} instructions, {times} %: {}", adversary.name);
    (times > MOST_PER_CENT).then(|| format!("{}: {times} % for {TIMES} times the bytes", adversary.name))
}

/// The instructions of each call of [`counted_review`] in the test `program` of this very binary, in their order.
fn count_instructions(program: &str) -> Vec<u64> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counts");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=cost::counted_review", "--dump-after=cost::counted_review"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().unwrap())
        .args(["--exact", program, "--test-threads=1"])
        .env(MEASURED, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "valgrind: {status}");
    (1..).map_while(|part| read_count(&file.with_extension(part.to_string()))).collect()
}

/// The instructions in one of callgrind's files; `None` where there is no such file.
fn read_count(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Some(totals.unwrap_or_else(|| panic!("no totals in {}", file.display())).trim().parse().unwrap())
        .filter(|count| *count > 0)
}

fn has_valgrind() -> bool {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        assert!(!is_required(), "valgrind is not installed");
        println!("skipped: valgrind is not installed");
    }
    found
}
