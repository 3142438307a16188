//! A new certificate while pods are created: nobody notices.

use super::{
    certificates::Authority,
    cluster::{Cluster, Namespace, eventually, unique},
    pods::annotated,
    webhook::{Webhook, host, is_converted, registration},
};
use serde_json::{Value, json};
use std::cell::Cell;

/// First both authorities are trusted, then the certificate's files change, then only the new one is trusted.
#[tokio::test]
async fn no_pod_is_missed_while_the_certificate_is_replaced() {
    let Some(cluster) = Cluster::connect().await else { return };
    let webhook = Webhook::install(&cluster).await;
    let Some(process) = webhook.process() else { return };
    let namespace = cluster.namespace().await;
    let next = Authority::new();

    let done = Cell::new(false);
    let rotation = async {
        trust(&namespace, process.port, &(webhook.authority.bundle() + &next.bundle())).await;
        process.secret().write(&next.issue(&host().to_string()));
        eventually("the new certificate is served", || async { process.serves(&next.bundle()) }).await;
        trust(&namespace, process.port, &next.bundle()).await;
        done.set(true);
    };
    let stream = async {
        let mut pods = 0;
        while !done.get() || pods < 50 {
            assert!(is_converted(&namespace.dry_run(annotated()).await.created()), "pod {pods} was missed");
            pods += 1;
        }
    };
    tokio::join!(rotation, stream);
}

/// Returns when the API server acts on the new bundle. That is seen by a condition that comes with it: a pod that
/// carries the stamp no longer reaches us.
async fn trust(namespace: &Namespace<'_>, port: u16, bundle: &str) {
    let stamp = unique("stamp");
    let mut configuration = registration(port, bundle);
    let expression = format!("!(has(object.metadata.labels) && '{stamp}' in object.metadata.labels)");
    for webhook in configuration["webhooks"].as_array_mut().unwrap() {
        webhook["matchConditions"].as_array_mut().unwrap().push(json!({"name": "stamp", "expression": expression}));
    }
    namespace.cluster.update(&configuration).await;
    eventually("the API server acts on the new bundle", || async {
        !is_converted(&namespace.dry_run(labelled(annotated(), &stamp)).await.created())
    })
    .await;
}

fn labelled(mut pod: Value, label: &str) -> Value {
    pod["metadata"]["labels"] = json!({label: ""});
    pod
}
