//! What a container becomes: the changes inside it that come with the move.
//!
//! The pod's own annotations win over the catalogue, and the catalogue is the vendor's own native form.

use super::{
    facts::{PodFacts, StartupProbeBug},
    model::{Change, Move, NativeForm, ProbeOrigin, Selected},
};
use crate::{
    catalogue::{Entry, Gate, Hook, Pattern, ProbeSource, StartupProbeForm, all_hold, any_holds, first_value},
    findings::{Code, Finding},
    intent::{Intent, PreStop, StartupProbe, Wishes, patient_probe},
    lifecycle::hooks,
    pod::{Container, Handler, Pod, Probe},
    version::Version,
};
use serde_json::{Map, Value};

/// What a shaping function looks at.
#[derive(Clone, Copy)]
struct Shaping<'s, 'p> {
    pod: &'p Pod<'p>,
    selected: Selected<'p>,
    facts: &'s PodFacts<'p>,
}

/// What the catalogue makes of a startup probe.
#[derive(Debug, Default)]
struct VendorProbe {
    /// The first of its alternatives that works here.
    probe: Option<Value>,
    /// The next one that is asked inside the container, where that one is asked over the network.
    inner: Option<Value>,
    /// Whether one in front of them would have been captured by Istio.
    is_captured: bool,
}

/// What one of the catalogue's alternatives comes to.
enum Made {
    /// A probe.
    Probe(Map<String, Value>),
    /// A probe that Istio would capture.
    Captured,
    /// A value that it needs cannot be seen, or is none that works.
    Unknown,
    /// There is nothing to make it from.
    Nothing,
}

const NO_VENDOR_PROBE: &str = "none is known that works for it as it is set up; give the probe itself";
/// Why the catalogue's next choice takes the place of a probe.
const CAPTURED: &str = "Istio would capture the first choice";

/// Gives each of `selected` its native form, and the position that the pod wishes for it.
pub(super) fn shape<'p>(
    pod: &'p Pod<'p>,
    selected: Vec<Selected<'p>>,
    intent: &Intent,
    facts: &PodFacts<'p>,
) -> Vec<Move<'p>> {
    let into_move = |selected: Selected<'p>| {
        let wishes = intent.wishes(&selected.container.name);
        let form = NativeForm::of(Shaping { pod, selected, facts }, wishes);
        Move::new(selected, form, wishes.and_then(|wishes| wishes.position.clone()))
    };
    selected.into_iter().map(into_move).collect()
}

// === impl NativeForm ===

impl NativeForm {
    fn of(shaping: Shaping<'_, '_>, wishes: Option<&Wishes>) -> Self {
        let Selected { container, entry, .. } = shaping.selected;
        let mut form = Self::default();
        if let Some(entry) = entry {
            form.follow_vendor(entry, shaping);
        }
        let wished_probe = wishes.and_then(|wishes| wishes.startup_probe.as_ref());
        let is_decided = wished_probe.is_some_and(|wished| form.follow_probe_wish(wished, shaping));
        if let Some(entry) = entry.filter(|_| !is_decided) {
            form.take_probe_of_vendor(vendor_probe(entry, shaping), container);
        }
        form.gate_can_be_had = entry.is_some_and(|entry| entry.gate.is_some())
            && vendor_gate(shaping).is_ok_and(|(found, _)| found.probe.is_some());
        let wished_pre_stop = wishes.and_then(|wishes| wishes.pre_stop);
        if let Some(wished) = wished_pre_stop {
            form.follow_pre_stop_wish(wished, shaping);
        }
        let pre_stop_is_wanted = wished_pre_stop == Some(PreStop::Keep);
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

    fn follow_vendor(&mut self, entry: &Entry, shaping: Shaping<'_, '_>) {
        let Shaping { pod, selected: Selected { container, .. }, .. } = shaping;
        let drops = |hook: &Hook, own: Option<&Handler<'_>>| {
            own.is_some_and(|own| hook.drop.iter().any(|pattern| runs(pattern, own)))
                && !any_holds(&hook.keep_if, pod, container)
        };
        if drops(&entry.post_start, container.post_start()) {
            self.post_start = Change::Remove;
        }
        if drops(&entry.pre_stop, container.pre_stop()) {
            self.pre_stop = Change::Remove;
            self.pre_stop_is_vendors = true;
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

    fn add_vendor_hook(&mut self, entry: &Entry, shaping: Shaping<'_, '_>) {
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
        let Some(hook) = fill(&Value::Object(add.clone()), shaping) else { return };
        self.pre_stop = Change::Set(hook);
        self.pre_stop_is_vendors = true;
    }

    /// Takes the catalogue's probe, which nobody asked for.
    fn take_probe_of_vendor(&mut self, found: VendorProbe, container: &Container<'_>) {
        let VendorProbe { probe, inner, is_captured } = found;
        let Some(probe) = probe else {
            if is_captured {
                self.withhold_probe(
                    &container.name,
                    "Istio would capture it, which rewrites probes only when it injects; have it injected with the probe",
                );
            }
            return;
        };
        self.startup_probe = Change::Set(probe);
        self.probe_origin = ProbeOrigin::Catalogue;
        self.inner_probe = inner;
        self.passed_over = is_captured.then_some(CAPTURED);
    }

    /// Whether the wish could be followed; if not, it is told why.
    fn follow_probe_wish(&mut self, wished: &StartupProbe, shaping: Shaping<'_, '_>) -> bool {
        let taken = match wished {
            StartupProbe::Absent => {
                self.startup_probe = Change::Remove;
                // Where a vendor's probe takes the place of a hook, whoever declines the probe keeps the hook.
                self.post_start = Change::Keep;
                return true;
            }
            StartupProbe::Vendor => return self.take_vendor_gate(shaping),
            StartupProbe::Probe(probe) => wished_probe(probe, shaping),
            StartupProbe::Readiness => readiness_as_gate(shaping),
        };
        match taken {
            Ok(probe) => self.startup_probe = Change::Set(probe),
            Err((code, message)) => {
                self.findings.push(Finding::container(code, &*shaping.selected.container.name, message));
                return false;
            }
        }
        true
    }

    /// Turns on what the vendor has for it and asks that, as `startup-probe.…: vendor` wishes.
    fn take_vendor_gate(&mut self, shaping: Shaping<'_, '_>) -> bool {
        match vendor_gate(shaping) {
            Ok((VendorProbe { probe: Some(probe), inner, is_captured }, gate)) => {
                self.startup_probe = Change::Set(probe);
                (self.probe_origin, self.inner_probe) = (ProbeOrigin::WishedVendor, inner);
                self.passed_over = is_captured.then_some(CAPTURED);
                if let Some(gate) = gate {
                    self.env.extend(gate.env.iter().map(|(name, value)| (name.clone(), value.clone())));
                    self.args.clone_from(&gate.args);
                }
                true
            }
            Ok((VendorProbe { probe: None, .. }, _)) => self.refuse_vendor_gate(NO_VENDOR_PROBE, shaping),
            Err(why) => self.refuse_vendor_gate(&why, shaping),
        }
    }

    fn refuse_vendor_gate(&mut self, why: &str, shaping: Shaping<'_, '_>) -> bool {
        let message = format!("is to get its vendor's startup probe, but {why}");
        self.findings.push(Finding::container(Code::InvalidValue, &*shaping.selected.container.name, message));
        false
    }

    fn follow_pre_stop_wish(&mut self, wished: PreStop, shaping: Shaping<'_, '_>) {
        self.declined_pre_stop = declined_hook(&self.pre_stop, wished, shaping);
        self.pre_stop_is_vendors = false;
        self.pre_stop = match wished {
            PreStop::Remove => Change::Remove,
            PreStop::Keep => Change::Keep,
        };
    }

    /// Leaves out a probe of ours where a kubelet has a known bug with it.
    fn withhold_risky_probe(&mut self, shaping: Shaping<'_, '_>) {
        if self.probe_origin != ProbeOrigin::Catalogue {
            return;
        }
        let Shaping { selected, facts, .. } = shaping;
        let bugs = [StartupProbeBug::NeverRestarted, StartupProbeBug::KubeletRestart];
        if let Some(node) = bugs.into_iter().filter_map(|bug| facts.with_bug(bug)).min() {
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
            let Some(reads) = variable.resource_field_ref() else { continue };
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
fn keeps_rules(shaping: Shaping<'_, '_>) -> bool {
    shaping.selected.container.restarts_all_containers() && !shaping.facts.server_before(Version::new(1, 36, 0))
}

/// The startup probe of the vendor's native form, where it differs from what the container brings and something is there
/// to answer it.
fn vendor_probe(entry: &Entry, shaping: Shaping<'_, '_>) -> VendorProbe {
    let Shaping { pod, selected: Selected { container, .. }, .. } = shaping;
    match &entry.gate {
        Some(gate) if !gate.is_on(pod, container) => VendorProbe::default(),
        _ => chosen_probe(entry, shaping, false),
    }
}

/// The vendor's startup probe for a container that is to have it, and what has to be turned on for it.
fn vendor_gate<'p>(shaping: Shaping<'_, 'p>) -> Result<(VendorProbe, Option<&'p Gate>), String> {
    let Shaping { pod, selected: Selected { container, entry, .. }, .. } = shaping;
    let entry = entry.ok_or("it is none of the sidecars that are known; give the probe itself")?;
    let off = entry.gate.as_ref().filter(|gate| !gate.is_on(pod, container));
    match off.filter(|gate| !gate.can_be_turned_on(pod, container)) {
        Some(gate) => {
            Err(format!("that takes {}, which cannot be added to it as it is; set it yourself", gate.turned_on_by))
        }
        None => Ok((chosen_probe(entry, shaping, true), off)),
    }
}

/// The first of the catalogue's alternatives that works; what the container brings counts only where nobody `is_wished`
/// to take its place.
fn chosen_probe(entry: &Entry, shaping: Shaping<'_, '_>, is_wished: bool) -> VendorProbe {
    let Shaping { pod, selected: Selected { container, .. }, .. } = shaping;
    let own_stays = container.startup_probe().is_some() && !is_wished;
    let mut found = VendorProbe::default();
    for form in entry.startup_probe.iter().filter(|form| all_hold(&form.conditions, pod, container)) {
        if own_stays && !form.replace {
            break;
        }
        match made(form, shaping) {
            Made::Probe(handler) => {
                let is_inside = handler.contains_key("exec");
                let probe = Some(finished(handler, form, pod));
                match &found.probe {
                    None => found.probe = probe,
                    Some(_) if is_inside => found.inner = probe,
                    Some(_) => {}
                }
                if is_inside {
                    break;
                }
            }
            Made::Captured => found.is_captured = true,
            Made::Unknown => {}
            Made::Nothing => break,
        }
    }
    found
}

fn made(form: &StartupProbeForm, shaping: Shaping<'_, '_>) -> Made {
    let readiness = || shaping.selected.container.readiness_probe();
    let of_readiness = |probe: Option<Map<String, Value>>| probe.map_or(Made::Nothing, Made::Probe);
    match &form.from {
        ProbeSource::Nothing => Made::Nothing,
        ProbeSource::Readiness => of_readiness(readiness().and_then(object)),
        ProbeSource::ReadinessHandler => of_readiness(readiness().and_then(handler_of)),
        ProbeSource::Handler(handler) => filled_handler(handler, shaping),
    }
}

/// The probe that `form` makes of what it asks.
fn finished(mut probe: Map<String, Value>, form: &StartupProbeForm, pod: &Pod<'_>) -> Value {
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
    Value::Object(probe)
}

/// A handler of the catalogue with its values filled in.
fn filled_handler(handler: &Map<String, Value>, shaping: Shaping<'_, '_>) -> Made {
    let Some(Value::Object(handler)) = fill(&Value::Object(handler.clone()), shaping) else { return Made::Unknown };
    let port = handler.values().find_map(|action| action.get("port"));
    if port.is_some_and(|port| !port.as_u64().is_some_and(|port| (1..=65535).contains(&port))) {
        return Made::Unknown;
    }
    // The mesh's injector has been here already: it would capture a probe of the kubelet that it does not know of.
    let asks_network = !handler.contains_key("exec");
    if asks_network && behind_istio(shaping) { Made::Captured } else { Made::Probe(handler) }
}

/// The catalogue's preStop hook that a wish leaves out; `planned` is what would have become of the container's own.
fn declined_hook(planned: &Change, wish: PreStop, shaping: Shaping<'_, '_>) -> Option<Value> {
    let Shaping { pod, selected: Selected { container, entry, .. }, .. } = shaping;
    if let Change::Set(hook) = planned {
        return Some(hook.clone());
    }
    // Without the container's own hook, the vendor's would take its place.
    let hook = &entry.filter(|_| wish == PreStop::Remove && container.pre_stop().is_some())?.pre_stop;
    let add = hook.add.as_ref().filter(|_| all_hold(&hook.conditions, pod, container))?;
    fill(&Value::Object(add.clone()), shaping)
}

/// Source: istio `pkg/kube/inject/app_probe.go`: probes are rewritten when Istio injects, not later.
fn behind_istio(shaping: Shaping<'_, '_>) -> bool {
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

/// A probe that the pod itself gives.
fn wished_probe(probe: &Value, shaping: Shaping<'_, '_>) -> Result<Value, (Code, String)> {
    match unknown_port(probe, shaping.selected.container) {
        None => Ok(probe.clone()),
        Some(name) => {
            let message = format!(
                "is to be asked at port {name:?} by its startup probe, but has no port of that name; give the number"
            );
            Err((Code::InvalidValue, message))
        }
    }
}

/// The readiness probe, asked patiently, as `startup-probe.…: readiness` wishes.
fn readiness_as_gate(shaping: Shaping<'_, '_>) -> Result<Value, (Code, String)> {
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

/// Fills in `{name}` from the entry's values; a port that is a number becomes one. `None` where a value cannot be seen.
fn fill(template: &Value, shaping: Shaping<'_, '_>) -> Option<Value> {
    let field = |(key, value): (&String, &Value)| {
        let filled = fill(value, shaping)?;
        let port = filled.as_str().filter(|_| key == "port").and_then(|text| text.parse::<u16>().ok());
        Some((key.clone(), port.map_or(filled, Value::from)))
    };
    Some(match template {
        Value::String(text) => fill_text(text, shaping)?.into(),
        Value::Array(items) => Value::Array(items.iter().map(|item| fill(item, shaping)).collect::<Option<_>>()?),
        Value::Object(fields) => fields.iter().map(field).collect::<Option<Map<_, _>>>()?.into(),
        other => other.clone(),
    })
}

fn fill_text(text: &str, shaping: Shaping<'_, '_>) -> Option<String> {
    let Shaping { pod, selected, .. } = shaping;
    let mut filled = text.to_owned();
    if !text.contains('{') {
        return Some(filled);
    }
    for (name, sources) in selected.entry.iter().flat_map(|entry| &entry.values) {
        let placeholder = format!("{{{name}}}");
        if text.contains(&placeholder) {
            filled = filled.replace(&placeholder, &first_value(sources, pod, selected.container)?);
        }
    }
    Some(filled)
}
