//! The nodes: their kubelets' versions, and what decides which pods may run on them.

use crate::cluster::api::{Failure, bounded};
use kube::{Client, api::ListParams, core::Request};
use native_sidecar_core::{
    conversion::{NodeObject, Nodes},
    version::Version,
};
use serde::Deserialize;

/// As `kubectl` does: a page that the API server answers quickly, whatever the size of the cluster.
const PAGE: u32 = 500;

/// More pages than any cluster has. A server that goes on for ever must not fill the memory.
const PAGES: usize = 1000;

/// One page of nodes.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    items: Vec<NodeObject>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

/// All nodes, page by page. A list that expires on the way (410) is started once more.
///
/// What is kept of each depends on `floor`, the oldest kubelet that may run a converted pod.
pub(super) async fn list(client: &Client, floor: Version) -> Result<Nodes, Failure> {
    match pages(client, floor).await {
        Err(failure) if failure.code() == Some(410) => pages(client, floor).await,
        outcome => outcome,
    }
}

async fn pages(client: &Client, floor: Version) -> Result<Nodes, Failure> {
    let mut nodes = Nodes::new(floor);
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

#[cfg(test)]
mod tests {
    use super::*;
    use native_sidecar_core::conversion::ClusterFacts;
    use std::collections::BTreeMap;

    #[test]
    fn virtual_nodes_are_left_out() {
        let json = r#"{"items":[
            {"metadata":{"name":"a"},"status":{"nodeInfo":{"kubeletVersion":"v1.31.4+k3s1"},"images":[{"names":["x"]}]}},
            {"metadata":{"name":"b"},"status":{"nodeInfo":{"kubeletVersion":"fake"}}},
            {"metadata":{"name":"c"}}
        ]}"#;
        let page: Page = serde_json::from_str(json).unwrap();
        let floor = Version::new(1, 29, 0);
        let mut nodes = Nodes::new(floor);
        page.items.into_iter().for_each(|node| nodes.add(node));
        let facts = ClusterFacts::default().with_nodes(nodes);
        assert_eq!(*facts.kubelets(), BTreeMap::from([("a".to_owned(), Version::new(1, 31, 4))]));
        assert!(facts.left_out().unwrap().ends_with(r#": b ("fake"), c ("")"#));
    }
}
