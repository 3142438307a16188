//! Every golden case (`tests/cases`) is shown to the API server, which validates what becomes of it.

use super::{
    cluster::{Cleanup, Cluster, Namespace, Reply, note},
    manifests,
    pods::{annotation, native_sidecars},
    webhook::Webhook,
};
use native_sidecar_cases::Recorded;
use native_sidecar_core::version::Version;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};

/// Cases whose pod the API server refuses as it is, without us; and why they are there all the same.
const INVALID: [(&str, &str); 19] = [
    ("annotation-that-is-a-list", "annotations are strings"),
    ("annotation-without-quotes", "annotations are strings"),
    ("big-numbers", "no field takes such a number; it must come through all the same"),
    ("converted-names-a-name-twice", "names must be unique"),
    ("converted-names-the-only-container", "names must be unique"),
    ("ephemeral-containers", "these cannot be there on creation; a copy of a pod may have them"),
    ("escaped-annotation-keys", "such keys are invalid, but a patch must be right before validation comes"),
    ("known-gke-gcsfuse-sidecar-stub-is-left", "an injector after us fills in the image"),
    ("known-linkerd-proxy-stub-is-left", "an injector after us fills in the image"),
    ("mirror-pod", "only a kubelet creates these, with a node"),
    ("mode-without-quotes", "annotations are strings"),
    ("name-in-both-lists", "names must be unique"),
    ("name-in-both-lists-cannot-be-accepted", "names must be unique"),
    ("name-twice-among-regular", "names must be unique"),
    ("no-containers", "a pod has one at least"),
    ("no-metadata", "a pod has a name"),
    ("unreadable-in-another-container", "it is no pod"),
    ("unreadable-pod", "it is no pod"),
    ("unreadable-pod-denied", "it is no pod"),
];

/// Cases whose pod the API server refuses as it is and accepts with us; and what is repaired.
const SAVED: [(&str, &str); 4] = [
    ("injected-again", "an injector wrote its container a second time, and the copy goes"),
    ("injected-again-does-not-count", "the same, beside another container that moves"),
    ("injected-again-reads-nothing", "the same, with a variable that reads a limit of what moves"),
    ("istio-reinjected-twice", "Istio wrote a second proxy beside the native one, and the copy goes"),
];

/// Cases that rest on something which older API servers refuse or drop: since when it is there, and what.
const SINCE: [(&str, Version, &str); 13] = [
    ("container-restart-policy-accepted", Version::new(1, 35, 0), "restartPolicy of a regular container"),
    ("container-restart-policy-always", Version::new(1, 35, 0), "restartPolicy of a regular container"),
    ("container-restart-policy-blocks", Version::new(1, 35, 0), "restartPolicy of a regular container"),
    ("restart-policy-rules-accepted", Version::new(1, 35, 0), "restartPolicyRules"),
    ("restart-policy-rules-before-1-36", Version::new(1, 36, 0), "RestartAllContainers"),
    ("restart-policy-rules-blocks", Version::new(1, 35, 0), "restartPolicyRules"),
    ("restart-policy-rules-kept", Version::new(1, 36, 0), "RestartAllContainers"),
    ("restart-policy-rules-kept-on-the-newest", Version::new(1, 36, 0), "RestartAllContainers"),
    ("restart-policy-rules-that-restart-one", Version::new(1, 35, 0), "restartPolicyRules"),
    ("grace-period-short-default", Version::new(1, 30, 0), "preStop with sleep"),
    ("pre-stop-sleep-action", Version::new(1, 30, 0), "preStop with sleep"),
    ("pod-resources-exceeded", Version::new(1, 34, 0), "spec.resources"),
    ("pod-resources-frozen-by-limits", Version::new(1, 34, 0), "spec.resources"),
];

/// A folder of `tests/cases`.
struct Case {
    name: String,
    pod: Value,
    /// What `case.yaml` says about the circumstances.
    circumstances: Value,
    /// What the conversion answers under these circumstances.
    result: Recorded,
}

#[tokio::test]
async fn every_golden_case_is_accepted() {
    let Some(cluster) = Cluster::connect().await else { return };
    let plain = cluster.namespace().await;
    let known = cluster.labelled_namespace(&json!({"native-sidecar.io/known": "true"})).await;
    let observed = cluster.labelled_namespace(&json!({"native-sidecar.io/known": "observe"})).await;
    // Those of a server that only observes are the matter of `observe`.
    let is_here = |case: &Case| case.circumstances["observe"] != true && case.exists_in(cluster.version);
    let cases: Vec<_> = cases().into_iter().filter(is_here).collect();
    let mut faults = Vec::new();
    let _prerequisites = prerequisites(&cases, &[&plain, &known, &observed]).await;

    let _webhook = Webhook::install(&cluster).await;
    let (mut accepted, mut converted, mut denied, mut invalid) = (0, 0, 0, 0);
    for case in &cases {
        let namespace = match &case.circumstances["known"] {
            Value::Bool(true) => &known,
            Value::String(label) if label == "observe" => &observed,
            _ => &plain,
        };
        let reply = namespace.dry_run(case.pod.clone()).await;
        let original = as_it_is(&cluster, &case.pod).await;
        faults.extend(case.faults(&reply, &original));
        accepted += usize::from(reply.exists());
        converted += usize::from(reply.exists() && !native_sidecars(&reply.object).is_empty());
        denied += usize::from(original.exists() && reply.status == 403);
        invalid += usize::from(!original.exists());
    }
    note(&format!(
        "golden cases on Kubernetes {}: {accepted} of {} accepted by the API server, {converted} with native sidecars, \
         {denied} denied as they ask, {invalid} invalid without us too",
        cluster.version,
        cases.len()
    ));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The answer for the pod without us: nobody converts in kube-system.
async fn as_it_is(cluster: &Cluster, pod: &Value) -> Reply {
    let mut pod = pod.clone();
    pod["metadata"]["namespace"] = "kube-system".into();
    // Service accounts of that name are in the test's namespaces only.
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("serviceAccountName");
    }
    cluster.send(http::Method::POST, "/api/v1/namespaces/kube-system/pods?dryRun=All", Some(&pod)).await
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = folders.filter(|path| path.is_dir()).map(|path| Case::read(&path)).collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// What pods refer to and admission looks up: service accounts and priority classes.
async fn prerequisites(cases: &[Case], namespaces: &[&Namespace<'_>]) -> Cleanup {
    let mut cleanup = Cleanup::none();
    for case in cases {
        let Some(name) = case.pod["spec"]["serviceAccountName"].as_str() else { continue };
        for namespace in namespaces {
            let metadata = json!({"name": name, "namespace": namespace.name});
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
            cleanup = cleanup.and(namespace.cluster.apply(&account).await);
        }
    }
    cleanup
}

/// Cases are short: volumes that containers mount and the pod does not have are supplied.
fn with_volumes(mut pod: Value) -> Value {
    let containers = ["containers", "initContainers"].iter().filter_map(|list| pod["spec"][list].as_array()).flatten();
    let mounts = containers.filter_map(|container| container["volumeMounts"].as_array()).flatten();
    let mounted: BTreeSet<_> = mounts.filter_map(|mount| mount["name"].as_str()).collect();
    let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    let missing = mounted.into_iter().filter(|name| volumes.iter().all(|volume| volume["name"] != *name));
    let missing: Vec<_> = missing.map(|name| json!({"name": name, "emptyDir": {}})).collect();
    if !missing.is_empty() {
        pod["spec"]["volumes"] = [volumes, missing].concat().into();
    }
    pod
}

// === impl Case ===

impl Case {
    fn read(folder: &Path) -> Self {
        let file = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let yaml = |name: &str| file(name).map_or_else(|| json!({}), |text| manifests::documents(&text).remove(0));
        // What YAML cannot say. A client may send keys twice; this one leaves the last.
        let mut pod = file("pod.json").map_or_else(|| yaml("pod.yaml"), |text| serde_json::from_str(&text).unwrap());
        // Left out where a case has only what it is about, but the path of the request is made of these.
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            pod: with_volumes(pod),
            circumstances: yaml("case.yaml"),
            result: Recorded::read(folder),
        }
    }

    /// Whether an API server of this version knows what the case is about.
    fn exists_in(&self, version: Version) -> bool {
        SINCE.iter().all(|(name, since, _)| *name != self.name || version >= *since)
    }

    fn faults(&self, reply: &Reply, original: &Reply) -> Vec<String> {
        let fault = |text: String| vec![format!("{}: {text}", self.name)];
        let is_among = |cases: &[(&str, &str)]| cases.iter().any(|(name, _)| *name == self.name);
        let (invalid, saved) = (is_among(&INVALID), is_among(&SAVED));
        let denied = self.result.decision == "denied" && reply.status == 403;
        match (reply.exists(), original.exists()) {
            (false, true) if !denied => fault(format!("accepted without us, refused with us: {}", reply.object)),
            (_, false) if !invalid && !saved => {
                fault(format!("refused without us, so no pod of anybody's: {}", original.object))
            }
            (true, false) if !saved => fault("refused without us, accepted with us".to_owned()),
            (false, false) if saved => fault(format!("was to be repaired, but is refused: {}", reply.object)),
            (true, _) => self.differences(&reply.object),
            _ => Vec::new(),
        }
    }

    /// Where the API server's pod differs from the golden one in what we decide.
    fn differences(&self, pod: &Value) -> Vec<String> {
        let mut golden = self.pod.clone();
        json_patch::patch(&mut golden, &self.result.patch).unwrap();
        let key = "native-sidecar.io/converted";
        let same = annotation(pod, key) == annotation(&golden, key) && native_sidecars(pod) == native_sidecars(&golden);
        if same || !self.is_about_this_cluster() {
            return Vec::new();
        }
        vec![format!("{}: native are {:?} and not {:?}", self.name, native_sidecars(pod), native_sidecars(&golden))]
    }

    /// Whether the case assumes nothing that may be otherwise here, such as a version or a client that sends keys
    /// twice.
    fn is_about_this_cluster(&self) -> bool {
        self.name != "duplicate-keys-that-matter"
            && self.circumstances.as_object().unwrap().keys().all(|key| ["shows", "known"].contains(&key.as_str()))
    }
}
