//! Whether the step counter sees what it is for: linear work passes, more than linear work does not.
//!
//! Edges are counted only with the flags of `fuzz/run`, which runs this test first; elsewhere it says that it is skipped.

#[path = "../../crates/core/tests/cost/adversaries.rs"]
#[allow(dead_code)]
mod adversaries;

// The flags ask for what libFuzzer has.
use libfuzzer_sys as _;
use native_sidecar_core::{
    admission::{Context, Route, review},
    catalogue::Catalogue,
    conversion::ClusterFacts,
};
use native_sidecar_fuzz::{
    review::BOUND,
    steps::{Bound, are_counted, counted},
};
use std::{hint::black_box, panic::catch_unwind};

/// Enough for one walk over the bytes, and not for one over each pair of them.
const ONE_WALK: Bound = Bound { fixed: 10_000, for_a_byte: 20 };
const BYTES: usize = 16 * 1024;

fn is_counted() -> bool {
    if !are_counted() {
        println!("skipped: built without the flags of fuzz/run, so that no edges are counted");
    }
    are_counted()
}

fn linear(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == black_box(b'a')).count()
}

fn quadratic(bytes: &[u8]) -> usize {
    bytes.iter().map(|one| bytes.iter().filter(|byte| *byte == black_box(one)).count()).sum()
}

/// The same without an edge for each byte: the C library moves them.
fn quadratic_in_moves(bytes: &[u8]) -> usize {
    let mut left = bytes.to_vec();
    while !left.is_empty() {
        black_box(left.remove(0));
    }
    left.len()
}

#[test]
fn more_than_linear_work_is_seen() {
    if !is_counted() {
        return;
    }
    let bytes = vec![b'a'; BYTES];
    assert_eq!(ONE_WALK.hold(bytes.len(), || linear(&bytes)), BYTES);
    for work in [quadratic, quadratic_in_moves] {
        let failed = catch_unwind(|| ONE_WALK.hold(bytes.len(), || work(&bytes))).is_err();
        assert!(failed, "{:?}", counted(|| work(&bytes)).1);
    }
}

/// The same work is the same number of steps, whatever else the machine does.
#[test]
fn a_second_count_is_the_same() {
    let bytes = vec![b'a'; 1_000];
    assert_eq!(counted(|| quadratic(&bytes)).1, counted(|| quadratic(&bytes)).1);
}

/// What the bound of the review is made of: the dearest bodies that are known keep it, at less than half.
#[test]
fn known_bodies_take_less_than_half_of_the_bound() {
    if !is_counted() {
        return;
    }
    let (catalogue, facts) = (Catalogue::built_in(), ClusterFacts::default());
    let context = Context { catalogue: &catalogue, facts: &facts };
    let mut dear = Vec::new();
    for adversaries::Adversary { name, write } in adversaries::all() {
        for bytes in [1024, 4 * 1024, 16 * 1024, 64 * 1024] {
            let body = write(bytes);
            let (_, steps) = counted(|| review(body.as_bytes(), Route::Known, context));
            let per_cent = steps * 100 / BOUND.of(body.len());
            println!("{steps:>10} steps for {:>6} bytes, {per_cent:>3} %: {name}", body.len());
            if per_cent >= 50 {
                dear.push(format!("{name}: {steps} steps for {} bytes", body.len()));
            }
        }
    }
    assert!(dear.is_empty(), "{}", dear.join("\n"));
}
