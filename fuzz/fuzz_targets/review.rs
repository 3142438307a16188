//! Any body at all: the answer never panics, its patch applies to the whole pod (and not only to the part of it on which
//! it was proved), and a second call finds nothing to do.
//!
//! `cargo +nightly fuzz run review -- -max_len=65536`; the pods of `tests/cases` make good seeds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use native_sidecar_core::{
    admission::{Context, Route, decoded_patch, review},
    catalogue::Catalogue,
    conversion::ClusterFacts,
    findings::{Code, Finding},
};
use serde_json::Value;
use std::sync::LazyLock;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::built_in);

fuzz_target!(|body: &[u8]| {
    for route in [Route::Annotated, Route::Known] {
        try_body(body, route);
    }
});

fn try_body(body: &[u8], route: Route) {
    let Some(patch) = patch(body, route) else { return };
    // Values have each key once, as the API server's own JSON does; what a body repeats is gone from here on.
    let mut request: Value = serde_json::from_slice(body).expect("what was answered is JSON");
    json_patch::patch(&mut request["request"]["object"].clone(), &patch).expect("the patch applies");
    let Some(patch) = self::patch(request.to_string().as_bytes(), route) else { return };
    json_patch::patch(&mut request["request"]["object"], &patch)
        .expect("the patch applies to what the API server sends");
    let again = self::patch(request.to_string().as_bytes(), route);
    assert!(again.is_none(), "a second call changes more: {again:?}");
}

/// The patch in the answer to `body`, if there is one with an operation in it.
fn patch(body: &[u8], route: Route) -> Option<json_patch::Patch> {
    let facts = ClusterFacts::default();
    let answer = review(body, route, Context { catalogue: &CATALOGUE, facts: &facts }).ok()?;
    let is_ours = |finding: &Finding| finding.code == Code::UnsoundPatch;
    assert!(!answer.findings.iter().any(is_ours), "no input leads to a patch that has to be held back");
    let patch = decoded_patch(&answer.body).expect("the patch of an answer decodes");
    (!patch.is_empty()).then_some(patch)
}
