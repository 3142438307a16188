//! The webhook that makes its own certificates and looks at the cluster, with the permissions of its service account
//! and no others.

use super::{
    cluster::{Cleanup, Cluster, note, within},
    installation, manifests,
    pods::annotated,
    process::Process,
    stream::during,
    webhook::{is_converted, is_installed},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    env, fs,
    net::{IpAddr, TcpListener},
};

const NAME: &str = "native-sidecar.native-sidecar.svc";
const SECRET: &str = "/api/v1/namespaces/native-sidecar/secrets/native-sidecar-certificate";
const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-native-sidecar";

/// The manifests, and the address under which the API server looks for the webhook.
struct Installation {
    address: IpAddr,
    kubeconfig: String,
    _cleanup: Cleanup,
}

// === impl Installation ===

impl Installation {
    /// Applies the manifests where this machine can stand in for the Service.
    async fn new(cluster: &Cluster) -> Option<Self> {
        if is_installed() || cluster.has_nodes().await {
            note("the address of a Service is no address of this machine: self-managed certificates not looked at");
            return None;
        }
        if !Process::manages_certificates() {
            return None;
        }
        let cleanup = installation::self_managed(cluster, None).await;
        let service = cluster.get(&format!("{}/services/native-sidecar", installation::NAMESPACE)).await.created();
        let address: IpAddr = service["spec"]["clusterIP"].as_str().unwrap().parse().unwrap();
        if TcpListener::bind((address, 443)).is_err() {
            note("port 443 may not be listened on here (root may): self-managed certificates not looked at");
            return None;
        }
        Some(Self { address, kubeconfig: kubeconfig(cluster).await, _cleanup: cleanup })
    }

    /// A replica, with the environment that the Deployment gives it.
    fn replica(&self, address: IpAddr, port: u16) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        fs::write(&file, &self.kubeconfig).unwrap();
        let mut command = Process::command();
        // A waiting time for clusters whose API servers are far from each other; this one has one.
        command.env("NATIVE_SIDECAR_CA_PROPAGATION", "3s");
        command.env("KUBECONFIG", file).env("POD_NAMESPACE", "native-sidecar");
        let deployment = manifests::one(manifests::self_managed(), "Deployment");
        for variable in deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap() {
            if let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) {
                command.env(name, value);
            }
        }
        Process::spawn(command, folder, address, port)
    }

    /// The replica that the API server calls.
    fn serving(&self) -> Process {
        self.replica(self.address, 443)
    }
}

/// Credentials of the service account and nobody else's.
async fn kubeconfig(cluster: &Cluster) -> String {
    let path = format!("{}/serviceaccounts/native-sidecar/token", installation::NAMESPACE);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = cluster.send(http::Method::POST, &path, Some(&request)).await.created();
    let own = manifests::documents(&fs::read_to_string(env::var("KUBECONFIG").unwrap()).unwrap()).remove(0);
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "webhook", "clusters": own["clusters"],
        "users": [{"name": "webhook", "user": {"token": token["status"]["token"]}}],
        "contexts": [{"name": "webhook", "context": {
            "cluster": own["clusters"][0]["name"], "user": "webhook", "namespace": "native-sidecar",
        }}],
    })
    .to_string()
}

/// Waits until the API server trusts the webhook and calls it.
async fn converted(cluster: &Cluster, what: &str) {
    within(what, || async {
        let pods = "/api/v1/namespaces/default/pods?dryRun=All";
        let reply = cluster.send(http::Method::POST, pods, Some(&annotated())).await;
        is_converted(&reply.created()).then_some(())
    })
    .await;
}

fn bundles(registration: &Value) -> Vec<String> {
    let webhooks = registration["webhooks"].as_array().unwrap();
    let bundle = |webhook: &Value| webhook["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned();
    webhooks.iter().map(bundle).collect()
}

#[tokio::test]
async fn certificates_are_made_and_trusted() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(installation) = Installation::new(&cluster).await else { return };
    let _replica = installation.serving();
    converted(&cluster, "the API server trusts the certificate").await;
    for bundle in bundles(&cluster.get(REGISTRATION).await.created()) {
        assert!(String::from_utf8(STANDARD.decode(bundle).unwrap()).unwrap().contains("BEGIN CERTIFICATE"));
    }
}

#[tokio::test]
async fn an_emptied_bundle_is_restored() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(installation) = Installation::new(&cluster).await else { return };
    let _replica = installation.serving();
    converted(&cluster, "the API server trusts the certificate").await;
    let mut registration = cluster.get(REGISTRATION).await.created();
    let before = bundles(&registration);
    for webhook in registration["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"]["caBundle"] = "".into();
    }
    cluster.merge(REGISTRATION, &json!({"webhooks": registration["webhooks"]})).await.created();
    within("the bundle is restored", || async {
        (bundles(&cluster.get(REGISTRATION).await.created()) == before).then_some(())
    })
    .await;
    converted(&cluster, "pods are converted again").await;
}

#[tokio::test]
async fn replicas_that_start_together_share_one_authority() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(installation) = Installation::new(&cluster).await else { return };
    let (first, second) = std::thread::scope(|scope| {
        let other = scope
            .spawn(|| installation.replica([127, 0, 0, 1].into(), super::process::free_port([127, 0, 0, 1].into())));
        (installation.serving(), other.join().unwrap())
    });
    converted(&cluster, "the API server trusts the first").await;
    let bundle = bundles(&cluster.get(REGISTRATION).await.created()).remove(0);
    let bundle = String::from_utf8(STANDARD.decode(bundle).unwrap()).unwrap();
    for process in [&first, &second] {
        assert!(process.serves_as(NAME, &bundle), "{}", process.log());
    }
}

/// A new authority is asked for by removing the key of the old one.
#[tokio::test]
async fn no_pod_is_missed_while_the_authority_is_replaced() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(installation) = Installation::new(&cluster).await else { return };
    let replica = installation.serving();
    converted(&cluster, "the API server trusts the certificate").await;
    let namespace = cluster.namespace().await;
    let before = authorities(&cluster).await;
    let replace = async {
        cluster.merge(SECRET, &json!({"data": {"ca.key": null}})).await.created();
        within("a certificate of a new authority is served", || async {
            let new: String = authorities(&cluster).await.difference(&before).cloned().collect();
            (!new.is_empty() && replica.serves_as(NAME, &new)).then_some(())
        })
        .await;
    };
    assert_eq!(during("a replaced authority", &namespace, replace).await, 0, "pods were missed");
}

/// The authorities in the Secret, as PEM.
async fn authorities(cluster: &Cluster) -> BTreeSet<String> {
    let secret = cluster.get(SECRET).await.created();
    let pem = STANDARD.decode(secret["data"]["ca.crt"].as_str().unwrap()).unwrap();
    String::from_utf8(pem).unwrap().split_inclusive("-----END CERTIFICATE-----\n").map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn an_emptied_certificate_is_made_again() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(installation) = Installation::new(&cluster).await else { return };
    let _replica = installation.serving();
    converted(&cluster, "the API server trusts the certificate").await;
    cluster.merge(SECRET, &json!({"data": null})).await.created();
    within("the Secret is filled again", || is_filled(&cluster)).await;
    converted(&cluster, "pods are converted again").await;
}

/// The replica has the rights of the service account and no others, so nobody else makes the Secret.
#[tokio::test]
async fn a_deleted_certificate_is_made_again() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(installation) = Installation::new(&cluster).await else { return };
    let _replica = installation.serving();
    converted(&cluster, "the API server trusts the certificate").await;
    let before = cluster.get(SECRET).await.created()["metadata"]["uid"].clone();
    cluster.send(http::Method::DELETE, SECRET, None).await.created();
    within("the Secret is there again", || is_filled(&cluster)).await;
    assert_ne!(cluster.get(SECRET).await.created()["metadata"]["uid"], before);
    converted(&cluster, "pods are converted again").await;
    // Applying the manifests again, as an upgrade does, must be possible with the Secret that the program made.
    cluster.update(&manifests::one(manifests::self_managed(), "Secret")).await;
    assert!(is_filled(&cluster).await.is_some());
}

/// Whether the Secret is there and holds something.
async fn is_filled(cluster: &Cluster) -> Option<()> {
    let secret = cluster.get(SECRET).await.object;
    secret["data"].as_object().filter(|data| !data.is_empty()).map(|_| ())
}

#[tokio::test]
async fn the_service_account_may_do_nothing_else() {
    let Some(cluster) = Cluster::connect().await else { return };
    if is_installed() {
        return;
    }
    let _installation = installation::self_managed(&cluster, None).await;
    let may = async |verb: &str, group: &str, resource: &str, namespace: &str, name: &str| {
        let attributes =
            json!({"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name});
        let account = "system:serviceaccount:native-sidecar:native-sidecar";
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": account, "resourceAttributes": attributes},
        });
        cluster.create(&review).await.created()["status"]["allowed"] == true
    };
    let own = "native-sidecar";
    assert!(may("update", "", "secrets", own, "native-sidecar-certificate").await);
    assert!(!may("get", "", "secrets", own, "another").await);
    assert!(!may("patch", "", "secrets", own, "native-sidecar-certificate").await);
    assert!(!may("delete", "", "secrets", own, "native-sidecar-certificate").await);
    assert!(may("create", "", "secrets", own, "").await);
    assert!(!may("create", "", "secrets", "default", "").await);
    assert!(!may("list", "", "secrets", own, "").await);
    assert!(!may("get", "", "secrets", "default", "native-sidecar-certificate").await);
    assert!(!may("create", "", "pods", "default", "").await);
    let registrations = "mutatingwebhookconfigurations";
    assert!(may("patch", "admissionregistration.k8s.io", registrations, "", "zz-native-sidecar").await);
    assert!(!may("patch", "admissionregistration.k8s.io", registrations, "", "another").await);
    assert!(!may("create", "admissionregistration.k8s.io", registrations, "", "").await);
}
