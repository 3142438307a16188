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
    /// `valueFrom.resourceFieldRef`.
    pub resource_field_ref: Option<Box<ResourceFieldRef<'a>>>,
    /// `valueFrom.fieldRef.fieldPath`, for example `status.podIP`; empty where there is none.
    pub field_path: Text<'a>,
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
    resource_field_ref: Option<Box<ResourceFieldRef<'a>>>,
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

/// One entry of `volumeMounts`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMount<'a> {
    /// `name` of the volume.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// `mountPath`.
    #[serde(borrow)]
    pub mount_path: Text<'a>,
    /// `subPath`; empty where the whole volume is mounted.
    #[serde(borrow)]
    pub sub_path: Text<'a>,
}

/// One entry of `restartPolicyRules`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RestartRule<'a> {
    /// `action`.
    #[serde(borrow)]
    pub(super) action: Text<'a>,
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
            let (resource_field_ref, field_ref) =
                value_from.map_or((None, None), |source| (source.resource_field_ref, source.field_ref));
            let field_path = field_ref.map(|field_ref| field_ref.field_path).unwrap_or_default();
            (!name.is_empty()).then_some(EnvVar { index, name, value, resource_field_ref, field_path })
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

// === impl Ports ===

impl<'de: 'a, 'a> Deserialize<'de> for Ports<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let says_something = |port: &Port<'_>| !port.name.is_empty() || port.container_port != 0 || port.host_port != 0;
        kept_items(deserializer, |_, port| Some(port).filter(says_something)).map(Self)
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
