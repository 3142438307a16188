//! Metrics about what is known of the cluster.

use arc_swap::ArcSwap;
use native_sidecar_core::conversion::ClusterFacts;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
use std::{fmt, sync::Arc, time::Instant};

/// Metrics about what is known of the cluster.
#[derive(Clone, Debug)]
pub struct Metrics {
    fresh: Arc<ArcSwap<Instant>>,
    keeps_restart_policy: Gauge,
    info: Family<Info, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Info {
    server_version: String,
    oldest_kubelet: String,
}

/// Computed when it is asked for, so that it grows even where nothing runs any more.
#[derive(Debug)]
struct Age(Arc<ArcSwap<Instant>>);

// === impl Metrics ===

impl Metrics {
    /// Registers the metrics under their full names, so `registry` should have no prefix.
    pub fn register(registry: &mut Registry) -> Self {
        let fresh = Arc::new(ArcSwap::from_pointee(Instant::now()));
        let metrics = Self { fresh, keeps_restart_policy: Gauge::default(), info: Family::default() };
        metrics.keeps_restart_policy.set(-1);
        registry.register(
            "native_sidecar_cluster_keeps_restart_policy",
            "Whether the API server keeps restartPolicy of init containers: 1, 0, or -1 where it is unknown",
            metrics.keeps_restart_policy.clone(),
        );
        registry.register(
            "native_sidecar_cluster_info",
            "The versions of the API server and of the oldest kubelet, empty where unknown",
            metrics.info.clone(),
        );
        registry.register_collector(Box::new(Age(Arc::clone(&metrics.fresh))));
        metrics
    }

    /// Everything was learnt just now.
    pub(super) fn fresh(&self) {
        self.fresh.store(Arc::new(Instant::now()));
    }

    /// This is what is known.
    pub(super) fn known(&self, facts: &ClusterFacts) {
        self.keeps_restart_policy.set(facts.keeps_restart_policy.map_or(-1, i64::from));
        let server_version = facts.server.map(|version| version.to_string()).unwrap_or_default();
        let oldest_kubelet = facts.kubelets().values().min().map(ToString::to_string).unwrap_or_default();
        self.info.clear();
        self.info.get_or_create(&Info { server_version, oldest_kubelet }).set(1);
    }
}

// === impl Age ===

impl Collector for Age {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let age = ConstGauge::new(self.0.load().elapsed().as_secs_f64());
        let (name, help) = (
            "native_sidecar_cluster_facts_age_seconds",
            "Time since the version, the dry run and the nodes were last all answered, or since the start",
        );
        let metric = encoder.encode_descriptor(name, help, None, age.metric_type())?;
        age.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use native_sidecar_core::version::Version;

    #[test]
    fn metrics_say_what_is_known() {
        let (begin, mut registry) = (Instant::now(), Registry::default());
        let metrics = Metrics::register(&mut registry);
        let text = |registry: &Registry| {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
            text
        };
        assert!(text(&registry).contains("native_sidecar_cluster_keeps_restart_policy -1\n"));
        let unknown = text(&registry);
        let age = unknown.lines().find_map(|line| line.strip_prefix("native_sidecar_cluster_facts_age_seconds "));
        assert!(age.unwrap().parse::<f64>().unwrap() <= begin.elapsed().as_secs_f64());
        metrics.known(&ClusterFacts::default());
        let mut facts = ClusterFacts::all_at(Version::new(1, 33, 1));
        facts.keeps_restart_policy = Some(true);
        metrics.known(&facts);
        let text = text(&registry);
        assert!(text.contains("keeps_restart_policy 1\n"), "{text}");
        assert!(text.contains(r#"cluster_info{server_version="1.33.1",oldest_kubelet="1.33.1"} 1"#), "{text}");
        assert_eq!(text.matches("cluster_info{").count(), 1, "{text}");
    }
}
