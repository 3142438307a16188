//! What looks like a pod template, whatever kind of object it stands in.

use native_sidecar_core::intent;
use serde_json::{Map, Value};

/// Fields that stand beside the template of a Job, and of no other kind.
///
/// Source: k8s.io/api, `batch/v1`, `JobSpec`.
const OF_JOBS: [&str; 8] = [
    "activeDeadlineSeconds",
    "backoffLimit",
    "backoffLimitPerIndex",
    "completionMode",
    "completions",
    "parallelism",
    "podFailurePolicy",
    "ttlSecondsAfterFinished",
];

/// Whether `value` has `spec.containers` as pods have them: at least one, each with a name.
pub(super) fn is_pod(value: &Value) -> bool {
    let containers = value["spec"]["containers"].as_array();
    containers.is_some_and(|list| !list.is_empty() && list.iter().all(|container| container["name"].is_string()))
}

/// Whether `value` stands for an object of its own: it says of which kind it is.
pub(super) fn is_object(value: &Value) -> bool {
    value["apiVersion"].is_string() && value["kind"].is_string()
}

/// Whether the template asks for a conversion by an annotation of its own.
pub(super) fn asks(template: &Value) -> bool {
    template["metadata"]["annotations"].as_object().is_some_and(|map| map.keys().any(|key| intent::is_ours(key)))
}

/// Whether what stands around a template is the spec of a Job.
pub(super) fn is_job_spec(spec: &Map<String, Value>) -> bool {
    OF_JOBS.iter().any(|field| spec.contains_key(*field))
}
