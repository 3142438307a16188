//! See `src/review.rs`; `fuzz/run review` runs it.

#![no_main]

use native_sidecar_fuzz::{mutate, review};

native_sidecar_fuzz::fuzz!(review::run, mutate::json, mutate::cross_json);
