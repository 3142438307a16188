//! See `src/annotations.rs`; `fuzz/run annotations` runs it.

#![no_main]

use native_sidecar_fuzz::{annotations, mutate};

native_sidecar_fuzz::fuzz!(annotations::run, mutate::lines, mutate::cross_lines);
