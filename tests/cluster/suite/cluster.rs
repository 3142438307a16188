//! A client that sees what the API server says, warnings included, and cleans up after itself.

use http::{Method, Request};
use kube::{Client, Config, client::Body};
use native_sidecar_core::version::Version;
use serde_json::{Value, json};
use std::{
    env,
    future::Future,
    io::Write,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, MutexGuard};

/// How long anything may take that is waited for: far longer than a busy machine needs. What is waited for is always
/// a state, so a short time would gain nothing but failures that mean nothing.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// All tests register the webhook under the same name, so they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// A cluster, for as long as it is this test's turn.
pub(crate) struct Cluster {
    client: Client,
    pub(crate) version: Version,
    _turn: MutexGuard<'static, ()>,
}

/// What the API server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The object, or a `Status` that says what is wrong.
    pub(crate) object: Value,
    /// The `Warning` headers, without their frame.
    pub(crate) warnings: Vec<String>,
}

/// Objects that are deleted at the end of a test, in reverse order.
#[must_use]
pub(crate) struct Cleanup(Vec<String>);

/// A namespace of a test's own.
pub(crate) struct Namespace<'c> {
    pub(crate) name: String,
    pub(crate) cluster: &'c Cluster,
    _cleanup: Cleanup,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster that the environment names; `None`, with one line for all tests, where it names none.
    pub(crate) async fn connect() -> Option<Self> {
        if env::var_os("KUBECONFIG").is_none_or(|path| path.is_empty()) {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                note("cluster tests skipped: KUBECONFIG names no cluster (tests/cluster/run starts some)");
            });
            return None;
        }
        let turn = TURN.lock().await;
        let client = client().await;
        let version = client.apiserver_version().await.unwrap().git_version.parse().unwrap();
        Some(Self { client, version, _turn: turn })
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        send(&self.client, method, path, "application/json", body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    /// What is no JSON, such as logs; empty where there is none yet.
    pub(crate) async fn text(&self, path: &str) -> String {
        let request = Request::get(path).body(Vec::new()).unwrap();
        self.client.request_text(request).await.unwrap_or_default()
    }

    /// Creates an object, in its own namespace where it names one.
    pub(crate) async fn create(&self, object: &Value) -> Reply {
        self.send(Method::POST, &collection(object), Some(object)).await
    }

    /// Creates an object, or takes over the one that is there, until the end of the test.
    pub(crate) async fn apply(&self, object: &Value) -> Cleanup {
        self.update(object).await;
        Cleanup(vec![path(object)])
    }

    /// Changes an object that somebody else cleans up.
    pub(crate) async fn update(&self, object: &Value) {
        let path = format!("{}?fieldManager=cluster-tests&force=true", path(object));
        send(&self.client, Method::PATCH, &path, "application/apply-patch+yaml", Some(object)).await.created();
    }

    /// A JSON merge patch.
    pub(crate) async fn merge(&self, path: &str, change: &Value) -> Reply {
        send(&self.client, Method::PATCH, path, "application/merge-patch+json", Some(change)).await
    }

    /// A new namespace with a service account, so that pods can be created in it.
    pub(crate) async fn namespace(&self) -> Namespace<'_> {
        self.labelled_namespace(&json!({})).await
    }

    pub(crate) async fn labelled_namespace(&self, labels: &Value) -> Namespace<'_> {
        let metadata = json!({"generateName": "native-sidecar-test-", "labels": labels});
        let reply = self.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
        let name = reply.created()["metadata"]["name"].as_str().unwrap().to_owned();
        let cleanup = Cleanup(vec![format!("/api/v1/namespaces/{name}")]);
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        eventually("the namespace has a service account", || async { self.get(&account).await.exists() }).await;
        Namespace { name, cluster: self, _cleanup: cleanup }
    }

    /// One that somebody else cleans up.
    pub(crate) fn existing_namespace(&self, name: &str) -> Namespace<'_> {
        Namespace { name: name.to_owned(), cluster: self, _cleanup: Cleanup::none() }
    }

    /// Whether `ValidatingAdmissionPolicy` v1 exists.
    pub(crate) fn has_admission_policies(&self) -> bool {
        self.version >= Version::new(1, 30, 0)
    }

    /// Whether pods run here.
    pub(crate) async fn has_nodes(&self) -> bool {
        let nodes = self.get("/api/v1/nodes?limit=1").await.object;
        nodes["items"].as_array().is_some_and(|nodes| !nodes.is_empty())
    }
}

async fn client() -> Client {
    // A second test may have installed it already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::try_from(Config::infer().await.unwrap()).unwrap()
}

async fn send(client: &Client, method: Method, path: &str, kind: &str, body: Option<&Value>) -> Reply {
    let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let request = Request::builder().method(method).uri(path).header("Content-Type", kind).body(Body::from(body));
    reply(client, request.unwrap()).await
}

async fn reply(client: &Client, request: Request<Body>) -> Reply {
    let response = client.send(request).await.unwrap();
    let status = response.status().as_u16();
    let warnings =
        response.headers().get_all("Warning").iter().map(|value| unframed(&String::from_utf8_lossy(value.as_bytes())));
    let warnings = warnings.collect();
    let body = response.into_body().collect_bytes().await.unwrap();
    let object = serde_json::from_slice(&body).unwrap();
    Reply { status, object, warnings }
}

/// `299 - "text"` -> `text` (RFC 7234, 5.5).
fn unframed(warning: &str) -> String {
    let text = warning.splitn(3, ' ').nth(2).unwrap_or_default();
    text.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\")
}

/// Where objects of this kind are created.
fn collection(object: &Value) -> String {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let group = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let kind = kind.to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{plural}"),
        None => format!("{group}/{plural}"),
    }
}

fn path(object: &Value) -> String {
    format!("{}/{}", collection(object), object["metadata"]["name"].as_str().unwrap())
}

/// Repeats a question until its answer is yes. Ends the test where it stays no.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, question: impl Fn() -> F) {
    within(what, || async { question().await.then_some(()) }).await;
}

/// Repeats a question until there is an answer.
pub(crate) async fn within<T, F: Future<Output = Option<T>>>(what: &str, question: impl Fn() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A line for whoever runs the tests. Not `eprintln!`, which the test harness swallows when a test passes.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A name that no other object of this run has.
pub(crate) fn unique(prefix: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

// === impl Reply ===

impl Reply {
    pub(crate) const fn exists(&self) -> bool {
        self.status < 300
    }

    /// The object; ends the test where the API server refused it.
    #[track_caller]
    pub(crate) fn created(self) -> Value {
        assert!(self.exists(), "refused with {}: {}", self.status, self.object);
        self.object
    }

    /// What the API server said against it; ends the test where it said nothing.
    #[track_caller]
    pub(crate) fn refusal(&self) -> &str {
        assert!(!self.exists(), "expected a refusal, got {}", self.object);
        self.object["message"].as_str().unwrap_or_default()
    }
}

// === impl Namespace ===

impl Namespace<'_> {
    /// Creates an object in here.
    pub(crate) async fn create(&self, object: Value) -> Reply {
        self.cluster.create(&self.inside(object)).await
    }

    /// Asks what would be created: the whole admission and validation, without storing anything.
    pub(crate) async fn dry_run(&self, object: Value) -> Reply {
        let object = self.inside(object);
        self.cluster.send(Method::POST, &format!("{}?dryRun=All", collection(&object)), Some(&object)).await
    }

    /// The object as it is stored now.
    pub(crate) async fn stored(&self, object: &Value) -> Reply {
        self.cluster.get(&path(object)).await
    }

    /// Pods with a label, such as those of a controller.
    pub(crate) async fn pods(&self, selector: &str) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{}/pods?labelSelector={selector}", self.name);
        self.cluster.get(&path).await.created()["items"].as_array().unwrap().clone()
    }

    /// A cell of the table that kubectl prints: of the object of that name, or the first.
    pub(crate) async fn column(&self, resource: &str, name: &str, column: &str) -> Option<String> {
        let group = if resource.starts_with("jobs") { "/apis/batch/v1" } else { "/api/v1" };
        let path = format!("{group}/namespaces/{}/{resource}", self.name);
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let request = Request::get(path).header("Accept", accept).body(Body::empty()).unwrap();
        let table = reply(&self.cluster.client, request).await.created();
        let index =
            table["columnDefinitions"].as_array()?.iter().position(|definition| definition["name"] == column)?;
        let mut rows = table["rows"].as_array()?.iter().map(|row| &row["cells"]);
        let row = rows.find(|cells| name.is_empty() || cells[0] == name)?;
        Some(row[index].as_str()?.to_owned())
    }

    /// Where a pod of this name is.
    pub(crate) fn pod_path(&self, pod: &str) -> String {
        format!("/api/v1/namespaces/{}/pods/{pod}", self.name)
    }

    fn inside(&self, mut object: Value) -> Value {
        object["metadata"]["namespace"] = self.name.as_str().into();
        object
    }
}

// === impl Cleanup ===

impl Cleanup {
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }
}

/// Also when a test fails. A thread and client of its own: the test's runtime may not be entered again.
impl Drop for Cleanup {
    fn drop(&mut self) {
        let paths = std::mem::take(&mut self.0);
        if paths.is_empty() {
            return;
        }
        let work = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = client().await;
                for path in paths.iter().rev() {
                    send(&client, Method::DELETE, path, "application/json", Some(&deletion())).await;
                }
            });
        });
        if work.join().is_err() {
            // No reason to end a test that may be failing already, but one for what fails after it.
            note("objects of a test could not be deleted; they may be in the way of the next one");
        }
    }
}

/// Without waiting for pods to end by themselves.
fn deletion() -> Value {
    json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})
}
