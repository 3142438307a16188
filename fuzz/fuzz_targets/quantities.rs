//! See `src/quantities.rs`; `fuzz/run quantities` runs it.

#![no_main]

use native_sidecar_fuzz::quantities;

native_sidecar_fuzz::fuzz!(quantities::run);
