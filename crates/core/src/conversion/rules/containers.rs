//! Rules about what a container is and how many are left.

use super::{Case, Move};
use crate::{
    catalogue::any_holds,
    conversion::{knowledge::one_shot, model::Change},
};

/// Source: pkg/apis/core/validation/validation.go, `validateContainers`: at least one is required.
pub(super) fn only_container_left(case: &Case<'_>) -> Option<String> {
    let none_left = case.plan.remaining(case.pod).next().is_none();
    none_left
        .then(|| "every container is named, and a pod needs a regular one; leave the application off the list".into())
}

pub(super) fn one_shot(case: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let container = the_move.container();
    let known = the_move.selected.entry.is_some_and(|entry| any_holds(&entry.one_shot, case.pod, container));
    let told =
        if known { Some("its options".to_owned()) } else { one_shot::flag(container).map(|flag| format!("--{flag}")) };
    told.map(|how| format!("does its work once and ends ({how}), but a native sidecar is always restarted; make it a plain init container"))
}

/// Source: KEP-5307, container restart rules.
pub(super) fn container_restart_policy(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let policy = the_move.container().restart_policy.as_deref().filter(|policy| *policy != "Always")?;
    Some(format!("says restartPolicy: {policy}, but a native sidecar is always restarted; take it off the annotation"))
}

/// Source: pkg/apis/core/validation/validation.go, `validateInitContainerRestartPolicy`.
pub(super) fn restart_policy_rules(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    (the_move.form.restart_policy_rules == Change::Remove).then(|| "has restartPolicyRules, which a native sidecar must not have; remove them, or accept this to have them dropped".into())
}

/// An injector writes its image only later, and looks for its stub among the regular containers.
pub(super) fn stub_container(_: &Case<'_>, the_move: &Move<'_>) -> Option<String> {
    let what = match the_move.container().image() {
        "auto" => "has the image \"auto\"",
        "" => "has no image",
        _ => return None,
    };
    Some(format!(
        "{what}, so it is a stub that an injector has yet to fill in, which may look for it among regular containers only; let this webhook come after the injector"
    ))
}
