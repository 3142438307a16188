//! Annotations of any value on one pod: lines of `KEY=VALUE`. They are read without a panic in linear time, a startup
//! probe that is taken is one that the API server takes, and what is done to the pod is what a conversion may do.

use crate::{KNOWN, choice, promises, review::BOUND};
use native_sidecar_cases::catalogue;
use native_sidecar_core::{
    conversion::{ClusterFacts, Decision, Settings, convert},
    intent::{Intent, Mode, StartupProbe},
    pod::Pod,
};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

static FACTS: LazyLock<ClusterFacts> = LazyLock::new(ClusterFacts::default);
/// Containers of each kind that an annotation can be about.
static POD: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {
            "initContainers": [
                {"name": "migrate", "image": "registry.example.com/migrate:1"},
                {"name": "istio-init", "image": "docker.io/istio/proxyv2:1.26.2"},
                {"name": "native", "image": "registry.example.com/native:1", "restartPolicy": "Always"}
            ],
            "containers": [
                {"name": "shop", "image": "registry.example.com/shop:1", "ports": [{"name": "http", "containerPort": 80}]},
                {"name": "helper", "image": "registry.example.com/helper:1",
                 "ports": [{"name": "health", "containerPort": 8080}],
                 "readinessProbe": {"httpGet": {"path": "/ready", "port": "health"}, "successThreshold": 2},
                 "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}}},
                {"name": "edge", "image": "registry.example.com/edge:1", "startupProbe": {"tcpSocket": {"port": 1}}},
                {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.26.2",
                 "args": ["proxy", "sidecar"], "env": [{"name": "ISTIO_META_X", "value": "y"}]},
                {"name": "db", "image": "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.14.1", "args": ["--port=5432", "a:b:c"]}
            ]
        }
    })
});

/// Runs one input.
///
/// # Panics
///
/// When a promise is broken.
#[must_use]
pub fn run(lines: &[u8]) -> &'static str {
    let Ok(text) = std::str::from_utf8(lines) else { return "no-text" };
    let mut annotations = Map::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        // A line break in a value is written as JSON writes it.
        annotations.insert(key.to_owned(), value.replace("\\n", "\n").into());
    }
    assert_probes_are_taken(&annotations);
    let mut pod = POD.clone();
    pod["metadata"]["annotations"] = annotations.into();
    let json = pod.to_string();
    let read = Pod::parse(&json).expect("the pod can be read");
    let intent = BOUND.hold(json.len(), || Intent::of(&read));
    assert!(intent.containers.len() <= json.len());
    let settings = Settings {
        catalogue: catalogue(),
        facts: &FACTS,
        known: KNOWN[choice(lines, 3)],
        containers: None,
        workload: None,
        mode: Mode::Convert,
    };
    let conversion = BOUND.hold(json.len(), || convert(&json, settings));
    let after = promises::carried_out(&pod, &conversion, catalogue());
    let again = convert(&after.to_string(), settings).patch;
    assert!(again.is_empty(), "a second pass changes more: {again}");
    if conversion.decision == Decision::Converted {
        let containers = after["spec"]["initContainers"].as_array().into_iter().flatten();
        containers.map(|container| &container["startupProbe"]).filter(|probe| !probe.is_null()).for_each(assert_probe);
    }
    conversion.decision.as_str()
}

/// Whatever a value says, it says the same when it is written out.
fn assert_probes_are_taken(annotations: &Map<String, Value>) {
    for value in annotations.values().filter_map(Value::as_str) {
        match value.trim().parse::<StartupProbe>() {
            Ok(StartupProbe::Probe(probe)) => {
                assert_probe(&probe);
                assert_eq!(probe.to_string().parse(), Ok(StartupProbe::Probe(probe)));
            }
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// What the API server's own reading and validation say about a startup probe.
///
/// Source: Kubernetes, k8s.io/api/core/v1/types.go and pkg/apis/core/validation/validation.go, `validateProbe`.
fn assert_probe(probe: &Value) {
    let fields = probe.as_object().expect("a probe is an object");
    let set = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let handlers = ["exec", "httpGet", "tcpSocket", "grpc"].into_iter().filter_map(set);
    assert_eq!(handlers.clone().count(), 1, "one handler: {probe}");
    for handler in handlers {
        assert!(handler.is_object(), "{probe}");
        if let Some(port) = handler.get("port") {
            let number = port.as_i64().is_some_and(|port| (1..=65_535).contains(&port));
            let name = port.as_str().is_some_and(|name| (1..=15).contains(&name.len()));
            assert!(number || name, "{probe}");
        }
    }
    for name in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold", "successThreshold"] {
        let number = set(name).map(|value| i32::try_from(value.as_i64().expect("a whole number")).expect("32 bits"));
        assert!(number.is_none_or(|number| number >= 0), "{probe}");
    }
    assert!(set("successThreshold").is_none_or(|threshold| threshold.as_i64() <= Some(1)), "{probe}");
    let grace = set("terminationGracePeriodSeconds").map(|value| value.as_i64().expect("a whole number"));
    assert!(grace.is_none_or(|grace| grace >= 1), "{probe}");
}
