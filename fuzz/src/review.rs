//! Any body at all: the answer never panics, costs at most a multiple of the body in steps and in memory, is one that the
//! API server takes, and its patch applies to the whole pod. A second call finds nothing to do.

use crate::{choice, promises, steps::Bound};
use json_patch::{Patch, PatchOperation};
use native_sidecar_cases::catalogue;
use native_sidecar_core::{
    admission::{Context, DECISIONS, Reviewed, Route, decoded_patch, memory_needed, observe, review},
    conversion::ClusterFacts,
    findings::{Code, Finding},
};
use serde_json::Value;
use std::sync::LazyLock;

/// Measured by `tests/steps.rs` on the bodies of `crates/core/tests/cost/adversaries.rs`, of which none takes half of it.
/// What is fixed is the advice for misspelt keys, of which there is a bounded number.
pub const BOUND: Bound = Bound { fixed: 8_000_000, for_a_byte: 300 };
/// What Kubernetes shows of a warning.
const LONGEST_WARNING: usize = 256;

static FACTS: LazyLock<ClusterFacts> = LazyLock::new(ClusterFacts::default);

/// Runs one input.
///
/// # Panics
///
/// When a promise is broken.
#[must_use]
pub fn run(body: &[u8]) -> &'static str {
    let route = [Route::Known, Route::Annotated, Route::Observed][choice(body, 3)];
    assert_only_observed(body, route);
    let Some(answer) = answer(body, route) else { return "refused" };
    let patch = assert_sound(&answer);
    // A string that is only skipped may hold what no `Value` can.
    let Ok(mut request) = serde_json::from_slice::<Value>(body) else { return answer.decision };
    if patch.is_empty() {
        return answer.decision;
    }
    // Values have each key once, as the API server's own JSON does; what a body repeats is gone from here on.
    json_patch::patch(&mut request["request"]["object"].clone(), &patch).expect("the patch applies");
    let Some(patch) = patch_for(&request, route) else { return answer.decision };
    let has_name_twice = promises::has_name_twice(&request["request"]["object"]);
    json_patch::patch(&mut request["request"]["object"], &patch)
        .expect("the patch applies to what the API server sends");
    let again = patch_for(&request, route).filter(|_| !has_name_twice);
    assert!(again.is_none(), "a second call changes more: {again:?}");
    answer.decision
}

/// A server that observes writes to no pod, whatever that says of itself.
fn assert_only_observed(body: &[u8], route: Route) {
    let context = Context { catalogue: catalogue(), facts: &FACTS };
    if let Ok(answer) = observe(body, route, context) {
        assert!(assert_sound(&answer).is_empty());
    }
}

/// The answer to `body`, where it is understood.
fn answer(body: &[u8], route: Route) -> Option<Reviewed> {
    let context = Context { catalogue: catalogue(), facts: &FACTS };
    // So that what is made once is no part of the first one.
    assert!(!context.catalogue.entries().is_empty());
    let mut answer = None;
    let memory = allocation_counter::measure(|| {
        answer = Some(BOUND.hold(body.len(), || review(body, route, context)));
    });
    let (most, needed) = (memory.bytes_max, memory_needed(body) as u64);
    assert!(most <= needed, "{most} bytes of memory, and the server was told {needed}");
    match answer? {
        Ok(answer) => Some(answer),
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            None
        }
    }
}

fn patch_for(request: &Value, route: Route) -> Option<Patch> {
    let patch = assert_sound(&answer(request.to_string().as_bytes(), route)?);
    (!patch.is_empty()).then_some(patch)
}

/// What the API server wants of an answer; the patch as it would read it.
///
/// Source: Kubernetes, k8s.io/apiserver, admission/plugin/webhook/request/admissionreview.go.
fn assert_sound(answer: &Reviewed) -> Patch {
    let is_ours = |finding: &Finding| finding.code == Code::UnsoundPatch;
    assert!(!answer.findings.iter().any(is_ours), "no input leads to a patch that has to be held back");
    assert!(DECISIONS.contains(&answer.decision), "{}", answer.decision);
    let value: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    let response = &value["response"];
    assert!(response["uid"].as_str().is_some_and(|uid| !uid.is_empty()), "{value}");
    assert_eq!(response["patch"].is_string(), response["patchType"] == "JSONPatch", "{value}");
    for warning in response["warnings"].as_array().into_iter().flatten() {
        let warning = warning.as_str().expect("a warning is a string");
        assert!(warning.chars().count() <= LONGEST_WARNING && !warning.chars().any(char::is_control), "{warning}");
    }
    let patch = decoded_patch(&answer.body).expect("the patch of an answer decodes");
    assert!(response["allowed"] == true || patch.is_empty(), "{value}");
    assert!(!patch.iter().any(|operation| matches!(operation, PatchOperation::Test(_))), "{value}");
    patch
}
