//! What stands in a container's fields, as far as rules and the catalogue read it.

use super::json::{Entries, Text, kept_items, null_is_default, once};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// `env`: the variables that have a name. Others the API server refuses.
#[derive(Debug, Default)]
pub(super) struct Env<'a>(pub(super) Vec<EnvVar<'a>>);

/// One entry of `env`.
#[derive(Debug)]
pub struct EnvVar<'a> {
    /// Its index in `env`.
    pub index: usize,
    /// `name`.
    pub name: Text<'a>,
    /// `value`; `None` where it comes from elsewhere or is absent.
    pub value: Option<Text<'a>>,
    /// `valueFrom`, as far as anybody asks. In a box, for most variables have none.
    from: Option<Box<ReadFrom<'a>>>,
}

/// What a variable reads.
#[derive(Debug)]
enum ReadFrom<'a> {
    Resource(ResourceFieldRef<'a>),
    PodIp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEnvVar<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
    #[serde(borrow, default)]
    value_from: Option<EnvVarSource<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvVarSource<'a> {
    #[serde(borrow, default)]
    resource_field_ref: Option<ResourceFieldRef<'a>>,
    #[serde(borrow, default)]
    field_ref: Option<ObjectFieldSelector<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectFieldSelector<'a> {
    #[serde(borrow, default)]
    field_path: Text<'a>,
}

/// `valueFrom.resourceFieldRef` of an environment variable.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceFieldRef<'a> {
    /// `containerName`; empty means the container itself.
    #[serde(borrow)]
    pub container_name: Text<'a>,
    /// `resource`, for example `limits.memory`.
    #[serde(borrow)]
    pub resource: Text<'a>,
}

/// `ports`: those that say anything.
#[derive(Debug, Default)]
pub(super) struct Ports<'a>(pub(super) Vec<Port<'a>>);

/// One entry of `ports`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port<'a> {
    /// `name`.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// `protocol`; empty means TCP, see [`Port::protocol`].
    #[serde(borrow)]
    protocol: Text<'a>,
    /// `containerPort`.
    #[serde(deserialize_with = "null_is_default")]
    pub container_port: i64,
    /// `hostPort`; 0 means none.
    #[serde(deserialize_with = "null_is_default")]
    pub host_port: i64,
}

/// `volumeMounts`: those that name a volume. Others the API server refuses.
#[derive(Debug, Default)]
pub(super) struct VolumeMounts<'a>(pub(super) Vec<VolumeMount<'a>>);

/// One entry of `volumeMounts`.
#[derive(Debug)]
pub struct VolumeMount<'a> {
    /// `name` of the volume.
    pub name: Text<'a>,
    /// `mountPath`.
    pub mount_path: Text<'a>,
    /// Whether the whole volume is mounted: there is no `subPath`.
    pub is_whole: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVolumeMount<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    mount_path: Text<'a>,
    #[serde(borrow, default)]
    sub_path: Text<'a>,
}

/// `restartPolicyRules`: those that restart all containers, of which only the number counts.
#[derive(Debug, Default)]
pub(super) struct RestartAllRules(pub(super) Vec<()>);

#[derive(Deserialize)]
struct RestartRule<'a> {
    #[serde(borrow, default)]
    action: Text<'a>,
}

/// `resources`: quantities by resource name, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resources<'a> {
    /// `requests`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub requests: Entries<'a, &'a RawValue>,
    /// `limits`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub limits: Entries<'a, &'a RawValue>,
}

/// `securityContext`, of a container or of the pod, as far as anybody asks.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SecurityContext<'a> {
    /// `runAsUser`.
    pub(super) run_as_user: Option<i64>,
    /// `windowsOptions`.
    #[serde(borrow)]
    windows_options: Option<Entries<'a, IgnoredAny>>,
}

/// A probe, with its own JSON text beside the handler that was read from it.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'c> {
    /// What the probe does.
    pub handler: &'c Handler<'c>,
    /// The probe's own JSON text.
    pub raw: &'c RawValue,
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
    pub command: Vec<Text<'a>>,
}

/// `httpGet`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct HttpGetAction<'a> {
    /// `path`.
    #[serde(borrow)]
    pub path: Text<'a>,
    /// `host`; empty means the pod's own address.
    #[serde(borrow)]
    pub host: Text<'a>,
    /// `port`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub port: PortRef<'a>,
}

/// `tcpSocket`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TcpSocketAction<'a> {
    /// `host`; empty means the pod's own address.
    #[serde(borrow)]
    pub host: Text<'a>,
    /// `port`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub port: PortRef<'a>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRef<'a> {
    /// A number.
    Number(i64),
    /// A name of the same container's `ports`.
    Name(Text<'a>),
}

/// `lifecycle`.
#[derive(Debug, Default)]
pub struct Lifecycle<'a> {
    /// `postStart`.
    pub post_start: Option<Handler<'a>>,
    /// `preStop`.
    pub pre_stop: Option<Handler<'a>>,
    /// Whether there is anything else: `stopSignal`, or a field that is not known here.
    pub has_others: bool,
}

// === impl SecurityContext ===

impl SecurityContext<'_> {
    /// Whether there are options that only Windows takes.
    pub(super) fn has_windows_options(&self) -> bool {
        self.windows_options.as_ref().is_some_and(|options| !options.is_empty())
    }
}

// === impl Env ===

impl<'de: 'a, 'a> Deserialize<'de> for Env<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        kept_items(deserializer, |index, RawEnvVar { name, value, value_from }| {
            let from = value_from.and_then(ReadFrom::of).map(Box::new);
            (!name.is_empty()).then_some(EnvVar { index, name, value, from })
        })
        .map(Self)
    }
}

// === impl Port ===

impl Port<'_> {
    /// The protocol, with the API server's default where none is given.
    #[must_use]
    pub fn protocol(&self) -> &str {
        if self.protocol.is_empty() { "TCP" } else { &self.protocol }
    }
}

// === impl EnvVar ===

impl<'a> EnvVar<'a> {
    /// `valueFrom.resourceFieldRef`.
    #[must_use]
    pub fn resource_field_ref(&self) -> Option<&ResourceFieldRef<'a>> {
        match self.from.as_deref()? {
            ReadFrom::Resource(reads) => Some(reads),
            ReadFrom::PodIp => None,
        }
    }

    /// Whether it holds the pod's own address (`valueFrom.fieldRef.fieldPath: status.podIP`).
    #[must_use]
    pub fn is_pod_ip(&self) -> bool {
        matches!(self.from.as_deref(), Some(ReadFrom::PodIp))
    }
}

// === impl ReadFrom ===

impl<'a> ReadFrom<'a> {
    fn of(source: EnvVarSource<'a>) -> Option<Self> {
        let is_pod_ip =
            |field: &ObjectFieldSelector<'_>| matches!(&*field.field_path, "status.podIP" | "status.podIPs");
        let pod_ip = || source.field_ref.filter(is_pod_ip).map(|_| Self::PodIp);
        source.resource_field_ref.map(Self::Resource).or_else(pod_ip)
    }
}

// === impl Ports ===

impl<'de: 'a, 'a> Deserialize<'de> for Ports<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let says_something = |port: &Port<'_>| !port.name.is_empty() || port.container_port != 0 || port.host_port != 0;
        kept_items(deserializer, |_, port| Some(port).filter(says_something)).map(Self)
    }
}

// === impl VolumeMounts ===

impl<'de: 'a, 'a> Deserialize<'de> for VolumeMounts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        kept_items(deserializer, |_, RawVolumeMount { name, mount_path, sub_path }| {
            (!name.is_empty()).then(|| VolumeMount { name, mount_path, is_whole: sub_path.is_empty() })
        })
        .map(Self)
    }
}

// === impl RestartAllRules ===

impl<'de> Deserialize<'de> for RestartAllRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        kept_items(deserializer, |_, rule: RestartRule<'de>| (rule.action == "RestartAllContainers").then_some(()))
            .map(Self)
    }
}

// === impl Lifecycle ===

impl<'de: 'a, 'a> Deserialize<'de> for Lifecycle<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "camelCase")]
        enum Key {
            PostStart,
            PreStop,
            #[serde(other)]
            Other,
        }

        struct LifecycleVisitor;

        impl<'de> Visitor<'de> for LifecycleVisitor {
            type Value = Lifecycle<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut post_start, mut pre_stop, mut has_others) = (None, None, false);
                while let Some(key) = map.next_key()? {
                    match key {
                        Key::PostStart => once("postStart", &mut post_start, map.next_value()?)?,
                        Key::PreStop => once("preStop", &mut pre_stop, map.next_value()?)?,
                        Key::Other => has_others |= map.next_value::<Option<IgnoredAny>>()?.is_some(),
                    }
                }
                Ok(Lifecycle { post_start: post_start.flatten(), pre_stop: pre_stop.flatten(), has_others })
            }
        }

        deserializer.deserialize_map(LifecycleVisitor)
    }
}

// === impl PortRef ===

impl Default for PortRef<'_> {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for PortRef<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PortRefVisitor;

        impl<'de> Visitor<'de> for PortRefVisitor {
            type Value = PortRef<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port's number or name")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(PortRef::Number(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                i64::try_from(number).map(PortRef::Number).map_err(E::custom)
            }

            fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(PortRef::Name(name.into()))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(PortRef::Name(name.to_owned().into()))
            }
        }

        deserializer.deserialize_any(PortRefVisitor)
    }
}
