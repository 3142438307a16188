//! See `src/proof.rs`; `fuzz/run proof` runs it.

#![no_main]

use native_sidecar_fuzz::{mutate, proof};

native_sidecar_fuzz::fuzz!(proof::run, mutate::json, mutate::cross_json);
