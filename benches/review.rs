//! Time of one request: ours, beside a handler that does nothing and the textbook way with typed objects.
//!
//! `cargo bench --bench review`. The absolute numbers are the machine's; what counts is the distance between
//! the three in one run.

#![allow(missing_docs, clippy::unwrap_used)]

use base64::{Engine, engine::general_purpose::STANDARD};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use k8s_openapi::api::core::v1::Pod;
use native_sidecar_core::{
    admission::{Context, Route, decoded_patch, review},
    catalogue::Catalogue,
    conversion::ClusterFacts,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use std::hint::black_box;

/// The name of the container that moves in every pod below.
const SIDECAR: &str = "istio-proxy";

#[derive(Deserialize)]
struct Review<R> {
    request: R,
}

#[derive(Deserialize)]
struct OnlyUid<'b> {
    #[serde(borrow)]
    uid: &'b str,
    #[serde(rename = "object")]
    _object: IgnoredAny,
}

#[derive(Deserialize)]
struct Typed {
    uid: String,
    object: Pod,
}

fn benches(criterion: &mut Criterion) {
    let (catalogue, facts) = (Catalogue::built_in(), ClusterFacts::default());
    let context = Context { catalogue: &catalogue, facts: &facts };
    let mut group = criterion.benchmark_group("review");
    for (name, pod) in [("small", small_pod()), ("istio", istio_pod()), ("1MB", large_pod())] {
        let body = admission_review(&pod);
        assert_all_answer(&body, context);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("nothing", name), &body, |bencher, body| {
            bencher.iter(|| allow(black_box(body)));
        });
        group.bench_with_input(BenchmarkId::new("ours", name), &body, |bencher, body| {
            bencher.iter(|| review(black_box(body), Route::Annotated, context).unwrap());
        });
        group.bench_with_input(BenchmarkId::new("typed", name), &body, |bencher, body| {
            bencher.iter(|| typed(black_box(body)));
        });
    }
    group.finish();
}

/// What is compared must do its work: the two that move the container do move it.
fn assert_all_answer(body: &[u8], context: Context<'_>) {
    for answer in [review(body, Route::Annotated, context).unwrap().body, typed(body)] {
        assert!(!decoded_patch(&answer).unwrap().is_empty());
    }
    assert!(decoded_patch(&allow(body)).unwrap().is_empty());
}

/// The least that any webhook has to do.
fn allow(body: &[u8]) -> Vec<u8> {
    let review: Review<OnlyUid<'_>> = serde_json::from_slice(body).unwrap();
    answer(review.request.uid, None)
}

/// The textbook way: typed pod in, changed clone, difference of the two.
fn typed(body: &[u8]) -> Vec<u8> {
    let review: Review<Typed> = serde_json::from_slice(body).unwrap();
    let Typed { uid, object: old } = review.request;
    let mut new = old.clone();
    let spec = new.spec.as_mut().unwrap();
    let at = spec.containers.iter().position(|container| container.name == SIDECAR).unwrap();
    let mut sidecar = spec.containers.remove(at);
    sidecar.restart_policy = Some("Always".to_owned());
    spec.init_containers.get_or_insert_default().push(sidecar);
    let (old, new) = (serde_json::to_value(old).unwrap(), serde_json::to_value(new).unwrap());
    let patch = json_patch::diff(&old, &new);
    answer(&uid, Some(&serde_json::to_vec(&patch).unwrap()))
}

fn answer(uid: &str, patch: Option<&[u8]>) -> Vec<u8> {
    let mut response = json!({"uid": uid, "allowed": true});
    if let Some(patch) = patch {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch));
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    serde_json::to_vec(&review).unwrap()
}

fn admission_review(pod: &Value) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "0d9f1a30-6f0e-4f8e-9d6c-2f4f0d3c1b11",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE", "namespace": "shop", "object": pod,
        }
    });
    serde_json::to_vec(&review).unwrap()
}

fn pod(init: &Value, containers: &[Value]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": "shop-7d9c6b5f4-", "namespace": "shop",
            "annotations": {"native-sidecar.io/containers": SIDECAR},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-7d9c6b5f4",
                                 "uid": "5e1c6d1e-9a3f-4b61-8c0e-0d3c0f6b7a11", "controller": true}]
        },
        "spec": {"initContainers": init, "containers": containers, "restartPolicy": "Always"}
    })
}

fn small_pod() -> Value {
    let container = |name: &str| json!({"name": name, "image": "registry.example.com/app:1", "resources": {}});
    pod(&json!([]), &[container("shop"), container(SIDECAR)])
}

/// As Istio's injector writes it, shortened a little.
fn istio_pod() -> Value {
    let env: Vec<_> =
        (0..24).map(|n| json!({"name": format!("ISTIO_META_{n}"), "value": "shop.example.com"})).collect();
    let probe = json!({"httpGet": {"path": "/healthz/ready", "port": 15021, "scheme": "HTTP"}, "periodSeconds": 15,
                       "timeoutSeconds": 3, "failureThreshold": 4, "successThreshold": 1});
    let mounts: Vec<_> =
        (0..8).map(|n| json!({"name": format!("v-{n}"), "mountPath": format!("/var/run/{n}")})).collect();
    let proxy = json!({
        "name": SIDECAR, "image": "docker.io/istio/proxyv2:1.26.2",
        "args": ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local", "--proxyLogLevel=warning"],
        "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
        "env": env, "readinessProbe": probe, "startupProbe": probe, "volumeMounts": mounts,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
        "securityContext": {"runAsUser": 1337, "runAsGroup": 1337, "runAsNonRoot": true}
    });
    let init = json!([{"name": "istio-init", "image": "docker.io/istio/proxyv2:1.26.2",
                       "args": ["istio-iptables", "-p", "15001", "-z", "15006", "-d", "15090,15021,15020"]}]);
    let mut pod = pod(&init, &[json!({"name": "shop", "image": "registry.example.com/shop:1"}), proxy]);
    pod["metadata"]["annotations"]["sidecar.istio.io/status"] = json!(
        r#"{"initContainers":["istio-init"],"containers":["istio-proxy"],"volumes":["istio-token"],"imagePullSecrets":null,"revision":"default"}"#
    );
    pod
}

/// An application whose settings come as environment variables of a megabyte.
fn large_pod() -> Value {
    let mut pod = istio_pod();
    let env: Vec<_> = (0..1000).map(|n| json!({"name": format!("SETTING_{n}"), "value": "x".repeat(1000)})).collect();
    pod["spec"]["containers"][0]["env"] = env.into();
    pod
}

criterion_group!(all, benches);
criterion_main!(all);
