//! What a container becomes: the changes inside it that come with the move.
//!
//! The pod's own annotations win over the catalogue, and the catalogue is the vendor's own native form.

use super::{facts::ClusterFacts, rules::startup_probe_bugs, selection::Selected};
use crate::{
    catalogue::{Entry, Hook, ProbeSource, StartupProbeForm, all_hold, any_holds, glob},
    findings::{Code, Finding},
    intent::{PreStop, StartupProbe, Wishes, patient_probe},
    pod::{Details, Handler, Pod, Probe},
    version::Version,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What becomes of a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Change {
    /// It stays as the container brings it, or absent.
    #[default]
    Keep,
    /// It is removed.
    Remove,
    /// It becomes this value.
    Set(Value),
}

/// The changes inside one container.
#[derive(Clone, Debug, Default)]
pub(super) struct NativeForm {
    /// `startupProbe`.
    pub(super) startup_probe: Change,
    /// Whether the startup probe is the catalogue's idea, not the pod's.
    pub(super) probe_is_ours: bool,
    /// `lifecycle.postStart`.
    pub(super) post_start: Change,
    /// `lifecycle.preStop`.
    pub(super) pre_stop: Change,
    /// Whether the pod says that the preStop hook is to stay.
    pub(super) pre_stop_is_wanted: bool,
    /// Environment variables to append.
    pub(super) env: Vec<(String, String)>,
    /// Words to append to `command`.
    pub(super) command: Vec<String>,
    /// Indices into `env` whose `resourceFieldRef` names the container itself and must not any more.
    pub(super) own_resource_refs: Vec<usize>,
    /// Whether `resizePolicy` goes.
    pub(super) drop_resize_policy: bool,
    /// What was found out on the way.
    pub(super) findings: Vec<Finding>,
}

/// What a shaping function looks at.
#[derive(Clone, Copy)]
struct Shaping<'s, 'p, 'a, 'c> {
    pod: &'s Pod<'a>,
    selected: &'s Selected<'p, 'a, 'c>,
    facts: &'s ClusterFacts,
}

// === impl NativeForm ===

impl NativeForm {
    /// The native form of `selected`.
    pub(super) fn of(
        pod: &Pod<'_>,
        selected: &Selected<'_, '_, '_>,
        wishes: Option<&Wishes>,
        facts: &ClusterFacts,
    ) -> Self {
        let shaping = Shaping { pod, selected, facts };
        let mut form = Self::default();
        if let Some(entry) = selected.entry {
            form.follow_vendor(entry, shaping);
        }
        if let Some(wishes) = wishes {
            form.follow_wishes(wishes, shaping);
        }
        form.withhold_risky_probe(shaping);
        form.keep_resource_fields(shaping);
        form.drop_resize_policy =
            selected.details.resize_policy.is_some() && facts.server_before(Version::new(1, 33, 0));
        form
    }

    /// The startup probe's handler in the native form.
    pub(super) fn startup_handler<'h>(&'h self, details: &'h Details<'_>) -> Option<Handler<'h>> {
        let own = details.startup_probe.as_ref();
        self.startup_probe.handler(|| own.and_then(|probe| serde_json::from_str(probe.raw.get()).ok()))
    }

    /// Whether something holds the application back until the sidecar works.
    pub(super) fn is_gated(&self, details: &Details<'_>) -> bool {
        self.startup_probe.leaves_something(details.startup_probe.is_some())
            || self.post_start.leaves_something(details.post_start().is_some())
    }

    /// Whether a probe of ours was left out for a reason that holds for the readiness probe as well.
    pub(super) fn is_probe_withheld(&self) -> bool {
        self.findings.iter().any(|finding| finding.code == Code::StartupProbeWithheld)
    }

    fn follow_vendor(&mut self, entry: &Entry, shaping: Shaping<'_, '_, '_, '_>) {
        let Shaping { pod, selected, .. } = shaping;
        let details = &selected.details;
        if let Some(probe) = vendor_probe(entry, shaping) {
            self.startup_probe = Change::Set(probe);
            self.probe_is_ours = true;
        }
        let name = &*selected.container.name;
        let drops = |hook: &Hook, own: Option<&Handler<'_>>| {
            own.is_some_and(|own| hook.drop.iter().any(|pattern| runs(pattern, own)))
                && !any_holds(&hook.keep_if, pod, name, details)
        };
        if drops(&entry.post_start, details.post_start()) {
            self.post_start = Change::Remove;
        }
        if drops(&entry.pre_stop, details.pre_stop()) {
            self.pre_stop = Change::Remove;
        }
        self.add_vendor_hook(entry, shaping);
        let missing = entry.env.iter().filter(|(name, _)| details.env().iter().all(|var| var.name != **name));
        self.env = missing.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(suffix) = &entry.command
            && crate::catalogue::flag(details, &suffix.unless_flag).is_none()
        {
            self.command.clone_from(&suffix.append);
        }
    }

    fn add_vendor_hook(&mut self, entry: &Entry, shaping: Shaping<'_, '_, '_, '_>) {
        let Shaping { pod, selected, .. } = shaping;
        let (hook, details) = (&entry.pre_stop, &selected.details);
        let Some(add) = &hook.add else { return };
        let is_the_vendors = |own: &Handler<'_>| entry.post_start.drop.iter().any(|pattern| runs(pattern, own));
        let others_post_start = details.post_start().is_some_and(|own| !is_the_vendors(own));
        if !all_hold(&hook.conditions, pod, &selected.container.name, details) {
            return;
        }
        if hook.replace_all {
            self.post_start = Change::Remove;
        } else if self.post_start.leaves_something(others_post_start)
            || self.pre_stop.leaves_something(details.pre_stop().is_some())
        {
            return;
        }
        self.pre_stop = Change::Set(fill(&Value::Object(add.clone()), shaping));
    }

    fn follow_wishes(&mut self, wishes: &Wishes, shaping: Shaping<'_, '_, '_, '_>) {
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
            Some(PreStop::Keep) => {
                self.pre_stop = Change::Keep;
                self.pre_stop_is_wanted = true;
            }
            None => {}
        }
    }

    fn take_wished_probe(&mut self, probe: &Value, shaping: Shaping<'_, '_, '_, '_>) {
        let Selected { container, details, .. } = shaping.selected;
        if let Some(name) = unknown_port(probe, details) {
            let message = format!(
                "is to be asked at port {name:?} by its startup probe, but has no port of that name; give the number"
            );
            self.findings.push(Finding::container(Code::InvalidValue, &*container.name, message));
            return;
        }
        (self.startup_probe, self.probe_is_ours) = (Change::Set(probe.clone()), false);
    }

    /// Leaves out a probe of ours where a kubelet has a known bug with it.
    fn withhold_risky_probe(&mut self, shaping: Shaping<'_, '_, '_, '_>) {
        let Shaping { pod, selected, facts } = shaping;
        if let (true, Some((node, version, _))) = (self.probe_is_ours, startup_probe_bugs(pod, facts).next()) {
            let why = format!("the kubelet {version} of {node} has a bug with it; upgrade the node to get it");
            self.withhold_probe(&selected.container.name, &why);
        }
    }

    /// Leaves out a probe of ours, and says why.
    pub(super) fn withhold_probe(&mut self, container: &str, why: &str) {
        self.findings.push(Finding::container(
            Code::StartupProbeWithheld,
            container,
            format!("gets no startup probe, because {why}"),
        ));
        self.startup_probe = Change::Keep;
        self.probe_is_ours = false;
        // The hook that the probe was to replace is the only gate that is left.
        self.post_start = Change::Keep;
    }

    /// Source: `pkg/kubelet/kubelet_resources.go`, defaultPodLimitsForDownwardAPI fills in limits of regular
    /// containers only; a reference without a name means the container itself in either list.
    fn keep_resource_fields(&mut self, shaping: Shaping<'_, '_, '_, '_>) {
        let Selected { container, details, .. } = shaping.selected;
        for (index, var) in details.env().iter().enumerate() {
            let reference = var.value_from.as_ref().and_then(|source| source.resource_field_ref.as_ref());
            if reference.is_some_and(|reference| {
                reference.container_name == container.name && details.lacks_limit(&reference.resource)
            }) {
                self.own_resource_refs.push(index);
                let message =
                    format!("its variable {} now reads the container's own limit without naming it", var.name);
                self.findings.push(Finding::container(Code::ResourceFieldRewritten, &*container.name, message));
            }
        }
    }
}

// === impl Change ===

impl Change {
    /// Whether the field is there afterwards, given whether it `was`.
    pub(super) const fn leaves_something(&self, was: bool) -> bool {
        match self {
            Self::Keep => was,
            Self::Remove => false,
            Self::Set(_) => true,
        }
    }

    fn handler<'h>(&'h self, own: impl FnOnce() -> Option<Handler<'h>>) -> Option<Handler<'h>> {
        match self {
            Self::Keep => own(),
            Self::Remove => None,
            Self::Set(value) => Handler::deserialize(value).ok(),
        }
    }
}

// === impl Details ===

impl Details<'_> {
    /// Whether `resource` (`limits.memory`) is a limit that this container does not set.
    pub(super) fn lacks_limit(&self, resource: &str) -> bool {
        resource.strip_prefix("limits.").is_some_and(|name| !self.resources.limits.contains_key(name))
    }
}

/// The startup probe of the vendor's native form, where it differs from what the container brings.
fn vendor_probe(entry: &Entry, shaping: Shaping<'_, '_, '_, '_>) -> Option<Value> {
    let Shaping { pod, selected, .. } = shaping;
    let details = &selected.details;
    let holds = |form: &&StartupProbeForm| all_hold(&form.conditions, pod, &selected.container.name, details);
    let form = entry.startup_probe.iter().find(holds)?;
    if details.startup_probe.is_some() && !form.replace {
        return None;
    }
    let mut probe = match &form.from {
        ProbeSource::Nothing => return None,
        ProbeSource::Readiness => object(details.readiness_probe.as_ref()?)?,
        ProbeSource::ReadinessHandler => handler_of(details.readiness_probe.as_ref()?)?,
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
fn filled_handler(handler: &Map<String, Value>, shaping: Shaping<'_, '_, '_, '_>) -> Option<Map<String, Value>> {
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
fn behind_istio(shaping: Shaping<'_, '_, '_, '_>) -> bool {
    let pod = shaping.pod;
    let mesh = |name| pod.container(name).is_some() || pod.init_container(name).is_some();
    mesh("istio-proxy") && shaping.selected.container.name != "istio-proxy"
}

/// The named port that `probe` asks and the container does not have.
fn unknown_port<'v>(probe: &'v Value, details: &Details<'_>) -> Option<&'v str> {
    let action = probe.get("httpGet").or_else(|| probe.get("tcpSocket"))?;
    let name = action.get("port")?.as_str()?;
    details.ports.iter().all(|port| port.name != name).then_some(name)
}

/// The readiness probe, asked patiently, as `startup-probe.…: readiness` wishes.
fn readiness_as_gate(shaping: Shaping<'_, '_, '_, '_>) -> Result<Value, (Code, String)> {
    let Shaping { pod, selected, .. } = shaping;
    let details = &selected.details;
    let none = || {
        (
            Code::InvalidValue,
            "has no readiness probe that its startup probe could be made from; give the probe itself".to_owned(),
        )
    };
    let readiness = details.readiness_probe.as_ref().ok_or_else(none)?;
    if let Some(entry) = selected.entry
        && any_holds(&entry.readiness_waits_for_application, pod, &selected.container.name, details)
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

fn object(probe: &Probe<'_>) -> Option<Map<String, Value>> {
    serde_json::from_str(probe.raw.get()).ok()
}

/// What a probe asks, without its timings.
fn handler_of(probe: &Probe<'_>) -> Option<Map<String, Value>> {
    let mut fields = object(probe)?;
    fields.retain(|key, _| matches!(key.as_str(), "exec" | "httpGet" | "tcpSocket" | "grpc"));
    (!fields.is_empty()).then_some(fields)
}

/// Whether a hook runs a command of this shape.
fn runs(pattern: &[String], hook: &Handler<'_>) -> bool {
    let Some(exec) = &hook.exec else { return false };
    let (pattern, words) = match pattern.split_last() {
        Some((last, rest)) if last == "..." => (rest, exec.command.get(..rest.len()).unwrap_or_default()),
        _ => (pattern, &exec.command[..]),
    };
    pattern.len() == words.len() && pattern.iter().zip(words).all(|(pattern, word)| glob(pattern, word))
}

/// Fills in `{name}` from the entry's values; a port that is a number becomes one.
fn fill(template: &Value, shaping: Shaping<'_, '_, '_, '_>) -> Value {
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

fn fill_text(text: &str, shaping: Shaping<'_, '_, '_, '_>) -> String {
    let Shaping { pod, selected, .. } = shaping;
    let mut filled = text.to_owned();
    for (name, sources) in selected.entry.iter().flat_map(|entry| &entry.values) {
        let placeholder = format!("{{{name}}}");
        if !text.contains(&placeholder) {
            continue;
        }
        let value = sources.iter().find_map(|source| source.value(pod, &selected.container.name, &selected.details));
        if let Some(value) = value {
            filled = filled.replace(&placeholder, &value);
        }
    }
    filled
}
