//! What Linux tells about a process.

use std::{fs, io, process::Child, time::Duration};

/// A webhook's process; ended when dropped.
pub(crate) struct Process(pub(crate) Child);

/// Memory of a process that is in RAM, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Memory {
    /// All of it.
    pub(crate) resident: u64,
    /// Without pages of files such as the program's own, which the system can drop and read again.
    pub(crate) anonymous: u64,
}

// === impl Process ===

impl Process {
    /// CPU time so far, in user space and in the kernel.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let stat = self.read("stat")?;
        // The second field is the program's name in parentheses and may hold anything, so fields count from its end.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        // Fields 14 and 15 of proc_pid_stat(5); the first after the name is 3.
        let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
    }

    pub(crate) fn memory(&self) -> io::Result<Memory> {
        let status = self.read("status")?;
        let bytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kb| kb.parse().ok());
            kibibytes.map(|kibibytes: u64| kibibytes * 1024)
        };
        let memory = bytes("VmRSS:").zip(bytes("RssAnon:"));
        let (resident, anonymous) = memory.ok_or_else(|| io::Error::other("/proc has no VmRSS and RssAnon"))?;
        Ok(Memory { resident, anonymous })
    }

    fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.0.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
