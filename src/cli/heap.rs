//! The heap of `serve`: memory that large requests took goes back to the system.
//!
//! Left to itself, glibc's allocator makes up to eight arenas a processor, and raises the size from which it asks the
//! system for each block of its own (which it gives back at once) to that of the largest block so far, up to 32 MiB. So
//! one burst of large bodies decides for good what the process holds. Both have settings, which are read from the
//! environment before `main`; to set them later takes `unsafe`. So the program replaces itself, once, by itself
//! with these variables.
//!
//! mimalloc and jemalloc kept more after the same bursts (docs/performance.md).

use std::{env, os::unix::process::CommandExt, process::Command};

/// See mallopt(3). The thresholds are the defaults, which stay what they are once they are given.
const SETTINGS: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

/// Begins the program anew with a bounded heap, unless one of its settings is there already. To be called before there
/// is anything to lose.
pub(super) fn bound() {
    if SETTINGS.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    let (Ok(program), mut arguments) = (env::current_exe(), env::args_os()) else { return };
    let mut anew = Command::new(program);
    if let Some(name) = arguments.next() {
        anew.arg0(name);
    }
    // Comes back only where the system does not let us; then all is well but for the memory.
    let _ = anew.args(arguments).envs(SETTINGS).exec();
}
