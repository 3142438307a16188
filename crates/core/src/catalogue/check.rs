//! What can be wrong with an entry beyond its syntax. A mistake in a probe would otherwise only show when the API server
//! refuses somebody's pod.

use super::{
    condition::Condition,
    engine::Engine,
    entry::{Entry, Gate, Hook, ProbeSource, StartupProbeForm},
};
use crate::intent::{StartupProbe, is_ours};
use serde_json::{Map, Value, json};

/// What a hook of the native form may do.
const ACTIONS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "sleep"];

/// The most characters of an annotation's name, and of what may stand before it (apimachinery, `validation.go`).
const NAME_LIMIT: usize = 63;
const DOMAIN_LIMIT: usize = 253;

/// Whether the API server takes an annotation of this key, and it is none of ours.
fn check_key(key: &str) -> Result<(), &'static str> {
    if is_ours(key) {
        return Err("is native-sidecar's own; choose another key");
    }
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_text = |text: &str, limit: usize, others: &[u8]| {
        let bytes = text.as_bytes();
        let all = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || others.contains(byte));
        all && bytes.len() <= limit && is_edge(bytes.first()) && is_edge(bytes.last())
    };
    let is_label = |label: &str| is_text(label, DOMAIN_LIMIT, b"-");
    let is_domain = |domain: &str| domain.len() <= DOMAIN_LIMIT && domain.split('.').all(is_label);
    if is_text(name, NAME_LIMIT, b"-_.") && domain.is_none_or(is_domain) {
        Ok(())
    } else {
        Err("is no annotation key, such as example.com/name; the API server would refuse the pod")
    }
}

/// Whether `gate` can be told on from off, and what it adds is what an API server takes.
fn check_gate(gate: &Gate) -> Result<(), &'static str> {
    if gate.on_if.is_empty() || gate.turned_on_by.is_empty() {
        return Err("on-if and turned-on-by say how it is turned on");
    }
    let is_name = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=');
    if gate.env.keys().all(is_name) { Ok(()) } else { Err("env has a name that no API server takes") }
}

// === impl Entry ===

impl Entry {
    /// # Errors
    ///
    /// What is wrong, in a few words.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.recognise.containers.is_empty() {
            return Err("recognise.containers needs at least one pattern".into());
        }
        if self.recognise.images.is_empty() && self.recognise.signs.is_empty() {
            return Err("recognise needs images or signs; a name alone proves nothing".into());
        }
        let moves_others = !self.place.behind.is_empty() || !self.place.before.is_empty();
        if moves_others && !self.place.front {
            return Err("place.behind and place.before go with place.front".into());
        }
        for key in self.annotations.keys().chain(self.set_annotations.keys()) {
            check_key(key).map_err(|reason| format!("annotation {key:?} {reason}"))?;
        }
        if let Some(gate) = &self.gate {
            check_gate(gate).map_err(|reason| format!("gate: {reason}"))?;
        }
        if self.listens.iter().any(|listener| listener.address.is_empty() || listener.reached_by.is_empty()) {
            return Err("listens: each needs an address and reached-by".into());
        }
        for form in &self.startup_probe {
            self.check_probe(form).map_err(|reason| format!("startup-probe: {reason}"))?;
        }
        self.check_hook(&self.post_start).map_err(|reason| format!("post-start: {reason}"))?;
        self.check_hook(&self.pre_stop).map_err(|reason| format!("pre-stop: {reason}"))
    }

    /// Whether the probe would be one that the API server takes, whatever its values turn out to be.
    fn check_probe(&self, form: &StartupProbeForm) -> Result<(), String> {
        let mut probe = match &form.from {
            ProbeSource::Nothing => return Ok(()),
            ProbeSource::Handler(handler) => self.sample(handler)?,
            // Stands for what the container brings.
            ProbeSource::Readiness | ProbeSource::ReadinessHandler => {
                Map::from_iter([("tcpSocket".into(), json!({"port": 1}))])
            }
        };
        probe.extend(form.with.clone());
        probe.extend(form.with_annotations.keys().map(|field| (field.clone(), 1.into())));
        Value::Object(probe).to_string().parse::<StartupProbe>().map(drop).map_err(|error| error.to_string())
    }

    fn check_hook(&self, hook: &Hook) -> Result<(), String> {
        let Some(add) = &hook.add else { return Ok(()) };
        let hook = self.sample(add)?;
        if hook.len() == 1 && hook.keys().all(|action| ACTIONS.contains(&action.as_str())) {
            return Ok(());
        }
        Err(format!("a hook has exactly one of {}", ACTIONS.join(", ")))
    }

    /// The template with a port number for each of its values.
    fn sample(&self, template: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        template.iter().map(|(key, value)| Ok((key.clone(), self.sample_value(key, value)?))).collect()
    }

    fn sample_value(&self, key: &str, template: &Value) -> Result<Value, String> {
        Ok(match template {
            Value::String(text) => {
                let filled = self.sample_text(text)?;
                filled.parse::<u16>().ok().filter(|_| key == "port").map_or_else(|| filled.into(), Value::from)
            }
            Value::Array(items) => items.iter().map(|item| self.sample_value("", item)).collect::<Result<_, _>>()?,
            Value::Object(fields) => Value::Object(self.sample(fields)?),
            other => other.clone(),
        })
    }

    fn sample_text(&self, text: &str) -> Result<String, String> {
        let mut filled = text.to_owned();
        for name in self.values.keys() {
            filled = filled.replace(&format!("{{{name}}}"), "1");
        }
        match placeholder(&filled) {
            Some(name) => Err(format!("{{{name}}} is not one of the entry's values")),
            None => Ok(filled),
        }
    }
}

// === impl Engine ===

impl Engine {
    /// # Errors
    ///
    /// What is wrong, in a few words.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { product, containers, how, instead, .. } = self;
        if containers.is_empty() {
            return Err("containers needs at least one pattern".into());
        }
        if product.is_empty() || how.is_empty() || instead.is_empty() {
            return Err("product, how and instead make a sentence; none of them may be empty".into());
        }
        if [product, how, instead].iter().any(|text| text.contains(char::is_control)) {
            return Err("product, how and instead have to fit in one line".into());
        }
        if !self.pods.iter().all(Condition::is_about_the_pod) {
            return Err("pods has a condition on a container, such as env or image; it belongs under only-if".into());
        }
        Ok(())
    }
}

/// The first thing in `text` that looks like `{name}`; `${NAME}` is the shell's.
fn placeholder(text: &str) -> Option<&str> {
    let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let starts = text.match_indices('{').filter(|(at, _)| !text[..*at].ends_with('$'));
    starts.filter_map(|(at, _)| text[at + 1..].split_once('}').map(|(name, _)| name)).find(is_name)
}
