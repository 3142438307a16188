//! native-sidecar moves sidecars from `spec.containers` into `spec.initContainers` with `restartPolicy: Always`.
//!
//! One pure pipeline serves the webhook, `review` and `convert`:
//!
//! ```text
//! bytes -> Review -> Pod (borrowed view) -> Intent -> Plan { moves, findings } -> Patch
//!                                             ^          ^
//!                              annotations ---+          +--- Catalogue, ClusterFacts
//! ```
//!
//! The rooms of the house, from the ground up; each knows only those below it:
//!
//! | Room | What lives there |
//! |---|---|
//! | [`version`], [`text`] | Kubernetes versions; text of bounded length |
//! | [`findings`] | the closed set of codes, their severities and explanations |
//! | [`pod`] | the borrowed view of a pod |
//! | [`intent`] | annotations -> what the user asked for |
//! | [`catalogue`] | known sidecars: `known.yaml` and its reader |
//! | [`conversion`] | selection, native form, placement, rules, plan, patch |
//! | [`admission`], [`manifest`] | `AdmissionReview`s; YAML and JSON documents with pod templates in them |
//! | [`server`], [`cluster`], [`cli`] | HTTPS; the API server as seen from inside; the commands |

pub mod admission;
pub mod catalogue;
pub mod cli;
pub mod cluster;
pub mod conversion;
pub mod findings;
pub mod intent;
pub mod manifest;
pub mod pod;
pub mod server;
pub mod text;
pub mod version;
