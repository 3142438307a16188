//! Rules about whose pod it is.

use super::{Case, Move};
use crate::{conversion::workload::ExitCodes, pod::Pod};

/// A workload engine and the containers that it watches by their place.
struct Engine {
    name: &'static str,
    /// Prefixes of labels or annotations by which its pods are told; empty where the names are enough.
    marks: &'static [&'static str],
    /// Container names; a last `*` stands for any further text.
    containers: &'static [&'static str],
}

const ENGINES: [Engine; 5] = [
    Engine { name: "Argo Workflows", marks: &["workflows.argoproj.io/"], containers: &["main", "wait", "init"] },
    Engine { name: "Tekton", marks: &["tekton.dev/"], containers: &["step-*"] },
    Engine { name: "Knative", marks: &[], containers: &["queue-proxy", "user-container"] },
    Engine { name: "Spark", marks: &[], containers: &["spark-kubernetes-driver", "spark-kubernetes-executor"] },
    Engine { name: "Airflow", marks: &["airflow", "dag_id", "kubernetes_executor"], containers: &["base"] },
];

pub(super) fn mirror_pod(case: &Case<'_>) -> Option<String> {
    case.pod.is_mirror().then(|| "the pod mirrors a file on a node and must not be changed; edit the file".into())
}

pub(super) fn windows_pod(case: &Case<'_>) -> Option<String> {
    let windows = case.pod.spec.os.name == "windows";
    windows.then(|| "the pod is for Windows, where native sidecars are untested by us; accept this to try it".into())
}

pub(super) fn bare_pod(case: &Case<'_>) -> Option<String> {
    case.pod.controller().is_none().then(|| {
        "no controller owns the pod; applying its manifest again would be refused, since containers cannot change"
            .into()
    })
}

/// Source: the VPA's admission controller marks the pods it changes with `vpaUpdates`.
pub(super) fn vpa_unmanaged(case: &Case<'_>) -> Option<String> {
    let managed = case.pod.annotation("vpaUpdates").is_some();
    managed.then(|| {
        "a VerticalPodAutoscaler manages the pod and does not adjust native sidecars; set their requests yourself"
            .into()
    })
}

/// Source: `pkg/controller/job/job_controller.go`, `pastBackoffLimitOnFailure`.
pub(super) fn job_backoff_limit(case: &Case<'_>) -> Option<String> {
    let counts = is_job(case.pod) && case.pod.spec.restart_policy == "OnFailure";
    counts.then(|| {
        "restarts of a sidecar count towards the Job's backoffLimit; raise it if the sidecar restarts now and then"
            .into()
    })
}

/// Source: `pkg/controller/job/pod_failure_policy.go`, `matchOnExitCodes`.
pub(super) fn job_exit_codes(case: &Case<'_>) -> Option<String> {
    if !is_job(case.pod) {
        return None;
    }
    let Some(workload) = case.settings.workload else { return job_may_have_rules(case) };
    let stopped = |rule: &ExitCodes| rule.of_stopped_sidecar().filter(|_| rule.container.is_none());
    let (rule, code) = workload.exit_codes.iter().find_map(|rule| Some((rule, stopped(rule)?)))?;
    let ExitCodes { rule, action, .. } = rule;
    let application = application(case);
    Some(format!(
        "rule {rule} ({action}) of the Job's podFailurePolicy names no container, so that the {code} of a sidecar that was stopped when the \
         application had failed matches it; set its containerName to {application}"
    ))
}

/// In a webhook the Job is not in sight. Only Jobs whose pods never restart may have a podFailurePolicy.
///
/// Source: pkg/apis/batch/validation/validation.go, `validateJobSpec`.
fn job_may_have_rules(case: &Case<'_>) -> Option<String> {
    let application = application(case);
    (case.pod.spec.restart_policy == "Never").then(|| {
        format!(
            "where the Job has a podFailurePolicy, a rule on exit codes without containerName can match the 143 or 137 of a stopped \
             sidecar; set containerName to {application}"
        )
    })
}

/// The application's container, where there is only one that it can be.
fn application(case: &Case<'_>) -> String {
    let mut remaining = case.plan.remaining(case.pod);
    match (remaining.next(), remaining.next()) {
        (Some(only), None) => format!("{:?}", &*only.name),
        _ => "the application's container".to_owned(),
    }
}

pub(super) fn engine_container(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let name = the_move.name();
    let engine = ENGINES.iter().find(|engine| engine.owns(case.pod, name))?;
    Some(format!("belongs to {}, which watches it where it is; take it off the annotation", engine.name))
}

fn is_job(pod: &Pod<'_>) -> bool {
    pod.controller().is_some_and(|owner| owner.kind == "Job")
}

// === impl Engine ===

impl Engine {
    fn owns(&self, pod: &Pod<'_>, container: &str) -> bool {
        let marked = self.marks.is_empty() || self.marks.iter().any(|mark| pod.is_marked(mark));
        let named = |pattern: &&str| match pattern.strip_suffix('*') {
            Some(begin) => container.starts_with(begin),
            None => container == *pattern,
        };
        marked && self.containers.iter().any(named)
    }
}
