//! An API server in memory: as much of it as this crate's loops use, with the faults a real one may have.

use axum::body::{Body, to_bytes};
use http::{Method, Request, Response};
use kube::Client;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::sync::Barrier;
use tower::{BoxError, service_fn};

/// The path of the Secret.
pub(crate) const SECRET: &str = "/api/v1/namespaces/sidecars/secrets/native-sidecar-tls";
/// The path of the webhook configuration.
pub(crate) const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-native-sidecar";

/// What to do to one request instead of answering it.
pub(crate) type Fault = Box<dyn Fn(&Method, &str) -> Option<(u16, &'static str)> + Send>;

/// The server.
#[derive(Clone, Default)]
pub(crate) struct Mock(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    away: bool,
    fault: Option<Fault>,
    barrier: Option<(Arc<Barrier>, u32)>,
    requests: Vec<String>,
    nodes: Vec<(String, String)>,
    server_version: String,
    strips: bool,
}

// === impl Mock ===

impl Mock {
    /// A server with an empty Secret and a webhook configuration of two entries.
    pub(crate) fn shipped() -> Self {
        let mock = Self::default();
        mock.put(
            SECRET,
            json!({"metadata": {"name": "native-sidecar-tls", "namespace": "sidecars"}, "type": "Opaque"}),
        );
        mock.put(CONFIGURATION, configuration("zz-native-sidecar", &["pods", "namespaces"]));
        mock.version("v1.33.1");
        mock
    }

    /// A client of the server.
    pub(crate) fn client(&self) -> Client {
        let mock = self.clone();
        let service = service_fn(move |request| {
            let mock = mock.clone();
            async move { mock.answer(request).await }
        });
        Client::new(service, "sidecars")
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    /// Puts an object there, with a new version.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.with(|state| state.store(path, object));
    }

    /// The object.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.with(|state| state.objects[path].clone())
    }

    /// Changes an object behind everybody's back.
    pub(crate) fn edit(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.get(path);
        edit(&mut object);
        self.put(path, object);
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, path: &str) {
        self.with(|state| state.objects.remove(path)).expect("an object");
    }

    /// Goes away or comes back.
    pub(crate) fn away(&self, away: bool) {
        self.with(|state| state.away = away);
    }

    /// Refuses what `fault` gives a status for.
    pub(crate) fn fault(&self, fault: impl Fn(&Method, &str) -> Option<(u16, &'static str)> + Send + 'static) {
        self.with(|state| state.fault = Some(Box::new(fault)));
    }

    /// Refuses nothing more.
    pub(crate) fn healed(&self) {
        self.with(|state| state.fault = None);
    }

    /// Lets the first `clients` reads of the Secret through only once all of them have been made.
    pub(crate) fn together(&self, clients: u32) {
        let barrier = Arc::new(Barrier::new(clients as usize));
        self.with(|state| state.barrier = Some((barrier, clients)));
    }

    /// Method and path of each request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.requests))
    }

    /// The cluster's nodes and their kubelets' versions.
    pub(crate) fn nodes(&self, nodes: impl IntoIterator<Item = (String, String)>) {
        self.with(|state| state.nodes = nodes.into_iter().collect());
    }

    /// The API server's version.
    pub(crate) fn version(&self, version: &str) {
        self.with(|state| version.clone_into(&mut state.server_version));
    }

    /// Drops `restartPolicy` from init containers.
    pub(crate) fn strips(&self, strips: bool) {
        self.with(|state| state.strips = strips);
    }

    async fn answer(&self, request: Request<kube::client::Body>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await?;
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        self.with(|state| state.requests.push(format!("{} {}", parts.method, parts.uri)));
        if self.with(|state| state.away) {
            return Err("connection refused".into());
        }
        let fault = self.with(|state| state.fault.as_ref().and_then(|fault| fault(&parts.method, &path)));
        let answer = match fault {
            Some((code, message)) => Err((code, message.to_owned())),
            None => self.with(|state| state.handle(&parts.method, &path, &query, body)),
        };
        // After the read, so that all have read the same.
        if let Some(barrier) = self.barrier(&parts.method, &path) {
            barrier.wait().await;
        }
        Ok(respond(answer)?)
    }

    fn barrier(&self, method: &Method, path: &str) -> Option<Arc<Barrier>> {
        self.with(|state| {
            let (barrier, left) = state.barrier.as_mut().filter(|_| method == Method::GET && path == SECRET)?;
            *left = left.checked_sub(1)?;
            Some(Arc::clone(barrier))
        })
    }
}

// === impl State ===

type Answer = Result<Value, (u16, String)>;

impl State {
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn handle(&mut self, method: &Method, path: &str, query: &str, body: Value) -> Answer {
        match (method, path) {
            (&Method::GET, "/version") => Ok(version(&self.server_version)),
            (&Method::GET, "/api/v1/nodes") => Ok(self.list_nodes(query)),
            (&Method::GET, path) if path.ends_with("/mutatingwebhookconfigurations") => Ok(self.list(path)),
            (&Method::GET, path) => self.objects.get(path).cloned().ok_or_else(|| (404, format!("no {path}"))),
            (&Method::POST, path) => self.create(path, query, body),
            (&Method::PUT, path) => self.replace(path, body),
            (&Method::PATCH, path) => self.apply(path, &body),
            _ => Err((405, "not here".to_owned())),
        }
    }

    fn list(&self, path: &str) -> Value {
        let items: Vec<_> =
            self.objects.iter().filter(|(key, _)| key.starts_with(path)).map(|(_, item)| item).collect();
        json!({"metadata": {}, "items": items})
    }

    fn list_nodes(&self, query: &str) -> Value {
        let get = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let limit: usize = get("limit").expect("a limit").parse().unwrap();
        let start: usize = get("continue").map_or(0, |token| token.parse().unwrap());
        let end = (start + limit).min(self.nodes.len());
        let next = if end < self.nodes.len() { end.to_string() } else { String::new() };
        let node = |(name, version): &(String, String)| json!({"metadata": {"name": name}, "status": {"nodeInfo": {"kubeletVersion": version}}});
        let items: Vec<_> = self.nodes[start..end].iter().map(node).collect();
        json!({"metadata": {"continue": next}, "items": items})
    }

    fn create(&mut self, path: &str, query: &str, mut body: Value) -> Answer {
        if path.ends_with("/pods") {
            assert!(query.contains("dryRun=All"), "{query}");
            if self.strips {
                body["spec"]["initContainers"][0].as_object_mut().unwrap().remove("restartPolicy");
            }
            return Ok(body);
        }
        let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
        if self.objects.contains_key(&path) {
            return Err((409, "it exists already".to_owned()));
        }
        Ok(self.store(&path, body))
    }

    fn replace(&mut self, path: &str, body: Value) -> Answer {
        self.check(path, &body)?;
        Ok(self.store(path, body))
    }

    /// Server-side apply as a real server was seen to do it: entries are merged by name, an object that would lack
    /// required fields is refused, and one that does not change keeps its version.
    fn apply(&mut self, path: &str, wanted: &Value) -> Answer {
        self.check(path, wanted)?;
        let mut object = self.objects[path].clone();
        for entry in wanted["webhooks"].as_array().unwrap() {
            let entries = object["webhooks"].as_array_mut().unwrap();
            let Some(found) = entries.iter_mut().find(|found| found["name"] == entry["name"]) else {
                return Err((422, "webhooks[1].sideEffects: Required value".to_owned()));
            };
            found["clientConfig"]["caBundle"] = entry["clientConfig"]["caBundle"].clone();
        }
        if object == self.objects[path] { Ok(object) } else { Ok(self.store(path, object)) }
    }

    fn check(&self, path: &str, body: &Value) -> Result<(), (u16, String)> {
        let object = self.objects.get(path).ok_or_else(|| (404, format!("no {path}")))?;
        let version = &body["metadata"]["resourceVersion"];
        let same = version.is_null() || *version == object["metadata"]["resourceVersion"];
        if same { Ok(()) } else { Err((409, "the object has been modified".to_owned())) }
    }
}

/// A webhook configuration with these entries and no bundle.
pub(crate) fn configuration(name: &str, entries: &[&str]) -> Value {
    let webhook = |entry: &&str| {
        json!({
            "name": format!("{entry}.{name}.io"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "native-sidecar", "namespace": "sidecars"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        })
    };
    json!({"metadata": {"name": name}, "webhooks": entries.iter().map(webhook).collect::<Vec<_>>()})
}

fn version(version: &str) -> Value {
    json!({
        "major": "1", "minor": "33", "gitVersion": version, "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": "",
    })
}

fn respond(answer: Answer) -> Result<Response<Body>, http::Error> {
    let (code, body) = match answer {
        Ok(body) => (200, body),
        Err((code, message)) => {
            let body = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
                "reason": reason(code), "message": message,
            });
            (code, body)
        }
    };
    Response::builder().status(code).body(Body::from(body.to_string()))
}

fn reason(code: u16) -> &'static str {
    match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        _ => "InternalError",
    }
}
