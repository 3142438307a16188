//! One core for the webhooks, another for the clients.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::{
    io,
    process::{Child, Command},
};

/// Which cores the two sides have.
pub(crate) struct Cores {
    webhooks: CpuSet,
    clients: CpuSet,
}

// === impl Cores ===

impl Cores {
    /// From here on this thread, and those that it starts, are the clients. Where there is one core only, both sides
    /// share it.
    pub(crate) fn split() -> io::Result<Self> {
        let ours = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core));
        let (Some(first), Some(second)) = (cores.next(), cores.next()) else {
            println!("there is one core only, so that the clients take their share of it; look at the ratios by CPU");
            return Ok(Self { webhooks: ours, clients: ours });
        };
        println!("the webhooks run on core {first}, the clients on core {second}");
        let cores = Self { webhooks: only(first), clients: only(second) };
        sched_setaffinity(None, &cores.clients)?;
        Ok(cores)
    }

    /// Starts a webhook on its side.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // A process inherits the cores of the thread that starts it.
        sched_setaffinity(None, &self.webhooks)?;
        let child = command.spawn();
        sched_setaffinity(None, &self.clients)?;
        child
    }
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}
