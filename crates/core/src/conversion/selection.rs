//! Which containers of a pod are to move, and which moved ones lost their `restartPolicy`.

use super::{Settings, rules::one_shot_flag};
use crate::{
    catalogue::{Condition, Entry, Image, any_holds},
    findings::{Code, Finding},
    intent::Intent,
    pod::{Container, Details, Pod, Unreadable},
};

/// A container that is to move.
#[derive(Debug)]
pub(super) struct Selected<'p, 'a, 'c> {
    /// Its index in `spec.containers`.
    pub(super) index: usize,
    /// The container.
    pub(super) container: &'p Container<'a>,
    /// Its fields.
    pub(super) details: Details<'a>,
    /// The catalogue's entry for it.
    pub(super) entry: Option<&'c Entry>,
    /// Whether it was asked for by name.
    pub(super) listed: bool,
}

/// What there is to do for a pod.
#[derive(Debug, Default)]
pub(super) struct Selection<'p, 'a, 'c> {
    /// Containers that are to move, in start order.
    pub(super) containers: Vec<Selected<'p, 'a, 'c>>,
    /// Indices of init containers that an earlier call moved and that lost their `restartPolicy` since.
    pub(super) repairs: Vec<usize>,
    /// Indices of regular containers that an injector wrote again after an earlier call had moved them.
    pub(super) repeats: Vec<usize>,
    /// What was found out on the way.
    pub(super) findings: Vec<Finding>,
}

/// Selects what `intent` and `settings` ask for.
pub(super) fn select<'p, 'a, 'c>(pod: &'p Pod<'a>, intent: &Intent, settings: Settings<'c>) -> Selection<'p, 'a, 'c> {
    let mut selection = Selection::default();
    selection.take_repairs(pod, intent, settings);
    selection.take_repeats(pod, intent);
    for name in &intent.containers {
        selection.take_listed(pod, name, intent, settings);
    }
    if intent.known.unwrap_or(settings.known) {
        selection.take_known(pod, settings);
    }
    selection
}

/// Whether the pod asks for the container. The record of what was moved is not enough: it may have been copied with a
/// running pod's annotations, and then says nothing about this one.
fn is_asked_for(container: &Container<'_>, pod: &Pod<'_>, intent: &Intent, settings: Settings<'_>) -> bool {
    let known = || {
        intent.known.unwrap_or(settings.known)
            && settings.catalogue.may_know(&container.name)
            && container.details().is_ok_and(|details| settings.catalogue.recognise(pod, container, &details).is_some())
    };
    intent.containers.iter().any(|name| *name == container.name) || known()
}

// === impl Selection ===

impl<'p, 'a, 'c> Selection<'p, 'a, 'c> {
    fn take_listed(&mut self, pod: &'p Pod<'a>, name: &str, intent: &Intent, settings: Settings<'c>) {
        if pod.spec.containers.iter().filter(|container| container.name == name).nth(1).is_some() {
            return self.find(Code::NameTwice, name, TWICE);
        }
        match (pod.container(name), pod.init_container(name)) {
            (Some((index, container)), None) => self.take(pod, index, container, settings, true),
            (Some((index, _)), Some(_)) if self.repeats.contains(&index) => {}
            (Some(_), Some(_)) => self.find(Code::NameInBothLists, name, IN_BOTH),
            // Our own work, seen again when the API server calls a second time.
            (None, Some((_, init))) if init.restarts_always() && intent.has_converted(name) => {}
            (None, Some((_, init))) if init.restarts_always() => self.find(Code::AlreadyNative, name, NATIVE),
            (None, Some((index, _))) if self.repairs.contains(&index) => {}
            (None, Some(_)) => self.find(Code::RunOnceInit, name, RUN_ONCE),
            (None, None) => self.find(Code::NameNotFound, name, NOT_FOUND),
        }
    }

    /// A webhook built on types older than native sidecars takes `restartPolicy` from what an earlier call had moved.
    fn take_repairs(&mut self, pod: &Pod<'_>, intent: &Intent, settings: Settings<'_>) {
        for (index, init) in pod.init_containers().iter().enumerate() {
            let moved = intent.has_converted(&init.name);
            if moved && init.restart_policy.is_none() && is_asked_for(init, pod, intent, settings) {
                self.repairs.push(index);
                self.find(Code::RestartPolicyRepaired, &init.name, REPAIRED);
            }
        }
    }

    /// An injector that the API server calls a second time, after us, may not find its container where it looks
    /// and write it again. Without a word from us the API server would refuse the pod for the name that is there
    /// twice, so the second copy goes.
    fn take_repeats(&mut self, pod: &Pod<'_>, intent: &Intent) {
        for (index, container) in pod.spec.containers.iter().enumerate() {
            let ours = intent.has_converted(&container.name);
            if ours && pod.init_container(&container.name).is_some() {
                self.repeats.push(index);
                self.find(Code::InjectedAgain, &container.name, AGAIN);
            }
        }
    }

    /// Takes what the catalogue knows: by stage, then in container order.
    fn take_known(&mut self, pod: &'p Pod<'a>, settings: Settings<'c>) {
        let listed = self.containers.len();
        for (index, container) in pod.spec.containers.iter().enumerate() {
            let taken = self.containers.iter().any(|selected| selected.index == index);
            // A name that is used twice makes the pod invalid before us; only the one who asked
            // for it by name is told.
            if taken || !settings.catalogue.may_know(&container.name) || pod.has_twice(&container.name) {
                continue;
            }
            // A container that cannot be read is none that anybody asked us to move.
            let Ok(details) = container.details() else { continue };
            // One that does its work once is no sidecar, and nobody has asked for it by name.
            if one_shot_flag(&details).is_some()
                || container.restart_policy.as_deref().is_some_and(|own| own != "Always")
            {
                continue;
            }
            let is_sidecar = |entry: &&Entry| {
                let any = |conditions: &[Condition]| any_holds(conditions, pod, &container.name, &details);
                !entry.only_when_named
                    && !is_the_workload(entry, pod, &details)
                    && !any(&entry.opt_out)
                    && !any(&entry.one_shot)
            };
            let entry = settings.catalogue.recognise(pod, container, &details).filter(is_sidecar);
            if entry.is_some() {
                self.containers.push(Selected { index, container, details, entry, listed: false });
            }
        }
        // A pod of known containers only, such as a gateway or a collector's own, is the workload itself.
        if self.containers.len() == pod.spec.containers.len() {
            self.containers.truncate(listed);
        }
        self.containers[listed..].sort_by_key(|selected| selected.entry.map(|entry| entry.stage));
    }

    fn take(
        &mut self,
        pod: &Pod<'a>,
        index: usize,
        container: &'p Container<'a>,
        settings: Settings<'c>,
        listed: bool,
    ) {
        match container.details() {
            Ok(details) => {
                let entry = settings.catalogue.recognise(pod, container, &details);
                self.containers.push(Selected { index, container, details, entry, listed });
            }
            Err(error) => self.find(Code::UnreadablePod, &container.name, &unreadable(&error)),
        }
    }

    fn find(&mut self, code: Code, container: &str, message: &str) {
        self.findings.push(Finding::container(code, container, message));
    }
}

/// Whether the pod's labels say that it runs this very product, not that it uses it: a collector's own
/// node agent, for example.
fn is_the_workload(entry: &Entry, pod: &Pod<'_>, details: &Details<'_>) -> bool {
    // Images that are named for what they do say nothing: `linkerd/proxy`, `datadog/agent`, `vault` as an agent.
    const VAGUE: [&str; 3] = ["proxy", "agent", "vault"];
    if entry.is_mesh_proxy() {
        return false;
    }
    let product = Image::parse(&details.image).repository.rsplit('/').next().unwrap_or_default();
    let labels = ["app.kubernetes.io/name", "app", "k8s-app", "name"].iter().filter_map(|key| pod.label(key));
    labels.into_iter().any(|label| label == entry.name || (label == product && !VAGUE.contains(&product)))
}

/// What is said about a field that cannot be read.
pub(super) fn unreadable(error: &Unreadable) -> String {
    format!("has a field we cannot read ({error}), so nothing was changed; correct the field")
}

const IN_BOTH: &str =
    "stands in both containers and initContainers, which the API server refuses; remove one of the two";
const TWICE: &str = "stands in containers twice, which the API server refuses; remove or rename one of the two";
const AGAIN: &str = "was written again by an injector after it had been moved; the second copy was removed; use the injector's native mode";
const REPAIRED: &str =
    "had lost restartPolicy: Always to another webhook, and got it back; update the webhook that drops the field";
const NATIVE: &str = "is a native sidecar already; nothing to do";
const RUN_ONCE: &str = "is an init container that runs once and was left as it is; take it off the annotation";
const NOT_FOUND: &str = "does not exist in this pod; correct the name in native-sidecar.io/containers or remove it";
