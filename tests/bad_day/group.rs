//! A cgroup for one process, where this machine lets us make one: it limits CPU and memory as a pod's does, and counts
//! the memory that the kernel uses for the process's sockets.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicUsize, Ordering},
};

const CONTROLLERS: [&str; 2] = ["cpu", "memory"];

/// Period of the CPU limit, in microseconds, as the kubelet sets it.
const PERIOD: u64 = 100_000;

/// The group; removed when dropped, by when its process has to be gone.
#[derive(Debug)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
}

// === impl Group ===

impl Group {
    /// None without cgroups of version 1 that we may write to.
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("native-sidecar-bad-day-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut group = Self { folders: Vec::new() };
        for controller in CONTROLLERS {
            let folder = Path::new("/sys/fs/cgroup").join(controller).join(&name);
            fs::create_dir(&folder).ok()?;
            let is_group = folder.join("cgroup.procs").exists();
            group.folders.push(folder);
            if !is_group {
                return None;
            }
        }
        // Sockets are counted only where they are limited.
        group.write("memory.kmem.tcp.limit_in_bytes", 1 << 40).ok()?;
        Some(group)
    }

    /// Where a process writes its id to join.
    pub(crate) fn doors(&self) -> String {
        let doors: Vec<_> =
            self.folders.iter().map(|folder| folder.join("cgroup.procs").display().to_string()).collect();
        doors.join(" ")
    }

    /// Limits CPU to this many hundredths of one.
    pub(crate) fn limit_cpu(&self, percent: u64) -> io::Result<()> {
        self.write("cpu.cfs_period_us", PERIOD)?;
        self.write("cpu.cfs_quota_us", PERIOD * percent / 100)
    }

    pub(crate) fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        self.write("memory.limit_in_bytes", bytes)
    }

    /// The most that the process's sockets have taken of the kernel's memory, in bytes.
    pub(crate) fn peak_of_sockets(&self) -> Option<u64> {
        self.read("memory.kmem.tcp.max_usage_in_bytes")
    }

    /// How often the limit of CPU has made the process wait.
    pub(crate) fn throttled(&self) -> Option<u64> {
        let stat = fs::read_to_string(self.find("cpu.stat")?).ok()?;
        stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse().ok())
    }

    fn write(&self, file: &str, value: u64) -> io::Result<()> {
        fs::write(self.find(file).ok_or(io::ErrorKind::NotFound)?, value.to_string())
    }

    fn read(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.find(file)?).ok()?.trim().parse().ok()
    }

    fn find(&self, file: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(file)).find(|path| path.exists())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}
