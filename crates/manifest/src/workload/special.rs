//! Documents that are no objects for a cluster, and the command that each is for.

use super::group;
use serde_json::Value;
use std::fmt;

/// A document that another command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// What an API server sends to a webhook.
    AdmissionReview,
    /// A `kustomization.yaml`.
    Kustomization,
    /// What kustomize hands to a function.
    ResourceList,
    /// The `Chart.yaml` of a Helm chart.
    Chart,
}

/// Fields of a kustomization, of which `kind` and `apiVersion` may be left out.
///
/// Source: kubernetes-sigs/kustomize, `api/types/kustomization.go`.
const OF_KUSTOMIZATIONS: [&str; 10] = [
    "bases",
    "components",
    "configMapGenerator",
    "generators",
    "helmCharts",
    "images",
    "patchesStrategicMerge",
    "resources",
    "secretGenerator",
    "transformers",
];

// === impl Special ===

impl Special {
    /// What `document` is, where it is no object for a cluster.
    #[must_use]
    pub fn of(document: &Value) -> Option<Self> {
        let version = document["apiVersion"].as_str().unwrap_or_default();
        let kind = document["kind"].as_str();
        match (kind, group(version)) {
            (Some("AdmissionReview"), "admission.k8s.io") => Some(Self::AdmissionReview),
            // Flux has a Kustomization too, which is an object.
            (Some("Kustomization" | "Component"), "kustomize.config.k8s.io") => Some(Self::Kustomization),
            (Some("ResourceList"), "config.kubernetes.io") => Some(Self::ResourceList),
            (None, "") if document.get("kind").is_none() => Self::without_kind(document, version),
            _ => None,
        }
    }

    /// Sources: Helm, the `Chart.yaml` file; kustomize, `FixKustomizationPreMarshalling`.
    fn without_kind(document: &Value, version: &str) -> Option<Self> {
        let has = |field: &str| document[field].is_string();
        if matches!(version, "v1" | "v2") && has("name") && has("version") && document.get("spec").is_none() {
            return Some(Self::Chart);
        }
        let is_list = |field: &&str| document[*field].is_array();
        (version.is_empty() && OF_KUSTOMIZATIONS.iter().any(is_list)).then_some(Self::Kustomization)
    }

    /// Whether it holds objects that nobody would convert if it were only passed on.
    #[must_use]
    pub const fn holds_objects(self) -> bool {
        matches!(self, Self::AdmissionReview | Self::ResourceList)
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdmissionReview => "an AdmissionReview",
            Self::Kustomization => "a kustomization",
            Self::ResourceList => "a ResourceList",
            Self::Chart => "the Chart.yaml of a Helm chart",
        }
    }

    /// The command that it is for.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::AdmissionReview => "native-sidecar review FILE",
            Self::Kustomization => "kustomize build DIR | native-sidecar convert",
            Self::ResourceList => "native-sidecar fn",
            Self::Chart => "helm template CHART | native-sidecar convert",
        }
    }
}

/// `a kustomization; run kustomize build DIR | native-sidecar convert`.
impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; run {}", self.name(), self.command())
    }
}
