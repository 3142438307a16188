//! Which containers of a pod are to move, and which moved ones lost their `restartPolicy`.

use super::{
    Settings,
    knowledge::one_shot,
    model::{Selected, Selection},
};
use crate::{
    catalogue::{Condition, Entry, Image, Stage, any_holds},
    findings::{Code, Finding},
    intent::Intent,
    pod::{Container, Pod, Unreadable},
};
use std::collections::HashSet;

/// What a selection is made from.
struct Asked<'i, 'p> {
    pod: &'p Pod<'p>,
    intent: &'i Intent,
    settings: Settings<'p>,
    listed: HashSet<&'i str>,
    known: bool,
}

/// Selects what `intent` and `settings` ask for.
pub(super) fn select<'p>(pod: &'p Pod<'p>, intent: &Intent, settings: Settings<'p>) -> Selection<'p> {
    let listed = intent.containers.iter().map(String::as_str).collect();
    let asked = &Asked { pod, intent, settings, listed, known: settings.moves_known(intent) };
    let mut selection = Selection::default();
    selection.take_repairs(asked);
    selection.take_repeats(asked);
    for name in &intent.containers {
        selection.take_listed(asked, name);
    }
    if asked.known {
        selection.take_known(asked);
    }
    selection.warn_of_unused_wishes(asked);
    selection
}

// === impl Asked ===

impl<'p> Asked<'_, 'p> {
    /// Whether the pod asks for the container. The record of what was moved is not enough: it may have been copied with
    /// a running pod's annotations, and then says nothing about this one.
    fn is_asked_for(&self, container: &Container<'_>) -> bool {
        let known = || {
            self.known
                && container.readable().is_ok()
                && self.settings.catalogue.recognise(self.pod, container).is_some()
        };
        self.listed.contains(&*container.name) || known()
    }

    /// The entry by which `container` moves without being named: only what is a sidecar for sure.
    fn known_sidecar(&self, container: &'p Container<'p>) -> Option<&'p Entry> {
        // A name that is used twice makes the pod invalid before us; only the one who asked for it by name is told. A
        // container that cannot be read is none that anybody asked us to move, and one that does its work once is no
        // sidecar.
        let ends = || {
            one_shot::flag(container).is_some()
                || container.restart_policy.as_deref().is_some_and(|own| own != "Always")
        };
        let entry = self.settings.catalogue.recognise(self.pod, container)?;
        let any = |conditions: &[Condition]| any_holds(conditions, self.pod, container);
        let moves = !entry.only_when_named
            && !self.pod.has_twice(&container.name)
            && container.readable().is_ok()
            && !ends()
            && !is_the_workload(entry, self.pod, container)
            && !any(&entry.only_when_named_if)
            && !any(&entry.opt_out)
            && !any(&entry.one_shot);
        moves.then_some(entry)
    }

    /// Whether `container`, which is a sidecar by `entry`, would end again and again until the application is there.
    fn needs_application(&self, entry: &Entry, container: &Container<'_>) -> bool {
        any_holds(&entry.needs_application, self.pod, container)
    }
}

// === impl Selection ===

impl<'p> Selection<'p> {
    fn take_listed(&mut self, asked: &Asked<'_, 'p>, name: &str) {
        let Asked { pod, intent, .. } = *asked;
        match (pod.container(name), pod.init_container(name)) {
            (Some(_), _) if pod.has_regular_twice(name) => self.find(Code::NameTwice, name, TWICE),
            (Some((index, _)), Some(_)) if self.repeats.binary_search(&index).is_ok() => {}
            (Some((index, container)), None) => self.take(asked, index, container),
            (Some(_), Some(_)) => self.find(Code::NameInBothLists, name, IN_BOTH),
            // Our own work, seen again when the API server calls a second time.
            (None, Some((_, init))) if init.restarts_always() && intent.has_converted(name) => {}
            (None, Some((_, init))) if init.restarts_always() => self.find(Code::AlreadyNative, name, NATIVE),
            (None, Some((index, _))) if self.repairs.binary_search(&index).is_ok() => {}
            (None, Some(_)) => self.find(Code::RunOnceInit, name, RUN_ONCE),
            (None, None) => self.find(Code::NameNotFound, name, NOT_FOUND),
        }
    }

    /// A webhook built on types older than native sidecars takes `restartPolicy` from what an earlier call had moved.
    fn take_repairs(&mut self, asked: &Asked<'_, 'p>) {
        for (index, init) in asked.pod.init_containers().iter().enumerate() {
            let moved = asked.intent.has_converted(&init.name);
            if moved && init.restart_policy.is_none() && asked.is_asked_for(init) {
                self.repairs.push(index);
                self.find(Code::RestartPolicyRepaired, &init.name, REPAIRED);
            }
        }
    }

    /// An injector that the API server calls a second time, after us, may not find its container where it looks
    /// and write it again. Without a word from us the API server would refuse the pod for the name that is there
    /// twice, so the second copy goes.
    fn take_repeats(&mut self, asked: &Asked<'_, 'p>) {
        let regular = &asked.pod.spec.containers;
        // Beside an init container that runs once it is no second copy of what was moved.
        let is_native = |(index, init): (usize, &Container<'_>)| {
            init.restarts_always() || self.repairs.binary_search(&index).is_ok()
        };
        let is_repeat = |container: &Container<'_>| {
            asked.intent.has_converted(&container.name)
                && asked.pod.init_container(&container.name).is_some_and(is_native)
        };
        self.repeats = (0..regular.len()).filter(|index| is_repeat(&regular[*index])).collect();
        // Where nothing would be left, the record is of another pod, or the pod is broken beyond what we can repair.
        let code = if self.repeats.len() == regular.len() { Code::NameInBothLists } else { Code::InjectedAgain };
        for container in self.repeats.iter().map(|index| &regular[*index]) {
            match code {
                Code::InjectedAgain => self.findings.push(Finding::container(code, &*container.name, AGAIN)),
                // The one who asked for it by name is told below.
                _ if asked.listed.contains(&*container.name) => {}
                _ => self.findings.push(Finding::container(code, &*container.name, IN_BOTH)),
            }
        }
        if code == Code::NameInBothLists {
            self.repeats.clear();
        }
    }

    /// Takes what the catalogue knows: by stage, then in container order.
    fn take_known(&mut self, asked: &Asked<'_, 'p>) {
        let listed = self.containers.len();
        let taken: HashSet<_> = self.containers.iter().map(|selected| selected.index).collect();
        let mut dependents = 0;
        for (index, container) in asked.pod.spec.containers.iter().enumerate() {
            if taken.contains(&index) {
                continue;
            }
            match asked.known_sidecar(container) {
                Some(entry) if asked.needs_application(entry, container) => dependents += 1,
                Some(entry) => self.containers.push(Selected { index, container, entry: Some(entry), listed: false }),
                None => {}
            }
        }
        if self.containers.len() + self.repeats.len() + dependents == asked.pod.spec.containers.len() {
            self.keep_the_workload();
        }
        self.containers[listed..].sort_by_key(|selected| selected.entry.map(|entry| entry.stage));
    }

    /// In a pod of known containers only, such as a gateway, a collector's own, or a pooler with its exporter, they are the
    /// workload. Only a mesh proxy beside what serves data, as the pooler does, is not.
    fn keep_the_workload(&mut self) {
        let is_proxy = |selected: &Selected<'_>| selected.entry.is_some_and(Entry::is_mesh_proxy);
        let serves_data = |selected: &Selected<'_>| {
            !selected.listed && selected.entry.is_some_and(|entry| entry.stage == Stage::Data)
        };
        let has_workload = self.containers.iter().any(serves_data);
        self.containers.retain(|selected| selected.listed || (has_workload && is_proxy(selected)));
    }

    fn take(&mut self, asked: &Asked<'_, 'p>, index: usize, container: &'p Container<'p>) {
        match container.readable() {
            Ok(()) => {
                let entry = asked.settings.catalogue.recognise(asked.pod, container);
                self.containers.push(Selected { index, container, entry, listed: true });
            }
            Err(error) => self.find(Code::UnreadablePod, &container.name, &unreadable(&error)),
        }
    }

    /// An injector may be absent, so a wish without its container is only worth a word where something was asked for.
    fn warn_of_unused_wishes(&mut self, asked: &Asked<'_, 'p>) {
        let moves: HashSet<&str> = self.containers.iter().map(|selected| &*selected.container.name).collect();
        let is_native = |name: &str| asked.pod.init_container(name).is_some_and(|(_, init)| init.restarts_always());
        let unused = asked.intent.unused_wishes(|name| moves.contains(name) || is_native(name));
        self.findings.extend(unused);
    }

    fn find(&mut self, code: Code, container: &str, message: &str) {
        self.findings.push(Finding::container(code, container, message));
    }
}

/// Whether the pod runs this very product rather than uses it, a collector's own node agent for example.
fn is_the_workload(entry: &Entry, pod: &Pod<'_>, container: &Container<'_>) -> bool {
    !entry.is_mesh_proxy() && (is_node_agent(entry, pod) || is_named_for(entry, pod, container))
}

/// Whether it collects for the whole node: who runs on each node and has telemetry in it is there for that. What carries
/// traffic, serves files or reloads a configuration is a sidecar there as well.
fn is_node_agent(entry: &Entry, pod: &Pod<'_>) -> bool {
    // Others than Kubernetes have such workloads, too: OpenKruise's `DaemonSet`, Datadog's `ExtendedDaemonSetReplicaSet`.
    entry.stage == Stage::Telemetry && pod.controller().is_some_and(|owner| owner.kind.contains("DaemonSet"))
}

/// Whether the pod's labels name the product.
fn is_named_for(entry: &Entry, pod: &Pod<'_>, container: &Container<'_>) -> bool {
    // Images that are named for what they do say nothing: `linkerd/proxy`, `datadog/agent`, `vault` as an agent.
    const VAGUE: [&str; 3] = ["proxy", "agent", "vault"];
    let product = Image::parse(container.image()).product();
    let labels = ["app.kubernetes.io/name", "app", "k8s-app", "name"].iter().filter_map(|key| pod.label(key));
    labels
        .into_iter()
        .any(|label| is_same_name(label, &entry.name) || (is_same_name(label, product) && !VAGUE.contains(&product)))
}

/// Whether both are the name of one product, which is written in several ways: `fluent-bit`, `fluentbit`, `Fluent_Bit`.
fn is_same_name(label: &str, name: &str) -> bool {
    /// The most characters of a label's value, so that a longer one costs nothing for each container.
    const LONGEST: usize = 63;
    let letters = |text: &str| -> Vec<u8> {
        text.bytes().filter(|byte| !matches!(byte, b'-' | b'_')).map(|byte| byte.to_ascii_lowercase()).collect()
    };
    label.len() <= LONGEST && name.len() <= LONGEST && letters(label) == letters(name)
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
