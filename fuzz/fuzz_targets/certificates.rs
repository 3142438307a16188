//! See `src/certificates.rs`; `fuzz/run certificates` runs it.

#![no_main]

use native_sidecar_fuzz::certificates;

native_sidecar_fuzz::fuzz!(certificates::run);
