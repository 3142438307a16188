//! Istio's agent with Envoy, as Istio's injector puts them into pods, and a pod with all three sidecars.
//!
//! Envoy is the upstream one, so what only Istio's own build of it knows is turned off in the control plane; nftables
//! redirects the connections. The application asks a server that is in no mesh.

use super::{
    super::{
        cluster::{Cleanup, Cluster, Namespace, eventually},
        istio::{Called, Injector, NATIVE},
        pods::{annotate, native_sidecars},
        process::free_port,
        story::{log, log_path},
        webhook::Webhook,
    },
    completed, deleted, end, failed, hangs, job, kill, known, node_with, number, report, said, within,
};
use serde_json::{Value, json};
use std::{
    env, fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// The name of Istio's container.
const PROXY: &str = "istio-proxy";

/// Requests of an application in its first second.
const EARLY: u32 = 10;

/// Requests of an application that drains, one each half second. Istio's agent goes on for 5 s.
const TRIES: u32 = 18;

/// Istio's control plane and its injector, as processes of this machine.
struct Mesh {
    control_plane: Child,
    folder: TempDir,
    _injector: Injector,
    _cleanup: Cleanup,
}

#[tokio::test]
async fn pods_in_a_mesh() {
    let Some((cluster, image)) = connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let _mesh = Mesh::start(&cluster, &image, &[]).await;
    let namespace = member(&cluster).await;
    let server = Server::start(&cluster).await;
    tokio::join!(
        jobs(&namespace, &server),
        killed(&namespace, &server),
        draining(&namespace, &server),
        all_three(&namespace, &server),
    );
}

/// As with `values.global.proxy.startupProbe.enabled=false` in Istio's chart.
#[tokio::test]
async fn a_job_in_a_mesh_without_startup_probes() {
    let Some((cluster, image)) = connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let _mesh = Mesh::start(&cluster, &image, &["values.global.proxy.startupProbe.enabled=false"]).await;
    let namespace = member(&cluster).await;
    let server = Server::start(&cluster).await;
    namespace.create(job("native", known(pod(&server.early())))).await.created();
    let native = completed(&namespace, "native").await;
    assert_eq!(gate(&native), Value::Null);
    report(&format!(
        "Istio in a Job without its startup probe: native complete, {} of {EARLY} early requests served",
        number(&log(&namespace, &native, "app").await, "early ")
    ));
}

async fn jobs(namespace: &Namespace<'_>, server: &Server<'_>) {
    let script = server.early();
    for (name, pod) in [("legacy", pod(&script)), ("native", known(pod(&script))), ("istio", natively(pod(&script)))] {
        namespace.create(job(name, pod)).await.created();
    }
    let (legacy, native, istio) =
        tokio::join!(hangs(namespace, "legacy"), completed(namespace, "native"), succeeded(namespace, "istio"),);
    assert!(gate(&native).is_object(), "{native:#}");
    // They went through Envoy, which notes them once a second; the last may be missing.
    assert!(log(namespace, &native, PROXY).await.contains("\"GET / HTTP/1.1\" 200"));
    let early = async |pod| number(&log(namespace, pod, "app").await, "early ");
    let (legacy, native, istio) = (early(&legacy).await, early(&native).await, early(&istio).await);
    assert_eq!((native, istio), (EARLY, EARLY));
    report(&format!(
        "Istio in a Job, early requests served: legacy {legacy} of {EARLY} and 1/2 NotReady; native {native} of {EARLY} and \
         complete; Istio's own native form {istio} of {EARLY}"
    ));
}

/// Agent and Envoy are killed while the application uses them.
async fn killed(namespace: &Namespace<'_>, server: &Server<'_>) {
    let ask = server.ask();
    let gone = format!("until {ask}; do sleep 0.1; done; echo served; while {ask}; do sleep 0.1; done; echo gone");
    // As nobody brings them back, the application does not wait for them.
    let back = format!("{gone}; until {ask}; do sleep 0.1; done; echo back");
    namespace.create(job("killed-legacy", pod(&gone))).await.created();
    namespace.create(job("killed-native", known(pod(&back)))).await.created();
    for name in ["killed-legacy", "killed-native"] {
        kill(&said(namespace, name, "app", "served").await, PROXY);
    }
    let (legacy, native) = tokio::join!(failed(namespace, "killed-legacy"), completed(namespace, "killed-native"));
    assert!(log(namespace, &native, "app").await.ends_with("gone\nback\n"));
    assert_eq!(end(&native, PROXY).1, 1);
    assert_eq!((end(&legacy, "app"), end(&legacy, PROXY)), ((0, 0), (137, 0)));
    report("Istio killed in a Job: legacy Failed although the application exited 0; native back and Succeeded");
}

async fn draining(namespace: &Namespace<'_>, server: &Server<'_>) {
    let ask = server.ask();
    let drain = format!(
        "n=0; for i in $(seq {TRIES}); do sleep 0.5; if {ask}; then n=$((n + 1)); fi; done; echo served $n; exit 0"
    );
    let script = format!(
        "trap '{drain}' TERM; until {ask}; do sleep 0.1; done; echo ready; while true; do sleep 1 & wait $!; done"
    );
    let drained = async |pod| {
        let pod = namespace.create(pod).await.created();
        let [said] = deleted(namespace, &pod, ("app", "ready"), ["app"]).await;
        number(&said, "served ")
    };
    let (legacy, native, istio) =
        tokio::join!(drained(pod(&script)), drained(known(pod(&script))), drained(natively(pod(&script))));
    assert!(legacy < TRIES, "{legacy}");
    assert_eq!((native, istio), (TRIES, TRIES));
    report(&format!(
        "Istio while the application drains for 9 s, new requests: legacy {legacy} of {TRIES}, native {native} of \
         {TRIES}, Istio's own native form {istio} of {TRIES}"
    ));
}

/// One pod has all three, each of them known.
async fn all_three(namespace: &Namespace<'_>, server: &Server<'_>) {
    let Some(images) = ["NATIVE_SIDECAR_CLOUD_SQL_PROXY", "NATIVE_SIDECAR_COLLECTOR"]
        .into_iter()
        .map(|variable| env::var(variable).ok())
        .collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let proxy = super::proxy::proxy(&images[0], &["--health-check"]);
    let collector = super::collector::collector(&images[1], Some(1));
    let (database, web) = (super::proxy::ASK, server.ask());
    let script = format!(
        "{database} && echo database; {web} && echo web; {}; {}",
        super::collector::write("first"),
        super::collector::last_words()
    );
    let pod = told(super::pod(&script, &[proxy, collector], super::collector::FOLDER));
    namespace.create(job("three", known(pod))).await.created();
    let pod = completed(namespace, "three").await;
    assert_eq!(log(namespace, &pod, "app").await, "database\nweb\n");
    let last = super::collector::count(&log(namespace, &pod, "sidecar").await);
    assert_eq!(last, super::collector::LAST_LINES);
    // The order of their stages, and its reverse.
    assert_eq!(native_sidecars(&pod), [PROXY, "sidecar", "proxy"]);
    let told = async |container, word| moment(namespace, &pod, container, word).await;
    let stopped = [
        told("proxy", "SIGTERM signal received").await,
        told("sidecar", "Received signal from OS").await,
        told(PROXY, "Status server has successfully terminated").await,
    ];
    assert!(stopped.is_sorted(), "{stopped:?}");
    let after = |moment: jiff::Timestamp| moment.duration_since(stopped[0]).as_secs_f64();
    report(&format!(
        "Istio, collector and Cloud SQL proxy in one Job's pod, known: complete; database and web served at once, last \
         lines {last} of {last}; told to stop in this order: proxy, collector ({:.2} s later), Istio ({:.2} s later)",
        after(stopped[1]),
        after(stopped[2]),
    ));
}

/// When a container said a word.
async fn moment(namespace: &Namespace<'_>, pod: &Value, container: &str, word: &str) -> jiff::Timestamp {
    let text = namespace.cluster.text(&(log_path(namespace, pod, container) + "&timestamps=true")).await;
    let line = text.lines().find(|line| line.contains(word));
    let line = line.unwrap_or_else(|| panic!("{container:?} does not say {word:?}: {text}"));
    line.split_once(' ').unwrap().0.parse().unwrap()
}

async fn connect() -> Option<(Cluster, String)> {
    let what = "Istio's agent with Envoy";
    node_with("NATIVE_SIDECAR_ISTIO_INJECTOR", what).await?;
    node_with("NATIVE_SIDECAR_PILOT_DISCOVERY", what).await?;
    node_with("NATIVE_SIDECAR_ISTIO_PROXY", what).await
}

/// A namespace whose pods Istio injects, and where they find the control plane's certificate.
async fn member(cluster: &Cluster) -> Namespace<'_> {
    let namespace = cluster.labelled_namespace(&json!({"istio-injection": "enabled"})).await;
    let path = format!("/api/v1/namespaces/{}/configmaps/istio-ca-root-cert", namespace.name);
    eventually("the control plane has written its certificate", || async { cluster.get(&path).await.exists() }).await;
    namespace
}

/// A pod with an application that Istio injects its sidecar into.
fn pod(script: &str) -> Value {
    told(super::pod(script, &[], "/shared"))
}

/// There is no cluster DNS, so the pod is told where the control plane is.
fn told(mut pod: Value) -> Value {
    let control_plane = json!({"ip": address(), "hostnames": ["istiod.istio-system.svc"]});
    pod["spec"]["hostAliases"] = json!([control_plane]);
    pod
}

/// The pod in the form that Istio calls native.
fn natively(pod: Value) -> Value {
    annotate(pod, NATIVE, "true")
}

/// Waits until a pod has succeeded that we have not converted.
async fn succeeded(namespace: &Namespace<'_>, job: &str) -> Value {
    within("the Job is complete", || async {
        let pod = namespace.pods(&format!("job-name={job}")).await.pop()?;
        (pod["status"]["phase"] == "Succeeded").then_some(pod)
    })
    .await
}

fn gate(pod: &Value) -> Value {
    let mut sidecars = pod["spec"]["initContainers"].as_array().unwrap().iter();
    sidecars.find(|container| container["name"] == PROXY).unwrap()["startupProbe"].clone()
}

fn address() -> String {
    env::var("NODE_ADDRESS").unwrap()
}

// === impl Mesh ===

impl Mesh {
    async fn start(cluster: &Cluster, image: &str, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let system = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}});
        eventually("an earlier control plane is gone", || async {
            cluster.get("/api/v1/namespaces/istio-system").await.status == 404
        })
        .await;
        let cleanup = cluster.apply(&system).await;
        let control_plane = Self::control_plane(&folder);
        let (hub, tag) = image.rsplit_once("/proxyv2:").unwrap();
        let image = [format!("values.global.hub={hub}"), format!("values.global.tag={tag}")];
        let settings = [settings, &["values.global.nativeNftables=true", &image[0], &image[1]]].concat();
        let program = env::var_os("NATIVE_SIDECAR_ISTIO_INJECTOR").unwrap();
        let injector = Injector::start(cluster, &program, &settings, Called::Once).await;
        let mesh = Self { control_plane, folder, _injector: injector, _cleanup: cleanup };
        eventually("Istio's control plane listens", || async { TcpStream::connect((address(), 15012)).is_ok() }).await;
        mesh
    }

    fn control_plane(folder: &TempDir) -> Child {
        let mesh = folder.path().join("mesh.yaml");
        fs::write(&mesh, json!({"accessLogFile": "/dev/stdout", "defaultProviders": {"metrics": []}}).to_string())
            .unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let local = || format!("127.0.0.1:{}", free_port([127, 0, 0, 1].into()));
        Command::new(env::var_os("NATIVE_SIDECAR_PILOT_DISCOVERY").unwrap())
            .args(["discovery", "--httpsAddr=", "--grpcAddr=", "--ctrlz_port=0"])
            .arg(format!("--kubeconfig={}", env::var("KUBECONFIG").unwrap()))
            .arg(format!("--meshConfig={}", mesh.display()))
            .arg(format!("--secureGRPCAddr={}:15012", address()))
            .arg(format!("--httpAddr={}", local()))
            .arg(format!("--monitoringAddr={}", local()))
            .envs([("POD_NAMESPACE", "istio-system"), ("POD_NAME", "istiod")])
            // Filters that upstream's Envoy lacks.
            .envs([("PILOT_ENABLE_ALPN_FILTER", "false"), ("PILOT_ENABLE_METADATA_EXCHANGE", "false")])
            // The injector is a program of its own.
            .envs([("INJECTION_WEBHOOK_CONFIG_NAME", ""), ("VALIDATION_WEBHOOK_CONFIG_NAME", "")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let _ = self.control_plane.kill();
        let _ = self.control_plane.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(10).collect();
            eprintln!("--- the last lines of Istio's control plane, newest first:\n{}", last.join("\n"));
        }
    }
}

/// Answers HTTP, and is in no mesh.
struct Server<'c> {
    address: String,
    _namespace: Namespace<'c>,
}

impl<'c> Server<'c> {
    async fn start(cluster: &'c Cluster) -> Self {
        let namespace = cluster.namespace().await;
        let mut pod = super::super::pods::with_sidecars(&[]);
        pod["metadata"]["labels"] = json!({"app": "server"});
        pod["spec"]["terminationGracePeriodSeconds"] = 1.into();
        pod["spec"]["containers"][0]["command"] =
            json!(["sh", "-c", "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"]);
        namespace.create(pod).await.created();
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"},
            "spec": {"selector": {"app": "server"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        });
        let service = namespace.create(service).await.created();
        let address = service["spec"]["clusterIP"].as_str().unwrap().to_owned();
        eventually("the server answers", || async { TcpStream::connect((address.as_str(), 80)).is_ok() }).await;
        Self { address, _namespace: namespace }
    }

    /// A script that says how many of its early requests were served, and ends when one is.
    fn early(&self) -> String {
        let ask = self.ask();
        format!(
            "n=0; for i in $(seq {EARLY}); do if {ask}; then n=$((n + 1)); fi; sleep 0.1; done; echo early $n; \
             until {ask}; do sleep 0.1; done"
        )
    }

    /// Whether it answers.
    fn ask(&self) -> String {
        format!("wget -q -O /dev/null http://{}/ 2>/dev/null", self.address)
    }
}
