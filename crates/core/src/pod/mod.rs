//! The borrowed view of a pod: what a conversion reads, and nothing more.
//!
//! A [`Pod`] points into the bytes it was read from. Containers are kept as raw JSON with their names;
//! their fields are parsed only when somebody asks for [`Container::details`]. What is not read here is
//! never rewritten either: the API server carries it, because the answer is a JSON Patch.
//!
//! `null` means what Kubernetes' own decoder takes it for: the field's empty value.

mod container;
mod quantity;
mod unreadable;

pub use container::{
    Container, Details, EnvVar, ExecAction, GrpcAction, Handler, HttpGetAction, Lifecycle, Port, PortRef, Probe,
    ResourceFieldRef, Resources, SleepAction, TcpSocketAction,
};
pub use quantity::Quantity;
pub use unreadable::Unreadable;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

/// A pod, borrowed from its JSON text.
#[derive(Debug)]
pub struct Pod<'a> {
    /// `metadata`.
    pub metadata: Metadata<'a>,
    /// Whether the pod has a `metadata` object at all; one that comes from a file may not.
    pub has_metadata: bool,
    /// `spec`.
    pub spec: Spec<'a>,
}

/// The part of `metadata` that a conversion reads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata<'a> {
    /// `name`; empty while the API server has not resolved `generateName` yet.
    #[serde(deserialize_with = "null_is_default")]
    pub name: Cow<'a, str>,
    /// `generateName`.
    #[serde(deserialize_with = "null_is_default")]
    pub generate_name: Cow<'a, str>,
    /// `namespace`; often empty in an admission request, which names it itself.
    #[serde(deserialize_with = "null_is_default")]
    pub namespace: Cow<'a, str>,
    /// `annotations`; `None` where the field is absent or null and must be created before a key is added.
    #[serde(deserialize_with = "texts")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// `labels`.
    #[serde(deserialize_with = "texts")]
    pub labels: Option<BTreeMap<String, String>>,
    /// `ownerReferences`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub owner_references: Vec<OwnerReference<'a>>,
}

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference<'a> {
    /// `kind`, for example `Job`.
    #[serde(deserialize_with = "null_is_default")]
    pub kind: Cow<'a, str>,
    /// `name`.
    #[serde(deserialize_with = "null_is_default")]
    pub name: Cow<'a, str>,
    /// `controller`: whether this owner manages the pod.
    #[serde(deserialize_with = "null_is_default")]
    pub controller: bool,
}

/// The part of `spec` that a conversion reads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec<'a> {
    /// `containers`: the regular containers.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub containers: Vec<Container<'a>>,
    /// `initContainers`; `None` where the field is absent or null and must be created before a container moves in.
    #[serde(borrow)]
    pub init_containers: Option<Vec<Container<'a>>>,
    /// `restartPolicy` of the pod; empty means `Always`.
    #[serde(deserialize_with = "null_is_default")]
    pub restart_policy: Cow<'a, str>,
    /// `nodeName`: the node the pod is pinned to, if any.
    #[serde(deserialize_with = "null_is_default")]
    pub node_name: Cow<'a, str>,
    /// `hostNetwork`.
    #[serde(deserialize_with = "null_is_default")]
    pub host_network: bool,
    /// `os`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub os: PodOs<'a>,
    /// `terminationGracePeriodSeconds`, in seconds.
    pub termination_grace_period_seconds: Option<i64>,
    /// `resources` of the pod as a whole (Kubernetes 1.34 and later).
    #[serde(borrow)]
    pub resources: Option<Resources<'a>>,
    /// `overhead` of the runtime class, by resource name.
    #[serde(borrow)]
    pub overhead: Option<&'a RawValue>,
}

/// `spec.os`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodOs<'a> {
    /// `linux` or `windows`; empty means that the pod does not say.
    #[serde(deserialize_with = "null_is_default")]
    pub name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    spec: Option<Spec<'a>>,
}

/// Reads the values of labels and annotations. Kubernetes wants strings; a manifest that has `true` without
/// quotes is refused by the API server, not by us, so other values are read as their JSON text.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let Some(raw) = Option::<&'de RawValue>::deserialize(deserializer)? else { return Ok(None) };
    if raw.get().len() > MOST_TEXT {
        return Err(de::Error::custom(format_args!("more than {MOST_TEXT} bytes, and Kubernetes allows 262144")));
    }
    let values: BTreeMap<String, &'de RawValue> = unreadable::read(raw.get()).map_err(de::Error::custom)?;
    let text = |raw: &RawValue| serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
    Ok(Some(values.into_iter().map(|(key, raw)| (key, text(raw))).collect()))
}

/// More JSON than any annotations that Kubernetes takes (256 KiB of keys and values), however they are escaped. Each
/// entry of a map takes many times its length in memory.
const MOST_TEXT: usize = 1024 * 1024;

/// Reads `null` as the type's default, as Kubernetes' Go decoder does.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

// === impl Pod ===

impl<'a> Pod<'a> {
    /// Reads a pod from its JSON text.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, or a field that a conversion reads has a type Kubernetes does not know for it.
    pub fn parse(json: &'a str) -> Result<Self, Unreadable> {
        let Fields { metadata, spec } = unreadable::read(json)?;
        let has_metadata = metadata.is_some();
        Ok(Self { metadata: metadata.unwrap_or_default(), has_metadata, spec: spec.unwrap_or_default() })
    }

    /// The regular container called `name`, with its index in `spec.containers`.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<(usize, &Container<'a>)> {
        find(&self.spec.containers, name)
    }

    /// The init container called `name`, with its index in `spec.initContainers`.
    #[must_use]
    pub fn init_container(&self, name: &str) -> Option<(usize, &Container<'a>)> {
        find(self.init_containers(), name)
    }

    /// Whether more than one container is called `name`, in whichever list; the API server refuses such a pod.
    #[must_use]
    pub fn has_twice(&self, name: &str) -> bool {
        let all = self.spec.containers.iter().chain(self.init_containers());
        all.filter(|container| container.name == name).nth(1).is_some()
    }

    /// `spec.initContainers`, empty where the field is absent or null.
    #[must_use]
    pub fn init_containers(&self) -> &[Container<'a>] {
        self.spec.init_containers.as_deref().unwrap_or_default()
    }

    /// The value of the annotation `key`.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The value of the label `key`.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// Whether a label or an annotation has a key that begins with `prefix`.
    #[must_use]
    pub fn is_marked(&self, prefix: &str) -> bool {
        let Metadata { annotations, labels, .. } = &self.metadata;
        annotations.iter().chain(labels).flatten().any(|(key, _)| key.starts_with(prefix))
    }

    /// The owner that manages the pod (`controller: true`), if it has one.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.metadata.owner_references.iter().find(|owner| owner.controller)
    }

    /// Whether the API object only mirrors a file on a node (a static pod).
    #[must_use]
    pub fn is_mirror(&self) -> bool {
        self.annotation("kubernetes.io/config.mirror").is_some()
    }

    /// The name a person would look for: `name`, else `generateName`.
    #[must_use]
    pub fn display_name(&self) -> &str {
        let metadata = &self.metadata;
        if metadata.name.is_empty() { &metadata.generate_name } else { &metadata.name }
    }
}

fn find<'p, 'a>(list: &'p [Container<'a>], name: &str) -> Option<(usize, &'p Container<'a>)> {
    list.iter().enumerate().find(|(_, container)| container.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn null_fields_are_empty() {
        let pod = Pod::parse(
            r#"{"metadata":{"name":null,"annotations":null,"ownerReferences":null},
                "spec":{"containers":null,"initContainers":null,"hostNetwork":null,"os":null}}"#,
        )
        .unwrap();
        assert!(pod.metadata.annotations.is_none());
        assert!(pod.spec.init_containers.is_none());
        assert!(pod.spec.containers.is_empty());
    }

    #[rstest]
    #[case(
        r#"{"spec":{"containers":[{"name":"a"},{"name":5}]}}"#,
        "spec.containers[1]: name: invalid type: integer `5`, expected a string"
    )]
    #[case(r#"{"spec":{"hostNetwork":"yes"}}"#, "spec.hostNetwork: invalid type: string \"yes\", expected a boolean")]
    #[case(r#"{"spec":{"restartPolicy":"Never","restartPolicy":"Always"}}"#, "spec: duplicate field `restartPolicy`")]
    #[case(r#"{"metadata":{"annotations":[]}}"#, "metadata.annotations: invalid type: sequence, expected a map")]
    #[case(r#"{"metadata":7}"#, "metadata: invalid type: integer `7`, expected an object")]
    #[case("5", "invalid type: integer `5`, expected an object")]
    fn errors_name_the_field(#[case] json: &str, #[case] says: &str) {
        let error = Pod::parse(json).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }

    #[test]
    fn more_annotations_than_there_can_be_are_not_read() {
        let value = "x".repeat(MOST_TEXT);
        let error = Pod::parse(&format!(r#"{{"metadata":{{"annotations":{{"a":"{value}"}}}}}}"#)).unwrap_err();
        assert_eq!(error.to_string(), "metadata.annotations: more than 1048576 bytes, and Kubernetes allows 262144");
    }

    #[test]
    fn names_may_be_escaped() {
        let pod =
            Pod::parse(r#"{"metadata":{"name":"a\u0062c"},"spec":{"containers":[{"name":"\u0061pp"}]}}"#).unwrap();
        assert_eq!(pod.display_name(), "abc");
        assert_eq!(pod.container("app").unwrap().0, 0);
    }
}
