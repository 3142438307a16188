//! Time of one review without a server around it: ours, beside a webhook that does nothing and the textbook way with
//! typed objects.
//!
//! ```text
//! cargo bench --bench review                      all sizes
//! cargo bench --bench review -- istio --seconds 10
//! cargo test --bench review                       only that each of them does its work
//! ```
//!
//! The times are the machine's; what counts is the distance between the three. A machine's speed changes from one
//! second to the next, so the three take turns, every turn a few milliseconds long, and each ratio is the median of
//! the ratios of the single rounds.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../least/mod.rs"]
mod least;
mod rounds;
mod sizes;
mod typed;

use clap::Parser;
use native_sidecar_core::{
    admission::{Context, Route, decoded_patch, review},
    catalogue::Catalogue,
    conversion::ClusterFacts,
};
use rounds::{Rounds, Way};
use sizes::Size;
use std::{hint::black_box, time::Duration};

#[derive(Parser)]
struct Options {
    /// Only these sizes.
    sizes: Vec<String>,
    /// How long each size is measured.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Cargo says so where it is to be measured, and not only tried.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let catalogue = Catalogue::built_in();
    let mut sizes = sizes::all();
    sizes.retain(|size| options.sizes.is_empty() || options.sizes.iter().any(|name| name == size.name));
    for size in &sizes {
        assert_all_answer(size, &catalogue);
    }
    if !options.bench {
        println!("all of them do their work; cargo bench --bench review measures it");
        return;
    }
    println!("{:<15}{:>9}{:>13}{:>11}{:>11}", "size", "bytes", "nothing µs", "ours µs", "typed µs");
    let budget = Duration::from_secs_f64(options.seconds);
    // Printed after all the times, so that they are what the run ends with.
    let ratios: Vec<_> = sizes.iter().map(|size| compare(size, &catalogue, budget)).collect();
    println!();
    for line in ratios {
        println!("{line}");
    }
}

/// Prints the times of `size`, and returns the line with its ratios.
fn compare(size: &Size, catalogue: &Catalogue, budget: Duration) -> String {
    let (body, unknown) = (size.body.as_slice(), ClusterFacts::default());
    let context = Context { catalogue, facts: &size.facts };
    let ours = |context| review(black_box(body), Route::Annotated, context).unwrap().body;
    let nothing: Way<'_> = Box::new(|| least::allow(black_box(body)).unwrap());
    let typed: Way<'_> = Box::new(|| typed::answer(black_box(body)));
    let mut ways = vec![nothing, Box::new(move || ours(context)), typed];
    if size.facts != unknown {
        let without = Context { catalogue, facts: &unknown };
        ways.push(Box::new(move || ours(without)));
    }
    let rounds = Rounds::measure(&ways, budget);
    let micros = |way| rounds.time(way).as_secs_f64() * 1e6;
    println!("{:<15}{:>9}{:>13.1}{:>11.1}{:>11.1}", size.name, body.len(), micros(0), micros(1), micros(2));
    let line =
        format!("ratio {} ours/nothing {:.2} ours/typed {:.2}", size.name, rounds.ratio(1, 0), rounds.ratio(1, 2));
    if ways.len() > 3 { format!("{line} ours/without-nodes {:.3}", rounds.ratio(1, 3)) } else { line }
}

/// What is compared must do its work: the two that move containers move them, all that are asked for.
fn assert_all_answer(size: &Size, catalogue: &Catalogue) {
    let context = Context { catalogue, facts: &size.facts };
    let body = size.body.as_slice();
    let moved = |answer: &[u8]| {
        let patch = serde_json::to_string(&decoded_patch(answer).unwrap()).unwrap();
        patch.matches(r#""Always""#).count()
    };
    let ours = review(body, Route::Annotated, context).unwrap();
    assert_eq!(moved(&ours.body), size.moves, "{}: {} {:?}", size.name, ours.decision, ours.findings);
    assert!(moved(&typed::answer(body)) >= size.moves, "{}", size.name);
    assert_eq!(moved(&least::allow(body).unwrap()), 0, "{}", size.name);
}
