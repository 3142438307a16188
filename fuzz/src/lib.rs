//! What must hold for any bytes at all. Each target is one function over bytes that panics where something does not
//! hold, so that it is the same for every driver: libFuzzer with the stable compiler (`fuzz/run`), with a sanitizer on a
//! nightly one, Miri (`fuzz/miri`), and `cargo test`, which runs the seeds.
//!
//! A target returns a word for how far the input came, which is counted: a target whose inputs all end at the first
//! byte proves nothing.

use native_sidecar_core::conversion::Known;

pub mod annotations;
pub mod catalogue;
#[cfg(feature = "server")]
pub mod certificates;
#[cfg(feature = "server")]
pub mod convert;
pub mod mutate;
pub mod promises;
pub mod proof;
pub mod quantities;
pub mod reach;
pub mod review;
pub mod seeds;
pub mod steps;

/// All that a namespace can have a server do about known sidecars.
const KNOWN: [Known; 3] = [Known::Stay, Known::Observed, Known::Move];

/// A target: its name and its function.
pub type Target = (&'static str, fn(&[u8]) -> &'static str);

/// All of them.
pub const TARGETS: &[Target] = &[
    ("annotations", annotations::run),
    ("catalogue", catalogue::run),
    #[cfg(feature = "server")]
    ("certificates", certificates::run),
    #[cfg(feature = "server")]
    ("convert", convert::run),
    ("proof", proof::run),
    ("quantities", quantities::run),
    ("review", review::run),
];

/// What libFuzzer calls: the target, and how its inputs are changed.
#[macro_export]
macro_rules! fuzz {
    ($run:path, $change:path, $cross:path) => {
        $crate::fuzz!($run);
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            let changed = $change(&data[..size], max_size, seed).filter(|changed| changed.len() <= max_size);
            match changed {
                Some(changed) => {
                    data[..changed.len()].copy_from_slice(&changed);
                    changed.len()
                }
                None => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
            }
        });
        libfuzzer_sys::fuzz_crossover!(|one: &[u8], other: &[u8], out: &mut [u8], seed: u32| {
            let crossed = $cross(one, other, seed).filter(|crossed| crossed.len() <= out.len());
            // Nothing at all lets libFuzzer try something else.
            let crossed = crossed.unwrap_or_default();
            out[..crossed.len()].copy_from_slice(&crossed);
            crossed.len()
        });
    };
    ($run:path) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> libfuzzer_sys::Corpus {
            let word = $run(bytes);
            $crate::reach::note(word);
            if $crate::reach::is_kept(word, bytes) {
                libfuzzer_sys::Corpus::Keep
            } else {
                libfuzzer_sys::Corpus::Reject
            }
        });
    };
}

/// A number that depends on all of `bytes`: what a target chooses by it beside the input (a route, a version).
#[must_use]
pub fn choice(bytes: &[u8], of: usize) -> usize {
    let sum = bytes.iter().fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    (sum.wrapping_mul(0x9e37_79b1) >> 16) as usize % of
}
