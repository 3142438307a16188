//! `AdmissionReview` in, `AdmissionReview` out; nothing of HTTP.
//!
//! The one entry is [`review`]; the server and `native-sidecar review` both call it. Whatever comes in, a
//! request whose uid can be read in a version that is known is allowed, except where the pod itself asks to be refused
//! (`native-sidecar.io/on-blocker: deny`).

mod answer;
mod request;

use crate::{
    catalogue::Catalogue,
    conversion::{self, ClusterFacts, Conversion, Decision, Known, Settings},
    findings::Finding,
    intent::Mode,
    pod::{Pod, Unreadable},
};
use answer::Answer;
use base64::{Engine, engine::general_purpose::STANDARD};
use json_patch::Patch;
use request::{Envelope, Unread};

/// Which of the endpoints was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/mutate`: only what the pod's own annotations ask for.
    Annotated,
    /// `/mutate/known`: known sidecars of the catalogue too, unless the pod says otherwise.
    Known,
    /// `/mutate/observe`: the same, but a pod that does not ask for a conversion itself is only observed.
    Observed,
}

/// What an answer rests on beside the request.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// The known sidecars.
    pub catalogue: &'c Catalogue,
    /// What is known about the cluster.
    pub facts: &'c ClusterFacts,
}

/// An answer, and what there is to say about it in logs and metrics.
#[derive(Clone, Debug)]
pub struct Reviewed {
    /// The `AdmissionReview` to send back, as JSON.
    pub body: Vec<u8>,
    /// The decision's name, one of [`DECISIONS`].
    pub decision: &'static str,
    /// Whose request it was.
    pub subject: Subject,
    /// Everything found out about the pod.
    pub findings: Vec<Finding>,
}

/// Who and what a request was about, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// `request.uid`.
    pub uid: String,
    /// `request.namespace`.
    pub namespace: String,
    /// The pod's `name` or `generateName`.
    pub pod: String,
    /// `Kind/name` of the pod's controller; empty where it has none.
    pub owner: String,
    /// `request.dryRun`.
    pub dry_run: bool,
}

/// Why a body was not answered with an `AdmissionReview`: one sentence for the caller (HTTP 400).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAReview(String);

/// The request is not the creation of a pod.
const NOT_APPLICABLE: &str = "not-applicable";
/// The request's uid could be read, but not what it asks.
const NOT_UNDERSTOOD: &str = "not-understood";
/// Handling the request failed; it was allowed unchanged.
const FAILED: &str = "failed";

/// Every name that [`Reviewed::decision`] can have.
pub const DECISIONS: [&str; 10] = [
    Decision::NotRequested.as_str(),
    Decision::NothingToDo.as_str(),
    Decision::Converted.as_str(),
    Decision::Blocked.as_str(),
    Decision::Denied.as_str(),
    Decision::WouldConvert.as_str(),
    Decision::WouldBlock.as_str(),
    NOT_APPLICABLE,
    NOT_UNDERSTOOD,
    FAILED,
];

/// Answers the `AdmissionReview` in `body`.
///
/// # Errors
///
/// When `body` is no `AdmissionReview` of a version that is known, or not even a uid can be read from it.
pub fn review(body: &[u8], route: Route, context: Context<'_>) -> Result<Reviewed, NotAReview> {
    answer(body, route, context, Mode::Convert)
}

/// The same where every pod is only observed, whatever it says itself: the review runs in full, and the answer is
/// "allowed" without a patch.
///
/// # Errors
///
/// As [`review`].
pub fn observe(body: &[u8], route: Route, context: Context<'_>) -> Result<Reviewed, NotAReview> {
    answer(body, route, context, Mode::Observe)
}

fn answer(body: &[u8], route: Route, context: Context<'_>, mode: Mode) -> Result<Reviewed, NotAReview> {
    match Envelope::read(body) {
        Ok(Envelope { api_version, subject, pod }) => {
            Ok(decide(api_version, subject, pod.as_ref(), route.settings(context, mode)))
        }
        Err(Unread { uid: Some(uid), api_version, reason }) => {
            let subject = Subject { uid, ..Subject::default() };
            Ok(unchanged(api_version, subject, NOT_UNDERSTOOD, Some(&reason)))
        }
        Err(Unread { uid: None, reason, .. }) => Err(NotAReview(reason)),
    }
}

/// The bytes of memory that [`review`] may need for `body` at most, beside the body itself.
///
/// What is not read needs none, and texts are not copied, so most reviews need a small part of this. But whoever sends the
/// body may have put everything where it is read: then each item of a list is kept (its weight was measured; a test holds
/// it), and texts with escapes are copied, some of them twice. A pod's containers and annotations, of which there is a
/// bounded number, are taken to be as dear as they can be.
#[must_use]
pub fn memory_needed(body: &[u8]) -> usize {
    /// What is kept of one item of a list, with the room that a list leaves for more.
    const ITEM: usize = 104;
    /// For 1,000 containers that all move, and annotations of 256 KiB.
    const BOUNDED: usize = 4 * 1024 * 1024;
    2 * body.len() + ITEM * memchr::memchr_iter(b',', body).count() + BOUNDED
}

/// The answer for a request whose handling failed beyond repair (a panic): allowed and unchanged, with a
/// warning where whoever asks is to know. `None` where the body does not even tell the request's uid.
#[must_use]
pub fn allowed_unchanged(body: &[u8], warning: Option<&str>) -> Option<Reviewed> {
    let (uid, api_version) = match Envelope::read(body) {
        Ok(Envelope { api_version, subject, .. }) => (subject.uid, api_version),
        Err(Unread { uid, api_version, .. }) => (uid?, api_version),
    };
    Some(unchanged(api_version, Subject { uid, ..Subject::default() }, FAILED, warning))
}

/// The JSON Patch inside an answer of [`review`]; an empty list where there is none.
///
/// # Errors
///
/// What is wrong with an answer that this module did not write.
pub fn decoded_patch(answer: &[u8]) -> Result<Patch, String> {
    let answer: serde_json::Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let Some(encoded) = answer["response"]["patch"].as_str() else { return Ok(Patch(Vec::new())) };
    let json = STANDARD.decode(encoded).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

fn decide<'p>(
    api_version: &str,
    mut subject: Subject,
    pod: Option<&'p Result<Pod<'p>, Unreadable>>,
    settings: Settings<'p>,
) -> Reviewed {
    let conversion = match pod {
        None => {
            let body = Answer::allowed(&subject.uid).into_review(api_version);
            return Reviewed { body, decision: NOT_APPLICABLE, subject, findings: Vec::new() };
        }
        Some(Ok(pod)) => {
            subject.describe(pod);
            conversion::convert_pod(pod, settings)
        }
        Some(Err(error)) => Conversion::of_unreadable(error, settings),
    };
    let body = Answer::of(&subject.uid, &conversion).into_review(api_version);
    Reviewed { body, decision: conversion.decision.as_str(), subject, findings: conversion.findings }
}

fn unchanged(api_version: &str, subject: Subject, decision: &'static str, warning: Option<&str>) -> Reviewed {
    let answer = Answer::allowed(&subject.uid);
    let answer = if let Some(warning) = warning { answer.with_warning(warning) } else { answer };
    let body = answer.into_review(api_version);
    Reviewed { body, decision, subject, findings: Vec::new() }
}

// === impl Route ===

impl Route {
    const fn settings(self, context: Context<'_>, mode: Mode) -> Settings<'_> {
        let known = match self {
            Self::Annotated => Known::Stay,
            Self::Known => Known::Move,
            Self::Observed => Known::Observed,
        };
        Settings { catalogue: context.catalogue, facts: context.facts, known, mode, containers: None, workload: None }
    }
}

// === impl Subject ===

impl Subject {
    fn describe(&mut self, pod: &Pod<'_>) {
        pod.display_name().clone_into(&mut self.pod);
        if let Some(owner) = pod.controller() {
            self.owner = [&*owner.kind, "/", &*owner.name].concat();
        }
        if self.namespace.is_empty() {
            self.namespace = String::from(&*pod.metadata.namespace);
        }
    }
}

#[cfg(test)]
mod tests;
