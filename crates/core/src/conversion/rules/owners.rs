//! Rules about whose pod it is.

use super::Case;
use crate::{conversion::workload::ExitCodes, pod::Pod};

/// Labels of virtual nodes, with their values.
const VIRTUAL_LABELS: [(&str, &str); 4] = [
    ("type", "virtual-kubelet"),
    ("virtualization", "virtualnode2"),
    ("kubernetes.azure.com/managed", "false"),
    ("node.kubernetes.io/instance-type", "eklet"),
];
/// The label, and the taint, that says whose virtual node it is.
const VIRTUAL_PROVIDER: &str = "virtual-kubelet.io/provider";
/// Providers that hand pods on to other clusters, where a kubelet runs them.
const REAL_PROVIDERS: [&str; 1] = ["admiralty"];
/// Taints of virtual nodes.
const VIRTUAL_TAINTS: [&str; 3] = [VIRTUAL_PROVIDER, "azure.com/aci", "eks.tke.cloud.tencent.com/eklet"];
/// How the names begin that virtual nodes of Azure and Alibaba Cloud have.
const VIRTUAL_NAMES: [&str; 2] = ["virtual-node-aci-", "virtual-kubelet-"];
/// Labels of pods by which a provider has them scheduled to its virtual nodes: Alibaba Cloud's, and Huawei Cloud's of two
/// generations.
const VIRTUAL_PODS: [(&str, &str); 3] = [
    ("alibabacloud.com/eci", "true"),
    ("virtual-kubelet.io/burst-to-cci", "enforce"),
    ("bursting.cci.io/burst-to-cci", "enforce"),
];
/// Labels that virtual nodes have like all others.
const NEUTRAL_LABELS: [&str; 7] = [
    "kubernetes.io/os",
    "beta.kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/arch",
    "kubernetes.io/role",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

pub(super) fn mirror_pod(case: &Case<'_>) -> Option<String> {
    case.pod.is_mirror().then(|| "the pod mirrors a file on a node and must not be changed; edit the file".into())
}

pub(super) fn windows_pod(case: &Case<'_>) -> Option<String> {
    case.pod
        .is_for_windows()
        .then(|| "the pod is for Windows, where native sidecars are untested by us; accept this to try it".into())
}

pub(super) fn bare_pod(case: &Case<'_>) -> Option<String> {
    case.pod.controller().is_none().then(|| {
        "no controller owns the pod; applying its manifest again would be refused, since containers cannot change"
            .into()
    })
}

/// Sources: virtual-kubelet/azure-aci, pkg/provider/aci.go, `getInitContainers`: no ports, resources, probes or hooks, and it
/// must end; `vk_node.go` has the labels.
pub(super) fn virtual_node(case: &Case<'_>) -> Option<String> {
    let how = selects_virtual_node(case.pod)?;
    Some(format!(
        "the pod {how} virtual nodes, of which most run init containers once and refuse probes and ports on them; accept this if yours \
         keeps those with restartPolicy Always running"
    ))
}

/// How the pod comes to run on a virtual node.
fn selects_virtual_node(pod: &Pod<'_>) -> Option<&'static str> {
    let placement = pod.placement();
    let is_provider = |value: &str| !REAL_PROVIDERS.contains(&value);
    let is_selected = VIRTUAL_LABELS.iter().any(|(key, label)| placement.demands(key, |value| value == *label))
        || (placement.demands_key(VIRTUAL_PROVIDER)
            && !placement.demands(VIRTUAL_PROVIDER, |value| !is_provider(value)))
        || placement.demands("kubernetes.io/hostname", is_virtual_name)
        || is_virtual_name(&pod.spec.node_name);
    if is_selected {
        return Some("selects");
    }
    if VIRTUAL_PODS.iter().any(|(key, value)| pod.label(key) == Some(value)) {
        return Some("has a label that sends it to");
    }
    // Nobody tolerates their taint who does not want to go there, but the nodes may be chosen by other labels.
    let is_tolerated = placement
        .tolerations()
        .iter()
        .any(|toleration| VIRTUAL_TAINTS.iter().any(|key| toleration.key == *key) && is_provider(&toleration.value));
    let is_open = placement.keys().all(|key| NEUTRAL_LABELS.contains(&key));
    (is_tolerated && is_open && pod.spec.node_name.is_empty()).then_some("tolerates the taint of")
}

fn is_virtual_name(node: &str) -> bool {
    VIRTUAL_NAMES.iter().any(|begin| node.starts_with(begin))
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

/// Whether a Job of Kubernetes owns the pod: Volcano and others have kinds of the same name, with rules of their own.
fn is_job(pod: &Pod<'_>) -> bool {
    let is_of_kubernetes = |version: &str| version.is_empty() || version.starts_with("batch/");
    pod.controller().is_some_and(|owner| owner.kind == "Job" && is_of_kubernetes(&owner.api_version))
}
