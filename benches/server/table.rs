//! What is printed.

use crate::{CONNECTIONS, webhooks::Webhook};
use std::{collections::BTreeMap, time::Duration};

pub(crate) const MEBIBYTE: Unit = Unit(1024.0 * 1024.0);

/// Bytes, or other whole numbers, in something larger.
pub(crate) struct Unit(f64);

/// One turn of a webhook.
pub(crate) struct Turn {
    /// How long each request took that was answered meanwhile.
    pub(crate) latencies: Vec<Duration>,
    /// How long the turn was.
    pub(crate) elapsed: Duration,
    /// CPU time that the webhook took.
    pub(crate) cpu: Duration,
    /// Its resident memory at the end, in bytes.
    pub(crate) resident: u64,
}

/// The turns by connections and webhook, in the order of the rounds.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<(usize, Webhook), Vec<Turn>>);

// === impl Unit ===

impl Unit {
    // A rounding error beyond 2^53 bytes is nobody's concern.
    #[expect(clippy::cast_precision_loss)]
    pub(crate) fn of(&self, number: u64) -> f64 {
        number as f64 / self.0
    }
}

// === impl Turn ===

impl Turn {
    fn requests(&self) -> f64 {
        Unit(1.0).of(self.latencies.len() as u64)
    }

    /// Requests a second.
    fn rate(&self) -> f64 {
        self.requests() / self.elapsed.as_secs_f64()
    }
}

// === impl Table ===

impl Table {
    pub(crate) fn add(&mut self, webhook: Webhook, connections: usize, turn: Turn) {
        self.0.entry((connections, webhook)).or_default().push(turn);
    }

    pub(crate) fn print(&self) {
        println!(
            "\n{:>11} {:<8}{:>11}{:>8}{:>8}{:>9}{:>16}{:>8}{:>14}",
            "connections",
            "webhook",
            "requests/s",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "CPU µs/request",
            "CPU %",
            "resident MiB"
        );
        for ((connections, webhook), turns) in &self.0 {
            println!("{connections:>11} {:<8}{}", webhook.name(), row(turns));
        }
        println!();
        for connections in CONNECTIONS {
            for to in [Webhook::Nothing, Webhook::Shell, Webhook::Go] {
                self.print_ratio(connections, to);
            }
        }
    }

    fn print_ratio(&self, connections: usize, to: Webhook) {
        let turns = |webhook| self.0.get(&(connections, webhook));
        let (Some(ours), Some(others)) = (turns(Webhook::Ours), turns(to)) else { return };
        let rate = median(ours.iter().zip(others).map(|(ours, other)| ours.rate() / other.rate()));
        // Not by rounds: the system counts CPU in hundredths of a second.
        let by_cpu = cpu_each(others) / cpu_each(ours);
        println!("ratio server {connections} ours/{} {rate:.2} by CPU {by_cpu:.2}", to.name());
    }
}

fn row(turns: &[Turn]) -> String {
    let elapsed = total(turns, |turn| turn.elapsed.as_secs_f64());
    let mut latencies: Vec<_> = turns.iter().flat_map(|turn| &turn.latencies).collect();
    latencies.sort_unstable();
    let micros = |per_mille: usize| {
        let at = (latencies.len() * per_mille / 1000).min(latencies.len().saturating_sub(1));
        latencies.get(at).map_or(0, |latency| latency.as_micros())
    };
    let resident = turns.iter().map(|turn| turn.resident).max().unwrap_or_default();
    format!(
        "{:>11.0}{:>8}{:>8}{:>9}{:>16.1}{:>8.0}{:>14.1}",
        total(turns, Turn::requests) / elapsed,
        micros(500),
        micros(990),
        micros(999),
        cpu_each(turns) * 1e6,
        total(turns, |turn| turn.cpu.as_secs_f64()) / elapsed * 100.0,
        MEBIBYTE.of(resident)
    )
}

/// Seconds of CPU that each request took.
fn cpu_each(turns: &[Turn]) -> f64 {
    total(turns, |turn| turn.cpu.as_secs_f64()) / total(turns, Turn::requests)
}

fn total(turns: &[Turn], of: fn(&Turn) -> f64) -> f64 {
    turns.iter().map(of).sum()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
