//! The webhook that makes its own certificates and looks at the cluster, with the permissions of its service account
//! and no others.

use super::{
    cluster::{Cluster, within},
    manifests,
    stand_in::{NAME, StandIn, converted},
    stream::during,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SECRET: &str = "/api/v1/namespaces/native-sidecar/secrets/native-sidecar-certificate";
const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-native-sidecar";

fn bundles(registration: &Value) -> Vec<String> {
    let webhooks = registration["webhooks"].as_array().unwrap();
    let bundle = |webhook: &Value| webhook["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned();
    webhooks.iter().map(bundle).collect()
}

#[tokio::test]
async fn certificates_are_made_and_trusted() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(installation) = StandIn::with_rights(&cluster).await else { return };
    let _replica = installation.serving();
    converted(&cluster, "the API server trusts the certificate").await;
    for bundle in bundles(&cluster.get(REGISTRATION).await.created()) {
        assert!(String::from_utf8(STANDARD.decode(bundle).unwrap()).unwrap().contains("BEGIN CERTIFICATE"));
    }
}

#[tokio::test]
async fn an_emptied_bundle_is_restored() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(installation) = StandIn::with_rights(&cluster).await else { return };
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
    let Some(installation) = StandIn::with_rights(&cluster).await else { return };
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
    let Some(installation) = StandIn::with_rights(&cluster).await else { return };
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
    let Some(installation) = StandIn::with_rights(&cluster).await else { return };
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
    let Some(installation) = StandIn::with_rights(&cluster).await else { return };
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
