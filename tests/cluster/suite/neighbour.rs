//! Other people's webhooks: a function from a pod to JSON Patch operations, behind HTTPS.

use super::{
    certificates::Authority,
    cluster::{Cleanup, Namespace, eventually, unique},
    pods,
    webhook::host,
};
use axum::{Router, body::Bytes, extract::DefaultBodyLimit, routing::post};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What a neighbour does to a pod.
type Mutation = dyn Fn(&Value) -> Vec<Value> + Send + Sync;

/// A webhook of somebody else's, in force in one namespace.
pub(crate) struct Neighbour {
    handle: Handle<SocketAddr>,
    _cleanup: Cleanup,
}

/// When the API server calls a neighbour: webhooks are called in the order of their names.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    BeforeUs,
    AfterUs,
}

// === impl Neighbour ===

impl Neighbour {
    /// Starts a neighbour that is called once for each pod of the namespace.
    pub(crate) async fn start<F>(namespace: &Namespace<'_>, place: Place, mutation: F) -> Self
    where
        F: Fn(&Value) -> Vec<Value> + Send + Sync + 'static,
    {
        Self::start_with(namespace, place, "Never", mutation).await
    }

    /// The same for a neighbour that wants to see what others changed after it.
    pub(crate) async fn reinvoked<F>(namespace: &Namespace<'_>, place: Place, mutation: F) -> Self
    where
        F: Fn(&Value) -> Vec<Value> + Send + Sync + 'static,
    {
        Self::start_with(namespace, place, "IfNeeded", mutation).await
    }

    async fn start_with<F>(namespace: &Namespace<'_>, place: Place, reinvocation: &str, mutation: F) -> Self
    where
        F: Fn(&Value) -> Vec<Value> + Send + Sync + 'static,
    {
        let authority = Authority::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let (address, handle) = serve(&authority, Arc::new(mutation), Arc::clone(&calls)).await;
        let configuration = place.configuration(&namespace.name, reinvocation, address, &authority);
        let cleanup = namespace.cluster.apply(&configuration).await;
        eventually("the API server calls the neighbour", || async {
            namespace.dry_run(pods::with_sidecars(&[])).await;
            calls.load(Ordering::Relaxed) > 0
        })
        .await;
        Self { handle, _cleanup: cleanup }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

async fn serve(
    authority: &Authority,
    mutation: Arc<Mutation>,
    calls: Arc<AtomicUsize>,
) -> (SocketAddr, Handle<SocketAddr>) {
    let pair = authority.issue(&host().to_string());
    let tls = RustlsConfig::from_pem(pair.certificate.into(), pair.key.into()).await.unwrap();
    let listener = TcpListener::bind((host(), 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Handle::new();
    let answer = move |body: Bytes| async move {
        calls.fetch_add(1, Ordering::Relaxed);
        answer(&body, &*mutation)
    };
    let router = Router::new().route("/", post(answer)).layer(DefaultBodyLimit::disable());
    let server = axum_server::from_tcp_rustls(listener, tls).unwrap().handle(handle.clone());
    tokio::spawn(server.serve(router.into_make_service()));
    (address, handle)
}

fn answer(body: &[u8], mutation: &Mutation) -> String {
    let review: Value = serde_json::from_slice(body).unwrap();
    let request = &review["request"];
    let patch = Value::from(mutation(&request["object"]));
    let response = json!({
        "uid": request["uid"], "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string()),
    });
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).to_string()
}

// === impl Place ===

impl Place {
    const fn prefix(self) -> &'static str {
        match self {
            Self::BeforeUs => "aa-neighbour",
            Self::AfterUs => "zzz-neighbour",
        }
    }

    fn configuration(self, namespace: &str, reinvocation: &str, address: SocketAddr, authority: &Authority) -> Value {
        let client = json!({"url": format!("https://{address}/"), "caBundle": STANDARD.encode(authority.bundle())});
        let pods = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": unique(self.prefix())},
            "webhooks": [{
                "name": "neighbour.example.com", "clientConfig": client, "rules": [pods],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "failurePolicy": "Fail", "reinvocationPolicy": reinvocation, "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }],
        })
    }
}
