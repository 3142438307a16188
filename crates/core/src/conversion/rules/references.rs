//! Rules about fields that refer to the moved container.

use super::{Situation, Subject};
use crate::pod::{Container, EnvVar};

/// Source: `pkg/kubelet/kubelet_pods.go`, `containerResourceRuntimeValue`: for an init container named by
/// another, a limit that is not set is 0 and not the node's allocatable amount.
pub(super) fn resource_field_zero(
    situation: Situation<'_, '_, '_, '_>,
    subject: Subject<'_, '_, '_, '_>,
) -> Option<String> {
    let pod = situation.pod;
    let others = pod.spec.containers.iter().chain(pod.init_containers());
    others.filter(|other| other.name != subject.the_move.name()).find_map(|other| {
        let variable = reading_variable(other, subject)?;
        Some(format!(
            "variable {variable} of {:?} reads a limit that it does not set, which becomes 0; set the limit",
            other.name
        ))
    })
}

/// The variable of `other` that reads a limit which the subject does not set.
fn reading_variable(other: &Container<'_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    // Most containers have none, and need not be parsed.
    if !other.raw.get().contains("resourceFieldRef") {
        return None;
    }
    let details = &subject.the_move.selected.details;
    let reads = |var: &&EnvVar<'_>| {
        let reference = var.value_from.as_ref().and_then(|source| source.resource_field_ref.as_ref());
        reference.is_some_and(|field| {
            field.container_name == subject.the_move.name() && details.lacks_limit(&field.resource)
        })
    };
    other.details().ok()?.env().iter().find(reads).map(|var| var.name.clone().into_owned())
}
