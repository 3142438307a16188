//! Rules about what the cluster can do.

use super::{Situation, Subject};
use crate::{
    conversion::{facts::ClusterFacts, native_form::Change},
    findings::Code,
    pod::Pod,
    version::Version,
};

/// The first version in which native sidecars are on by default.
const FIRST: Version = Version::new(1, 29, 0);

pub(super) fn server_too_old(situation: Situation<'_, '_, '_, '_>) -> Option<String> {
    let server = situation.settings.facts.server.filter(|server| *server < FIRST)?;
    Some(format!("the API server is {server}, and native sidecars need 1.29; upgrade the control plane"))
}

pub(super) fn restart_policy_dropped(situation: Situation<'_, '_, '_, '_>) -> Option<String> {
    let dropped = situation.settings.facts.keeps_restart_policy == Some(false);
    dropped.then(|| {
        "the API server drops restartPolicy from init containers: the feature is off, or a webhook strips the field; see the log".into()
    })
}

pub(super) fn kubelet_too_old(situation: Situation<'_, '_, '_, '_>) -> Option<String> {
    let facts = situation.settings.facts;
    let floor = facts.kubelet_floor;
    let mut old = facts.eligible(situation.pod).filter(|(_, version)| *version < floor);
    let (node, version) = old.next().map(|(node, version)| (describe(node), version))?;
    let others = match old.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(format!("{node}{others} has kubelet {version}, below the floor {floor}; upgrade it or accept this"))
}

/// Source: pkg/apis/core/validation/validation.go before 1.33, `validateInitContainers`.
pub(super) fn resize_policy_removed(_: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    subject
        .the_move
        .form
        .drop_resize_policy
        .then(|| "loses its resizePolicy, which init containers may not have before 1.33".into())
}

pub(super) fn never_startup_probe(
    situation: Situation<'_, '_, '_, '_>,
    subject: Subject<'_, '_, '_, '_>,
) -> Option<String> {
    risky_own_probe(situation, subject, Code::NeverStartupProbe).map(|(node, version)| {
        format!(
            "has a startup probe in a pod with restartPolicy Never, and the kubelet {version} of {node} may never \
             start the application then; upgrade it or set startup-probe to none"
        )
    })
}

pub(super) fn kubelet_restart_startup_probe(
    situation: Situation<'_, '_, '_, '_>,
    subject: Subject<'_, '_, '_, '_>,
) -> Option<String> {
    risky_own_probe(situation, subject, Code::KubeletRestartStartupProbe).map(|(node, version)| {
        format!(
            "has a startup probe, and once the kubelet {version} of {node} restarts, a crashed application stays down; upgrade it"
        )
    })
}

/// The node and kubelet that make a startup probe of the pod's own risky, if it has the bug `code`.
fn risky_own_probe(
    situation: Situation<'_, '_, '_, '_>,
    subject: Subject<'_, '_, '_, '_>,
    code: Code,
) -> Option<(String, Version)> {
    let form = &subject.the_move.form;
    let own = match &form.startup_probe {
        Change::Keep => subject.the_move.selected.details.startup_probe.is_some(),
        Change::Set(_) => !form.probe_is_ours,
        Change::Remove => false,
    };
    let mut bugs = startup_probe_bugs(situation.pod, situation.settings.facts).filter(|_| own);
    bugs.find(|(_, _, bug)| *bug == code).map(|(node, version, _)| (node, version))
}

/// The nodes whose kubelets have a known bug with startup probes of native sidecars in such a pod.
///
/// Source: kubernetes/kubernetes#132826 (pods that are never restarted), #137146 (1.35.0-1.35.3).
pub(in crate::conversion) fn startup_probe_bugs<'f>(
    pod: &Pod<'_>,
    facts: &'f ClusterFacts,
) -> impl Iterator<Item = (String, Version, Code)> + use<'f> {
    let never = pod.spec.restart_policy == "Never";
    facts.eligible(pod).filter_map(move |(node, version)| {
        let code = match (version.major, version.minor, version.patch) {
            (1, 35, 0..=3) => Code::KubeletRestartStartupProbe,
            (1, ..=32, _) | (1, 33, ..=5) | (1, 34, ..=1) if never => Code::NeverStartupProbe,
            _ => return None,
        };
        Some((describe(node), version, code))
    })
}

/// The node as it is named in a sentence.
fn describe(node: &str) -> String {
    if node == ClusterFacts::EVERY_NODE { "every node".to_owned() } else { format!("node {node}") }
}
