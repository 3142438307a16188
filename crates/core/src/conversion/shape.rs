//! What a container becomes: the changes inside it that come with the move.
//!
//! The pod's own annotations win over the catalogue, and the catalogue is the vendor's own native form.

use super::{
    facts::{ClusterFacts, StartupProbeBug},
    model::{Change, Move, NativeForm, Selected},
};
use crate::{
    catalogue::{Entry, Hook, Pattern, ProbeSource, StartupProbeForm, all_hold, any_holds},
    findings::{Code, Finding},
    intent::{Intent, PreStop, StartupProbe, Wishes, patient_probe},
    lifecycle::hooks,
    pod::{Container, Handler, Pod, Probe},
    version::Version,
};
use serde_json::{Map, Value};

/// What a shaping function looks at.
#[derive(Clone, Copy)]
struct Shaping<'p> {
    pod: &'p Pod<'p>,
    selected: Selected<'p>,
    facts: &'p ClusterFacts,
}

/// Gives each of `selected` its native form, and the position that the pod wishes for it.
pub(super) fn shape<'p>(
    pod: &'p Pod<'p>,
    selected: Vec<Selected<'p>>,
    intent: &Intent,
    facts: &'p ClusterFacts,
) -> Vec<Move<'p>> {
    let into_move = |selected: Selected<'p>| {
        let wishes = intent.wishes(&selected.container.name);
        let form = NativeForm::of(Shaping { pod, selected, facts }, wishes);
        Move { selected, form, position: wishes.and_then(|wishes| wishes.position.clone()) }
    };
    selected.into_iter().map(into_move).collect()
}

// === impl NativeForm ===

impl NativeForm {
    fn of(shaping: Shaping<'_>, wishes: Option<&Wishes>) -> Self {
        let Selected { container, entry, .. } = shaping.selected;
        let mut form = Self::default();
        if let Some(entry) = entry {
            form.follow_vendor(entry, shaping);
        }
        let mut pre_stop_is_wanted = false;
        if let Some(wishes) = wishes {
            form.follow_wishes(wishes, shaping);
            pre_stop_is_wanted = wishes.pre_stop == Some(PreStop::Keep);
        }
        form.withhold_risky_probe(shaping);
        form.keep_resource_fields(container);
        if container.has_restart_policy_rules() && !keeps_rules(shaping) {
            form.restart_policy_rules = Change::Remove;
        }
        form.drop_resize_policy = container.has_resize_policy() && shaping.facts.server_before(Version::new(1, 33, 0));
        let undecided = container.pre_stop().filter(|_| form.pre_stop == Change::Keep && !pre_stop_is_wanted);
        form.undecided_pre_stop = undecided.map(hooks::classify);
        form
    }

    fn follow_vendor(&mut self, entry: &Entry, shaping: Shaping<'_>) {
        let Shaping { pod, selected: Selected { container, .. }, .. } = shaping;
        if let Some(probe) = vendor_probe(entry, shaping) {
            self.startup_probe = Change::Set(probe);
            self.probe_is_ours = true;
        }
        let drops = |hook: &Hook, own: Option<&Handler<'_>>| {
            own.is_some_and(|own| hook.drop.iter().any(|pattern| runs(pattern, own)))
                && !any_holds(&hook.keep_if, pod, container)
        };
        if drops(&entry.post_start, container.post_start()) {
            self.post_start = Change::Remove;
        }
        if drops(&entry.pre_stop, container.pre_stop()) {
            self.pre_stop = Change::Remove;
        }
        self.add_vendor_hook(entry, shaping);
        let missing = entry.env.iter().filter(|(name, _)| container.env().iter().all(|var| *var.name != **name));
        self.env = missing.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(suffix) = &entry.command
            && container.flag(&suffix.unless_flag).is_none()
        {
            self.command.clone_from(&suffix.append);
        }
    }

    fn add_vendor_hook(&mut self, entry: &Entry, shaping: Shaping<'_>) {
        let Shaping { pod, selected: Selected { container, .. }, .. } = shaping;
        let hook = &entry.pre_stop;
        let Some(add) = &hook.add else { return };
        let is_the_vendors = |own: &Handler<'_>| entry.post_start.drop.iter().any(|pattern| runs(pattern, own));
        let others_post_start = container.post_start().is_some_and(|own| !is_the_vendors(own));
        if !all_hold(&hook.conditions, pod, container) {
            return;
        }
        if hook.replace_all {
            self.post_start = Change::Remove;
        } else if self.post_start.leaves_something(others_post_start)
            || self.pre_stop.leaves_something(container.pre_stop().is_some())
        {
            return;
        }
        self.pre_stop = Change::Set(fill(&Value::Object(add.clone()), shaping));
    }

    fn follow_wishes(&mut self, wishes: &Wishes, shaping: Shaping<'_>) {
        let container = &*shaping.selected.container.name;
        match &wishes.startup_probe {
            Some(StartupProbe::Absent) => {
                (self.startup_probe, self.probe_is_ours) = (Change::Remove, false);
                // Where a vendor's probe takes the place of a hook, whoever declines the probe keeps the hook.
                self.post_start = Change::Keep;
            }
            Some(StartupProbe::Probe(probe)) => self.take_wished_probe(probe, shaping),
            Some(StartupProbe::Readiness) => match readiness_as_gate(shaping) {
                Ok(probe) => (self.startup_probe, self.probe_is_ours) = (Change::Set(probe), false),
                Err((code, message)) => self.findings.push(Finding::container(code, container, message)),
            },
            None => {}
        }
        match wishes.pre_stop {
            Some(PreStop::Remove) => self.pre_stop = Change::Remove,
            Some(PreStop::Keep) => self.pre_stop = Change::Keep,
            None => {}
        }
    }

    fn take_wished_probe(&mut self, probe: &Value, shaping: Shaping<'_>) {
        let Selected { container, .. } = shaping.selected;
        if let Some(name) = unknown_port(probe, container) {
            let message = format!(
                "is to be asked at port {name:?} by its startup probe, but has no port of that name; give the number"
            );
            self.findings.push(Finding::container(Code::InvalidValue, &*container.name, message));
            return;
        }
        (self.startup_probe, self.probe_is_ours) = (Change::Set(probe.clone()), false);
    }

    /// Leaves out a probe of ours where a kubelet has a known bug with it.
    fn withhold_risky_probe(&mut self, shaping: Shaping<'_>) {
        if !self.probe_is_ours {
            return;
        }
        let Shaping { pod, selected, facts } = shaping;
        let bugs = [StartupProbeBug::NeverRestarted, StartupProbeBug::KubeletRestart];
        if let Some(node) = bugs.into_iter().filter_map(|bug| facts.with_bug(pod, bug)).min() {
            let why = format!("the kubelet {} of {node} has a bug with it; upgrade the node to get it", node.kubelet);
            self.withhold_probe(&selected.container.name, &why);
        }
    }

    /// Source: `pkg/kubelet/kubelet_resources.go`, defaultPodLimitsForDownwardAPI fills in limits of regular
    /// containers only; a reference without a name means the container itself in either list.
    fn keep_resource_fields(&mut self, container: &Container<'_>) {
        if !container.may_read_resources() {
            return;
        }
        for variable in container.env() {
            let Some(reads) = &variable.resource_field_ref else { continue };
            if reads.container_name == *container.name && container.lacks_limit(&reads.resource) {
                self.own_resource_refs.push(variable.index);
                let message =
                    format!("its variable {} now reads the container's own limit without naming it", variable.name);
                self.findings.push(Finding::container(Code::ResourceFieldRewritten, &*container.name, message));
            }
        }
    }
}

/// Whether the API server takes the container's `restartPolicyRules` on a native sidecar as well: from 1.36 on, with a
/// feature that a rule which restarts all containers needs in any case.
///
/// Source: pkg/apis/core/validation/validation.go, `validateInitContainerRestartPolicy`.
fn keeps_rules(shaping: Shaping<'_>) -> bool {
    shaping.selected.container.restarts_all_containers() && !shaping.facts.server_before(Version::new(1, 36, 0))
}

/// The startup probe of the vendor's native form, where it differs from what the container brings.
fn vendor_probe(entry: &Entry, shaping: Shaping<'_>) -> Option<Value> {
    let Shaping { pod, selected: Selected { container, .. }, .. } = shaping;
    let holds = |form: &&StartupProbeForm| all_hold(&form.conditions, pod, container);
    let form = entry.startup_probe.iter().find(holds)?;
    if container.startup_probe().is_some() && !form.replace {
        return None;
    }
    let mut probe = match &form.from {
        ProbeSource::Nothing => return None,
        ProbeSource::Readiness => object(container.readiness_probe()?)?,
        ProbeSource::ReadinessHandler => handler_of(container.readiness_probe()?)?,
        ProbeSource::Handler(handler) => filled_handler(handler, shaping)?,
    };
    // Refused by the API server in a readiness probe, and not what anybody wished for a startup probe.
    probe.remove("terminationGracePeriodSeconds");
    probe.extend(form.with.clone());
    if probe.get("successThreshold").is_some_and(|threshold| *threshold != 1) {
        probe.insert("successThreshold".into(), 1.into());
    }
    for (field, key) in &form.with_annotations {
        let Some(value) = pod.annotation(key) else { continue };
        match value.parse::<i32>() {
            Ok(number) if number > 0 => probe.insert(field.clone(), number.into()),
            // To an injector in Go that is 0, which is left out of what it writes.
            _ => probe.shift_remove(field),
        };
    }
    Some(Value::Object(probe))
}

/// A handler of the catalogue with its values filled in; `None` where that gives no handler that can work.
fn filled_handler(handler: &Map<String, Value>, shaping: Shaping<'_>) -> Option<Map<String, Value>> {
    let Value::Object(handler) = fill(&Value::Object(handler.clone()), shaping) else { return None };
    let port = handler.values().find_map(|action| action.get("port"));
    if port.is_some_and(|port| !port.as_u64().is_some_and(|port| (1..=65535).contains(&port))) {
        return None;
    }
    // The mesh's injector has been here already: it would capture a probe of the kubelet that it does not know of.
    let asks_network = !handler.contains_key("exec");
    (!asks_network || !behind_istio(shaping)).then_some(handler)
}

/// Source: istio `pkg/kube/inject/app_probe.go`: probes are rewritten when Istio injects, not later.
fn behind_istio(shaping: Shaping<'_>) -> bool {
    let pod = shaping.pod;
    let mesh = |name| pod.container(name).is_some() || pod.init_container(name).is_some();
    mesh("istio-proxy") && shaping.selected.container.name != "istio-proxy"
}

/// The named port that `probe` asks and the container does not have.
fn unknown_port<'v>(probe: &'v Value, container: &Container<'_>) -> Option<&'v str> {
    let action = probe.get("httpGet").or_else(|| probe.get("tcpSocket"))?;
    let name = action.get("port")?.as_str()?;
    container.ports().iter().all(|port| port.name != name).then_some(name)
}

/// The readiness probe, asked patiently, as `startup-probe.…: readiness` wishes.
fn readiness_as_gate(shaping: Shaping<'_>) -> Result<Value, (Code, String)> {
    let Shaping { pod, selected: Selected { container, entry, .. }, .. } = shaping;
    let none = || {
        (
            Code::InvalidValue,
            "has no readiness probe that its startup probe could be made from; give the probe itself".to_owned(),
        )
    };
    let readiness = container.readiness_probe().ok_or_else(none)?;
    if let Some(entry) = entry
        && any_holds(&entry.readiness_waits_for_application, pod, container)
    {
        let message = format!(
            "the readiness of {} waits for the application, so the application would never start; use another startup probe or none",
            entry.vendor
        );
        return Err((Code::StartDeadlock, message));
    }
    let mut handler = handler_of(readiness).ok_or_else(none)?;
    if let Some(timeout) = object(readiness).and_then(|probe| probe.get("timeoutSeconds").cloned()) {
        handler.insert("timeoutSeconds".into(), timeout);
    }
    Ok(patient_probe(handler))
}

fn object(probe: Probe<'_>) -> Option<Map<String, Value>> {
    serde_json::from_str(probe.raw.get()).ok()
}

/// What a probe asks, without its timings.
fn handler_of(probe: Probe<'_>) -> Option<Map<String, Value>> {
    let mut fields = object(probe)?;
    fields.retain(|key, _| matches!(key.as_str(), "exec" | "httpGet" | "tcpSocket" | "grpc"));
    (!fields.is_empty()).then_some(fields)
}

/// Whether a hook runs a command of this shape.
fn runs(pattern: &[Pattern], hook: &Handler<'_>) -> bool {
    let Some(exec) = &hook.exec else { return false };
    let (pattern, words) = match pattern.split_last() {
        Some((last, rest)) if last.as_str() == "..." => (rest, exec.command.get(..rest.len()).unwrap_or_default()),
        _ => (pattern, &exec.command[..]),
    };
    pattern.len() == words.len() && pattern.iter().zip(words).all(|(pattern, word)| pattern.matches(word))
}

/// Fills in `{name}` from the entry's values; a port that is a number becomes one.
fn fill(template: &Value, shaping: Shaping<'_>) -> Value {
    let field = |(key, value): (&String, &Value)| {
        let filled = fill(value, shaping);
        let port = filled.as_str().filter(|_| key == "port").and_then(|text| text.parse::<u16>().ok());
        (key.clone(), port.map_or(filled, Value::from))
    };
    match template {
        Value::String(text) => fill_text(text, shaping).into(),
        Value::Array(items) => items.iter().map(|item| fill(item, shaping)).collect(),
        Value::Object(fields) => fields.iter().map(field).collect::<Map<_, _>>().into(),
        other => other.clone(),
    }
}

fn fill_text(text: &str, shaping: Shaping<'_>) -> String {
    let Shaping { pod, selected, .. } = shaping;
    let mut filled = text.to_owned();
    if !text.contains('{') {
        return filled;
    }
    for (name, sources) in selected.entry.iter().flat_map(|entry| &entry.values) {
        let placeholder = format!("{{{name}}}");
        if !text.contains(&placeholder) {
            continue;
        }
        let value = sources.iter().find_map(|source| source.value(pod, selected.container));
        if let Some(value) = value {
            filled = filled.replace(&placeholder, &value);
        }
    }
    filled
}
