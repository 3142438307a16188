//! One entry of the catalogue: types of the format, and how a container is recognised.

use super::{
    condition::{Condition, all_hold, any_holds, program},
    image::{Image, ImagePattern, Origins},
    pattern::Pattern,
};
use crate::{
    pod::{Container, Pod},
    version::Version,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

/// A known sidecar.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// The entry's own name.
    pub name: String,
    /// Who makes the sidecar.
    pub vendor: String,
    /// When it starts among other known sidecars.
    pub stage: Stage,
    /// How it is recognised.
    pub recognise: Recognition,
    /// Whether it moves only when it is named, never because known sidecars move.
    #[serde(default)]
    pub only_when_named: bool,
    /// Any of these means that it moves only when it is named: others may look for it where it is.
    #[serde(default)]
    pub only_when_named_if: Vec<Condition>,
    /// Whether nothing is known but what its readiness waits for: in all else it counts as not known.
    #[serde(default)]
    pub only_readiness: bool,
    /// Any of these means that the pod asks its injector for the regular form, so it moves only when it is named.
    #[serde(default)]
    pub opt_out: Vec<Condition>,
    /// Whether its work needs the pod's network from the start.
    #[serde(default)]
    pub needs_network: bool,
    /// How the pod's traffic comes to be redirected to it; only with this does it carry traffic, and without it a
    /// sidecar with `place.front` is redirected to by the init containers of `place.behind`.
    pub redirected_by: Option<Redirection>,
    /// What its redirection leaves out.
    #[serde(default)]
    pub bypass: Bypass,
    /// The ports of others that its work needs.
    #[serde(default)]
    pub calls: Vec<u16>,
    /// Globs of port names that its injector gives and no Service refers to.
    #[serde(default)]
    pub own_ports: Vec<Pattern>,
    /// The vendor's network plugin leaves pods with a single regular container out of the mesh before this version.
    #[serde(default)]
    pub cni_wants_two_containers_before: Option<Version>,
    /// Any of these means that it is of that version or a later one, where its image does not tell.
    #[serde(default)]
    pub cni_is_newer: Vec<Condition>,
    /// Init containers that redirect the pod's traffic themselves, so that no network plugin has to.
    #[serde(default)]
    pub redirecting_init: Vec<Pattern>,
    /// Globs of image repositories whose tags count the versions of another product.
    #[serde(default)]
    pub tags_of_others: Vec<ImagePattern>,
    /// The vendor's own switch to the native form, as a sentence; empty where there is none.
    #[serde(default)]
    pub switch: String,
    /// Any of these means that the container does its work once and ends.
    #[serde(default)]
    pub one_shot: Vec<Condition>,
    /// Any of these means that it ends while what it asks inside the pod is not there yet, so that it moves only when it is
    /// named.
    #[serde(default)]
    pub needs_application: Vec<Condition>,
    /// Ports of its own at which it can be told to end.
    #[serde(default)]
    pub quit_ports: Vec<i64>,
    /// What its processes are called, where that is neither the container's name nor its image's.
    #[serde(default)]
    pub processes: Vec<String>,
    /// How it comes by the lines that the application writes, where it reads them from files.
    pub reads_lines: Option<ReadsLines>,
    /// Any of these means that its readiness waits for the application, so that it must not gate it.
    #[serde(default)]
    pub readiness_waits_for_application: Vec<Condition>,
    /// Any of these means that its readiness may wait for the application, as that of a reverse proxy does which passes
    /// the probe on: nobody is told to gate the application with it.
    #[serde(default)]
    pub readiness_may_wait_for_application: Vec<Condition>,
    /// Whom it serves.
    #[serde(default)]
    pub serves: Serves,
    /// What it serves, and at which address.
    #[serde(default)]
    pub listens: Vec<Listener>,
    /// What has to be turned on before its startup probe is answered, or anything holds the application back.
    pub gate: Option<Gate>,
    /// Flags and variables that tell it how long to go on after SIGTERM whatever happens, as durations of Go.
    #[serde(default)]
    pub waits: Vec<ValueSource>,
    /// Where it goes among the init containers.
    #[serde(default)]
    pub place: Place,
    /// Named values that probes and hooks refer to as `{name}`.
    #[serde(default)]
    pub values: BTreeMap<String, Vec<ValueSource>>,
    /// The startup probe of the native form; the first alternative whose conditions hold.
    #[serde(default)]
    pub startup_probe: Vec<StartupProbeForm>,
    /// What becomes of the postStart hook.
    #[serde(default)]
    pub post_start: Hook,
    /// What becomes of the preStop hook.
    #[serde(default)]
    pub pre_stop: Hook,
    /// Environment variables that the native form adds.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Words that the native form appends to the command.
    pub command: Option<CommandSuffix>,
    /// The vendor's bookkeeping in annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, AnnotationRewrite>,
    /// Annotations that the native form sets.
    #[serde(default)]
    pub set_annotations: BTreeMap<String, String>,
}

/// Whom a sidecar serves.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Serves {
    /// The application, which may have to wait for it.
    #[default]
    Application,
    /// Others, so that nobody is told to gate the application with it.
    Others,
}

/// How a collector comes by lines in files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReadsLines {
    /// How, as part of a sentence: `it looks for new lines every 200 ms`.
    pub how: String,
    /// How long a preStop hook has to wait so that the last lines are read, in seconds.
    pub wait_seconds: i64,
}

/// When a sidecar starts among others: first the network, last what faces the outside.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Mesh proxies and VPNs: all others may need them.
    Network,
    /// Tokens and secrets.
    Identity,
    /// Logs, metrics and traces: they outlive what they collect from.
    Telemetry,
    /// Databases and files.
    Data,
    /// What serves others from beside the application.
    Edge,
}

/// How a container is recognised: its name, and its image or another sign.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recognition {
    /// Globs of container names; one must match.
    pub containers: Vec<Pattern>,
    /// Globs of image repositories, matched from the right by whole path components.
    #[serde(default)]
    pub images: Vec<ImagePattern>,
    /// Conditions of which one may stand in for the image.
    #[serde(default)]
    pub signs: Vec<Condition>,
    /// Conditions of which none may hold.
    #[serde(default)]
    pub except: Vec<Condition>,
}

/// How traffic comes to be redirected to a sidecar.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Redirection {
    /// Globs of the init containers that redirect traffic, or check that a network plugin has done so.
    pub init: Vec<Pattern>,
    /// Conditions that must all hold for it.
    #[serde(default, rename = "if")]
    pub conditions: Vec<Condition>,
}

/// What the redirection of a pod's traffic leaves out.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Bypass {
    /// What is sent by this user.
    pub user: Option<i64>,
    /// What is sent to the ports that this annotation of the pod lists.
    pub outbound_ports: Option<String>,
    /// What is sent to the pod at the ports that this annotation of the pod lists.
    pub inbound_ports: Option<String>,
}

/// A place among the init containers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Place {
    /// In front of all init containers but those of `behind`.
    #[serde(default)]
    pub front: bool,
    /// With `front`: init containers that move in front of the sidecar, in this order.
    #[serde(default)]
    pub behind: Vec<String>,
    /// With `front`: init containers that move directly behind the sidecar.
    #[serde(default)]
    pub before: Vec<String>,
    /// Directly behind the last of these that is there; `{suffix}` is what `*` stands for in the container's name.
    #[serde(default)]
    pub after: Vec<String>,
    /// Where none of `after` is there: behind the mesh proxy and in front of all others, instead of last.
    #[serde(default)]
    pub early: bool,
}

/// Where a named value comes from.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ValueSource {
    /// A flag of the command line.
    pub flag: Option<String>,
    /// A literal environment variable.
    pub env: Option<String>,
    /// An annotation of the pod.
    pub annotation: Option<String>,
    /// The first word of `command`, where the program that it names matches this glob.
    pub program: Option<Pattern>,
    /// The last port of a comma list behind a flag of an init container, unless the list has `unless`.
    pub excluded_port: Option<ExcludedPort>,
    /// A constant.
    pub constant: Option<String>,
    /// Only the text behind the last colon (`:8080`, `0.0.0.0:8080`).
    pub port_of_address: bool,
    /// Conditions that must all hold.
    #[serde(rename = "if")]
    pub conditions: Vec<Condition>,
}

/// The last port of a comma list that an injector appended to an init container's flag.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ExcludedPort {
    /// Init containers whose flag is read.
    pub containers: Vec<String>,
    /// The flag, without dashes.
    pub flag: String,
    /// So many ports in front are not the ones that are looked for.
    pub skip: usize,
    /// Not where the rest of the list has this port.
    pub unless: String,
}

/// Something that a sidecar serves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Listener {
    /// Its ports: whatever value one of these has.
    pub ports: Vec<ValueSource>,
    /// Whether the ports that the container declares are its too.
    #[serde(default)]
    pub declared: bool,
    /// The address at which it listens; the first source that has one counts.
    pub address: Vec<ValueSource>,
    /// Conditions that must all hold.
    #[serde(default, rename = "if")]
    pub conditions: Vec<Condition>,
    /// Any of these means that it listens at all; without any it always does.
    #[serde(default)]
    pub only_if: Vec<Condition>,
    /// What to set so that others reach it: `--address=0.0.0.0`.
    pub reached_by: String,
}

/// What has to be turned on in a sidecar before the application can wait for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gate {
    /// Any of these means that it is on.
    pub on_if: Vec<Condition>,
    /// Any of these means that it stays off, or cannot be asked, whatever is added.
    #[serde(default)]
    pub stays_off_if: Vec<Condition>,
    /// What turns it on, as part of a sentence: `--health-check`.
    pub turned_on_by: String,
    /// Whether it holds the application back by itself, without a startup probe.
    #[serde(default)]
    pub has_no_probe: bool,
    /// Variables that turn it on.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Words for the end of `args` that turn it on.
    #[serde(default)]
    pub args: Vec<String>,
}

/// One alternative of a startup probe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StartupProbeForm {
    /// Conditions that must all hold.
    #[serde(default, rename = "if")]
    pub conditions: Vec<Condition>,
    /// Whether it replaces a startup probe that the container brings.
    #[serde(default)]
    pub replace: bool,
    /// What the probe is made from.
    pub from: ProbeSource,
    /// Fields that are set on it.
    #[serde(default)]
    pub with: Map<String, Value>,
    /// Numeric fields that annotations of the pod override.
    #[serde(default)]
    pub with_annotations: BTreeMap<String, String>,
}

/// What a startup probe is made from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeSource {
    /// The readiness probe with all its fields.
    Readiness,
    /// What the readiness probe asks, without its timings.
    ReadinessHandler,
    /// This handler.
    Handler(Map<String, Value>),
    /// No probe: the alternatives end here.
    Nothing,
}

/// What becomes of a lifecycle hook.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Hook {
    /// Commands that are dropped, word by word as globs; a last `...` stands for any further words.
    pub drop: Vec<Vec<Pattern>>,
    /// Conditions under which one of `drop` stays all the same.
    pub keep_if: Vec<Condition>,
    /// The hook of the native form.
    pub add: Option<Map<String, Value>>,
    /// Conditions under which it is added.
    #[serde(rename = "if")]
    pub conditions: Vec<Condition>,
    /// Whether it replaces whatever hooks the container brings, instead of yielding to them.
    pub replace_all: bool,
    /// Whether the vendor keeps the hook in the native form, whatever it does.
    pub vendor_keeps: bool,
    /// What is known to be unwelcome about `add`, as the end of a sentence.
    pub caution: String,
}

/// Words that the native form appends to the command.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CommandSuffix {
    /// The words.
    pub append: Vec<String>,
    /// The flag that shows that they are there already.
    pub unless_flag: String,
}

/// How an annotation that holds JSON follows the container from `containers` to `initContainers`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AnnotationRewrite {
    /// Whether the lists hold names, or objects with a `name`.
    #[serde(default)]
    pub items_are_objects: bool,
    /// What is left where the last item is gone.
    pub when_empty: WhenEmpty,
}

/// What a JSON list becomes when its last item is gone.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum WhenEmpty {
    /// `null`, as Go writes a nil slice.
    Null,
    /// The key disappears, as Go writes an empty field marked `omitempty`.
    Absent,
}

/// The value of the first of `sources` that has one; `None` where there is none, or where an earlier one may have a value
/// that cannot be seen.
#[must_use]
pub fn first_value(sources: &[ValueSource], pod: &Pod<'_>, container: &Container<'_>) -> Option<String> {
    for source in sources {
        match source.value(pod, container) {
            Some(value) => return Some(value),
            None if source.is_hidden(container) => return None,
            None => {}
        }
    }
    None
}

// === impl Stage ===

/// The stage as it is listed, padded as asked for.
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Network => "network",
            Self::Identity => "identity",
            Self::Telemetry => "telemetry",
            Self::Data => "data",
            Self::Edge => "edge",
        })
    }
}

// === impl Entry ===

impl Entry {
    /// Whether `container` of `pod`, whose image may have come from `origins`, is this sidecar.
    #[must_use]
    pub(super) fn recognises(&self, pod: &Pod<'_>, container: &Container<'_>, origins: &Origins) -> bool {
        let Recognition { containers, images, signs, except } = &self.recognise;
        containers.iter().any(|pattern| pattern.matches(&container.name))
            && (images.iter().any(|pattern| origins.match_any(pattern)) || any_holds(signs, pod, container))
            && !any_holds(except, pod, container)
    }

    /// What the first `*` of the pattern stands for that matches the container's name.
    #[must_use]
    pub fn suffix<'n>(&self, container: &'n str) -> &'n str {
        self.recognise.containers.iter().find_map(|pattern| pattern.captured(container)).unwrap_or_default()
    }

    /// Whether this sidecar carries the pod's traffic, so that others are placed behind it.
    #[must_use]
    pub const fn is_mesh_proxy(&self) -> bool {
        self.place.front
    }

    /// Whether the pod's traffic may be redirected to this sidecar.
    #[must_use]
    pub const fn is_carrier(&self) -> bool {
        self.is_mesh_proxy() || self.redirected_by.is_some()
    }

    /// Whether an init container called `init` is one that redirects the pod's traffic to this sidecar, where
    /// [`is_redirected_to`](Self::is_redirected_to) holds.
    #[must_use]
    pub fn redirects(&self, init: &str) -> bool {
        match &self.redirected_by {
            Some(redirection) => redirection.init.iter().any(|pattern| pattern.matches(init)),
            None => self.place.front && self.place.behind.iter().any(|behind| behind == init),
        }
    }

    /// Whether redirection to `container`, which is this sidecar, is in use.
    #[must_use]
    pub fn is_redirected_to(&self, pod: &Pod<'_>, container: &Container<'_>) -> bool {
        self.redirected_by.as_ref().is_none_or(|redirection| all_hold(&redirection.conditions, pod, container))
    }

    /// The version of `container`, which is this sidecar, where its image tells.
    #[must_use]
    pub fn version(&self, container: &Container<'_>) -> Option<Version> {
        let image = Image::parse(container.image());
        image.version().filter(|_| !self.tags_of_others.iter().any(|pattern| image.matches(pattern)))
    }

    /// Whether the vendor publishes a native form of its own.
    #[must_use]
    pub const fn has_vendor_form(&self) -> bool {
        !self.switch.is_empty()
    }
}

// === impl Bypass ===

impl Bypass {
    /// Whether nothing of what `container` sends to `ports` is redirected.
    #[must_use]
    pub fn leaves_out_calls(&self, ports: &[u16], pod: &Pod<'_>, container: &Container<'_>) -> bool {
        let by_user = || self.user.is_some() && self.user == pod.user_of(container);
        let listed = |port: &u16| lists(self.outbound_ports.as_deref(), i64::from(*port), pod);
        (!ports.is_empty() && ports.iter().all(listed)) || by_user()
    }

    /// Whether what is sent to the pod at `port` is not redirected.
    #[must_use]
    pub fn leaves_out_inbound(&self, port: i64, pod: &Pod<'_>) -> bool {
        lists(self.inbound_ports.as_deref(), port, pod)
    }
}

/// Whether the annotation is a comma list that has `port`, as far as it is read: again for each port that is asked for.
fn lists(annotation: Option<&str>, port: i64, pod: &Pod<'_>) -> bool {
    /// Room for hundreds of ports.
    const LONGEST: usize = 2048;
    let value = annotation.and_then(|key| pod.annotation(key)).unwrap_or_default();
    let value = &value[..value.floor_char_boundary(LONGEST)];
    value.split(',').any(|listed| listed.trim().parse() == Ok(port))
}

// === impl ValueSource ===

impl ValueSource {
    /// The value for `container`, where this source has one.
    #[must_use]
    pub fn value(&self, pod: &Pod<'_>, container: &Container<'_>) -> Option<String> {
        if !all_hold(&self.conditions, pod, container) {
            return None;
        }
        let text = self
            .annotation
            .as_deref()
            .and_then(|key| pod.annotation(key))
            .or_else(|| container.flag(self.flag.as_deref()?))
            .or_else(|| container.env_value(self.env.as_deref()?))
            .or_else(|| self.own_program(container))
            .or_else(|| self.excluded_port.as_ref()?.find(pod))
            .or(self.constant.as_deref())?;
        let text = if self.port_of_address { text.rsplit(':').next()? } else { text };
        Some(text.to_owned())
    }

    fn own_program<'c>(&self, container: &'c Container<'_>) -> Option<&'c str> {
        let pattern = self.program.as_ref()?;
        pattern.matches(program(container)?).then(|| container.command().first().map(AsRef::as_ref))?
    }

    /// Whether the container may have a value here that cannot be seen, as the variable is read from elsewhere.
    fn is_hidden(&self, container: &Container<'_>) -> bool {
        let Some(name) = &self.env else { return false };
        match container.env().iter().rev().find(|variable| variable.name == **name) {
            Some(variable) => variable.value.is_none(),
            None => container.has_env_from(),
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Whether this is what answers at `port` of `container`.
    #[must_use]
    pub fn serves(&self, port: i64, pod: &Pod<'_>, container: &Container<'_>) -> bool {
        let is_port = |source: &ValueSource| source.value(pod, container).is_some_and(|text| text.parse() == Ok(port));
        all_hold(&self.conditions, pod, container)
            && (self.ports.iter().any(is_port) || (self.declared && container.declares(port)))
    }

    /// The ports that it serves in `container`, as far as they can be seen.
    pub fn port_numbers<'l>(
        &'l self,
        pod: &'l Pod<'_>,
        container: &'l Container<'_>,
    ) -> impl Iterator<Item = i64> + 'l {
        let holds = all_hold(&self.conditions, pod, container) && !self.is_off(pod, container);
        let number = |source: &ValueSource| source.value(pod, container)?.parse().ok();
        self.ports.iter().filter(move |_| holds).filter_map(number)
    }

    /// The address at which it listens; `None` where that cannot be seen.
    #[must_use]
    pub fn address(&self, pod: &Pod<'_>, container: &Container<'_>) -> Option<String> {
        first_value(&self.address, pod, container)
    }

    /// Whether it is known that nothing is served here.
    #[must_use]
    pub fn is_off(&self, pod: &Pod<'_>, container: &Container<'_>) -> bool {
        let may_be_on = || any_holds(&self.only_if, pod, container) || container.has_env_from();
        !self.only_if.is_empty() && !may_be_on()
    }
}

// === impl Gate ===

impl Gate {
    /// Whether it is on.
    #[must_use]
    pub fn is_on(&self, pod: &Pod<'_>, container: &Container<'_>) -> bool {
        any_holds(&self.on_if, pod, container)
    }

    /// Whether something can be added to `container` that turns it on.
    #[must_use]
    pub fn can_be_turned_on(&self, pod: &Pod<'_>, container: &Container<'_>) -> bool {
        let is_set = |name: &String| container.env().iter().any(|variable| variable.name == **name);
        // Words that are appended to none would take the place of the image's own.
        let has_words = || container.command_line().next().is_some();
        (!self.env.is_empty() || !self.args.is_empty())
            && (self.args.is_empty() || has_words())
            && !any_holds(&self.stays_off_if, pod, container)
            && !self.env.keys().any(is_set)
    }
}

// === impl ExcludedPort ===

impl ExcludedPort {
    fn find<'p>(&self, pod: &'p Pod<'_>) -> Option<&'p str> {
        let (_, init) = self.containers.iter().find_map(|name| pod.init_container(name))?;
        let ports = init.flag(&self.flag)?.split(',').map(str::trim).skip(self.skip);
        let has_other = ports.clone().any(|port| port == self.unless);
        ports.last().filter(|_| !has_other)
    }
}
