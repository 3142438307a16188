//! The kubelets' versions.

use crate::cluster::api::{Failure, bounded};
use kube::{Client, api::ListParams, core::Request};
use native_sidecar_core::version::Version;
use serde::Deserialize;
use std::collections::BTreeMap;

/// As `kubectl` does: a page that the API server answers quickly, whatever the size of the cluster.
const PAGE: u32 = 500;

/// More pages than any cluster has. A server that goes on for ever must not fill the memory.
const PAGES: usize = 1000;

/// All nodes of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nodes {
    /// The version of each node's kubelet.
    pub(super) kubelets: BTreeMap<String, Version>,
    /// Nodes whose kubelet says something else than a version, as virtual ones do.
    pub(super) strange: Vec<String>,
}

/// One page of nodes. Only what is wanted is read: a node's list of images alone is longer than all of this.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    items: Vec<Node>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Node {
    metadata: NodeMeta,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Deserialize)]
struct NodeMeta {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatus {
    #[serde(default)]
    node_info: NodeInfo,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeInfo {
    #[serde(default)]
    kubelet_version: String,
}

/// All nodes, page by page. A list that expires on the way (410) is started once more.
pub(super) async fn list(client: &Client) -> Result<Nodes, Failure> {
    match pages(client).await {
        Err(failure) if failure.code() == Some(410) => pages(client).await,
        outcome => outcome,
    }
}

async fn pages(client: &Client) -> Result<Nodes, Failure> {
    let mut nodes = Nodes::default();
    let mut params = ListParams::default().limit(PAGE);
    for _ in 0..PAGES {
        let page = page(client, &params).await?;
        page.items.into_iter().for_each(|node| nodes.add(node));
        match page.metadata.next.filter(|next| !next.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => break,
        }
    }
    Ok(nodes)
}

async fn page(client: &Client, params: &ListParams) -> Result<Page, Failure> {
    let request = Request::new("/api/v1/nodes").list(params).map_err(kube::Error::BuildRequest)?;
    bounded(client.request(request)).await
}

// === impl Nodes ===

impl Nodes {
    fn add(&mut self, node: Node) {
        let (name, version) = (node.metadata.name, node.status.node_info.kubelet_version);
        match version.parse() {
            Ok(version) => drop(self.kubelets.insert(name, version)),
            Err(_) => self.strange.push(format!("{name} ({version:?})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_nodes_are_left_out() {
        let json = r#"{"items":[
            {"metadata":{"name":"a"},"status":{"nodeInfo":{"kubeletVersion":"v1.31.4+k3s1"},"images":[{"names":["x"]}]}},
            {"metadata":{"name":"b"},"status":{"nodeInfo":{"kubeletVersion":"fake"}}},
            {"metadata":{"name":"c"}}
        ]}"#;
        let page: Page = serde_json::from_str(json).unwrap();
        let mut nodes = Nodes::default();
        page.items.into_iter().for_each(|node| nodes.add(node));
        assert_eq!(nodes.kubelets, BTreeMap::from([("a".to_owned(), Version::new(1, 31, 4))]));
        assert_eq!(nodes.strange, [r#"b ("fake")"#, r#"c ("")"#]);
    }
}
