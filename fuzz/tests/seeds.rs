//! Each target on its seeds, without a fuzzer: what CI runs where no fuzzer can be built, and what Miri runs.
//!
//! `NATIVE_SIDECAR_SEEDS=20` takes so many of each target, evenly; `NATIVE_SIDECAR_TARGETS=proof,review` only these.

use libfuzzer_sys as _;
use native_sidecar_fuzz::{TARGETS, seeds};
use std::{collections::BTreeMap, env};

#[test]
fn the_seeds_keep_all_promises() {
    let most = env::var("NATIVE_SIDECAR_SEEDS").ok().and_then(|most| most.parse().ok()).unwrap_or(usize::MAX);
    let chosen = env::var("NATIVE_SIDECAR_TARGETS").ok();
    let is_chosen = |name: &str| chosen.as_ref().is_none_or(|chosen| chosen.split(',').any(|one| one == name));
    for (name, run) in TARGETS.iter().filter(|(name, _)| is_chosen(name)) {
        let seeds = seeds::of(name, most);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let mut reach: BTreeMap<&str, usize> = BTreeMap::new();
        for seed in seeds.iter().step_by(seeds.len().div_ceil(most)) {
            *reach.entry(run(seed)).or_default() += 1;
        }
        println!("{name}: {reach:?}");
    }
}
