//! Which nodes count: what the scheduler makes of the table of placements, and what a large cluster costs.

use super::cluster::{Cleanup, Cluster, Namespace, eventually, note, unique, within};
use arc_swap::ArcSwap;
use futures::{StreamExt, future::join_all, stream};
use http::Method;
use kube::{Client, Config};
use native_sidecar::cluster::facts::{self, Surveyor, SurveyorSettings};
use native_sidecar_cases::placement::{Row, table};
use native_sidecar_core::{conversion::ClusterFacts, pod::Pod};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::{env, fs, sync::Arc, time::Instant};

/// The label by which a pod of the table is sent to one node of it.
const SAME: &str = "native-sidecar.test/node";

/// Nodes of the large cluster, and how many requests for them are under way at once.
const MANY: usize = 5_000;
const AT_ONCE: usize = 16;

/// The table is what the conversion's own reading of a pod's placement is held against, so a scheduler has to agree with it.
#[tokio::test]
async fn the_scheduler_agrees_with_the_table_of_placements() {
    let Some(cluster) = Cluster::connect().await else { return };
    if !cluster.has_nodes().await || env::var_os("CLUSTER_STATE").is_none() {
        return;
    }
    let namespace = cluster.namespace().await;
    let table = table();
    let run = unique("placement");
    let mut cleanup = Cleanup::none();
    for node in &table.nodes {
        cleanup = cleanup.and(cluster.apply(&schedulable(node, &run)).await);
    }
    for node in &table.nodes {
        let path = format!("/api/v1/nodes/{}", node_name(node, &run));
        eventually("the node may be used", || async { is_usable(&cluster.get(&path).await.object) }).await;
    }
    let pairs = table.pods.iter().enumerate().flat_map(|row| table.nodes.iter().map(move |node| (row, node)));
    let answers = join_all(pairs.map(|((row, Row { shows, pod, runs_on }), node)| {
        let (namespace, run) = (&namespace, &run);
        async move {
            let name = node["metadata"]["name"].as_str().unwrap();
            let pod = sent_to(pod, node, run, &format!("row-{row}-{name}"));
            let runs = is_scheduled(namespace, &pod).await;
            let expected = runs_on.iter().any(|other| other == name);
            (runs != expected).then(|| format!("{name}: {shows} (the scheduler sends it there: {runs})"))
        }
    }))
    .await;
    let (asked, differences) = (answers.len(), answers.into_iter().flatten().collect::<Vec<_>>());
    assert!(differences.is_empty(), "{differences:#?}");
    note(&format!(
        "nodes: the scheduler of Kubernetes {} agrees on {asked} pairs of a pod and a node, in {} rows",
        cluster.version,
        table.pods.len()
    ));
}

/// Real `Node` objects, as many as a cluster has that is large: the list comes in pages, and no more is kept than is needed.
#[tokio::test]
async fn a_large_cluster_is_learnt_page_by_page() {
    let Some(cluster) = Cluster::connect().await else { return };
    // Once is enough, and the newest API server is the one that most clusters come to have.
    if cluster.has_nodes().await || !cluster.has_admission_policies() {
        return;
    }
    let run = unique("large");
    let nodes = (0..MANY).map(|number| large_node(&run, number));
    side_by_side(nodes.map(|node| {
        let cluster = &cluster;
        async move { drop(cluster.create(&node).await.created()) }
    }))
    .await;

    let published = Arc::new(ArcSwap::from_pointee(ClusterFacts::default()));
    let mut registry = Registry::default();
    let metrics = facts::Metrics::register(&mut registry);
    let namespace = cluster.namespace().await;
    let client = Client::try_from(Config::infer().await.unwrap()).unwrap();
    let mut surveyor = Surveyor::new(client, SurveyorSettings::new(&namespace.name), Arc::clone(&published), metrics);
    let (before, start) = (resident(), Instant::now());
    surveyor.survey().await.unwrap();
    let (first, first_memory) = (start.elapsed(), resident());
    let (asked, start) = (lists(&cluster).await, Instant::now());
    surveyor.survey().await.unwrap();
    let again = start.elapsed();
    let pages = lists(&cluster).await - asked;
    assert!(pages >= MANY as u64 / 500, "asked for {pages} pages only");

    let facts = published.load_full();
    assert_eq!(facts.kubelets().len(), MANY);
    let found = |spec: Value| {
        let text = json!({"spec": spec}).to_string();
        facts.for_pod(&Pod::parse(&text).unwrap()).below_floor().map(|(node, others)| (node.name, others))
    };
    assert_eq!(found(json!({})), None, "the old nodes have a taint");
    let tolerations = json!([{"key": "virtual-kubelet.io/provider", "operator": "Exists"}]);
    assert_eq!(found(json!({"tolerations": tolerations})), Some((format!("{run}-0"), MANY / 1000 - 1)));
    let pinned = json!({"tolerations": tolerations, "nodeSelector": {"kubernetes.io/hostname": format!("{run}-3000")}});
    assert_eq!(found(pinned), Some((format!("{run}-3000"), 0)));
    note(&format!(
        "nodes: {MANY} nodes on Kubernetes {} in {pages} pages, the first time in {first:.1?} and then in {again:.1?}; \
         {} KiB more in memory",
        cluster.version,
        first_memory.saturating_sub(before) / 1024
    ));
    // Other tests tell by nodes whether pods run here. All at once they would take longer than a request may.
    side_by_side((0..MANY).map(|number| {
        let (cluster, path) = (&cluster, format!("/api/v1/nodes/{run}-{number}"));
        async move { drop(cluster.send(Method::DELETE, &path, None).await.created()) }
    }))
    .await;
    assert!(!cluster.has_nodes().await);
}

/// Does all of it, some at a time.
async fn side_by_side<F: Future<Output = ()>>(requests: impl Iterator<Item = F>) {
    stream::iter(requests).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// A node like those of a cloud: labels, and a list of images that is longer than all the rest. One in a thousand is virtual
/// and old.
fn large_node(run: &str, number: usize) -> Value {
    let is_virtual = number.is_multiple_of(1000);
    let name = format!("{run}-{number}");
    let mut labels: serde_json::Map<_, _> =
        (0..25).map(|label| (format!("example.com/label-{label}"), json!(format!("value-{label}")))).collect();
    labels.insert("run".to_owned(), run.into());
    labels.insert("kubernetes.io/hostname".to_owned(), name.as_str().into());
    labels.insert("example.com/instance".to_owned(), format!("i-{number:08x}").into());
    let taints = if is_virtual {
        labels.insert("type".to_owned(), "virtual-kubelet".into());
        json!([{"key": "virtual-kubelet.io/provider", "value": "azure", "effect": "NoSchedule"}])
    } else {
        json!([])
    };
    let images: Vec<_> = (0..50)
        .map(|image| json!({"names": [format!("registry.example.com/team-{image}/image@sha256:{image:064x}")], "sizeBytes": 1}))
        .collect();
    let version = if is_virtual { "v1.19.10-vk-azure-aci-1.4.16" } else { "v1.36.1" };
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints},
        "status": {"images": images, "nodeInfo": node_info(version)},
    })
}

/// How often the API server was asked for a list of nodes, or a page of one.
async fn lists(cluster: &Cluster) -> u64 {
    let metrics = cluster.text("/metrics").await;
    let lines = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    let lists = lines.filter(|line| line.contains("resource=\"nodes\"") && line.contains("verb=\"LIST\""));
    lists.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Memory of this process, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<usize>().ok()).unwrap_or_default() * 1024
}

fn node_info(version: &str) -> Value {
    json!({
        "kubeletVersion": version, "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
        "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": "",
    })
}

fn node_name(node: &Value, run: &str) -> String {
    format!("{run}-{}", node["metadata"]["name"].as_str().unwrap())
}

/// The node of the table as one that no kubelet keeps, with room for pods.
fn schedulable(node: &Value, run: &str) -> Value {
    let name = node_name(node, run);
    let mut object = node.clone();
    object["apiVersion"] = "v1".into();
    object["kind"] = "Node".into();
    object["metadata"]["labels"][SAME] = name.as_str().into();
    object["metadata"]["name"] = name.into();
    let room = json!({"cpu": "64", "memory": "64Gi", "pods": "1000"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "Test", "message": "", "lastHeartbeatTime": now()});
    object["status"] = json!({
        "capacity": room, "allocatable": room, "conditions": [ready], "nodeInfo": node_info("v1.37.2"),
    });
    object
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn is_usable(node: &Value) -> bool {
    let is_set_aside = |taint: &Value| taint["key"].as_str().is_some_and(|key| key.starts_with("node.kubernetes.io/"));
    node["metadata"]["name"].is_string()
        && !node["spec"]["taints"].as_array().is_some_and(|taints| taints.iter().any(is_set_aside))
}

/// The pod of a row, to be sent to one node of the table or to none. What says so is added to what the row says.
fn sent_to(pod: &Value, node: &Value, run: &str, name: &str) -> Value {
    // Nodes have other names here than in the table.
    let renamed = pod.to_string().replace("\"bare\"", &format!("\"{run}-bare\""));
    let mut pod: Value = serde_json::from_str(&renamed).unwrap();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"] = json!({"name": name});
    pod["spec"]["nodeSelector"][SAME] = node_name(node, run).into();
    pod["spec"]["containers"] = json!([{"name": "app", "image": "registry.example.com/app:1"}]);
    pod["spec"]["terminationGracePeriodSeconds"] = 0.into();
    pod
}

/// Whether the scheduler sends the pod somewhere, once it has said so.
async fn is_scheduled(namespace: &Namespace<'_>, pod: &Value) -> bool {
    namespace.create(pod.clone()).await.created();
    let path = namespace.pod_path(pod["metadata"]["name"].as_str().unwrap());
    within("the scheduler has looked at the pod", || async {
        let pod = namespace.cluster.get(&path).await.object;
        let conditions = pod["status"]["conditions"].as_array()?;
        let scheduled = conditions.iter().find(|condition| condition["type"] == "PodScheduled")?;
        Some(scheduled["status"] == "True")
    })
    .await
}
