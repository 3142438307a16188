//! Rules about fields that refer to the moved container.

use super::{Case, Move};
use crate::{conversion::knowledge::waiters::Waiter, text::quoted};

/// Sources: those of the table in `knowledge/readers.rs`; `pkg/controller/job/pod_failure_policy.go`.
pub(super) fn named_elsewhere(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    case.mentions().tell(the_move.name(), the_move.selected.index)
}

/// Source: the status of an init container is in `status.initContainerStatuses`; `knowledge/waiters.rs` names who does not
/// look there.
pub(super) fn waits_through_the_api(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let Waiter { container, variable } = *case.waiters().waiter(the_move.name())?;
    let how = variable.unwrap_or("its command");
    Some(format!(
        "{} waits for it in status.containerStatuses ({how}), where native sidecars are not, and would never start; drop that \
         wait, for a native sidecar starts first anyway",
        quoted(container)
    ))
}

/// Source: `pkg/kubelet/kubelet_pods.go`, `containerResourceRuntimeValue`: for an init container named by
/// another, a limit that is not set is 0 and not the node's allocatable amount.
pub(super) fn resource_field_zero(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let container = the_move.container();
    let reads = case.resource_refs().of_others(the_move.name()).find(|reads| container.lacks_limit(reads.resource))?;
    Some(format!(
        "variable {} of {} reads a limit that it does not set, which becomes 0; set the limit",
        reads.variable,
        quoted(reads.reader)
    ))
}
