//! The suite on a real Kubernetes, given by `KUBECONFIG`; skipped, with a line that says so, where none is given.
//!
//! `tests/cluster/run` starts clusters and runs it on each; `tests/kind/run` does so with kind.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "cluster/suite/mod.rs"]
mod suite;
