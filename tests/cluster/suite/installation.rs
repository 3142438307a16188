//! The manifests as a whole, applied as they are but for the image.

use super::{
    certificates::Authority,
    cluster::{Cleanup, Cluster, eventually},
    manifests,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

pub(crate) const NAMESPACE: &str = "/api/v1/namespaces/native-sidecar";
pub(crate) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/native-sidecar/deployments/native-sidecar";

/// Applies the default overlay, or the one for 1.29; gone again when dropped.
pub(crate) async fn self_managed(cluster: &Cluster, image: Option<&str>) -> Cleanup {
    apply(cluster, manifests::for_version(cluster.version), image).await
}

/// Applies the overlay for certificates by hand, and such a certificate.
pub(crate) async fn by_hand(cluster: &Cluster, authority: &Authority, image: Option<&str>) -> Cleanup {
    let bundle = STANDARD.encode(authority.bundle());
    let overlay = if cluster.has_admission_policies() { "manual-certs" } else { "kubernetes-1.29-manual-certs" };
    let mut objects = manifests::overlay(overlay);
    let registration = objects.iter_mut().find(|object| object["kind"] == "MutatingWebhookConfiguration");
    for webhook in registration.unwrap()["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"]["caBundle"] = bundle.as_str().into();
    }
    let position = objects.iter().position(|object| object["kind"] == "Namespace").unwrap();
    objects.insert(position + 1, secret(authority));
    apply(cluster, objects, image).await
}

/// Applies the overlay that asks for client certificates of this CA.
pub(crate) async fn mutual_tls(cluster: &Cluster, client_ca: &str, image: &str) -> Cleanup {
    let overlay = if cluster.has_admission_policies() { "mutual-tls" } else { "kubernetes-1.29-mutual-tls" };
    let mut objects = manifests::overlay(overlay);
    let position = objects.iter().position(|object| object["kind"] == "Namespace").unwrap();
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "native-sidecar-client-ca", "namespace": "native-sidecar"}, "data": {"ca.crt": client_ca},
    });
    objects.insert(position + 1, config_map);
    apply(cluster, objects, Some(image)).await
}

fn secret(authority: &Authority) -> Value {
    let pair = authority.issue("native-sidecar.native-sidecar.svc");
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "native-sidecar-tls", "namespace": "native-sidecar"},
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key},
    })
}

async fn apply(cluster: &Cluster, objects: Vec<Value>, image: Option<&str>) -> Cleanup {
    // A namespace that is still going away would take the new objects with it.
    eventually("an earlier installation is gone", || async { cluster.get(NAMESPACE).await.status == 404 }).await;
    let mut cleanup = Cleanup::none();
    for mut object in objects {
        if let Some(image) = image.filter(|_| object["kind"] == "Deployment") {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
        }
        cleanup = cleanup.and(cluster.apply(&object).await);
    }
    cleanup
}
