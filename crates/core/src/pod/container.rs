//! A container of a pod: its name at once, its other fields on demand.
//!
//! A container is read once, together with its pod: what stands in it is noted as JSON. A field is parsed when somebody
//! asks for it, and kept. So a rule that looks at the resources of all containers does not pay for their variables.

use super::{
    Text,
    fields::{
        Env, EnvVar, Handler, Lifecycle, Port, PortRef, Ports, Probe, Resources, RestartAllRules, SecurityContext,
        VolumeMount, VolumeMounts,
    },
    json::{Field, once},
    unreadable::{Unreadable, read},
};
use memchr::memmem;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{cell::OnceCell, fmt, marker::PhantomData};

/// A container: the two fields every decision needs, and the others on demand.
///
/// A field that is absent, null or not of its type is empty; [`readable`](Self::readable) tells which it is.
#[derive(Debug, Default)]
pub struct Container<'a> {
    /// `name`.
    pub name: Text<'a>,
    /// `restartPolicy` of the container itself; `Always` in `initContainers` makes a native sidecar.
    pub restart_policy: Option<Text<'a>>,
    /// Behind a pointer, since a container is handed on a few times before it has its place in a list.
    fields: Box<Fields<'a>>,
    /// A field that stands twice.
    duplicate: Option<&'static str>,
    /// Indices of the words of the command line that are flags, by the flag's name.
    flags: OnceCell<Vec<usize>>,
}

/// One part of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument<'c> {
    /// A flag as it is written, with its dashes, and its value: the text behind `=`, else the next word if that is no flag.
    Flag(&'c str, Option<&'c str>),
    /// Any other word.
    Word(&'c str),
}

/// So many words are looked through each time.
const FEW_WORDS: usize = 32;

#[derive(Debug, Default)]
struct Fields<'a> {
    image: Field<'a, Text<'a>>,
    command: Field<'a, Vec<Text<'a>>>,
    args: Field<'a, Vec<Text<'a>>>,
    env: Field<'a, Env<'a>>,
    env_from: Field<'a, IgnoredAny>,
    ports: Field<'a, Ports<'a>>,
    // In boxes, for most containers have none of them, or nobody asks.
    resources: Field<'a, Box<Resources<'a>>>,
    liveness_probe: Field<'a, Box<Handler<'a>>>,
    readiness_probe: Field<'a, Box<Handler<'a>>>,
    startup_probe: Field<'a, Box<Handler<'a>>>,
    lifecycle: Field<'a, Box<Lifecycle<'a>>>,
    volume_mounts: Field<'a, VolumeMounts<'a>>,
    restart_policy_rules: Field<'a, RestartAllRules>,
    security_context: Field<'a, SecurityContext<'a>>,
    resize_policy: Field<'a, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    Name,
    RestartPolicy,
    Image,
    Command,
    Args,
    Env,
    EnvFrom,
    Ports,
    Resources,
    LivenessProbe,
    ReadinessProbe,
    StartupProbe,
    Lifecycle,
    VolumeMounts,
    SecurityContext,
    RestartPolicyRules,
    ResizePolicy,
    #[serde(other)]
    Other,
}

struct ContainerVisitor<'a>(PhantomData<&'a ()>);

// === impl Container ===

impl<'a> Container<'a> {
    /// Whether every field that rules and the catalogue read has its type.
    ///
    /// # Errors
    ///
    /// The first field that has not, or stands twice.
    pub fn readable(&self) -> Result<(), Unreadable> {
        if let Some(field) = self.duplicate {
            return Err(Unreadable::duplicate(field));
        }
        let Fields { image, command, args, env, ports, resources, .. } = &*self.fields;
        let Fields { liveness_probe, readiness_probe, startup_probe, lifecycle, volume_mounts, .. } = &*self.fields;
        check("image", image)?;
        check("command", command)?;
        check("args", args)?;
        check("env", env)?;
        check("ports", ports)?;
        check("resources", resources)?;
        check("livenessProbe", liveness_probe)?;
        check("readinessProbe", readiness_probe)?;
        check("startupProbe", startup_probe)?;
        check("lifecycle", lifecycle)?;
        check("volumeMounts", volume_mounts)
    }

    /// Whether the container, if it stands in `initContainers`, is a native sidecar.
    ///
    /// Source: KEP-753, `restartPolicy: Always` on an init container.
    #[must_use]
    pub fn restarts_always(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    /// `image`.
    #[must_use]
    pub fn image(&self) -> &str {
        self.fields.image.get().map_or("", |image| image)
    }

    /// `command`.
    #[must_use]
    pub fn command(&self) -> &[Text<'a>] {
        self.fields.command.get().map_or(&[], Vec::as_slice)
    }

    /// `args`.
    #[must_use]
    pub fn args(&self) -> &[Text<'a>] {
        self.fields.args.get().map_or(&[], Vec::as_slice)
    }

    /// Everything the container would run: `command` followed by `args`.
    pub fn command_line(&self) -> impl Iterator<Item = &str> {
        self.command().iter().chain(self.args()).map(AsRef::as_ref)
    }

    /// The command line cut into flags with their values, and other words.
    pub fn arguments(&self) -> impl Iterator<Item = Argument<'_>> {
        let mut words = self.command_line().peekable();
        std::iter::from_fn(move || {
            let word = words.next()?;
            if !word.starts_with('-') {
                return Some(Argument::Word(word));
            }
            Some(match word.split_once('=') {
                Some((flag, value)) => Argument::Flag(flag, Some(value)),
                None => Argument::Flag(word, words.next_if(|next| !next.starts_with('-'))),
            })
        })
    }

    /// The first word behind the program: the first of `args`, where the image brings the program itself.
    #[must_use]
    pub fn subcommand(&self) -> Option<&str> {
        self.command().iter().skip(1).chain(self.args()).map(AsRef::as_ref).next()
    }

    /// The names of all flags of the command line, in their order.
    pub fn flags(&self) -> impl Iterator<Item = &str> {
        self.command_line().filter(|word| word.starts_with('-')).map(flag_name)
    }

    /// The value of a flag: the text behind `=`, else the next word, else `true` for one that stands alone. The last
    /// mention counts.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<&str> {
        let at = self.last_flag(name)?;
        match self.word(at)?.split_once('=') {
            Some((_, value)) => Some(value),
            None => Some(self.word(at + 1).filter(|next| !next.starts_with('-')).unwrap_or("true")),
        }
    }

    /// Where the flag is mentioned last. A long command line is sorted once, for it may be asked for many flags.
    fn last_flag(&self, name: &str) -> Option<usize> {
        let words = self.command().len() + self.args().len();
        if words <= FEW_WORDS {
            return (0..words).rev().find(|at| self.is_flag(*at) && self.flag_name(*at) == name);
        }
        let flags = self.flags.get_or_init(|| self.sorted_flags());
        let behind = flags.partition_point(|at| self.flag_name(*at) <= name);
        flags.get(behind.checked_sub(1)?).copied().filter(|at| self.flag_name(*at) == name)
    }

    /// `env`, as far as the variables have names.
    #[must_use]
    pub fn env(&self) -> &[EnvVar<'a>] {
        self.fields.env.get().map_or(&[], |env| &env.0)
    }

    /// Whether there is a list `env`, which a variable can be added to.
    #[must_use]
    pub fn has_env(&self) -> bool {
        self.fields.env.raw().is_some()
    }

    /// Whether there is `envFrom`, so that there may be variables that nobody sees.
    #[must_use]
    pub fn has_env_from(&self) -> bool {
        self.fields.env_from.raw().is_some_and(|list| list.get() != "[]")
    }

    /// Whether a variable may read resources of a container: cheaper than to look at all of them. The key is not looked
    /// for in escapes, which no writer of JSON makes of letters.
    #[must_use]
    pub fn may_read_resources(&self) -> bool {
        self.fields.env.raw().is_some_and(|env| env.get().contains("resourceFieldRef"))
    }

    /// Whether `text` stands anywhere in the variables: cheaper than to look at all of them, as above.
    #[must_use]
    pub fn may_have_in_env(&self, text: &str) -> bool {
        contains(self.fields.env.raw(), text)
    }

    /// Whether `text` stands anywhere in what the container would run, likewise.
    #[must_use]
    pub fn may_run(&self, text: &str) -> bool {
        contains(self.fields.command.raw(), text) || contains(self.fields.args.raw(), text)
    }

    /// The literal value of the environment variable `name`; the last entry of a name wins, as in the kubelet.
    #[must_use]
    pub fn env_value(&self, name: &str) -> Option<&str> {
        self.env().iter().rev().find(|var| var.name == name)?.value.as_deref()
    }

    /// Whether the variable `name` reads its value from elsewhere (`valueFrom`).
    #[must_use]
    pub fn has_env_from_elsewhere(&self, name: &str) -> bool {
        self.env().iter().rev().find(|var| var.name == name).is_some_and(|var| var.value.is_none())
    }

    /// `ports`, without those that are empty.
    #[must_use]
    pub fn ports(&self) -> &[Port<'a>] {
        self.fields.ports.get().map_or(&[], |ports| &ports.0)
    }

    /// Whether the container declares `port`.
    #[must_use]
    pub fn declares(&self, port: i64) -> bool {
        self.ports().iter().any(|declared| declared.container_port == port)
    }

    /// The number behind `port`, where it is a number or names one of this container's ports.
    #[must_use]
    pub fn port_number(&self, port: &PortRef<'_>) -> Option<i64> {
        match port {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => {
                self.ports().iter().find(|declared| declared.name == *name).map(|declared| declared.container_port)
            }
        }
    }

    /// `resources`.
    #[must_use]
    pub fn resources(&self) -> Option<&Resources<'a>> {
        self.fields.resources.get().map(AsRef::as_ref)
    }

    /// Whether `resource` (`limits.memory`) is a limit that this container does not set.
    #[must_use]
    pub fn lacks_limit(&self, resource: &str) -> bool {
        let sets = |name: &str| self.resources().is_some_and(|resources| resources.limits.contains_key(name));
        resource.strip_prefix("limits.").is_some_and(|name| !sets(name))
    }

    /// `livenessProbe`.
    #[must_use]
    pub fn liveness_probe(&self) -> Option<Probe<'_>> {
        probe(&self.fields.liveness_probe)
    }

    /// `readinessProbe`.
    #[must_use]
    pub fn readiness_probe(&self) -> Option<Probe<'_>> {
        probe(&self.fields.readiness_probe)
    }

    /// `startupProbe`.
    #[must_use]
    pub fn startup_probe(&self) -> Option<Probe<'_>> {
        probe(&self.fields.startup_probe)
    }

    /// `lifecycle`.
    #[must_use]
    pub fn lifecycle(&self) -> Option<&Lifecycle<'a>> {
        self.fields.lifecycle.get().map(AsRef::as_ref)
    }

    /// `lifecycle.preStop`.
    #[must_use]
    pub fn pre_stop(&self) -> Option<&Handler<'a>> {
        self.lifecycle()?.pre_stop.as_ref()
    }

    /// `lifecycle.postStart`.
    #[must_use]
    pub fn post_start(&self) -> Option<&Handler<'a>> {
        self.lifecycle()?.post_start.as_ref()
    }

    /// `volumeMounts`.
    #[must_use]
    pub fn volume_mounts(&self) -> &[VolumeMount<'a>] {
        self.fields.volume_mounts.get().map_or(&[], |mounts| &mounts.0)
    }

    /// `securityContext.runAsUser`.
    #[must_use]
    pub fn run_as_user(&self) -> Option<i64> {
        self.fields.security_context.get()?.run_as_user
    }

    /// Whether there are `restartPolicyRules`.
    #[must_use]
    pub fn has_restart_policy_rules(&self) -> bool {
        self.fields.restart_policy_rules.raw().is_some()
    }

    /// Whether one of the `restartPolicyRules` restarts all containers of the pod.
    #[must_use]
    pub fn restarts_all_containers(&self) -> bool {
        self.fields.restart_policy_rules.get().is_some_and(|rules| !rules.0.is_empty())
    }

    /// Whether `securityContext` has options that only Windows takes.
    #[must_use]
    pub fn has_windows_options(&self) -> bool {
        let context = &self.fields.security_context;
        context.raw().is_some_and(|raw| raw.get().contains("windowsOptions"))
            && context.get().is_some_and(SecurityContext::has_windows_options)
    }

    /// Whether there is a `resizePolicy`.
    #[must_use]
    pub fn has_resize_policy(&self) -> bool {
        self.fields.resize_policy.raw().is_some()
    }

    /// The JSON of a field that a conversion may change; `None` where it is absent or null.
    pub(crate) fn raw(&self, field: &str) -> Option<&'a RawValue> {
        let Fields { command, args, env, startup_probe, lifecycle, restart_policy_rules, resize_policy, .. } =
            &*self.fields;
        match field {
            "command" => command.raw(),
            "args" => args.raw(),
            "env" => env.raw(),
            "startupProbe" => startup_probe.raw(),
            "lifecycle" => lifecycle.raw(),
            "restartPolicyRules" => restart_policy_rules.raw(),
            "resizePolicy" => resize_policy.raw(),
            _ => None,
        }
    }

    fn word(&self, at: usize) -> Option<&str> {
        let command = self.command();
        let word = command.get(at).or_else(|| self.args().get(at - command.len()));
        word.map(AsRef::as_ref)
    }

    /// The name of the flag that stands at `at`.
    fn flag_name(&self, at: usize) -> &str {
        flag_name(self.word(at).unwrap_or_default())
    }

    fn is_flag(&self, at: usize) -> bool {
        self.word(at).is_some_and(|word| word.starts_with('-'))
    }

    fn sorted_flags(&self) -> Vec<usize> {
        let words = 0..self.command().len() + self.args().len();
        let mut flags: Vec<_> = words.filter(|at| self.is_flag(*at)).collect();
        flags.sort_by(|one, other| self.flag_name(*one).cmp(self.flag_name(*other)));
        flags
    }
}

/// The name of the flag that `word` is.
fn flag_name(word: &str) -> &str {
    let name = word.trim_start_matches('-');
    name.split_once('=').map_or(name, |(name, _)| name)
}

fn probe<'c, 'a>(field: &'c Field<'a, Box<Handler<'a>>>) -> Option<Probe<'c>> {
    Some(Probe { handler: field.get()?, raw: field.raw()? })
}

fn contains(raw: Option<&RawValue>, text: &str) -> bool {
    raw.is_some_and(|raw| memmem::find(raw.get().as_bytes(), text.as_bytes()).is_some())
}

fn check<'a, T: Deserialize<'a>>(name: &str, field: &Field<'a, T>) -> Result<(), Unreadable> {
    match field.raw().filter(|_| field.get().is_none()) {
        None => Ok(()),
        Some(raw) => match read::<T>(raw.get()) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.within(name)),
        },
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Container<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ContainerVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Visitor<'de> for ContainerVisitor<'a> {
    type Value = Container<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut container = Container::default();
        let Container { fields, duplicate, .. } = &mut container;
        let (mut name, mut restart_policy) = (None, None);
        while let Some(key) = map.next_key()? {
            let (field, is_first) = match key {
                Key::Name => {
                    once("name", &mut name, map.next_value()?)?;
                    continue;
                }
                Key::RestartPolicy => {
                    once("restartPolicy", &mut restart_policy, map.next_value::<Option<Text<'a>>>()?)?;
                    continue;
                }
                Key::Image => ("image", fields.image.note(map.next_value()?)),
                Key::Command => ("command", fields.command.note(map.next_value()?)),
                Key::Args => ("args", fields.args.note(map.next_value()?)),
                Key::Env => ("env", fields.env.note(map.next_value()?)),
                Key::EnvFrom => ("envFrom", fields.env_from.note(map.next_value()?)),
                Key::Ports => ("ports", fields.ports.note(map.next_value()?)),
                Key::Resources => ("resources", fields.resources.note(map.next_value()?)),
                Key::LivenessProbe => ("livenessProbe", fields.liveness_probe.note(map.next_value()?)),
                Key::ReadinessProbe => ("readinessProbe", fields.readiness_probe.note(map.next_value()?)),
                Key::StartupProbe => ("startupProbe", fields.startup_probe.note(map.next_value()?)),
                Key::Lifecycle => ("lifecycle", fields.lifecycle.note(map.next_value()?)),
                Key::VolumeMounts => ("volumeMounts", fields.volume_mounts.note(map.next_value()?)),
                Key::SecurityContext => ("securityContext", fields.security_context.note(map.next_value()?)),
                Key::RestartPolicyRules => ("restartPolicyRules", fields.restart_policy_rules.note(map.next_value()?)),
                Key::ResizePolicy => ("resizePolicy", fields.resize_policy.note(map.next_value()?)),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if !is_first {
                *duplicate = Some(field);
            }
        }
        container.name = name.unwrap_or_default();
        container.restart_policy = restart_policy.flatten();
        Ok(container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn container(json: &str) -> Container<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn fields_are_read_on_demand() {
        // `args` is invalid, which concerns only the one who asks whether the container can be read.
        let broken = container(r#"{"name":"a","args":5,"image":"b"}"#);
        assert_eq!((&*broken.name, broken.image()), ("a", "b"));
        assert!(broken.args().is_empty());
        assert_eq!(broken.readable().unwrap_err().to_string(), "args: invalid type: integer `5`, expected a sequence");
    }

    #[rstest]
    #[case(r#"{"env":[{"name":"a"},{"name":5}]}"#, "env[1].name: invalid type: integer `5`, expected a string")]
    #[case(r#"{"image":"a","image":"b"}"#, "duplicate field `image`")]
    #[case(r#"{"lifecycle":[]}"#, "lifecycle: invalid type: sequence, expected an object")]
    #[case(
        r#"{"ports":[{"containerPort":"80"}]}"#,
        "ports[0].containerPort: invalid type: string \"80\", expected i64"
    )]
    fn errors_name_the_field(#[case] json: &str, #[case] says: &str) {
        assert_eq!(container(json).readable().unwrap_err().to_string(), says);
    }

    #[test]
    fn null_is_no_value() {
        let json = r#"{"name":null,"restartPolicy":null,"image":null,"env":null,"lifecycle":null,"ports":null}"#;
        let container = container(json);
        assert_eq!(container.readable(), Ok(()));
        assert!(container.name.is_empty() && container.restart_policy.is_none() && !container.has_env());
    }

    #[test]
    fn named_ports_resolve_in_the_same_container() {
        let json = r#"{"name":"a","ports":[{"name":"http","containerPort":8080}],
            "startupProbe":{"httpGet":{"port":"http","path":"/"}}}"#;
        let container = container(json);
        let probe = container.startup_probe().unwrap();
        let port = &probe.handler.http_get.as_ref().unwrap().port;
        assert_eq!(container.port_number(port), Some(8080));
    }

    #[test]
    fn the_last_value_of_a_variable_wins() {
        let container = container(r#"{"name":"a","env":[{"name":"X","value":"1"},{},{"name":"X","value":"2"}]}"#);
        assert_eq!(container.env_value("X"), Some("2"));
        assert_eq!(container.env().iter().map(|var| var.index).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn a_lifecycle_knows_what_it_does_not_know() {
        let others = |json: &str| serde_json::from_str::<Lifecycle<'_>>(json).unwrap().has_others;
        assert!(others(r#"{"stopSignal":"SIGUSR1"}"#) && others(r#"{"preStop":{},"futureHook":{}}"#));
        assert!(!others(r#"{"preStop":{},"stopSignal":null}"#));
    }

    #[rstest]
    #[case(r#"["--port=1"]"#, Some("1"))]
    #[case(r#"["-port","1"]"#, Some("1"))]
    #[case(r#"["--port","--other"]"#, Some("true"))]
    #[case(r#"["--port"]"#, Some("true"))]
    #[case(r#"["--port=1","--port=2"]"#, Some("2"))]
    #[case(r#"["--port=1","--port","3"]"#, Some("3"))]
    #[case(r#"["--port=a=b"]"#, Some("a=b"))]
    #[case(r#"["--ports=1"]"#, None)]
    #[case(r#"["port=1"]"#, None)]
    fn flags(#[case] args: &str, #[case] value: Option<&str>) {
        assert_eq!(container(&format!(r#"{{"args":{args}}}"#)).flag("port"), value);
        let words = args.trim_matches(['[', ']']);
        let (first, rest) = words.split_once(',').unwrap_or((words, ""));
        let split = format!(r#"{{"command":["run",{first}],"args":[{rest}]}}"#);
        assert_eq!(container(&split).flag("port"), value);
    }
}
