//! A stream of pod creations while something goes on.

use super::{
    cluster::{Namespace, note},
    pods::annotated,
    webhook::is_converted,
};
use futures::future::join_all;
use std::{cell::Cell, time::Instant};

/// Pods that are created at least, so that what happens late is seen too.
const PODS_AT_LEAST: u32 = 400;

/// Creations under way at the same time.
const AT_ONCE: usize = 4;

/// What a stream of pod creations saw.
#[derive(Default)]
struct Stream {
    over: Cell<bool>,
    pods: Cell<u32>,
    missed: Cell<u32>,
}

/// Pods that were missed while something went on.
pub(crate) async fn during(what: &str, namespace: &Namespace<'_>, event: impl Future<Output = ()>) -> u32 {
    let (stream, start) = (Stream::default(), Instant::now());
    let event = async {
        event.await;
        stream.over.set(true);
    };
    tokio::join!(event, join_all((0..AT_ONCE).map(|_| stream.flow(namespace))));
    let (pods, missed, time) = (stream.pods.get(), stream.missed.get(), start.elapsed().as_secs_f32());
    note(&format!("stream: {what} under {pods} pod creations in {time:.1} s: {missed} missed"));
    missed
}

/// Whether a pod that asks for it is converted now.
pub(crate) async fn converts(namespace: &Namespace<'_>) -> bool {
    is_converted(&namespace.dry_run(annotated()).await.created())
}

// === impl Stream ===

impl Stream {
    async fn flow(&self, namespace: &Namespace<'_>) {
        while !self.over.get() || self.pods.get() < PODS_AT_LEAST {
            let missed = !converts(namespace).await;
            self.pods.set(self.pods.get() + 1);
            self.missed.set(self.missed.get() + u32::from(missed));
        }
    }
}
