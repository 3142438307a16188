//! Client certificates: the API server shows one because it was told to (`certs/make-client`), and nobody else is
//! answered.

use super::{
    cluster::{Cluster, note, within},
    installation, manifests,
    process::Process,
    replicas::{own_image, rolled_out},
    stand_in::{NAME, StandIn, converted, converts_now, environment},
};
use serde_json::{Value, json};
use std::{env, fs, path::PathBuf};

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-native-sidecar";

/// Handshakes that the webhook ended, the certificates of strangers among them.
const FAILED: &str = "native_sidecar_tls_handshake_failures_total";

/// The CA whose certificate this API server shows.
fn client_ca() -> Option<PathBuf> {
    let path = env::var_os("CLUSTER_STATE").map(|state| PathBuf::from(state).join("admission/ca.crt"));
    let path = path.filter(|path| path.exists());
    if path.is_none() {
        note("this API server was not told to show a client certificate: mutual TLS not looked at");
    }
    path
}

/// The webhook as the overlay mutual-tls runs it, but for where the CA is.
fn asking_for_certificates(stand_in: &StandIn, port: u16, changes: &[(&str, &str)]) -> Process {
    let pair = stand_in.authority.issue_for(&[NAME, &stand_in.address.to_string()]);
    Process::start_with(stand_in.address, port, &pair, |command| {
        let overlay = environment(&manifests::overlay("mutual-tls"));
        command.envs(overlay.into_iter().filter(|(name, _)| name.starts_with("NATIVE_SIDECAR_CLIENT_")));
        command.envs(changes.iter().copied());
    })
}

/// Waits until a call has failed in the handshake, for this reason; no pod is converted meanwhile, and none refused.
async fn refuses(cluster: &Cluster, webhook: &Process, reason: &str) {
    within(reason, || async {
        assert!(!converts_now(cluster).await, "a pod was converted for a stranger");
        (webhook.metric(FAILED, "") > 0.0 && webhook.log().contains(reason)).then_some(())
    })
    .await;
}

/// Has the API server call the webhook in another way.
async fn called_at(cluster: &Cluster, change: impl Fn(&mut Value)) {
    let mut registration = cluster.get(REGISTRATION).await.created();
    for webhook in registration["webhooks"].as_array_mut().unwrap() {
        change(&mut webhook["clientConfig"]);
    }
    cluster.merge(REGISTRATION, &json!({"webhooks": registration["webhooks"]})).await.created();
}

#[tokio::test]
async fn the_api_server_is_answered_with_its_certificate() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(ca) = client_ca() else { return };
    let Some(stand_in) = StandIn::with_files(&cluster).await else { return };
    let _webhook = asking_for_certificates(&stand_in, 443, &[("NATIVE_SIDECAR_CLIENT_CA", ca.to_str().unwrap())]);
    converted(&cluster, "the API server shows its certificate").await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(_) = client_ca() else { return };
    let Some(stand_in) = StandIn::with_files(&cluster).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("ca.crt");
    fs::write(&other, super::certificates::Authority::new().bundle()).unwrap();
    let webhook = asking_for_certificates(&stand_in, 443, &[("NATIVE_SIDECAR_CLIENT_CA", other.to_str().unwrap())]);
    refuses(&cluster, &webhook, "UnknownIssuer").await;
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(ca) = client_ca() else { return };
    let Some(stand_in) = StandIn::with_files(&cluster).await else { return };
    let ca = ("NATIVE_SIDECAR_CLIENT_CA", ca.to_str().unwrap());
    let other = ("NATIVE_SIDECAR_CLIENT_NAME", "another-apiserver,kubernetes");
    let webhook = asking_for_certificates(&stand_in, 443, &[ca, other]);
    refuses(&cluster, &webhook, "NotValidForName").await;
}

/// What an API server does that was told nothing. By URL, the user of the kubeconfig would be `ADDRESS:PORT`.
#[tokio::test]
async fn an_api_server_without_a_certificate_is_refused() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(ca) = client_ca() else { return };
    let Some(stand_in) = StandIn::with_files(&cluster).await else { return };
    let webhook = asking_for_certificates(&stand_in, 443, &[("NATIVE_SIDECAR_CLIENT_CA", ca.to_str().unwrap())]);
    converted(&cluster, "the API server shows its certificate").await;
    let url = |client: &mut Value| {
        let path = client["service"]["path"].as_str().unwrap();
        let url = format!("https://{}{path}", stand_in.address);
        *client = json!({"url": url, "caBundle": client["caBundle"], "service": null});
    };
    called_at(&cluster, url).await;
    // Until it acts on that, it shows its certificate.
    within("the API server calls by URL", || async { (!converts_now(&cluster).await).then_some(()) }).await;
    refuses(&cluster, &webhook, "peer sent no certificates").await;
}

/// At another port than 443 the user's name needs the port, so this one is not meant.
#[tokio::test]
async fn the_certificate_is_not_shown_at_another_port() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(ca) = client_ca() else { return };
    let Some(stand_in) = StandIn::with_files(&cluster).await else { return };
    let service = format!("{}/services/native-sidecar", installation::NAMESPACE);
    let ports = json!([{"name": "https", "port": 443}, {"name": "other", "port": 8443}]);
    cluster.merge(&service, &json!({"spec": {"ports": ports}})).await.created();
    called_at(&cluster, |client| client["service"]["port"] = 8443.into()).await;
    let webhook = asking_for_certificates(&stand_in, 8443, &[("NATIVE_SIDECAR_CLIENT_CA", ca.to_str().unwrap())]);
    refuses(&cluster, &webhook, "peer sent no certificates").await;
}

#[tokio::test]
async fn replicas_in_the_cluster_answer_the_api_server_alone() {
    let Some(cluster) = Cluster::connect().await else { return };
    let Some(image) = own_image(&cluster).await else { return };
    let Some(ca) = client_ca() else { return };
    let _installation = installation::mutual_tls(&cluster, &fs::read_to_string(ca).unwrap(), &image).await;
    rolled_out(&cluster).await;
    converted(&cluster, "the API server shows its certificate").await;
}
