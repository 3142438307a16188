//! The response side of an `AdmissionReview` (admission.k8s.io/v1).
//!
//! Source: k8s.io/api/admission/v1/types.go; what the API server does with each field is in
//! k8s.io/apiserver, pkg/admission/plugin/webhook/mutating/dispatcher.go.

use crate::{
    conversion::{Conversion, Decision, Observer},
    findings::{Finding, Severity},
    intent::MODE,
    text::{one_line, shorten, shorten_sentence},
};
use base64::{Engine, encoded_len, engine::general_purpose::STANDARD};
use json_patch::Patch;
use serde::Serialize;
use std::{collections::BTreeSet, fmt::Display};

/// The API server cuts longer warnings, and drops those with control characters.
const WARNING_LIMIT: usize = 256;
/// What a person reads of a refusal; the audit annotation has every code.
const REFUSAL_LIMIT: usize = 4096;
/// The API server cuts all warnings once they have 4096 characters together.
const WARNINGS_LIMIT: usize = 12;

/// An ordinary answer has no more bytes.
const ORDINARY_BYTES: usize = 2048;

/// `response` of an `AdmissionReview`.
#[derive(Debug)]
pub(super) struct Answer<'u> {
    uid: &'u str,
    /// Why the request is refused; allowed where there is no reason.
    refusal: Option<String>,
    /// The patch as JSON.
    patch: Option<Vec<u8>>,
    warnings: Vec<String>,
    audit: Option<Audit>,
}

/// `auditAnnotations`, whose keys are completed by the API server to `<webhook>/<key>`.
#[derive(Debug)]
struct Audit {
    decision: &'static str,
    findings: String,
}

/// The body of an answer, being written.
#[derive(Debug)]
struct Body(Vec<u8>);

// === impl Answer ===

impl<'u> Answer<'u> {
    /// Allowed, unchanged, and no word about it.
    pub(super) const fn allowed(uid: &'u str) -> Self {
        Self { uid, refusal: None, patch: None, warnings: Vec::new(), audit: None }
    }

    /// The answer that a conversion leads to.
    pub(super) fn of(uid: &'u str, conversion: &Conversion) -> Self {
        let mut answer = Self::allowed(uid);
        if conversion.decision == Decision::Denied {
            answer.refuse(&conversion.reasons);
        }
        answer.attach(&conversion.patch);
        answer.warn(conversion);
        answer.audit(conversion);
        answer
    }

    /// The same with a warning.
    pub(super) fn with_warning(mut self, warning: &str) -> Self {
        self.warnings.push(presentable(warning));
        self
    }

    /// The whole `AdmissionReview`, as JSON.
    ///
    /// Source: k8s.io/api/admission/v1/types.go, `AdmissionReview` and `AdmissionResponse`.
    pub(super) fn into_review(self, api_version: &str) -> Vec<u8> {
        let Self { uid, refusal, patch, warnings, audit } = self;
        let mut body = Body(Vec::with_capacity(ORDINARY_BYTES));
        body.json(r#"{"apiVersion":"#, api_version);
        body.json(r#","kind":"AdmissionReview","response":{"uid":"#, uid);
        body.json(r#","allowed":"#, &refusal.is_none());
        if let Some(message) = refusal {
            body.json(r#","status":{"code":403,"reason":"Forbidden","message":"#, &message);
            body.text("}");
        }
        // Both or neither: a patch type without a patch is an invalid response.
        if let Some(patch) = patch {
            body.text(r#","patchType":"JSONPatch","patch":""#);
            body.base64(&patch);
            body.text("\"");
        }
        if !warnings.is_empty() {
            body.json(r#","warnings":"#, &warnings);
        }
        if let Some(Audit { decision, findings }) = audit {
            body.json(r#","auditAnnotations":{"decision":"#, decision);
            body.json(r#","findings":"#, &findings);
            body.text("}");
        }
        body.text("}}");
        body.0
    }

    fn refuse(&mut self, reasons: &[Finding]) {
        let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
        self.refusal = Some(shorten(&reasons.join("; "), REFUSAL_LIMIT));
    }

    fn attach(&mut self, patch: &Patch) {
        if !patch.is_empty() {
            let mut json = Vec::with_capacity(ORDINARY_BYTES);
            // Paths and JSON values always serialise.
            let _ = serde_json::to_writer(&mut json, patch);
            self.patch = Some(json);
        }
    }

    /// What held the conversion back, then what somebody should look at. Where others have the pod observed, whoever
    /// creates it has asked for nothing.
    fn warn(&mut self, conversion: &Conversion) {
        let Conversion { reasons, findings, decision, observer, .. } = conversion;
        if *observer == Some(Observer::Others) {
            return;
        }
        let left = match decision {
            Decision::WouldBlock => "only observed, and would be held back: ",
            _ => "left unchanged: ",
        };
        let would_move = would_move(conversion);
        let would_move = would_move.iter().map(|sentence| ("", sentence as &dyn Display));
        let reasons = reasons.iter().filter(|_| self.refusal.is_none());
        let warnings = findings.iter().filter(|finding| finding.severity() == Severity::Warning);
        let all = would_move
            .chain(reasons.map(|finding| (left, finding as &dyn Display)))
            .chain(warnings.map(|finding| ("", finding as &dyn Display)));
        let count = all.clone().count();
        let shown = if count > WARNINGS_LIMIT { WARNINGS_LIMIT - 1 } else { count };
        self.warnings = all.take(shown).map(|(before, finding)| presentable(&format!("{before}{finding}"))).collect();
        if count > shown {
            let more = count - shown;
            self.warnings.push(presentable(&format!("and {more} more; see the audit annotation `findings`")));
        }
    }

    /// The first value of a key wins when we are called again, so a call that finds nothing to do says nothing.
    fn audit(&mut self, conversion: &Conversion) {
        if matches!(conversion.decision, Decision::NothingToDo | Decision::NotRequested)
            && conversion.findings.is_empty()
        {
            return;
        }
        let codes: BTreeSet<_> = conversion.findings.iter().map(|finding| finding.code.as_str()).collect();
        let findings = codes.into_iter().collect::<Vec<_>>().join(",");
        self.audit = Some(Audit { decision: conversion.decision.as_str(), findings });
    }
}

// === impl Body ===

impl Body {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// `text`, and behind it `value` as JSON.
    fn json(&mut self, text: &str, value: &(impl Serialize + ?Sized)) {
        self.text(text);
        // Strings, lists of them and booleans always serialise, and a vector takes all that is written.
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    fn base64(&mut self, bytes: &[u8]) {
        let begin = self.0.len();
        // No patch comes near the length at which there is no length for it in base64.
        self.0.resize(begin + encoded_len(bytes.len(), true).unwrap_or_default(), 0);
        let _ = STANDARD.encode_slice(bytes, &mut self.0[begin..]);
    }
}

/// What an observed pod asked to be told.
fn would_move(conversion: &Conversion) -> Option<String> {
    (conversion.decision == Decision::WouldConvert).then(|| {
        let names = conversion.native.join(", ");
        format!("only observed, and would make native: {names}; nothing was changed, as {MODE} is not `convert`")
    })
}

fn presentable(warning: &str) -> String {
    shorten_sentence(&one_line(&format!("native-sidecar: {warning}")), WARNING_LIMIT)
}
