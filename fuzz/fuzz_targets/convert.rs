//! See `src/convert.rs`; `fuzz/run convert` runs it.

#![no_main]

use native_sidecar_fuzz::{convert, mutate};

native_sidecar_fuzz::fuzz!(convert::run, mutate::manifest, mutate::cross_manifest);
