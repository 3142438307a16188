//! How much work was done, without a clock: see `steps.c` for what a step is.
//!
//! Edges are counted only where the program was built with `-sanitizer-coverage-trace-pc`, as `fuzz/run` builds it;
//! otherwise there are the bytes alone. What the C library does beside moving and comparing bytes (its allocator above
//! all), parts of the standard library that come compiled, and C code such as that of aws-lc are not seen.

use std::hint::black_box;

/// So many steps are taken for linear.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Whatever the input is.
    pub fixed: u64,
    /// For each byte of it.
    pub for_a_byte: u64,
}

unsafe extern "C" {
    #[cfg(not(miri))]
    safe fn native_sidecar_steps() -> u64;
    #[cfg(not(miri))]
    safe fn native_sidecar_rate(rate: u64);
}

// Miri runs no C.
#[cfg(miri)]
fn native_sidecar_steps() -> u64 {
    0
}
#[cfg(miri)]
fn native_sidecar_rate(_: u64) {}

/// So much in the scale of `steps.c` is everything that is allowed.
const WHOLE_RATE: u64 = 48;

/// What `work` returns, and the steps it took in this thread.
pub fn counted<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = native_sidecar_steps();
    let result = black_box(work());
    (result, native_sidecar_steps() - before)
}

/// Whether edges are counted in this program.
#[must_use]
pub fn are_counted() -> bool {
    let (_, steps) = counted(|| (0..black_box(1_000_u64)).fold(0, |sum, n| black_box(sum ^ n)));
    steps >= 1_000
}

// === impl Bound ===

impl Bound {
    /// The steps that an input of `bytes` may take.
    #[must_use]
    pub const fn of(self, bytes: usize) -> u64 {
        self.fixed + self.for_a_byte * bytes as u64
    }

    /// Does `work` on an input of `bytes`.
    ///
    /// # Panics
    ///
    /// When it takes more steps than are allowed.
    pub fn hold<T>(self, bytes: usize, work: impl FnOnce() -> T) -> T {
        let (result, steps) = counted(work);
        let most = self.of(bytes);
        assert!(steps <= most, "{steps} steps for {bytes} bytes, and at most {most} are taken for linear");
        native_sidecar_rate(steps * WHOLE_RATE / most);
        result
    }
}
