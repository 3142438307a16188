//! What is known of the object that a pod comes from. Given to the conversion, never fetched by it.

use std::collections::BTreeMap;

/// What the object around a pod template says about the containers of its pods. A webhook sees the pod alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// The object's own annotations, not those of its template.
    pub annotations: BTreeMap<String, String>,
    /// The rules on exit codes of a Job's `podFailurePolicy`.
    pub exit_codes: Vec<ExitCodes>,
}

/// A rule of a Job's `podFailurePolicy` with `onExitCodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitCodes {
    /// Its number among all rules, counted from 1.
    pub rule: usize,
    /// `action`, for example `FailJob`.
    pub action: String,
    /// `containerName`; `None` means every container.
    pub container: Option<String>,
    /// Whether the rule is for all but `values` (`operator: NotIn`).
    pub inverted: bool,
    /// `values`.
    pub values: Vec<i64>,
}

/// With what a native sidecar ends that does not handle SIGTERM, or not in time.
const STOPPED: [i64; 2] = [143, 137];

// === impl ExitCodes ===

impl ExitCodes {
    /// The exit code of a sidecar that was stopped in good order to which the rule applies.
    ///
    /// Source: `pkg/controller/job/pod_failure_policy.go`, `isOnExitCodesOperatorMatching`.
    pub(super) fn of_stopped_sidecar(&self) -> Option<i64> {
        STOPPED.into_iter().find(|code| self.values.contains(code) != self.inverted)
    }
}
