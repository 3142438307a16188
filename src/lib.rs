//! native-sidecar moves sidecars from `spec.containers` into `spec.initContainers` with `restartPolicy: Always`.
//!
//! This crate is the shell: sockets, certificates, the API server, commands. What it does to a pod is decided in
//! [`native_sidecar_core`], which knows none of these; [`native_sidecar_manifest`] finds the pods in YAML and JSON.
//!
//! | Room | What lives there |
//! |---|---|
//! | [`native_sidecar_core`] | the conversion: a pod in, findings and a JSON Patch out |
//! | [`native_sidecar_manifest`] | documents with pod templates in them |
//! | [`server`] | HTTPS: from a socket to an answer |
//! | [`cluster`] | the API server as seen from inside the cluster |
//! | [`cli`] | the commands, one file each |

pub mod cli;
pub mod cluster;
pub mod server;
