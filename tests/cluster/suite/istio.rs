//! Beside Istio's own sidecar injector (`tests/cluster/istio`): its webhook, its template, in legacy mode.
//!
//! Each pod is created twice. Once Istio injects it in the legacy form and we convert it, once Istio is asked for the
//! native form: the two must be the same, and both are accepted.

use super::{
    certificates::Authority,
    cluster::{Cleanup, Cluster, Namespace, PATIENCE, note},
    pods::{self, annotate, annotation, asking, native_sidecars},
    process::free_port,
    webhook::{Webhook, host, is_converted},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    env,
    ffi::OsString,
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Instant,
};
use tempfile::TempDir;

/// Asks Istio for its native form; we leave it behind on what we convert.
pub(crate) const NATIVE: &str = "sidecar.istio.io/nativeSidecar";

/// Istio's injector as a process of this machine, registered as its chart says.
pub(crate) struct Injector {
    child: Child,
    folder: TempDir,
    _cleanup: Cleanup,
}

/// When Istio's webhook is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Called {
    /// Once for each pod, as its chart says.
    Once,
    /// Again after we have changed the pod.
    Again,
}

#[tokio::test]
async fn what_istio_injects_and_we_convert_equals_its_native_form() {
    compare(&[], Called::Once).await;
}

#[tokio::test]
async fn the_same_with_istio_called_again_after_us() {
    compare(&[], Called::Again).await;
}

#[tokio::test]
async fn the_same_with_the_cni_plugin_and_other_settings() {
    let settings = [
        "components.cni.enabled=true",
        "values.pilot.cni.enabled=true",
        "values.global.proxy.enableCoreDump=true",
        "meshConfig.defaultConfig.holdApplicationUntilProxyStarts=true",
    ];
    compare(&settings, Called::Once).await;
}

async fn compare(settings: &[&str], called: Called) {
    let Some(program) = env::var_os("NATIVE_SIDECAR_ISTIO_INJECTOR").filter(|path| !path.is_empty()) else {
        note("Istio's injector is not here (tests/cluster/istio/build makes it), so it was not looked at");
        return;
    };
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.labelled_namespace(&json!({"istio-injection": "enabled"})).await;
    let _injector = Injector::start(&cluster, &program, settings, called).await;
    let mut faults = Vec::new();
    let mut pods = injected();
    if called == Called::Once {
        // Called again, Istio forgets what a pod says about its proxy, in either form.
        pods.push(("a proxy of its own making", with_own_proxy(shop())));
    }
    for (what, pod) in &pods {
        faults.extend(difference(&namespace, pod).await.map(|text| format!("{what}: {text}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    note(&format!("istio: {} pods equal their native injection on Kubernetes {}", pods.len(), cluster.version));
}

/// How a pod that we convert differs from what Istio makes of it by itself.
async fn difference(namespace: &Namespace<'_>, pod: &Value) -> Option<String> {
    let ours = namespace.dry_run(asking(pod.clone(), "istio-proxy")).await;
    let theirs = namespace.dry_run(annotate(pod.clone(), NATIVE, "true")).await;
    let (ours, theirs) = (ours.created(), theirs.created());
    if !is_converted(&ours) || native_sidecars(&theirs) != ["istio-proxy"] {
        return Some(format!(
            "native are {:?}, with Istio alone {:?}",
            native_sidecars(&ours),
            native_sidecars(&theirs)
        ));
    }
    let difference = json_patch::diff(&comparable(&theirs), &comparable(&ours));
    (!difference.is_empty()).then(|| format!("what would make ours of Istio's: {difference}"))
}

/// What must be the same: the spec, the labels, and the annotations but for ours and those that ask.
fn comparable(pod: &Value) -> Value {
    let annotations = pod["metadata"]["annotations"].as_object().unwrap().iter();
    let annotations = annotations.filter(|(key, _)| !key.starts_with("native-sidecar.io/") && *key != NATIVE);
    let read = |value: &Value| serde_json::from_str(value.as_str().unwrap()).unwrap_or_else(|_| value.clone());
    let annotations: serde_json::Map<_, _> = annotations.map(|(key, value)| (key.clone(), read(value))).collect();
    json!({"annotations": annotations, "labels": pod["metadata"]["labels"], "spec": pod["spec"]})
}

/// Pods that Istio treats in different ways.
fn injected() -> Vec<(&'static str, Value)> {
    let annotated = |key, value| annotate(shop(), key, value);
    vec![
        ("a Deployment's pod", shop()),
        ("a pod with probes", with_probes(shop())),
        ("a pod with init containers", with_init_containers(shop())),
        ("a Job's pod", job()),
        ("an application that is held", annotated("proxy.istio.io/config", "holdApplicationUntilProxyStarts: true")),
        ("another status port", annotated("status.sidecar.istio.io/port", "15999")),
        ("no redirection", annotated("sidecar.istio.io/interceptionMode", "NONE")),
        ("TPROXY", annotated("sidecar.istio.io/interceptionMode", "TPROXY")),
        ("ports left out", annotated("traffic.sidecar.istio.io/excludeInboundPorts", "9000,9001")),
        ("another size", annotated("sidecar.istio.io/proxyCPULimit", "2")),
        ("no merged metrics", annotated("prometheus.istio.io/merge-metrics", "false")),
    ]
}

fn shop() -> Value {
    let mut pod = pods::with_sidecars(&[]);
    pod["metadata"]["generateName"] = "shop-7d9c6b5f4-".into();
    pod["metadata"]["labels"] = json!({"app": "shop", "pod-template-hash": "7d9c6b5f4"});
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-7d9c6b5f4",
        "uid": "5e1c6d1e-9a3f-4b61-8c0e-0d3c0f6b7a11", "controller": true,
    }]);
    // Its volume would have another name each time.
    pod["spec"]["automountServiceAccountToken"] = false.into();
    pod["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": 8080}]);
    pod
}

fn job() -> Value {
    let mut pod = shop();
    pod["metadata"]["generateName"] = "report-".into();
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": "report",
        "uid": "0b0f7f0c-51d5-4d0c-9f57-1a3f0f5be9aa", "controller": true,
    }]);
    pod["spec"]["restartPolicy"] = "Never".into();
    pod
}

fn with_probes(mut pod: Value) -> Value {
    let app = &mut pod["spec"]["containers"][0];
    app["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": "http"}});
    app["livenessProbe"] = json!({"tcpSocket": {"port": 8080}});
    pod
}

fn with_init_containers(mut pod: Value) -> Value {
    let init = ["migrate", "seed"].map(|name| json!({"name": name, "image": pods::image()}));
    pod["spec"]["initContainers"] = json!(init);
    pod
}

/// A container that Istio fills in and notes as an override.
fn with_own_proxy(mut pod: Value) -> Value {
    let proxy = json!({"name": "istio-proxy", "image": "auto", "resources": {"requests": {"cpu": "11m"}}});
    pod["spec"]["containers"].as_array_mut().unwrap().push(proxy);
    pod
}

// === impl Injector ===

impl Injector {
    pub(crate) async fn start(cluster: &Cluster, program: &OsString, settings: &[&str], called: Called) -> Self {
        let (folder, port, authority) = (tempfile::tempdir().unwrap(), free_port(host()), Authority::new());
        let pair = authority.issue(&host().to_string());
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        fs::write(&certificate, &pair.certificate).unwrap();
        fs::write(&key, &pair.key).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = command(program, settings)
            .args(["--listen", &format!("{}:{port}", host())])
            .arg("--certificate")
            .arg(certificate)
            .arg("--key")
            .arg(key)
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let configuration = configuration(program, settings, port, &authority, called);
        let mut injector = Self { child, _cleanup: cluster.apply(&configuration).await, folder };
        injector.wait_until_it_listens(port);
        injector.wait_until_called(cluster).await;
        injector
    }

    fn wait_until_it_listens(&mut self, port: u16) {
        let start = Instant::now();
        while TcpStream::connect((host(), port)).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "not listening, ended: {ended:?}, log:\n{}",
                self.log()
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    async fn wait_until_called(&self, cluster: &Cluster) {
        let namespace = cluster.labelled_namespace(&json!({"istio-injection": "enabled"})).await;
        super::cluster::eventually("the API server calls Istio's injector", || async {
            let reply = namespace.dry_run(shop()).await;
            reply.exists() && !annotation(&reply.object, "sidecar.istio.io/status").is_empty()
        })
        .await;
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the log of Istio's injector:\n{}", self.log());
        }
    }
}

fn command(program: &OsString, settings: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(settings.iter().flat_map(|setting| ["--set", setting]));
    command
}

/// The registration of Istio's chart, with a URL instead of a Service.
fn configuration(program: &OsString, settings: &[&str], port: u16, authority: &Authority, called: Called) -> Value {
    let output = command(program, settings).arg("--configuration").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut configuration: Value = serde_json::from_slice(&output.stdout).unwrap();
    for webhook in configuration["webhooks"].as_array_mut().unwrap() {
        let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
        let url = format!("https://{}:{port}{path}", host());
        webhook["clientConfig"] = json!({"url": url, "caBundle": STANDARD.encode(authority.bundle())});
        if called == Called::Again {
            webhook["reinvocationPolicy"] = "IfNeeded".into();
        }
    }
    configuration
}
