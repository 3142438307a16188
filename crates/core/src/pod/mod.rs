//! The borrowed view of a pod: what a conversion reads, and nothing more.
//!
//! A [`Pod`] points into the bytes it was read from, and is read from them once. Of a container the name is known at
//! once; its other fields are noted as JSON and parsed when somebody asks for them. What is not read here is never
//! rewritten either: the API server carries it, because the answer is a JSON Patch.
//!
//! `null` means what Kubernetes' own decoder takes it for: the field's empty value.

mod container;
mod fields;
mod json;
mod placement;
mod quantity;
mod unreadable;

pub use container::{Argument, Container};
pub use fields::{
    EnvVar, ExecAction, GrpcAction, Handler, HttpGetAction, Lifecycle, Port, PortRef, Probe, ResourceFieldRef,
    Resources, SleepAction, TcpSocketAction, VolumeMount,
};
pub use json::{ANNOTATIONS_LIMIT, Entries, Label, Text};
pub use placement::{HOSTNAME, NodeLabels, Placement, Taint, Toleration};
pub use quantity::Quantity;
pub use unreadable::Unreadable;

pub(crate) use json::{null_is_default, object, optional_object};

use fields::SecurityContext;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    marker::PhantomData,
    ops::Deref,
};

/// Far more containers than a kubelet runs in one pod; no more are kept of a list.
pub const MOST_CONTAINERS: usize = 1000;

/// A pod, borrowed from its JSON text.
#[derive(Debug)]
pub struct Pod<'a> {
    /// `metadata`.
    pub metadata: Metadata<'a>,
    /// Whether the pod has a `metadata` object at all; one that comes from a file may not.
    pub has_metadata: bool,
    /// `spec`.
    pub spec: Spec<'a>,
    regular_by_name: OnceCell<ByName>,
    init_by_name: OnceCell<ByName>,
    security_context: OnceCell<Option<SecurityContext<'a>>>,
    placement: OnceCell<Placement<'a>>,
    readiness_gates: OnceCell<BTreeSet<Text<'a>>>,
    /// Of an annotation and a key of its JSON, the containers of the pod that are listed there.
    listed: RefCell<BTreeMap<(String, String), BTreeSet<String>>>,
}

/// The part of `metadata` that a conversion reads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata<'a> {
    /// `name`; empty while the API server has not resolved `generateName` yet.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// `generateName`.
    #[serde(borrow)]
    pub generate_name: Text<'a>,
    /// `namespace`; often empty in an admission request, which names it itself.
    #[serde(borrow)]
    pub namespace: Text<'a>,
    /// `annotations`; `None` where the field is absent or null and must be created before a key is added.
    #[serde(borrow, deserialize_with = "json::labels")]
    pub annotations: Option<Entries<'a, Label<'a>>>,
    /// `labels`.
    #[serde(borrow, deserialize_with = "json::labels")]
    pub labels: Option<Entries<'a, Label<'a>>>,
    /// The one of `ownerReferences` that manages the pod.
    #[serde(borrow, rename = "ownerReferences", deserialize_with = "controller")]
    pub controller: Option<OwnerReference<'a>>,
}

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference<'a> {
    /// `apiVersion`, for example `batch/v1`.
    #[serde(borrow)]
    pub api_version: Text<'a>,
    /// `kind`, for example `Job`.
    #[serde(borrow)]
    pub kind: Text<'a>,
    /// `name`.
    #[serde(borrow)]
    pub name: Text<'a>,
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
    pub containers: Containers<'a>,
    /// `initContainers`; `None` where the field is absent or null and must be created before a container moves in.
    #[serde(borrow)]
    pub init_containers: Option<Containers<'a>>,
    /// `restartPolicy` of the pod; empty means `Always`.
    #[serde(borrow)]
    pub restart_policy: Text<'a>,
    /// `nodeName`: the node the pod is pinned to, if any.
    #[serde(borrow)]
    pub node_name: Text<'a>,
    /// `schedulerName`; empty means the cluster's own.
    #[serde(borrow)]
    pub scheduler_name: Text<'a>,
    /// `hostNetwork`.
    #[serde(deserialize_with = "null_is_default")]
    pub host_network: bool,
    /// `hostPID`.
    #[serde(rename = "hostPID", deserialize_with = "null_is_default")]
    pub host_pid: bool,
    /// `shareProcessNamespace`.
    #[serde(deserialize_with = "null_is_default")]
    pub share_process_namespace: bool,
    /// `os`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub os: PodOs<'a>,
    /// `nodeSelector`, as it stands; see [`Pod::placement`].
    #[serde(borrow)]
    node_selector: Option<&'a RawValue>,
    /// `affinity`, likewise.
    #[serde(borrow)]
    affinity: Option<&'a RawValue>,
    /// `tolerations`, likewise.
    #[serde(borrow)]
    tolerations: Option<&'a RawValue>,
    /// `schedulingGates`, as they stand; see [`Pod::placement`].
    #[serde(borrow)]
    scheduling_gates: Option<&'a RawValue>,
    /// `readinessGates`, as they stand.
    #[serde(borrow)]
    readiness_gates: Option<&'a RawValue>,
    /// `securityContext` of the pod as a whole, as it is written.
    #[serde(borrow)]
    security_context: Option<&'a RawValue>,
    /// `terminationGracePeriodSeconds`, in seconds.
    pub termination_grace_period_seconds: Option<i64>,
    /// `resources` of the pod as a whole (Kubernetes 1.34 and later).
    #[serde(borrow)]
    pub resources: Option<Resources<'a>>,
}

/// A list of containers: the first [`MOST_CONTAINERS`] of them, and how many more there are.
#[derive(Debug, Default)]
pub struct Containers<'a> {
    list: Vec<Container<'a>>,
    left_out: usize,
}

/// `spec.os`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodOs<'a> {
    /// `linux` or `windows`; empty means that the pod does not say.
    #[serde(borrow)]
    pub name: Text<'a>,
}

#[derive(Deserialize)]
struct PodFields<'a> {
    #[serde(borrow, default, deserialize_with = "optional_object")]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow, default, deserialize_with = "optional_object")]
    spec: Option<Spec<'a>>,
}

/// Of all owners the one that counts; no other is kept, so that a list of them takes no memory.
#[derive(Default)]
struct Controller<'a>(Option<OwnerReference<'a>>);

/// One entry of `readinessGates`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadinessGate<'a> {
    #[serde(borrow)]
    condition_type: Text<'a>,
}

/// Indices of containers, by name.
#[derive(Debug)]
struct ByName(Vec<usize>);

fn controller<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OwnerReference<'de>>, D::Error> {
    null_is_default(deserializer).map(|Controller(controller)| controller)
}

/// The conditions of `readinessGates`; none where they cannot be read.
fn readiness_gates(raw: Option<&RawValue>) -> BTreeSet<Text<'_>> {
    let gates: Vec<Option<ReadinessGate<'_>>> =
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    gates.into_iter().flatten().map(|gate| gate.condition_type).collect()
}

// === impl OwnerReference ===

impl OwnerReference<'_> {
    /// The group of `apiVersion`; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

// === impl Pod ===

impl<'a> Pod<'a> {
    /// The user as which `container` runs, where the pod says: its own word wins.
    ///
    /// Source: pkg/securitycontext/util.go, `DetermineEffectiveSecurityContext`.
    #[must_use]
    pub fn user_of(&self, container: &Container<'_>) -> Option<i64> {
        container.run_as_user().or_else(|| self.security_context()?.run_as_user)
    }

    fn security_context(&self) -> Option<&SecurityContext<'a>> {
        let read = || serde_json::from_str(self.spec.security_context?.get()).ok();
        self.security_context.get_or_init(read).as_ref()
    }

    /// Reads a pod from its JSON text.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, or a field that a conversion reads has a type Kubernetes does not know for it.
    pub fn parse(json: &'a str) -> Result<Self, Unreadable> {
        unreadable::read(json)
    }

    /// The regular container called `name`, with its index in `spec.containers`.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<(usize, &Container<'a>)> {
        self.regular_by_name().named(&self.spec.containers, name).next()
    }

    /// The init container called `name`, with its index in `spec.initContainers`.
    #[must_use]
    pub fn init_container(&self, name: &str) -> Option<(usize, &Container<'a>)> {
        self.init_by_name().named(self.init_containers(), name).next()
    }

    /// Whether more than one regular container is called `name`; the API server refuses such a pod.
    #[must_use]
    pub fn has_regular_twice(&self, name: &str) -> bool {
        self.regular_by_name().named(&self.spec.containers, name).nth(1).is_some()
    }

    /// Whether more than one init container is called `name`; the API server refuses such a pod.
    #[must_use]
    pub fn has_init_twice(&self, name: &str) -> bool {
        self.init_by_name().named(self.init_containers(), name).nth(1).is_some()
    }

    /// Whether more than one container is called `name`, in whichever list; the API server refuses such a pod.
    #[must_use]
    pub fn has_twice(&self, name: &str) -> bool {
        let init = self.init_by_name().named(self.init_containers(), name);
        self.regular_by_name().named(&self.spec.containers, name).chain(init).nth(1).is_some()
    }

    /// `spec.initContainers`, empty where the field is absent or null.
    #[must_use]
    pub fn init_containers(&self) -> &[Container<'a>] {
        self.spec.init_containers.as_deref().unwrap_or_default()
    }

    /// How many containers the pod has, in both lists together.
    #[must_use]
    pub fn container_count(&self) -> usize {
        self.spec.containers.count() + self.spec.init_containers.as_ref().map_or(0, Containers::count)
    }

    /// The value of the annotation `key`.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(Deref::deref)
    }

    /// Whether the annotation holds JSON that lists the pod's container `name` under `key`. The text is read once, however
    /// many containers are asked about.
    #[must_use]
    pub fn lists(&self, annotation: &str, key: &str, name: &str) -> bool {
        let mut listed = self.listed.borrow_mut();
        let place = (annotation.to_owned(), key.to_owned());
        listed.entry(place).or_insert_with(|| self.listed_names(annotation, key)).contains(name)
    }

    /// The value of the label `key`.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(Deref::deref)
    }

    /// The owner that manages the pod (`controller: true`), if it has one.
    #[must_use]
    pub const fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.metadata.controller.as_ref()
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

    /// What the pod says about the nodes that it may run on, besides their name.
    #[must_use]
    pub fn placement(&self) -> &Placement<'a> {
        let Spec { node_selector, affinity, tolerations, scheduling_gates, .. } = &self.spec;
        self.placement.get_or_init(|| Placement::read(*node_selector, *affinity, *tolerations, *scheduling_gates))
    }

    /// Whether the pod waits for `condition` besides its containers before it is ready.
    #[must_use]
    pub fn has_readiness_gate(&self, condition: &str) -> bool {
        self.readiness_gates.get_or_init(|| readiness_gates(self.spec.readiness_gates)).contains(condition)
    }

    /// Whether the pod runs on Windows: it says so, or runs only on nodes that have Windows, or has options that only
    /// Windows takes.
    #[must_use]
    pub fn is_for_windows(&self) -> bool {
        let Spec { os, containers, .. } = &self.spec;
        if !os.name.is_empty() {
            return os.name == "windows";
        }
        let of_nodes = || {
            let is_windows = |key: &&str| self.placement().demands(key, |os| os == "windows");
            ["kubernetes.io/os", "beta.kubernetes.io/os"].iter().any(is_windows)
                || self.placement().demands_key("node.kubernetes.io/windows-build")
        };
        let has_options = |container: &Container<'_>| container.has_windows_options();
        self.security_context().is_some_and(SecurityContext::has_windows_options)
            || of_nodes()
            || containers.iter().chain(self.init_containers()).any(has_options)
    }

    fn listed_names(&self, annotation: &str, key: &str) -> BTreeSet<String> {
        let is_own = |name: &str| self.container(name).is_some() || self.init_container(name).is_some();
        let json = self.annotation(annotation).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let names = json.as_ref().and_then(|json| json[key].as_array()).into_iter().flatten();
        names.filter_map(Value::as_str).filter(|name| is_own(name)).map(str::to_owned).collect()
    }

    fn regular_by_name(&self) -> &ByName {
        self.regular_by_name.get_or_init(|| ByName::of(&self.spec.containers))
    }

    fn init_by_name(&self) -> &ByName {
        self.init_by_name.get_or_init(|| ByName::of(self.init_containers()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pod<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let PodFields { metadata, spec } = object(deserializer)?;
        Ok(Self {
            has_metadata: metadata.is_some(),
            metadata: metadata.unwrap_or_default(),
            spec: spec.unwrap_or_default(),
            regular_by_name: OnceCell::new(),
            init_by_name: OnceCell::new(),
            security_context: OnceCell::new(),
            placement: OnceCell::new(),
            readiness_gates: OnceCell::new(),
            listed: RefCell::default(),
        })
    }
}

// === impl Containers ===

impl Containers<'_> {
    /// How many containers the list has, those that are not kept included.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.list.len() + self.left_out
    }
}

impl<'a> Deref for Containers<'a> {
    type Target = [Container<'a>];

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Containers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContainersVisitor<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for ContainersVisitor<'a> {
            type Value = Containers<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut containers = Containers::default();
                while containers.list.len() < MOST_CONTAINERS {
                    let Some(container) = items.next_element()? else { return Ok(containers) };
                    containers.list.push(container);
                }
                while items.next_element::<IgnoredAny>()?.is_some() {
                    containers.left_out += 1;
                }
                Ok(containers)
            }
        }

        deserializer.deserialize_seq(ContainersVisitor(PhantomData))
    }
}

// === impl Controller ===

impl<'de: 'a, 'a> Deserialize<'de> for Controller<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OwnersVisitor;

        impl<'de> Visitor<'de> for OwnersVisitor {
            type Value = Controller<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut controller = None;
                while let Some(owner) = list.next_element::<OwnerReference<'de>>()? {
                    controller = controller.or_else(|| Some(owner).filter(|owner| owner.controller));
                }
                Ok(Controller(controller))
            }
        }

        deserializer.deserialize_seq(OwnersVisitor)
    }
}

// === impl ByName ===

impl ByName {
    fn of(containers: &[Container<'_>]) -> Self {
        let mut indices: Vec<_> = (0..containers.len()).collect();
        // The sort is stable, so the first of a name stays the first.
        indices.sort_by(|one, other| containers[*one].name.cmp(&containers[*other].name));
        Self(indices)
    }

    /// The containers called `name`, in the order of the list, of which this is the index.
    fn named<'c, 'a>(
        &self,
        containers: &'c [Container<'a>],
        name: &str,
    ) -> impl Iterator<Item = (usize, &'c Container<'a>)> {
        let begin = self.0.partition_point(|at| *containers[*at].name < *name);
        let indices = self.0[begin..].iter().map(|at| (*at, &containers[*at]));
        indices.take_while(move |(_, container)| container.name == name)
    }
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
        "spec.containers[1].name: invalid type: integer `5`, expected a string"
    )]
    #[case(r#"{"spec":{"hostNetwork":"yes"}}"#, "spec.hostNetwork: invalid type: string \"yes\", expected a boolean")]
    #[case(r#"{"spec":{"restartPolicy":"Never","restartPolicy":"Always"}}"#, "spec: duplicate field `restartPolicy`")]
    #[case(r#"{"metadata":{"annotations":[]}}"#, "metadata.annotations: invalid type: sequence, expected a map")]
    #[case(r#"{"metadata":{"annotations":"a"}}"#, "metadata.annotations: invalid type: string \"a\", expected a map")]
    #[case(r#"{"metadata":{"labels":["a"]}}"#, "metadata.labels: invalid type: sequence, expected a map")]
    #[case(r#"{"metadata":7}"#, "metadata: invalid type: integer `7`, expected an object")]
    #[case("5", "invalid type: integer `5`, expected an object")]
    fn errors_name_the_field(#[case] json: &str, #[case] says: &str) {
        let error = Pod::parse(json).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }

    #[test]
    fn more_annotations_than_there_can_be_are_not_read() {
        let value = "x".repeat(ANNOTATIONS_LIMIT);
        let error = Pod::parse(&format!(r#"{{"metadata":{{"annotations":{{"a":"{value}"}}}}}}"#)).unwrap_err();
        assert_eq!(error.to_string(), "metadata.annotations: more than the 262144 bytes that Kubernetes allows");
    }

    #[test]
    fn names_may_be_escaped() {
        let pod =
            Pod::parse(r#"{"metadata":{"name":"a\u0062c"},"spec":{"containers":[{"name":"\u0061pp"}]}}"#).unwrap();
        assert_eq!(pod.display_name(), "abc");
        assert_eq!(pod.container("app").unwrap().0, 0);
    }
}
