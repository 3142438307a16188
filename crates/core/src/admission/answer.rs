//! The response side of an `AdmissionReview` (admission.k8s.io/v1).
//!
//! Source: k8s.io/api/admission/v1/types.go; what the API server does with each field is in
//! k8s.io/apiserver, pkg/admission/plugin/webhook/mutating/dispatcher.go.

use crate::{
    conversion::{Conversion, Decision},
    findings::{Finding, Severity},
    text::{one_line, shorten, shorten_sentence},
};
use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use json_patch::Patch;
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;

/// The API server cuts longer warnings, and drops those with control characters.
const WARNING_LIMIT: usize = 256;
/// What a person reads of a refusal; the audit annotation has every code.
const REFUSAL_LIMIT: usize = 4096;
/// The API server cuts all warnings once they have 4096 characters together.
const WARNINGS_LIMIT: usize = 12;

/// An ordinary answer has no more bytes.
const ORDINARY_BYTES: usize = 2048;

/// `response` of an `AdmissionReview`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'u> {
    uid: &'u str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    // Both or neither: a patch type without a patch is an invalid response.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Base64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<AuditAnnotations>,
}

/// Bytes that are written in base64.
#[derive(Debug)]
struct Base64(Vec<u8>);

/// Keys are completed by the API server to `<webhook>/<key>`.
#[derive(Debug, Serialize)]
struct AuditAnnotations {
    decision: &'static str,
    findings: String,
}

/// Why a request is refused.
#[derive(Debug, Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a, 'u> {
    api_version: &'a str,
    kind: &'static str,
    response: &'a Answer<'u>,
}

// === impl Answer ===

impl<'u> Answer<'u> {
    /// Allowed, unchanged, and no word about it.
    pub(super) const fn allowed(uid: &'u str) -> Self {
        Self {
            uid,
            allowed: true,
            status: None,
            patch_type: None,
            patch: None,
            warnings: Vec::new(),
            audit_annotations: None,
        }
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
    pub(super) fn into_review(self, api_version: &str) -> Vec<u8> {
        let review = Review { api_version, kind: "AdmissionReview", response: &self };
        let mut body = Vec::with_capacity(ORDINARY_BYTES);
        // Strings, booleans and numbers with string keys always serialise.
        let _ = serde_json::to_writer(&mut body, &review);
        body
    }

    fn refuse(&mut self, reasons: &[Finding]) {
        let reasons: Vec<_> = reasons.iter().map(|finding| one_line(&finding.to_string())).collect();
        self.allowed = false;
        let message = shorten(&reasons.join("; "), REFUSAL_LIMIT);
        self.status = Some(Status { code: 403, reason: "Forbidden", message });
    }

    fn attach(&mut self, patch: &Patch) {
        if patch.is_empty() {
            return;
        }
        // Paths and JSON values always serialise.
        let json = serde_json::to_vec(patch).unwrap_or_default();
        self.patch_type = Some("JSONPatch");
        self.patch = Some(Base64(json));
    }

    /// What held the conversion back, then what somebody should look at.
    fn warn(&mut self, conversion: &Conversion) {
        let left = "left unchanged: ";
        let reasons = conversion.reasons.iter().filter(|_| self.allowed).map(|finding| (left, finding));
        let warnings = conversion.findings.iter().filter(|finding| finding.severity() == Severity::Warning);
        let all = reasons.chain(warnings.map(|finding| ("", finding)));
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
        self.audit_annotations = Some(AuditAnnotations { decision: conversion.decision.as_str(), findings });
    }
}

// === impl Base64 ===

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(&self.0, &STANDARD))
    }
}

fn presentable(warning: &str) -> String {
    shorten_sentence(&one_line(&format!("native-sidecar: {warning}")), WARNING_LIMIT)
}
