//! The rights that the manifests give: each is needed, and its lack shows as docs/security.md says.

use super::{
    cluster::{Cleanup, Cluster, unique, within},
    installation, manifests,
    neighbour::{Neighbour, Place},
    neighbours::strip,
    process::Process,
    stand_in::StandIn,
    webhook::is_installed,
};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

const DOCUMENT: &str = include_str!("../../../docs/security.md");
const OWN: &str = "native-sidecar";
const SECRET: &str = "native-sidecar-certificate";

/// One verb of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Right {
    role: String,
    group: String,
    resource: String,
    verb: String,
}

/// What is seen where a right is missing.
struct Prediction {
    role: &'static str,
    resource: &'static str,
    verb: &'static str,
    /// Without what the program would have no need of the right.
    given: Given,
    /// What the log says.
    says: &'static str,
    loss: Loss,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    AnEmptySecret,
    NoSecret,
    /// A webhook that takes `restartPolicy` away.
    AStripper,
    ANode,
}

#[derive(Clone, Copy)]
enum Loss {
    /// The replica is not ready until it has the right.
    NotReady,
    /// It serves, and one thing about the cluster is not known: a sample without the right, and its beginning with it.
    Unknown { without: &'static str, with: &'static str },
    /// It serves; only the log says less than this.
    Untold { with: &'static str },
}

const PREDICTIONS: &[Prediction] = &[
    not_ready("native-sidecar-certificate", "secrets", "get", Given::AnEmptySecret, "cannot read Secret"),
    not_ready("native-sidecar-certificate", "secrets", "update", Given::AnEmptySecret, "cannot write Secret"),
    not_ready("native-sidecar-certificate", "secrets", "create", Given::NoSecret, "cannot create Secret"),
    not_ready(
        "native-sidecar-webhook",
        "mutatingwebhookconfigurations",
        "get",
        Given::AnEmptySecret,
        "cannot read MutatingWebhookConfiguration",
    ),
    not_ready(
        "native-sidecar-webhook",
        "mutatingwebhookconfigurations",
        "patch",
        Given::AnEmptySecret,
        "cannot set caBundle of",
    ),
    Prediction {
        role: "native-sidecar-facts",
        resource: "mutatingwebhookconfigurations",
        verb: "list",
        given: Given::AStripper,
        says: "which one is unknown",
        loss: Loss::Untold { with: "one of these webhooks drops it: zzz-neighbour" },
    },
    Prediction {
        role: "native-sidecar-facts",
        resource: "nodes",
        verb: "list",
        given: Given::ANode,
        says: "the kubelets' versions are unknown",
        loss: Loss::Unknown { without: "oldest_kubelet=\"\"", with: "oldest_kubelet=\"1.36.0\"" },
    },
    Prediction {
        role: "native-sidecar-dry-run",
        resource: "pods",
        verb: "create",
        given: Given::AnEmptySecret,
        says: "whether restartPolicy is kept is unknown",
        loss: Loss::Unknown {
            without: "native_sidecar_cluster_keeps_restart_policy -1",
            with: "native_sidecar_cluster_keeps_restart_policy 1",
        },
    },
];

const fn not_ready(
    role: &'static str,
    resource: &'static str,
    verb: &'static str,
    given: Given,
    says: &'static str,
) -> Prediction {
    Prediction { role, resource, verb, given, says, loss: Loss::NotReady }
}

// === impl Right ===

impl Right {
    /// All of the manifests.
    fn all(objects: &[Value]) -> Vec<Self> {
        let roles = objects.iter().filter(|object| is_role(object));
        roles.flat_map(|role| role["rules"].as_array().unwrap().iter().flat_map(|rule| Self::of(role, rule))).collect()
    }

    fn of(owner: &Value, rule: &Value) -> Vec<Self> {
        let texts = |field: &str| -> Vec<String> {
            rule[field].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let (groups, resources, verbs) = (texts("apiGroups"), texts("resources"), texts("verbs"));
        assert!(
            groups.len() == 1 && resources.len() == 1,
            "a rule for each resource, so that each is looked at: {rule}"
        );
        let right = |verb| Self {
            role: owner["metadata"]["name"].as_str().unwrap().to_owned(),
            group: groups[0].clone(),
            resource: resources[0].clone(),
            verb,
        };
        verbs.into_iter().map(right).collect()
    }

    fn prediction(&self) -> &'static Prediction {
        let mut found = PREDICTIONS.iter().filter(|prediction| prediction.is_for(self));
        found
            .next()
            .unwrap_or_else(|| panic!("what happens without {self:?}? Say it in PREDICTIONS and docs/security.md"))
    }

    /// The role without this right.
    fn taken_from(&self, role: &Value) -> Value {
        let mut role = role.clone();
        let rules = role["rules"].as_array_mut().unwrap();
        for rule in rules.iter_mut().filter(|rule| rule["resources"][0] == self.resource.as_str()) {
            rule["verbs"].as_array_mut().unwrap().retain(|verb| *verb != self.verb.as_str());
        }
        rules.retain(|rule| rule["verbs"] != json!([]));
        role
    }

    /// Waits until the API server sees it so.
    async fn is_given(&self, cluster: &Cluster, given: bool) {
        let namespace = if matches!(self.resource.as_str(), "secrets" | "pods") { OWN } else { "" };
        let name = match (self.resource.as_str(), self.verb.as_str()) {
            (_, "create" | "list") => "",
            ("secrets", _) => SECRET,
            _ => "zz-native-sidecar",
        };
        within("the API server knows the role", || async {
            (may(cluster, &self.verb, &self.group, &self.resource, namespace, name).await == given).then_some(())
        })
        .await;
    }
}

// === impl Prediction ===

impl Prediction {
    fn is_for(&self, right: &Right) -> bool {
        (self.role, self.resource, self.verb) == (&right.role, &right.resource, &right.verb)
    }

    /// Looks at a replica that lacks the right.
    async fn holds_without(&self, replica: &Process) {
        within(self.says, || async { replica.log().contains(self.says).then_some(()) }).await;
        match self.loss {
            Loss::NotReady => {
                assert!(!replica.is_ready(), "ready without {} of {}", self.verb, self.resource);
                assert!(replica.metric("native_sidecar_managed_certificate_failures_total", "") > 0.0);
            }
            Loss::Unknown { without, .. } => {
                within(without, || async { replica.metrics()?.contains(without).then_some(()) }).await;
                is_ready(replica).await;
            }
            Loss::Untold { with } => {
                is_ready(replica).await;
                assert!(!replica.log().contains(with));
            }
        }
    }

    /// The opposite, so that it is known to come from the right: a replica that has it.
    async fn fails_with(&self, stand_in: &StandIn, without: Process) {
        match self.loss {
            // It does not even have to be restarted.
            Loss::NotReady => is_ready(&without).await,
            Loss::Unknown { with, .. } | Loss::Untold { with } => {
                drop(without);
                let replica = launch(stand_in);
                within(with, || async {
                    (replica.metrics()?.contains(with) || replica.log().contains(with)).then_some(())
                })
                .await;
                is_ready(&replica).await;
                assert!(!replica.log().contains(self.says), "{}", replica.log());
            }
        }
    }
}

fn is_role(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"))
}

fn launch(stand_in: &StandIn) -> Process {
    let address = Ipv4Addr::LOCALHOST.into();
    stand_in.launch(address, super::process::free_port(address))
}

async fn is_ready(replica: &Process) {
    within("the replica is ready", || async { replica.is_ready().then_some(()) }).await;
}

/// Whether the program's service account may do it.
async fn may(cluster: &Cluster, verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let attributes = json!({"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name});
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": "system:serviceaccount:native-sidecar:native-sidecar", "resourceAttributes": attributes},
    });
    cluster.create(&review).await.created()["status"]["allowed"] == true
}

/// A node of which nothing is true but its kubelet's version.
async fn node(cluster: &Cluster) -> Cleanup {
    let name = unique("node");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    let cleanup = cluster.apply(&node).await;
    let info = json!({
        "kubeletVersion": "v1.36.0", "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
        "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": "",
    });
    cluster.merge(&format!("/api/v1/nodes/{name}/status"), &json!({"status": {"nodeInfo": info}})).await.created();
    cleanup
}

/// The Secret as a first installation has it, or none.
async fn reset(cluster: &Cluster, objects: &[Value], given: Given) {
    let path = format!("{}/secrets/{SECRET}", installation::NAMESPACE);
    cluster.send(http::Method::DELETE, &path, None).await;
    if given != Given::NoSecret {
        cluster.update(&manifests::one(objects, "Secret")).await;
    }
}

#[tokio::test]
async fn nothing_works_with_less() {
    let Some(cluster) = Cluster::connect().await else { return };
    let objects = manifests::for_version(cluster.version);
    let Some(stand_in) = StandIn::with_rights(&cluster).await else { return };
    for right in Right::all(&objects) {
        let prediction = right.prediction();
        let role = objects.iter().find(|object| is_role(object) && object["metadata"]["name"] == right.role.as_str());
        let role = role.unwrap();
        reset(&cluster, &objects, prediction.given).await;
        let namespace = cluster.existing_namespace(OWN);
        let _stripper = match prediction.given {
            Given::AStripper => Some(Neighbour::start(&namespace, Place::AfterUs, strip).await),
            _ => None,
        };
        let _node = match prediction.given {
            Given::ANode => Some(node(&cluster).await),
            _ => None,
        };
        cluster.update(&right.taken_from(role)).await;
        right.is_given(&cluster, false).await;
        let replica = launch(&stand_in);
        prediction.holds_without(&replica).await;
        cluster.update(role).await;
        right.is_given(&cluster, true).await;
        prediction.fails_with(&stand_in, replica).await;
    }
}

#[tokio::test]
async fn every_right_is_explained() {
    let Some(cluster) = Cluster::connect().await else { return };
    let rights = Right::all(&manifests::for_version(cluster.version));
    for right in &rights {
        let says = right.prediction().says;
        assert!(DOCUMENT.contains(says), "docs/security.md does not say that without {right:?} the log has: {says}");
    }
    for prediction in PREDICTIONS {
        let known = rights.iter().any(|right| prediction.is_for(right));
        assert!(known, "the manifests give no right to {} {}", prediction.verb, prediction.resource);
    }
}

#[tokio::test]
async fn the_service_account_may_do_nothing_else() {
    let Some(cluster) = Cluster::connect().await else { return };
    if is_installed() {
        return;
    }
    let _installation = installation::self_managed(&cluster, None).await;
    let may = async |verb: &str, group: &str, resource: &str, namespace: &str, name: &str| {
        may(&cluster, verb, group, resource, namespace, name).await
    };
    assert!(may("update", "", "secrets", OWN, "native-sidecar-certificate").await);
    assert!(!may("get", "", "secrets", OWN, "another").await);
    assert!(!may("patch", "", "secrets", OWN, "native-sidecar-certificate").await);
    assert!(!may("delete", "", "secrets", OWN, "native-sidecar-certificate").await);
    assert!(may("create", "", "secrets", OWN, "").await);
    assert!(!may("create", "", "secrets", "default", "").await);
    assert!(!may("list", "", "secrets", OWN, "").await);
    assert!(!may("get", "", "secrets", "default", "native-sidecar-certificate").await);
    assert!(!may("create", "", "pods", "default", "").await);
    let registrations = "mutatingwebhookconfigurations";
    assert!(may("patch", "admissionregistration.k8s.io", registrations, "", "zz-native-sidecar").await);
    assert!(!may("patch", "admissionregistration.k8s.io", registrations, "", "another").await);
    assert!(!may("create", "admissionregistration.k8s.io", registrations, "", "").await);
}
