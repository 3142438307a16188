//! See `src/catalogue.rs`; `fuzz/run catalogue` runs it.

#![no_main]

use native_sidecar_fuzz::{catalogue, mutate};

native_sidecar_fuzz::fuzz!(catalogue::run, mutate::yaml, mutate::cross_yaml);
