//! This machine in place of the Service's pods: it listens where the API server looks for them.

use super::{
    certificates::Authority,
    cluster::{Cleanup, Cluster, note, within},
    installation, manifests,
    pods::annotated,
    process::Process,
    webhook::{is_converted, is_installed},
};
use serde_json::{Value, json};
use std::{
    env, fs,
    net::{IpAddr, TcpListener},
};

/// The name that the API server wants to see in the certificate.
pub(crate) const NAME: &str = "native-sidecar.native-sidecar.svc";

/// The manifests, and the address under which the API server looks for the webhook.
pub(crate) struct StandIn {
    pub(crate) address: IpAddr,
    /// Of whom `caBundle` trusts, where certificates come from files.
    pub(crate) authority: Authority,
    kubeconfig: String,
    _cleanup: Cleanup,
}

// === impl StandIn ===

impl StandIn {
    /// Applies the default overlay where this machine can stand in for the Service. The program is to make its
    /// certificates, with the rights of its service account.
    pub(crate) async fn with_rights(cluster: &Cluster) -> Option<Self> {
        if !is_possible(cluster).await || !Process::manages_certificates() {
            return None;
        }
        let cleanup = installation::self_managed(cluster, None).await;
        Self::at_the_service(cluster, Authority::new(), cleanup).await
    }

    /// The same with certificates from files and no rights.
    pub(crate) async fn with_files(cluster: &Cluster) -> Option<Self> {
        if !is_possible(cluster).await {
            return None;
        }
        let authority = Authority::new();
        let cleanup = installation::by_hand(cluster, &authority, None).await;
        Self::at_the_service(cluster, authority, cleanup).await
    }

    async fn at_the_service(cluster: &Cluster, authority: Authority, cleanup: Cleanup) -> Option<Self> {
        let service = cluster.get(&format!("{}/services/native-sidecar", installation::NAMESPACE)).await.created();
        let address: IpAddr = service["spec"]["clusterIP"].as_str().unwrap().parse().unwrap();
        if TcpListener::bind((address, 443)).is_err() {
            note("port 443 may not be listened on here (root may): the webhook as a Service not looked at");
            return None;
        }
        Some(Self { address, authority, kubeconfig: kubeconfig(cluster).await, _cleanup: cleanup })
    }

    /// A replica, with the environment that the Deployment gives it. Returns when it is ready.
    pub(crate) fn replica(&self, address: IpAddr, port: u16) -> Process {
        let mut process = self.launch(address, port);
        process.wait_until_ready();
        process
    }

    /// The replica that the API server calls.
    pub(crate) fn serving(&self) -> Process {
        self.replica(self.address, 443)
    }

    /// The same without waiting until it is ready.
    pub(crate) fn launch(&self, address: IpAddr, port: u16) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        fs::write(&file, &self.kubeconfig).unwrap();
        let mut command = Process::command();
        // A waiting time for clusters whose API servers are far from each other; this one has one.
        command.env("NATIVE_SIDECAR_CA_PROPAGATION", "3s");
        command.env("KUBECONFIG", file).env("POD_NAMESPACE", "native-sidecar");
        command.envs(environment(manifests::self_managed()));
        Process::launch(command, folder, address, port)
    }
}

async fn is_possible(cluster: &Cluster) -> bool {
    let possible = !is_installed() && !cluster.has_nodes().await;
    if !possible {
        note("the address of a Service is no address of this machine: the webhook as a Service not looked at");
    }
    possible
}

/// What an overlay's Deployment sets, but for what only the kubelet knows.
pub(crate) fn environment(overlay: &[Value]) -> Vec<(String, String)> {
    let deployment = manifests::one(overlay, "Deployment");
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let set = |variable: &Value| Some((variable["name"].as_str()?.to_owned(), variable["value"].as_str()?.to_owned()));
    variables.iter().filter_map(set).collect()
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
pub(crate) async fn converted(cluster: &Cluster, what: &str) {
    within(what, || async { converts_now(cluster).await.then_some(()) }).await;
}

/// Whether a pod that asks for it is converted now.
pub(crate) async fn converts_now(cluster: &Cluster) -> bool {
    let pods = "/api/v1/namespaces/default/pods?dryRun=All";
    is_converted(&cluster.send(http::Method::POST, pods, Some(&annotated())).await.created())
}
