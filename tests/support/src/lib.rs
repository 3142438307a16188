//! The golden cases of `tests/cases`, for every test that wants to run them: the pure function, the admission
//! review in process, and the server over HTTP. `tests/README.md` describes the files of a case.

// A test that cannot go on has failed.
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, clippy::panic, clippy::unwrap_used)]

pub mod placement;
mod recorded;

pub use recorded::{RESULT, Recorded, is_update};

use native_sidecar_core::{
    admission::{self, Context, NotAReview, Reviewed, Route, decoded_patch},
    catalogue::Catalogue,
    conversion::{self, ClusterFacts, Conversion, Known, Nodes, Settings, Workload},
    intent::Mode,
    timeline::Timeline,
};
use native_sidecar_manifest::{Manifest, Side};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// One directory of `tests/cases`.
#[derive(Debug)]
pub struct Case {
    /// The directory's name.
    pub name: String,
    /// Where the case is.
    pub directory: PathBuf,
    /// What `case.yaml` says.
    pub settings: CaseSettings,
    /// The cluster that `case.yaml` describes.
    pub facts: ClusterFacts,
    /// The object around the pod's template that `case.yaml` describes.
    pub workload: Option<Workload>,
    /// The pod as JSON text, character by character as the API server would send it.
    pub pod: String,
}

/// `case.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CaseSettings {
    /// One sentence: what the case shows.
    pub shows: String,
    /// What the label `native-sidecar.io/known` of the pod's namespace says: `true`, `observe`, or nothing.
    #[serde(default)]
    pub known: Value,
    /// Whether the server only observes.
    #[serde(default)]
    pub observe: bool,
    /// Names given from outside, as `convert --containers` does.
    pub containers: Option<String>,
    /// The object around the pod's template, with an empty template, as `convert` sees it.
    pub workload: Option<Value>,
    /// Version of the API server, and of all nodes unless `kubelets` says otherwise.
    pub kubernetes: Option<String>,
    /// Versions of the kubelets, by node.
    #[serde(default)]
    pub kubelets: BTreeMap<String, String>,
    /// The nodes as the API server has them, where more than their versions matters.
    #[serde(default)]
    pub nodes: Vec<Value>,
    /// Whether the API server keeps `restartPolicy` on init containers.
    pub keeps_restart_policy: Option<bool>,
}

/// The catalogue that is compiled in, read once for all tests of a crate.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::built_in);
    &CATALOGUE
}

/// Every case, by name.
pub fn all_cases() -> Vec<Case> {
    let mut directories: Vec<_> =
        fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    directories.sort();
    directories.iter().map(|directory| Case::read(directory)).collect()
}

/// `tests/cases`.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases")
}

/// Reads YAML into the JSON value that the API server would make of it.
pub fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The `AdmissionReview` that asks about the creation of `pod`, which is put in character by character.
pub fn admission_review(uid: &str, pod: &str) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":{},
            "kind":{{"group":"","version":"v1","kind":"Pod"}},
            "resource":{{"group":"","version":"v1","resource":"pods"}},
            "operation":"CREATE","namespace":"shop","dryRun":false,"oldObject":null,"object":{pod}}}}}"#,
        json!(uid)
    )
}

/// The pod in `json` after `patch`.
pub fn patched(json: &str, patch: &json_patch::Patch) -> Value {
    let mut pod = serde_json::from_str(json).unwrap();
    json_patch::patch(&mut pod, patch).unwrap();
    pod
}

/// What `convert` knows of the object around a template.
fn workload(object: &Value) -> Workload {
    let manifest = Manifest::read("case.yaml", object.to_string().as_bytes()).unwrap();
    let templates = manifest.templates(0).unwrap();
    templates[0].workload(manifest.documents()[0].value(Side::Before))
}

// === impl Case ===

impl Case {
    /// Reads the case in `directory`.
    pub fn read(directory: &Path) -> Self {
        let text = fs::read_to_string(directory.join("case.yaml")).unwrap();
        let settings: CaseSettings = serde_saphyr::from_str(&text).unwrap();
        let facts = settings.facts();
        let workload = settings.workload.as_ref().map(workload);
        let json = directory.join("pod.json");
        let pod = if json.exists() {
            fs::read_to_string(json).unwrap()
        } else {
            yaml(&directory.join("pod.yaml")).to_string()
        };
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        Self { name, directory: directory.to_owned(), settings, facts, workload, pod }
    }

    /// What the pure function makes of the case.
    pub fn convert(&self) -> Conversion {
        self.convert_pod(&self.pod)
    }

    /// What the pure function makes of the case where other sidecars are known.
    pub fn convert_with(&self, catalogue: &Catalogue) -> Conversion {
        conversion::convert(&self.pod, Settings { catalogue, ..self.conversion_settings() })
    }

    /// What the pure function makes of `pod` with this case's settings.
    pub fn convert_pod(&self, pod: &str) -> Conversion {
        conversion::convert(pod, self.conversion_settings())
    }

    /// The lives of the case's pod.
    pub fn timeline(&self) -> Timeline {
        Timeline::of(&self.pod, self.conversion_settings())
    }

    fn conversion_settings(&self) -> Settings<'_> {
        let known = match self.route() {
            Route::Annotated => Known::Stay,
            Route::Known => Known::Move,
            Route::Observed => Known::Observed,
        };
        let mode = if self.settings.observe { Mode::Observe } else { Mode::Convert };
        let containers = self.settings.containers.as_deref();
        let workload = self.workload.as_ref();
        Settings { catalogue: catalogue(), facts: &self.facts, known, mode, containers, workload }
    }

    /// Whether a request can say all of it: names from outside the pod and its workload are for `convert` only.
    pub fn is_a_request(&self) -> bool {
        self.settings.containers.is_none() && self.workload.is_none()
    }

    /// Whether a server that knows nothing about its cluster decides the case as it is written.
    pub fn needs_no_facts(&self) -> bool {
        self.facts == ClusterFacts::default()
    }

    /// The endpoint to ask.
    pub fn route(&self) -> Route {
        match &self.settings.known {
            Value::Null => Route::Annotated,
            Value::Bool(true) => Route::Known,
            Value::String(label) if label == "observe" => Route::Observed,
            other => panic!("{}: known: {other}", self.name),
        }
    }

    /// The path of the endpoint to ask.
    pub fn path(&self) -> &'static str {
        match self.route() {
            Route::Annotated => "/mutate",
            Route::Known => "/mutate/known",
            Route::Observed => "/mutate/observe",
        }
    }

    /// What `admission::review` is given beside the request.
    pub fn context(&self) -> Context<'_> {
        Context { catalogue: catalogue(), facts: &self.facts }
    }

    /// The answer of the server that the case describes.
    ///
    /// # Errors
    ///
    /// As [`admission::review`].
    pub fn review(&self) -> Result<Reviewed, NotAReview> {
        let review = if self.settings.observe { admission::observe } else { admission::review };
        review(self.request().as_bytes(), self.route(), self.context())
    }

    /// The body of the request.
    pub fn request(&self) -> String {
        admission_review(&self.name, &self.pod)
    }

    /// What is recorded of the case; where results are written anew, what will be.
    pub fn recorded(&self) -> Recorded {
        if is_update() { Recorded::of(self) } else { Recorded::read(&self.directory) }
    }

    /// Checks that `answer`, a whole `AdmissionReview`, says what is recorded.
    pub fn check_answer(&self, answer: &[u8]) {
        let expected = self.recorded();
        let patch = decoded_patch(answer).unwrap();
        let answer: Value = serde_json::from_slice(answer).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        let response = &answer["response"];
        assert_eq!(response["uid"], *self.name);
        assert_eq!(response["allowed"], expected.decision != "denied");
        assert_eq!(patch, expected.patch, "{}", self.name);
        let patch_type = if patch.is_empty() { Value::Null } else { json!("JSONPatch") };
        assert_eq!(response["patchType"], patch_type);
        assert_eq!(response["patch"].is_string(), !patch.is_empty());
        let silent = expected.findings.is_empty() && ["nothing-to-do", "not-requested"].contains(&&*expected.decision);
        let decision = if silent { Value::Null } else { json!(expected.decision) };
        assert_eq!(response["auditAnnotations"]["decision"], decision, "{}", self.name);
    }
}

// === impl CaseSettings ===

impl CaseSettings {
    fn facts(&self) -> ClusterFacts {
        let version = |text: &String| text.parse().unwrap();
        let mut facts =
            self.kubernetes.as_ref().map_or_else(ClusterFacts::default, |text| ClusterFacts::all_at(version(text)));
        if !self.kubelets.is_empty() {
            facts =
                facts.with_kubelets(self.kubelets.iter().map(|(node, text)| (node.clone(), version(text))).collect());
        }
        if !self.nodes.is_empty() {
            let mut nodes = Nodes::new(facts.kubelet_floor());
            for node in &self.nodes {
                nodes.add(serde_json::from_value(node.clone()).unwrap());
            }
            facts = facts.with_nodes(nodes);
        }
        facts.keeps_restart_policy = self.keeps_restart_policy;
        facts
    }
}
