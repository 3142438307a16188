//! The pure part of native-sidecar: a pod and what is asked for in, findings and a JSON Patch out.
//!
//! One pipeline serves the webhook, `review` and `convert`:
//!
//! ```text
//! bytes -> Review -> Pod (borrowed view) -> Intent -> select -> shape -> place -> withhold -> judge -> patch -> prove
//!                                             ^                                     ^
//!                              annotations ---+                                     +--- Catalogue, ClusterFacts, Lifecycle
//! ```
//!
//! The rooms of the house, from the ground up; each knows only those above it in this table:
//!
//! | Room | What lives there |
//! |---|---|
//! | [`version`], [`text`] | Kubernetes versions; text of bounded length |
//! | [`findings`] | the closed set of codes, their severities and explanations |
//! | [`pod`] | the borrowed view of a pod |
//! | [`intent`] | annotations -> what the user asked for |
//! | [`catalogue`] | known sidecars: `known/` and its reader |
//! | [`lifecycle`] | what happens to a pod's containers over time, and who asks whom |
//! | [`conversion`] | the steps from intent to a proved patch, and the rules |
//! | [`timeline`] | the two lives of a pod as a picture is drawn of them |
//! | [`admission`] | `AdmissionReview`s: requests in, answers out |

pub mod admission;
pub mod catalogue;
pub mod conversion;
pub mod findings;
pub mod intent;
pub mod lifecycle;
pub mod pod;
pub mod text;
pub mod timeline;
pub mod version;
