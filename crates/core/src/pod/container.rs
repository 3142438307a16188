//! A container of a pod: its name at once, its fields on demand.

use super::{
    null_is_default,
    unreadable::{Unreadable, read},
};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

/// A container: its raw JSON, and the two fields every decision needs.
#[derive(Debug)]
pub struct Container<'a> {
    /// `name`.
    pub name: Cow<'a, str>,
    /// `restartPolicy` of the container itself; `Always` in `initContainers` makes a native sidecar.
    pub restart_policy: Option<Cow<'a, str>>,
    /// The container's own JSON text.
    pub raw: &'a RawValue,
}

/// The fields of a container that rules and the catalogue read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details<'a> {
    /// `image`.
    #[serde(deserialize_with = "null_is_default")]
    pub image: Cow<'a, str>,
    /// `command`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub command: Vec<Cow<'a, str>>,
    /// `args`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub args: Vec<Cow<'a, str>>,
    /// `env`; `None` where the field is absent or null.
    #[serde(borrow)]
    pub env: Option<Vec<EnvVar<'a>>>,
    /// `ports`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub ports: Vec<Port<'a>>,
    /// `resources`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub resources: Resources<'a>,
    /// `readinessProbe`.
    #[serde(borrow)]
    pub readiness_probe: Option<Probe<'a>>,
    /// `startupProbe`.
    #[serde(borrow)]
    pub startup_probe: Option<Probe<'a>>,
    /// `lifecycle`.
    #[serde(borrow)]
    pub lifecycle: Option<Lifecycle<'a>>,
    /// `restartPolicyRules`.
    #[serde(borrow)]
    pub restart_policy_rules: Option<&'a RawValue>,
    /// `resizePolicy`.
    #[serde(borrow)]
    pub resize_policy: Option<&'a RawValue>,
}

/// One entry of `env`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar<'a> {
    /// `name`.
    #[serde(deserialize_with = "null_is_default")]
    pub name: Cow<'a, str>,
    /// `value`; `None` where it comes from elsewhere or is absent.
    pub value: Option<Cow<'a, str>>,
    /// `valueFrom`.
    #[serde(borrow)]
    pub value_from: Option<EnvVarSource<'a>>,
}

/// `valueFrom` of an environment variable.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVarSource<'a> {
    /// `resourceFieldRef`.
    #[serde(borrow)]
    pub resource_field_ref: Option<ResourceFieldRef<'a>>,
}

/// `valueFrom.resourceFieldRef`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceFieldRef<'a> {
    /// `containerName`; empty means the container itself.
    #[serde(deserialize_with = "null_is_default")]
    pub container_name: Cow<'a, str>,
    /// `resource`, for example `limits.memory`.
    #[serde(deserialize_with = "null_is_default")]
    pub resource: Cow<'a, str>,
}

/// One entry of `ports`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port<'a> {
    /// `name`.
    #[serde(deserialize_with = "null_is_default")]
    pub name: Cow<'a, str>,
    /// `containerPort`.
    #[serde(deserialize_with = "null_is_default")]
    pub container_port: i64,
    /// `hostPort`; 0 means none.
    #[serde(deserialize_with = "null_is_default")]
    pub host_port: i64,
}

/// `resources`: quantities by resource name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resources<'a> {
    /// `requests`, as written.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub requests: BTreeMap<Cow<'a, str>, &'a RawValue>,
    /// `limits`, as written.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub limits: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

/// A probe, with its own JSON text beside the handler that was read from it.
#[derive(Debug)]
pub struct Probe<'a> {
    /// What the probe does.
    pub handler: Handler<'a>,
    /// The probe's own JSON text.
    pub raw: &'a RawValue,
}

/// What a probe or a lifecycle hook does; at most one field is set in a valid pod.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Handler<'a> {
    /// `exec`.
    #[serde(borrow)]
    pub exec: Option<ExecAction<'a>>,
    /// `httpGet`.
    #[serde(borrow)]
    pub http_get: Option<HttpGetAction<'a>>,
    /// `tcpSocket`.
    #[serde(borrow)]
    pub tcp_socket: Option<TcpSocketAction<'a>>,
    /// `grpc` (probes only).
    pub grpc: Option<GrpcAction>,
    /// `sleep` (hooks only).
    pub sleep: Option<SleepAction>,
}

/// `exec`: a command run inside the container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExecAction<'a> {
    /// `command`, without a shell unless it names one.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub command: Vec<Cow<'a, str>>,
}

/// `httpGet`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct HttpGetAction<'a> {
    /// `path`.
    #[serde(deserialize_with = "null_is_default")]
    pub path: Cow<'a, str>,
    /// `host`; empty means the pod's own address.
    #[serde(deserialize_with = "null_is_default")]
    pub host: Cow<'a, str>,
    /// `port`.
    #[serde(deserialize_with = "null_is_default")]
    pub port: PortRef,
}

/// `tcpSocket`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TcpSocketAction<'a> {
    /// `host`; empty means the pod's own address.
    #[serde(deserialize_with = "null_is_default")]
    pub host: Cow<'a, str>,
    /// `port`.
    #[serde(deserialize_with = "null_is_default")]
    pub port: PortRef,
}

/// `grpc`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GrpcAction {
    /// `port`.
    #[serde(deserialize_with = "null_is_default")]
    pub port: i64,
}

/// `sleep`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SleepAction {
    /// `seconds`.
    #[serde(deserialize_with = "null_is_default")]
    pub seconds: i64,
}

/// A port by number or by the name it has in the same container (`IntOrString`).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum PortRef {
    /// A number.
    Number(i64),
    /// A name of the same container's `ports`.
    Name(String),
}

/// `lifecycle`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle<'a> {
    /// `postStart`.
    #[serde(borrow)]
    pub post_start: Option<Handler<'a>>,
    /// `preStop`.
    #[serde(borrow)]
    pub pre_stop: Option<Handler<'a>>,
    /// `stopSignal`.
    #[serde(borrow)]
    pub stop_signal: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    restart_policy: Option<Cow<'a, str>>,
}

// === impl Container ===

impl<'a> Container<'a> {
    /// Parses the fields that rules and the catalogue read.
    ///
    /// # Errors
    ///
    /// When one of them has a type that Kubernetes does not know for it.
    pub fn details(&self) -> Result<Details<'a>, Unreadable> {
        read(self.raw.get())
    }

    /// Whether the container, if it stands in `initContainers`, is a native sidecar.
    ///
    /// Source: KEP-753, `restartPolicy: Always` on an init container.
    #[must_use]
    pub fn restarts_always(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Container<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'a RawValue>::deserialize(deserializer)?;
        let head: Head<'a> = read(raw.get()).map_err(de::Error::custom)?;
        Ok(Self { name: head.name, restart_policy: head.restart_policy, raw })
    }
}

// === impl Probe ===

impl<'de: 'a, 'a> Deserialize<'de> for Probe<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'a RawValue>::deserialize(deserializer)?;
        let handler = read(raw.get()).map_err(de::Error::custom)?;
        Ok(Self { handler, raw })
    }
}

// === impl Details ===

impl<'a> Details<'a> {
    /// `env`, empty where the field is absent or null.
    #[must_use]
    pub fn env(&self) -> &[EnvVar<'a>] {
        self.env.as_deref().unwrap_or_default()
    }

    /// The literal value of the environment variable `name`; the last entry of a name wins, as in the kubelet.
    #[must_use]
    pub fn env_value(&self, name: &str) -> Option<&str> {
        self.env().iter().rev().find(|var| var.name == name)?.value.as_deref()
    }

    /// `lifecycle.preStop`.
    #[must_use]
    pub fn pre_stop(&self) -> Option<&Handler<'a>> {
        self.lifecycle.as_ref()?.pre_stop.as_ref()
    }

    /// `lifecycle.postStart`.
    #[must_use]
    pub fn post_start(&self) -> Option<&Handler<'a>> {
        self.lifecycle.as_ref()?.post_start.as_ref()
    }

    /// The number behind `port`, where it is a number or names one of this container's ports.
    #[must_use]
    pub fn port_number(&self, port: &PortRef) -> Option<i64> {
        match port {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => {
                self.ports.iter().find(|declared| declared.name == *name).map(|declared| declared.container_port)
            }
        }
    }

    /// Everything the container would run: `command` followed by `args`.
    pub fn command_line(&self) -> impl Iterator<Item = &str> {
        self.command.iter().chain(&self.args).map(AsRef::as_ref)
    }

    /// The first word behind the program: the first of `args`, where the image brings the program itself.
    #[must_use]
    pub fn subcommand(&self) -> Option<&str> {
        self.command.iter().skip(1).chain(&self.args).map(AsRef::as_ref).next()
    }
}

// === impl PortRef ===

impl Default for PortRef {
    fn default() -> Self {
        Self::Number(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(json: &str) -> Container<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn details_are_read_on_demand() {
        // `args` is invalid, which concerns only the one who asks for the details.
        let broken = container(r#"{"name":"a","args":5}"#);
        assert_eq!(broken.name, "a");
        assert!(broken.details().is_err());
    }

    #[test]
    fn named_ports_resolve_in_the_same_container() {
        let json = r#"{"name":"a","ports":[{"name":"http","containerPort":8080}],
            "startupProbe":{"httpGet":{"port":"http","path":"/"}}}"#;
        let container = container(json);
        let details = container.details().unwrap();
        let probe = details.startup_probe.as_ref().unwrap();
        let port = &probe.handler.http_get.as_ref().unwrap().port;
        assert_eq!(details.port_number(port), Some(8080));
    }

    #[test]
    fn the_last_value_of_a_variable_wins() {
        let container = container(r#"{"name":"a","env":[{"name":"X","value":"1"},{"name":"X","value":"2"}]}"#);
        assert_eq!(container.details().unwrap().env_value("X"), Some("2"));
    }
}
