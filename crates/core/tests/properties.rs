//! What must hold for every pod, tried on random ones: see [`pods`] for what they are made of. Everything
//! that is checked is written down here a second time, independently of the code under test.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::panic)]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use json_patch::{Patch, PatchOperation};
use native_sidecar_cases::{admission_review, catalogue, patched};
use native_sidecar_core::{
    admission::{Context, Route, observe, review},
    conversion::{self, ClusterFacts, Conversion, Decision, Known, Settings, Version},
    findings::{Code, Severity},
    intent::Mode,
};
use proptest::{prelude::*, sample::Index, strategy::ValueTree};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

const MESH_PROXIES: [&str; 2] = ["istio-proxy", "linkerd-proxy"];
const MESH_INITS: [&str; 3] = ["istio-init", "istio-validation", "linkerd-init"];
/// Container names, and the images that make some of them known sidecars.
const REGULAR: [(&str, &str); 9] = [
    ("shop", "registry.example.com/shop:1"),
    ("worker", "registry.example.com/worker:1"),
    ("helper", "registry.example.com/helper:1"),
    ("edge", "registry.example.com/edge:1"),
    ("istio-proxy", "docker.io/istio/proxyv2:1.26.2"),
    ("linkerd-proxy", "cr.l5d.io/linkerd/proxy:stable-2.14.10"),
    ("logs", "cr.fluentbit.io/fluent/fluent-bit:3.1.4"),
    ("gke-gcsfuse-sidecar", "gcr.io/gke-release/gcs-fuse-csi-driver-sidecar-mounter:v1"),
    ("db", "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.14.1"),
];
const INIT: [&str; 7] = ["migrate", "setup", "istio-init", "istio-validation", "linkerd-init", "native", "stripped"];
/// The value of an annotation that accepts whatever can be accepted.
static ALL_BLOCKERS: LazyLock<String> = LazyLock::new(|| {
    let blockers = Code::ALL.iter().filter(|code| code.severity() == Severity::Blocker);
    blockers.map(|code| code.as_str()).collect::<Vec<_>>().join(",")
});

/// A pod and the settings that it is converted with.
#[derive(Clone, Debug)]
struct Sample {
    pod: Value,
    known: bool,
    /// Minor version of the cluster.
    minor: u32,
}

/// Few cases for every day; `PROPTEST_CASES=5000 cargo test --test properties` looks harder.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(96);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn only_what_is_promised_changes(sample in samples()) {
        let after = sample.after();
        assert_same_outside_of_the_lists(&sample.pod, &after);
        assert_regular_containers_stay_as_they_are(&sample.pod, &after);
        assert_init_containers_stay_in_order(&sample.pod, &after);
        assert_moved_containers_keep_their_fields(&sample, &after);
    }

    #[test]
    fn a_second_pass_changes_nothing(sample in samples()) {
        let again = Sample { pod: sample.after(), ..sample.clone() };
        prop_assert_eq!(again.convert().patch.0, []);
    }

    #[test]
    fn a_pod_is_converted_whole_or_not_at_all(sample in samples()) {
        let (decision, after) = (sample.convert().decision, sample.after());
        let is_regular = |name: &String| {
            find(&sample.pod, "containers", name).is_some() && find(&sample.pod, "initContainers", name).is_none()
        };
        let asked = sample.listed().into_iter().filter(is_regular);
        for name in asked {
            let stays = find(&after, "containers", &name).is_some();
            prop_assert_eq!(stays, decision != Decision::Converted, "{} in a pod that is {:?}", name, decision);
        }
        if decision != Decision::Converted {
            // The API server would refuse the pod for its second copies.
            let rest = without_copies(&sample.pod, &after);
            prop_assert_eq!(names(&rest, "containers"), names(&after, "containers"));
            prop_assert_eq!(names(&rest, "initContainers"), names(&after, "initContainers"));
        }
    }

    #[test]
    fn what_kubernetes_accepts_stays_acceptable(sample in samples()) {
        let is_duplicate = |violation: &String| violation.ends_with(": Duplicate");
        let (before, after) = (violations(&sample.pod, sample.minor), violations(&sample.after(), sample.minor));
        prop_assert!(before.iter().all(is_duplicate), "the generator makes valid pods, but for copies: {:?}", before);
        prop_assert!(after.iter().all(|violation| before.contains(violation)), "{:?}", after);
    }

    #[test]
    fn a_rise_of_the_effective_request_is_told(sample in samples()) {
        let (conversion, after) = (sample.convert(), sample.after());
        if conversion.decision != Decision::Converted {
            return Ok(());
        }
        let (with_copies, now) = (sample.repaired(&after), effective_request(&after));
        let (most, least) = (effective_request(&with_copies), effective_request(&without_copies(&with_copies, &after)));
        let rises = |before: &BTreeMap<_, _>| now.iter().any(|(resource, amount)| *amount > before[resource]);
        let told = conversion.findings.iter().any(|finding| finding.code == Code::RequestRises);
        // With a second copy in it the pod was invalid, so what it requested is open to interpretation.
        prop_assert!(told || !rises(&most), "from {:?} to {:?}, and nothing is said", most, now);
        prop_assert!(!told || rises(&least), "from {:?} to {:?} is no rise", least, now);
        if names(&after, "initContainers").starts_with(&names(&sample.pod, "initContainers")) {
            prop_assert_eq!(least, now, "appending never changes it");
        }
    }

    #[test]
    fn the_qos_class_never_changes(sample in samples()) {
        prop_assert_eq!(qos_class(&sample.pod), qos_class(&sample.after()));
    }

    #[test]
    fn every_answer_keeps_the_contract(sample in samples(), uid in "[a-z0-9\"\\\\-]{1,40}") {
        let (pod, facts) = (sample.pod.to_string(), sample.facts());
        let body = admission_review(&uid, &pod);
        let route = if sample.known { Route::Known } else { Route::Annotated };
        let answer = review(body.as_bytes(), route, Context { catalogue: catalogue(), facts: &facts }).unwrap();
        let patch = assert_sound(&answer.body);
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        prop_assert_eq!(&value["response"]["uid"], &json!(uid));
        assert_says_what_it_does(&sample, &value["response"], &patched(&pod, &patch));
    }

    /// By the server, by its namespace or by itself: in whichever way a pod comes to be observed.
    #[test]
    fn an_observed_pod_is_never_written_to(
        mut sample in samples(),
        by_server in any::<bool>(),
        mode in prop::option::of("observe|convert|Observe|"),
    ) {
        let facts = sample.facts();
        let context = Context { catalogue: catalogue(), facts: &facts };
        if let Some(mode) = &mode {
            sample.pod["metadata"]["annotations"]["native-sidecar.io/mode"] = json!(mode);
        }
        let asks = sample.annotation("native-sidecar.io/known") == "true" || !sample.listed().is_empty();
        let by_namespace = mode.is_none() && !asks;
        let by_pod = mode.is_some_and(|mode| mode != "convert");
        let body = admission_review("u", &sample.pod.to_string());
        for route in [Route::Annotated, Route::Known, Route::Observed] {
            let review = if by_server { observe } else { review };
            let answer = review(body.as_bytes(), route, context).unwrap();
            let patch = assert_sound(&answer.body);
            let is_observed = by_server || by_pod || by_namespace && route == Route::Observed;
            if is_observed {
                let value: Value = serde_json::from_slice(&answer.body).unwrap();
                prop_assert!(patch.is_empty() && value["response"]["allowed"] == true, "{}", value);
                prop_assert!(by_pod || value["response"]["warnings"].is_null(), "{}", value);
            }
            let says_so = ["would-convert", "would-block"].contains(&answer.decision);
            let writes = ["converted", "blocked", "denied"].contains(&answer.decision);
            prop_assert!(if is_observed { !writes } else { !says_so }, "{}", answer.decision);
        }
    }

    #[test]
    fn odd_bodies_never_panic((body, known) in odd_bodies()) {
        assert_survives(&body, known);
    }

    #[test]
    fn arbitrary_json_never_panics(object in any_json(), known in any::<bool>()) {
        assert_survives(admission_review("u", &object.to_string()).as_bytes(), known);
        assert_survives(object.to_string().as_bytes(), known);
    }

    #[test]
    fn damaged_pods_never_panic(mut sample in samples(), path in any::<prop::sample::Selector>(), json in any_json()) {
        let paths = paths(&sample.pod);
        *sample.pod.pointer_mut(path.select(&paths)).unwrap() = json;
        sample.after();
        assert_survives(admission_review("u", &sample.pod.to_string()).as_bytes(), sample.known);
    }

    #[test]
    fn damaged_reviews_never_panic(
        sample in samples(),
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let mut body = admission_review("u", &sample.pod.to_string()).into_bytes();
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        assert_survives(&body, sample.known);
    }
}

/// The other properties say little if nothing is ever converted, blocked or left.
#[test]
fn the_samples_are_of_every_kind() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..200 {
        let sample = samples().new_tree(&mut runner).unwrap().current();
        *seen.entry(sample.convert().decision.as_str()).or_default() += 1;
    }
    for decision in ["converted", "blocked", "denied", "nothing-to-do", "not-requested"] {
        assert!(seen.get(decision).is_some_and(|count| *count >= 5), "{decision} is rare in {seen:?}");
    }
}

/// Odd bodies say little if all of them end at the first byte.
#[test]
fn the_odd_bodies_are_of_every_kind() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..200 {
        let (body, known) = odd_bodies().new_tree(&mut runner).unwrap().current();
        let kind = match answer(&body, known) {
            None => "refused",
            Some(answer) if assert_sound(&answer).is_empty() => "answered",
            Some(_) => "patched",
        };
        *seen.entry(kind).or_default() += 1;
        *seen.entry("no text").or_default() += usize::from(std::str::from_utf8(&body).is_err());
    }
    for kind in ["refused", "answered", "patched", "no text"] {
        assert!(seen.get(kind).is_some_and(|count| *count >= 20), "{kind} is rare in {seen:?}");
    }
}

/// Found by the properties: the record of what was moved, copied with another pod's annotations.
#[test]
fn a_record_of_another_pod_is_no_fault_of_ours() {
    let proxy = json!({"name": "proxy", "image": "proxy"});
    let native = json!({"name": "proxy", "image": "proxy", "restartPolicy": "Always"});
    let pods = [
        // `proxy` moves behind a `migrate` that runs once.
        ("migrate", "proxy", json!([{"name": "migrate", "image": "shop"}]), json!([{"name": "shop"}, proxy])),
        // The init container of that name runs once, so the regular one is no second copy of anything.
        ("proxy", "", json!([proxy]), json!([{"name": "shop"}, proxy])),
        // The copy is all there is.
        ("proxy", "", json!([native]), json!([proxy])),
    ];
    for (record, asked, init, regular) in pods {
        let annotations = json!({"native-sidecar.io/converted": record, "native-sidecar.io/containers": asked});
        let spec = json!({"initContainers": init, "containers": regular});
        let sample =
            Sample { pod: json!({"metadata": {"annotations": annotations}, "spec": spec}), known: false, minor: 37 };
        for name in gone(&sample.pod, &sample.after()) {
            let there = find(&sample.after(), "initContainers", &name).unwrap().clone();
            assert_eq!(there["restartPolicy"], "Always", "{}", sample.pod);
        }
    }
}

/// Kubernetes refuses more than 256 KiB of annotations; the pod then stays as it is, without a word in it.
#[test]
fn annotations_are_never_made_too_large() {
    let notes = "x".repeat(256 * 1024 - 70);
    let pod = json!({
        "metadata": {"annotations": {"native-sidecar.io/containers": "helper", "notes": notes}},
        "spec": {"containers": [{"name": "shop"}, {"name": "helper"}]}
    });
    let conversion = Sample { pod, known: false, minor: 37 }.convert();
    assert_eq!(conversion.decision, Decision::Blocked);
    assert!(conversion.patch.is_empty());
}

// === impl Sample ===

impl Sample {
    fn facts(&self) -> ClusterFacts {
        ClusterFacts::all_at(Version::new(1, self.minor, 9))
    }

    fn convert(&self) -> Conversion {
        let facts = self.facts();
        let known = if self.known { Known::Move } else { Known::Stay };
        let mode = Mode::Convert;
        let settings =
            Settings { catalogue: catalogue(), facts: &facts, known, mode, containers: None, workload: None };
        let conversion = conversion::convert(&self.pod.to_string(), settings);
        // It says that we are to blame, so nothing that a user writes may lead to it.
        let doubt = conversion.findings.iter().find(|finding| finding.code == Code::UnsoundPatch);
        assert_eq!(doubt, None, "{}", self.pod);
        conversion
    }

    fn after(&self) -> Value {
        patched(&self.pod.to_string(), &self.convert().patch)
    }

    /// The pod as it was before another webhook stripped the `restartPolicy` that we had given it, where it has it
    /// back in `after`.
    fn repaired(&self, after: &Value) -> Value {
        let mut pod = self.pod.clone();
        for container in pod["spec"]["initContainers"].as_array_mut().into_iter().flatten() {
            let name = container["name"].as_str().unwrap();
            if let Some(policy) = find(after, "initContainers", name).unwrap().get("restartPolicy") {
                container["restartPolicy"] = policy.clone();
            }
        }
        pod
    }

    fn annotation(&self, key: &str) -> &str {
        self.pod["metadata"]["annotations"][key].as_str().unwrap_or_default()
    }

    fn listed(&self) -> Vec<String> {
        let list = self.annotation("native-sidecar.io/containers");
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }
}

// === impl Oddity ===

impl Oddity {
    fn spoil(self, body: &mut Vec<u8>) {
        let insert = |body: &mut Vec<u8>, places: &[usize], at: Index, bytes: &[u8]| {
            if !places.is_empty() {
                let at = *at.get(places);
                body.splice(at..at, bytes.iter().copied());
            }
        };
        let (strings, objects) = places(body);
        match self {
            Self::InString(at, bytes) => insert(body, &strings, at, bytes),
            Self::Member(at, key, value) => insert(body, &objects, at, format!("{}:{value},", json!(key)).as_bytes()),
            Self::Cut(at) => body.truncate(at.index(body.len() + 1)),
        }
    }
}

/// Where strings may go on, and where objects begin.
fn places(body: &[u8]) -> (Vec<usize>, Vec<usize>) {
    let (mut strings, mut objects) = (Vec::new(), Vec::new());
    let (mut in_string, mut is_escaped) = (false, false);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => objects.push(at + 1),
            _ => {}
        }
        if in_string && !is_escaped {
            strings.push(at + 1);
        }
    }
    (strings, objects)
}

// === random pods ===

fn samples() -> impl Strategy<Value = Sample> {
    let copy = proptest::option::weighted(0.2, (any::<Index>(), any::<bool>(), any::<bool>()));
    (pods(), copy, any::<bool>(), 29..38_u32).prop_map(|(mut pod, copy, known, minor)| {
        if let Some((of, is_native, is_recorded)) = copy {
            inject_again(&mut pod, of, is_native, is_recorded);
        }
        let pod = only_what_the_version_has(pod, minor);
        Sample { pod, known, minor }
    })
}

/// Makes a regular container the second copy of an init container, which an earlier call moved there if it is native
/// and recorded. The API server refuses the pod unless one of the two goes.
fn inject_again(pod: &mut Value, of: Index, is_native: bool, is_recorded: bool) {
    let copy = of.get(list(pod, "containers"));
    let mut first = json!({"name": copy["name"], "image": copy["image"]});
    let name = copy["name"].as_str().unwrap().to_owned();
    if let Some(resources) = copy.get("resources") {
        first["resources"] = resources.clone();
    }
    if is_native {
        first["restartPolicy"] = json!("Always");
    }
    match &mut pod["spec"]["initContainers"] {
        Value::Array(init) => init.push(first),
        absent => *absent = json!([first]),
    }
    if is_recorded {
        let record = &mut pod["metadata"]["annotations"]["native-sidecar.io/converted"];
        let earlier = record.as_str().map(|names| format!("{names},")).unwrap_or_default();
        *record = json!(earlier + &name);
    }
}

/// Valid pods: some regular containers, some of them known sidecars; init containers, of which some are native
/// sidecars or lost that by another webhook; and all kinds of annotations.
fn pods() -> impl Strategy<Value = Value> {
    let regular = prop::sample::subsequence(REGULAR.to_vec(), 1..6)
        .prop_shuffle()
        .prop_flat_map(|chosen| chosen.into_iter().map(|(name, image)| container(name, image)).collect::<Vec<_>>());
    let init = prop::sample::subsequence(INIT.to_vec(), 0..5)
        .prop_shuffle()
        .prop_flat_map(|chosen| chosen.into_iter().map(init_container).collect::<Vec<_>>());
    let spec = (proptest::option::of(init), regular, pod_fields());
    (spec, annotations(), proptest::option::weighted(0.7, prop::sample::select(vec!["Job", "ReplicaSet"]))).prop_map(
        |((init, regular, mut spec), annotations, owner)| {
            if let Some(init) = init {
                spec.insert("initContainers".into(), init.into());
            }
            spec.insert("containers".into(), regular.into());
            let mut metadata = json!({"name": "shop", "uid": "1"});
            if let Some(kind) = owner {
                metadata["ownerReferences"] = json!([{"kind": kind, "name": "shop", "controller": true}]);
            }
            if !annotations.is_empty() {
                metadata["annotations"] = annotations.into();
            }
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"x": 1.50}})
        },
    )
}

fn pod_fields() -> impl Strategy<Value = Map<String, Value>> {
    fields(vec![
        ("restartPolicy", 0.4, prop::sample::select(vec![json!("Never"), json!("OnFailure")]).boxed()),
        ("hostNetwork", 0.1, Just(json!(true)).boxed()),
        ("terminationGracePeriodSeconds", 0.3, (0..90).prop_map(Value::from).boxed()),
        ("futureField", 0.2, any_json()),
        ("volumes", 0.3, Just(json!([{"name": "v", "emptyDir": {}}])).boxed()),
    ])
}

fn container(name: &'static str, image: &'static str) -> impl Strategy<Value = Value> {
    let ports = prop::collection::vec((1..65536, any::<bool>(), any::<bool>()), 0..3);
    fields(vec![
        ("resources", 0.6, resources().boxed()),
        ("ports", 0.3, ports.prop_map(|ports| ports.into_iter().enumerate().map(port).collect()).boxed()),
        ("readinessProbe", 0.4, probe().boxed()),
        ("livenessProbe", 0.2, probe().boxed()),
        ("startupProbe", 0.2, probe().boxed()),
        ("lifecycle", 0.3, lifecycle().boxed()),
        ("env", 0.3, prop::collection::vec(variable(name), 0..3).prop_map(Value::from).boxed()),
        (
            "args",
            0.3,
            prop::sample::select(vec![json!([]), json!(["--one-time"]), json!(["--health-check", "p:r:i"])]).boxed(),
        ),
        ("restartPolicy", 0.1, prop::sample::select(vec![json!("Always"), json!("OnFailure"), json!("Never")]).boxed()),
        (
            "restartPolicyRules",
            0.05,
            prop::sample::select(vec!["Restart", "RestartAllContainers"]).prop_map(restart_rules).boxed(),
        ),
        ("resizePolicy", 0.1, Just(json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"}])).boxed()),
        ("futureField", 0.2, any_json()),
    ])
    .prop_map(move |fields| named(name, image, fields))
}

fn init_container(name: &'static str) -> impl Strategy<Value = Value> {
    fields(vec![("resources", 0.6, resources().boxed()), ("futureField", 0.2, any_json())]).prop_map(
        move |mut fields| {
            if name == "native" {
                fields.insert("restartPolicy".into(), json!("Always"));
            }
            named(name, "registry.example.com/init:1", fields)
        },
    )
}

fn named(name: &str, image: &str, fields: Map<String, Value>) -> Value {
    let head = json!({"name": name, "image": image});
    head.as_object().unwrap().clone().into_iter().chain(fields).collect::<Map<_, _>>().into()
}

/// An object that has each of `fields` with its probability.
fn fields(fields: Vec<(&'static str, f64, BoxedStrategy<Value>)>) -> impl Strategy<Value = Map<String, Value>> {
    let each: Vec<_> = fields
        .into_iter()
        .map(|(name, weight, value)| {
            proptest::option::weighted(weight, value).prop_map(move |value| Some((name.to_owned(), value?)))
        })
        .collect();
    each.prop_map(|fields| fields.into_iter().flatten().collect())
}

fn resources() -> impl Strategy<Value = Value> {
    let amounts = || (proptest::option::of(0..8_u64), proptest::option::of(0..8_u64));
    (amounts(), amounts()).prop_map(|((cpu, memory), (cpu_limit, memory_limit))| {
        let mut resources = Map::new();
        // A limit is never below its request.
        let limits = quantities(
            cpu_limit.map(|limit| limit.max(cpu.unwrap_or(0))),
            memory_limit.map(|limit| limit.max(memory.unwrap_or(0))),
        );
        for (name, list) in [("requests", quantities(cpu, memory)), ("limits", limits)] {
            if !list.is_empty() {
                resources.insert(name.into(), list.into());
            }
        }
        resources.into()
    })
}

fn quantities(cpu: Option<u64>, memory: Option<u64>) -> Map<String, Value> {
    let cpu = cpu.map(|cpu| ("cpu".to_owned(), json!(format!("{}m", cpu * 250))));
    let memory = memory.map(|memory| ("memory".to_owned(), json!(format!("{}Mi", memory * 64))));
    cpu.into_iter().chain(memory).collect()
}

fn port((index, (number, named, host)): (usize, (i32, bool, bool))) -> Value {
    let mut port = json!({"containerPort": number});
    if named {
        port["name"] = json!(format!("port-{index}"));
    }
    if host {
        port["hostPort"] = json!(number);
    }
    port
}

fn probe() -> impl Strategy<Value = Value> {
    let handler = prop::sample::select(vec![
        json!({"httpGet": {"path": "/ready", "port": 2020}}),
        json!({"tcpSocket": {"port": 80}}),
        json!({"grpc": {"port": 50051}}),
        json!({"exec": {"command": ["sh", "-c", "curl localhost:8080"]}}),
    ]);
    (handler, 1..60, any::<bool>()).prop_map(|(mut probe, period, thresholds): (Value, i32, bool)| {
        probe["periodSeconds"] = period.into();
        if thresholds {
            probe["successThreshold"] = json!(1);
            probe["failureThreshold"] = json!(3);
        }
        probe
    })
}

fn lifecycle() -> impl Strategy<Value = Value> {
    let hook = || {
        prop::sample::select(vec![
            json!({"exec": {"command": ["pilot-agent", "wait"]}}),
            json!({"exec": {"command": ["/usr/lib/linkerd/linkerd-await", "--timeout=2m"]}}),
            json!({"exec": {"command": ["/bin/sleep", "40"]}}),
            json!({"httpGet": {"path": "/quitquitquit", "port": 15020}}),
            json!({"sleep": {"seconds": 5}}),
        ])
    };
    fields(vec![("postStart", 0.5, hook().boxed()), ("preStop", 0.6, hook().boxed())]).prop_map(Value::from)
}

fn variable(own: &'static str) -> impl Strategy<Value = Value> {
    let of = |name: &str| json!({"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"containerName": name, "resource": "limits.memory"}}});
    prop::sample::select(vec![of(own), of("helper"), json!({"name": "A", "value": "1", "future": [1]})])
}

/// Annotations of ours with good and bad values, and those of others.
fn annotations() -> impl Strategy<Value = Map<String, Value>> {
    let select = |values: &[&str]| {
        let values: Vec<_> = values.iter().map(|value| json!(value)).collect();
        prop::sample::select(values).boxed()
    };
    let lists = [
        "helper",
        "helper,logs",
        "edge, helper ,,edge",
        "db",
        "istio-proxy,db",
        "ghost",
        "shop,worker",
        "migrate",
        "stripped,helper",
        "migrate,helper",
        "native,stripped",
        "",
    ];
    // What was recorded for another pod may have been copied with its annotations.
    let records = [
        "stripped",
        "stripped,native",
        "ghost",
        "migrate",
        "migrate, helper,,migrate",
        "setup,stripped",
        "shop",
        "istio-proxy,istio-init",
        "db,native",
    ];
    let places = ["first", "last", "before:migrate", "after:setup", "after:helper", "middle"];
    fields(vec![
        ("native-sidecar.io/containers", 0.75, select(&lists)),
        ("native-sidecar.io/known", 0.2, select(&["true", "false", "false", "yes"])),
        ("native-sidecar.io/accept", 0.5, select(&[&ALL_BLOCKERS, &ALL_BLOCKERS, "host-port", "host-prot"])),
        ("native-sidecar.io/on-blocker", 0.4, select(&["deny", "deny", "leave", "reject"])),
        ("native-sidecar.io/converted", 0.3, select(&records)),
        ("native-sidecar.io/blocked", 0.1, select(&["host-port: earlier"])),
        ("position.native-sidecar.io/helper", 0.25, select(&places)),
        ("position.native-sidecar.io/istio-proxy", 0.05, select(&places)),
        ("startup-probe.native-sidecar.io/helper", 0.2, select(&["none", "readiness", "tcp:80", "http:1/x", "{}"])),
        ("startup-probe.native-sidecar.io/db", 0.1, select(&["vendor"])),
        ("pre-stop.native-sidecar.io/helper", 0.2, select(&["keep", "remove", "drop"])),
        ("native-sidecar.io/typo", 0.05, select(&["x"])),
        (
            "sidecar.istio.io/status",
            0.3,
            select(&[r#"{"initContainers":["istio-init"],"containers":["istio-proxy"]}"#, "{", "[]", "null"]),
        ),
        ("example.com/~a~1b", 0.2, select(&["kept"])),
    ])
}

fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z~/\"\u{e4}]{0,6}".prop_map(Value::from),
    ];
    let key = prop_oneof![Just("name".to_owned()), Just("containers".to_owned()), "[a-zA-Z~/]{0,5}"];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..4)
                .prop_map(|object| object.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
    .boxed()
}

/// What may be put into a JSON string and what must not: escapes, control characters, and bytes that are no text, such
/// as the first half of a character, half of a surrogate pair and an overlong form.
const IN_STRINGS: [&[u8]; 18] = [
    b"\\u0000",
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\\ud83d\\ude00",
    b"\\u00e4",
    b"\\/",
    b"\\u002c",
    b"\\x",
    b"\\u12",
    b"\0",
    b"\n",
    b"\x7f",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xff",
    "\u{feff}\u{2028}".as_bytes(),
    "\u{1f600}".as_bytes(),
];
/// Keys that mean something to somebody on the way, and so may stand twice in their object.
const KEYS: [&str; 16] = [
    "object",
    "kind",
    "operation",
    "metadata",
    "annotations",
    "native-sidecar.io/containers",
    "spec",
    "containers",
    "initContainers",
    "name",
    "image",
    "restartPolicy",
    "env",
    "ports",
    "resources",
    "unknown",
];
/// Numbers at and beyond the ends of what a type can hold, and what is none.
const NUMBERS: [&str; 12] = [
    "0",
    "-0",
    "1e999",
    "-1e-999",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "0.30000000000000000000000001",
    "1E5",
    "01",
    "+1",
    "NaN",
];

/// One way to make a body odd, which leaves all before and behind it as it was.
#[derive(Clone, Debug)]
enum Oddity {
    /// Bytes in a string.
    InString(Index, &'static [u8]),
    /// One more member at the front of an object.
    Member(Index, &'static str, String),
    /// The end comes early.
    Cut(Index),
}

/// Reviews of valid pods with something odd in them, somewhere.
fn odd_bodies() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let value = prop_oneof![
        2 => prop::sample::select(NUMBERS.to_vec()).prop_map(str::to_owned),
        1 => any_json().prop_map(|value| value.to_string()),
    ];
    let oddity = prop_oneof![
        5 => (any::<Index>(), prop::sample::select(IN_STRINGS.to_vec())).prop_map(|(at, bytes)| Oddity::InString(at, bytes)),
        5 => (any::<Index>(), prop::sample::select(KEYS.to_vec()), value)
            .prop_map(|(at, key, value)| Oddity::Member(at, key, value)),
        1 => any::<Index>().prop_map(Oddity::Cut),
    ];
    (samples(), prop::collection::vec(oddity, 1..4)).prop_map(|(sample, oddities)| {
        let mut body = admission_review("u", &sample.pod.to_string()).into_bytes();
        for oddity in oddities {
            oddity.spoil(&mut body);
        }
        (body, sample.known)
    })
}

fn restart_rules(action: &str) -> Value {
    json!([{"action": action, "exitCodes": {"operator": "In", "values": [1]}}])
}

/// Regular containers have restart policies from 1.35 on; rules need a policy beside them, and restart all containers
/// from 1.36 on.
fn only_what_the_version_has(mut pod: Value, minor: u32) -> Value {
    for container in pod["spec"]["containers"].as_array_mut().unwrap() {
        let container = container.as_object_mut().unwrap();
        if minor < 35 {
            container.shift_remove("restartPolicy");
        }
        let restarts_all = container.get("restartPolicyRules") == Some(&restart_rules("RestartAllContainers"));
        if !container.contains_key("restartPolicy") || (restarts_all && minor < 36) {
            container.shift_remove("restartPolicyRules");
        }
    }
    pod
}

// === what must hold ===

fn list<'v>(pod: &'v Value, field: &str) -> &'v [Value] {
    pod["spec"][field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn names(pod: &Value, field: &str) -> Vec<String> {
    list(pod, field).iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect()
}

fn find<'v>(pod: &'v Value, field: &str, name: &str) -> Option<&'v Value> {
    list(pod, field).iter().find(|container| container["name"] == name)
}

fn without(value: &Value, fields: &[&str]) -> Value {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| !fields.contains(&key.as_str()));
    }
    value
}

fn assert_same_outside_of_the_lists(before: &Value, after: &Value) {
    assert_eq!(without(before, &["metadata", "spec"]), without(after, &["metadata", "spec"]));
    let lists = ["containers", "initContainers"];
    assert_eq!(without(&before["spec"], &lists), without(&after["spec"], &lists));
    assert_eq!(without(&before["metadata"], &["annotations"]), without(&after["metadata"], &["annotations"]));
    let ours = ["native-sidecar.io/converted", "native-sidecar.io/blocked"];
    let istios = ["sidecar.istio.io/status", "sidecar.istio.io/nativeSidecar"];
    let others = |pod: &Value| {
        let rest = without(&pod["metadata"]["annotations"], &[ours, istios].concat());
        if rest == json!({}) { Value::Null } else { rest }
    };
    assert_eq!(others(before), others(after));
}

fn assert_regular_containers_stay_as_they_are(before: &Value, after: &Value) {
    let stay = names(after, "containers");
    let expected: Vec<_> =
        list(before, "containers").iter().filter(|old| stay.iter().any(|name| old["name"] == **name)).collect();
    assert_eq!(expected, list(after, "containers").iter().collect::<Vec<_>>());
}

/// Those that were there are still there, in the same order, unless a mesh proxy moves: its own go in front.
fn assert_init_containers_stay_in_order(before: &Value, after: &Value) {
    let moved = moved(before, after);
    let mesh_moves = MESH_PROXIES.iter().any(|proxy| moved.iter().any(|name| name == proxy));
    let fixed = |pod: &Value| -> Vec<Value> {
        let stays = |name: &str| !moved.iter().any(|moved| moved == name);
        let is_fixed = |name: &str| stays(name) && !(mesh_moves && MESH_INITS.contains(&name));
        let all = list(pod, "initContainers").iter();
        // What was recorded and lost its restartPolicy may get it back.
        let record = before["metadata"]["annotations"]["native-sidecar.io/converted"].as_str().unwrap_or_default();
        let record: Vec<_> = record.split(',').map(str::trim).collect();
        let repaired = |container: &Value| {
            let is_recorded = record.contains(&container["name"].as_str().unwrap());
            if is_recorded { without(container, &["restartPolicy"]) } else { container.clone() }
        };
        all.filter(|container| is_fixed(container["name"].as_str().unwrap())).map(repaired).collect()
    };
    assert_eq!(fixed(before), fixed(after));
    for mesh in MESH_INITS {
        assert_eq!(find(before, "initContainers", mesh), find(after, "initContainers", mesh));
    }
}

/// Names that were regular only and are init containers now.
fn moved(before: &Value, after: &Value) -> Vec<String> {
    let mut moved = gone(before, after);
    moved.retain(|name| find(before, "initContainers", name).is_none());
    moved
}

/// Names that were regular and are not any more, second copies of init containers among them.
fn gone(before: &Value, after: &Value) -> Vec<String> {
    let (old, new) = (names(before, "containers"), names(after, "containers"));
    old.into_iter().filter(|name| !new.contains(name)).collect()
}

/// The pod without the second copies that went.
fn without_copies(before: &Value, after: &Value) -> Value {
    let (gone, moved) = (gone(before, after), moved(before, after));
    let is_copy = |container: &Value| {
        let is = |name: &String| container["name"] == **name;
        gone.iter().any(is) && !moved.iter().any(is)
    };
    let mut pod = before.clone();
    pod["spec"]["containers"].as_array_mut().unwrap().retain(|container| !is_copy(container));
    pod
}

fn assert_moved_containers_keep_their_fields(sample: &Sample, after: &Value) {
    for name in moved(&sample.pod, after) {
        let old = find(&sample.pod, "containers", &name).unwrap();
        let new = find(after, "initContainers", &name).unwrap();
        assert_eq!(new["restartPolicy"], "Always");
        let mut may_change = vec!["restartPolicy", "restartPolicyRules", "env"];
        if sample.minor < 33 {
            may_change.push("resizePolicy");
        }
        let is_known = !matches!(&*name, "shop" | "worker" | "helper" | "edge");
        if is_known || !sample.annotation("startup-probe.native-sidecar.io/helper").is_empty() {
            may_change.push("startupProbe");
        }
        if is_known || !sample.annotation("pre-stop.native-sidecar.io/helper").is_empty() {
            may_change.push("lifecycle");
        }
        assert_eq!(without(old, &may_change), without(new, &may_change), "{name}");
        assert_env_is_kept(sample, &name, old, new);
    }
}

/// Variables stay, but for the container's own name in them; gcsfuse is told that it is native, and the Cloud SQL proxy
/// to answer where its vendor's startup probe is wished for and it does not yet.
fn assert_env_is_kept(sample: &Sample, name: &str, old: &Value, new: &Value) {
    let env = |container: &Value| -> Vec<Value> {
        let mut env = container["env"].as_array().cloned().unwrap_or_default();
        for variable in &mut env {
            if let Some(source) = variable.pointer_mut("/valueFrom/resourceFieldRef").and_then(Value::as_object_mut) {
                source.retain(|key, value| key != "containerName" || value != name);
            }
        }
        env
    };
    let mut expected = env(old);
    if name == "gke-gcsfuse-sidecar" {
        expected.push(json!({"name": "NATIVE_SIDECAR", "value": "TRUE"}));
    }
    let answers = || old["args"].as_array().is_some_and(|args| args.iter().any(|word| word == "--health-check"));
    if name == "db" && sample.annotation("startup-probe.native-sidecar.io/db") == "vendor" && !answers() {
        expected.push(json!({"name": "CSQL_PROXY_HEALTH_CHECK", "value": "true"}));
    }
    assert_eq!(expected, env(new), "{name}");
}

/// What the API server's validation would say, as far as it concerns what a conversion touches.
///
/// Source: Kubernetes, pkg/apis/core/validation/validation.go.
fn violations(pod: &Value, minor: u32) -> Vec<String> {
    let (regular, init) = (list(pod, "containers"), list(pod, "initContainers"));
    let mut found = Vec::new();
    if regular.is_empty() {
        found.push("spec.containers: Required".to_owned());
    }
    let mut seen = BTreeSet::new();
    for container in regular.iter().chain(init) {
        let name = container["name"].as_str().unwrap_or_default();
        if !seen.insert(name) {
            found.push(format!("{name}: Duplicate"));
        }
        found.extend(container_violations(container).into_iter().map(|what| format!("{name}: {what}")));
    }
    found.extend(init.iter().flat_map(|container| init_violations(container, minor)));
    let annotations = pod["metadata"]["annotations"].as_object();
    let size: usize =
        annotations.into_iter().flatten().map(|(key, value)| key.len() + value.as_str().unwrap().len()).sum();
    if size > 256 * 1024 {
        found.push("metadata.annotations: Too long".to_owned());
    }
    found
}

fn container_violations(container: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for kind in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let Some(probe) = container[kind].as_object() else { continue };
        let handlers = ["exec", "httpGet", "tcpSocket", "grpc"].iter().filter(|handler| probe.contains_key(**handler));
        if handlers.count() != 1 {
            found.push(format!("{kind}: needs one handler"));
        }
        let once = probe.get("successThreshold").is_none_or(|threshold| *threshold == 1);
        if kind != "readinessProbe" && !once {
            found.push(format!("{kind}: successThreshold must be 1"));
        }
        if kind == "readinessProbe" && probe.contains_key("terminationGracePeriodSeconds") {
            found.push(format!("{kind}: has a grace period"));
        }
    }
    for hook in container["lifecycle"].as_object().into_iter().flatten().map(|(_, hook)| hook) {
        if hook.as_object().is_none_or(|hook| hook.len() != 1) {
            found.push("lifecycle: needs one handler".to_owned());
        }
    }
    if !container["restartPolicyRules"].is_null() && container["restartPolicy"].is_null() {
        found.push("restartPolicyRules: needs a restartPolicy".to_owned());
    }
    found
}

fn init_violations(container: &Value, minor: u32) -> Vec<String> {
    let has = |field: &str| !container[field].is_null();
    let mut found = Vec::new();
    if container["restartPolicy"] == "Always" {
        if has("resizePolicy") && minor < 33 {
            found.push("resizePolicy: Forbidden before 1.33".to_owned());
        }
        // From 1.36 on any rule is allowed where the feature is on, which one that restarts all containers proves.
        let may_have_rules = minor >= 36 && container["restartPolicyRules"] == restart_rules("RestartAllContainers");
        if has("restartPolicyRules") && !may_have_rules {
            found.push("restartPolicyRules: Forbidden".to_owned());
        }
    } else {
        let only_sidecars = ["startupProbe", "livenessProbe", "readinessProbe", "lifecycle", "restartPolicy"];
        found.extend(only_sidecars.iter().filter(|field| has(field)).map(|field| format!("{field}: Forbidden")));
    }
    found
}

/// A container's request of a resource, in thousandths of a CPU or in bytes; the limit where none is given.
fn request(container: &Value, resource: &str) -> u64 {
    let resources = &container["resources"];
    let given = |list: &str| resources[list][resource].as_str().map(amount);
    given("requests").or_else(|| given("limits")).unwrap_or(0)
}

/// The two forms that [`quantities`] writes.
fn amount(quantity: &str) -> u64 {
    let mebibytes = quantity.strip_suffix("Mi").map(|number| number.parse::<u64>().unwrap() << 20);
    mebibytes.unwrap_or_else(|| quantity.strip_suffix('m').unwrap().parse().unwrap())
}

/// Source: Kubernetes, k8s.io/component-helpers/resource/helpers.go, `AggregateContainerRequests`.
fn effective_request(pod: &Value) -> BTreeMap<&'static str, u64> {
    let of = |resource: &'static str| {
        let (mut sidecars, mut most) = (0, 0);
        for container in list(pod, "initContainers") {
            let own = request(container, resource);
            most = most.max(sidecars + own);
            if container["restartPolicy"] == "Always" {
                sidecars += own;
            }
        }
        let regular: u64 = list(pod, "containers").iter().map(|container| request(container, resource)).sum();
        (resource, most.max(sidecars + regular))
    };
    BTreeMap::from(["cpu", "memory"].map(of))
}

/// Source: Kubernetes, pkg/apis/core/v1/helper/qos/qos.go, `ComputePodQOS`.
fn qos_class(pod: &Value) -> &'static str {
    let (mut requests, mut limits, mut guaranteed) = (BTreeMap::new(), BTreeMap::new(), true);
    for container in list(pod, "containers").iter().chain(list(pod, "initContainers")) {
        for resource in ["cpu", "memory"] {
            let limit = container["resources"]["limits"][resource].as_str().map_or(0, amount);
            guaranteed &= limit > 0;
            for (sum, own) in [(&mut requests, request(container, resource)), (&mut limits, limit)] {
                if own > 0 {
                    *sum.entry(resource).or_insert(0) += own;
                }
            }
        }
    }
    match (requests.is_empty() && limits.is_empty(), guaranteed && requests == limits) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}

/// Whatever comes in: an error in one line, or an answer that the API server takes.
fn assert_survives(body: &[u8], known: bool) {
    let Some(answer) = answer(body, known) else { return };
    let patch = assert_sound(&answer);
    // A string that is only skipped may hold what no `Value` can.
    let Ok(mut request) = serde_json::from_slice::<Value>(body) else { return };
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(request["request"]["uid"], answer["response"]["uid"]);
    if !patch.is_empty() {
        json_patch::patch(&mut request["request"]["object"], &patch).unwrap();
    }
}

/// The answer to `body`, where it is understood.
fn answer(body: &[u8], known: bool) -> Option<Vec<u8>> {
    let facts = ClusterFacts::default();
    let route = if known { Route::Known } else { Route::Annotated };
    match review(body, route, Context { catalogue: catalogue(), facts: &facts }) {
        Ok(answer) => Some(answer.body),
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            None
        }
    }
}

/// Checks what the API server would, and returns the patch as it would read it.
///
/// Source: Kubernetes, k8s.io/apiserver, admission/plugin/webhook/request/admissionreview.go.
fn assert_sound(answer: &[u8]) -> Patch {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    let response = &answer["response"];
    assert!(response["uid"].as_str().is_some_and(|uid| !uid.is_empty()));
    assert_eq!(response["patch"].is_string(), response["patchType"] == "JSONPatch");
    assert_eq!(response["patch"].is_null(), response["patchType"].is_null());
    let patch: Patch = response["patch"]
        .as_str()
        .map_or_else(Patch::default, |patch| serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap());
    assert!(response["allowed"] == true || patch.is_empty());
    assert!(!patch.iter().any(|operation| matches!(operation, PatchOperation::Test(_))));
    for warning in response["warnings"].as_array().into_iter().flatten() {
        let warning = warning.as_str().unwrap();
        assert!(warning.chars().count() <= 256 && !warning.chars().any(char::is_control), "{warning}");
    }
    for (key, value) in response["auditAnnotations"].as_object().into_iter().flatten() {
        assert!(!key.contains('/'));
        assert!(!value.as_str().unwrap().contains(Code::UnsoundPatch.as_str()), "{answer}");
    }
    patch
}

/// Whether the words of an answer, in its annotations and those of the pod, are what became of the pod.
fn assert_says_what_it_does(sample: &Sample, response: &Value, after: &Value) {
    let before = &sample.pod;
    let annotation = |key: &str| after["metadata"]["annotations"][key].as_str().unwrap_or_default();
    let converted: Vec<_> = annotation("native-sidecar.io/converted").split(',').map(str::trim).collect();
    for name in gone(before, after) {
        assert_eq!(find(after, "initContainers", &name).unwrap()["restartPolicy"], "Always", "{name}");
        assert!(converted.contains(&&*name), "{name} is not among {converted:?}");
    }
    let lists = |pod: &Value| ["containers", "initContainers"].map(|field| list(pod, field).to_vec());
    let decision = response["auditAnnotations"]["decision"].as_str();
    assert_eq!(decision == Some("denied"), response["allowed"] == false);
    match decision {
        Some("denied") => {
            assert_eq!(sample.annotation("native-sidecar.io/on-blocker"), "deny");
            assert!(response["status"]["message"].as_str().is_some_and(|message| !message.is_empty()));
        }
        // What was moved by an earlier call and came apart since is mended all the same.
        Some("blocked") => {
            assert_ne!(annotation("native-sidecar.io/blocked"), "");
            assert_eq!(moved(before, after), Vec::<String>::new());
        }
        Some("converted") => {
            assert_eq!(annotation("native-sidecar.io/blocked"), "");
            assert_ne!(lists(before), lists(after));
        }
        _ => assert_eq!(before, after),
    }
}

/// JSON pointers of everything in `value` but itself.
fn paths(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, child)| (key.replace('~', "~0").replace('/', "~1"), child)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        _ => Vec::new(),
    };
    let below = |(token, child): (String, &Value)| {
        let deeper = paths(child).into_iter().map(|path| format!("/{token}{path}"));
        std::iter::once(format!("/{token}")).chain(deeper).collect::<Vec<_>>()
    };
    children.into_iter().flat_map(below).collect()
}
