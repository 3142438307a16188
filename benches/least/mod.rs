//! The least that any webhook has to do: find the uid, and allow. Both benches measure against it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;

/// An `AdmissionReview`, as far as `R` wants to know its request.
#[derive(Deserialize)]
pub(crate) struct Review<R> {
    pub(crate) request: R,
}

#[derive(Deserialize)]
struct OnlyUid<'b> {
    #[serde(borrow)]
    uid: &'b str,
    #[serde(rename = "object")]
    _object: IgnoredAny,
}

/// Allows whatever `body` asks.
pub(crate) fn allow(body: &[u8]) -> serde_json::Result<Vec<u8>> {
    let review: Review<OnlyUid<'_>> = serde_json::from_slice(body)?;
    answer(review.request.uid, None)
}

/// An `AdmissionReview` that allows the request `uid`, with `patch` where there is one.
pub(crate) fn answer(uid: &str, patch: Option<&[u8]>) -> serde_json::Result<Vec<u8>> {
    let mut response = json!({"uid": uid, "allowed": true});
    if let Some(patch) = patch {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch));
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    serde_json::to_vec(&review)
}
