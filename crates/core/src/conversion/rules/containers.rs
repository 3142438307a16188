//! Rules about what a container is and how many are left.

use super::{Situation, Subject};
use crate::{
    catalogue::{any_holds, flag, is_on},
    pod::Details,
};

/// Flags with which a program does its work once, whoever wrote it.
const ONE_SHOT_FLAGS: [&str; 7] = ["one-time", "once", "one-shot", "oneshot", "run-once", "runonce", "exit-after-auth"];

/// Source: pkg/apis/core/validation/validation.go, `validateContainers`: at least one is required.
pub(super) fn only_container_left(situation: Situation<'_, '_, '_, '_>) -> Option<String> {
    let none_left = situation.plan.remaining(situation.pod).next().is_none();
    none_left
        .then(|| "every container is named, and a pod needs a regular one; leave the application off the list".into())
}

pub(super) fn one_shot(situation: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    let selected = &subject.the_move.selected;
    let known = selected
        .entry
        .is_some_and(|entry| any_holds(&entry.one_shot, situation.pod, &selected.container.name, &selected.details));
    let told = if known { Some("its options".to_owned()) } else { one_shot_flag(&selected.details) };
    told.map(|how| format!("does its work once and ends ({how}), but a native sidecar is always restarted; make it a plain init container"))
}

/// The flag by which the container is told to do its work once, if it is.
pub(in crate::conversion) fn one_shot_flag(details: &Details<'_>) -> Option<String> {
    let is_set = |name: &&&str| flag(details, name).is_some_and(is_on);
    ONE_SHOT_FLAGS.iter().find(is_set).map(|name| format!("--{name}"))
}

/// Source: KEP-5307, container restart rules.
pub(super) fn container_restart_policy(
    _: Situation<'_, '_, '_, '_>,
    subject: Subject<'_, '_, '_, '_>,
) -> Option<String> {
    let policy = subject.the_move.selected.container.restart_policy.as_deref().filter(|policy| *policy != "Always")?;
    Some(format!("says restartPolicy: {policy}, but a native sidecar is always restarted; take it off the annotation"))
}

/// Source: pkg/apis/core/validation/validation.go, `validateInitContainerRestartPolicy`.
pub(super) fn restart_policy_rules(_: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    subject.the_move.selected.details.restart_policy_rules?;
    Some("has restartPolicyRules, which a native sidecar must not have; remove them, or accept this to have them dropped".into())
}
