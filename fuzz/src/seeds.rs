//! Where fuzzing begins: the golden cases, the samples, the catalogue, the bodies that were made to be dear, and
//! certificates. Made anew each time, so that they are those of today.

#[path = "../../crates/core/tests/cost/adversaries.rs"]
#[allow(dead_code)]
pub(crate) mod adversaries;
#[cfg(feature = "server")]
mod certificates;

use native_sidecar_cases::{Case, admission_review};
use native_sidecar_core::catalogue::Catalogue;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The bodies that were made to be dear are about so large.
const DEAR_BYTES: usize = 3 * 1024;

/// The seeds of a target; of those that are made of golden cases at most so many, evenly, since to read a case takes Miri
/// seconds.
#[must_use]
pub fn of(target: &str, most: usize) -> Vec<Vec<u8>> {
    let texts = match target {
        "annotations" => annotations(&cases(most)),
        "catalogue" => catalogue(),
        #[cfg(feature = "server")]
        "certificates" => return certificates::all(),
        "convert" => manifests(&cases(most)),
        "proof" => cases(most).into_iter().map(|case| case.pod).collect(),
        "quantities" => quantities(),
        "review" => reviews(&cases(most)),
        _ => Vec::new(),
    };
    texts.into_iter().map(String::into_bytes).collect()
}

/// The pods of the golden cases.
#[must_use]
pub fn pods() -> Vec<Value> {
    cases(usize::MAX).iter().filter_map(pod).collect()
}

fn cases(most: usize) -> Vec<Case> {
    let folders = fs::read_dir(root().join("tests/cases")).into_iter().flatten().flatten();
    let mut folders: Vec<_> = folders.map(|folder| folder.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.iter().step_by(folders.len().div_ceil(most)).map(|folder| Case::read(folder)).collect()
}

fn pod(case: &Case) -> Option<Value> {
    serde_json::from_str(&case.pod).ok()
}

fn reviews(cases: &[Case]) -> Vec<String> {
    let cases = cases.iter().map(|case| admission_review("0d9f1a30", &case.pod));
    cases.chain(adversaries::all().into_iter().map(|dear| (dear.write)(DEAR_BYTES))).collect()
}

fn annotations(cases: &[Case]) -> Vec<String> {
    let of_pod = |pod: &Value| -> String {
        let all = pod["metadata"]["annotations"].as_object().into_iter().flatten();
        all.filter_map(|(key, value)| Some(format!("{key}={}\n", value.as_str()?.replace('\n', "\\n")))).collect()
    };
    let asked = "native-sidecar.io/containers=helper,edge,db\nstartup-probe.native-sidecar.io/helper=";
    let probes = [
        "none",
        "readiness",
        "http:8080/ready",
        "tcp:80",
        "grpc:1/db",
        r#"{"exec":{"command":["true"]},"failureThreshold":7}"#,
        r#"{"httpGet":{"path":"/x","port":"health","scheme":"HTTPS","httpHeaders":[{"name":"a","value":"b"}]}}"#,
        r#"{"tcpSocket":{"host":"h","port":1},"terminationGracePeriodSeconds":1}"#,
        r#"{"grpc":{"port":1,"service":"s"},"periodSeconds":2147483647}"#,
    ];
    cases
        .iter()
        .filter_map(pod)
        .map(|pod| of_pod(&pod))
        .chain(probes.map(|probe| format!("{asked}{probe}\n")))
        .collect()
}

fn quantities() -> Vec<String> {
    let texts = "500m 2 0.1 .5 1.5Gi 1k 1e3 1E 12E-1 1n 0 0.0 1Zi 1.2.3 1e99 -1 +1 -0 1Ki 3u 5M 7T 8P 9Ei 1e-3 00 1.";
    texts.split(' ').map(str::to_owned).chain([texts.replace(' ', "\n")]).collect()
}

fn catalogue() -> Vec<String> {
    let whole = Catalogue::built_in_text();
    let (sidecars, engines) = whole.split_once("\nengines:\n").unwrap_or((whole, ""));
    let parts = [("sidecars", sidecars), ("engines", engines)];
    let entries = parts
        .into_iter()
        .flat_map(|(key, text)| text.split("\n- name:").skip(1).map(move |entry| format!("{key}:\n- name:{entry}\n")));
    let documented = read(&root().join("docs/catalogue.md"));
    let examples: Vec<_> =
        documented.split("```").skip(1).step_by(2).map(|code| code.replacen("yaml", "", 1)).collect();
    entries.chain(examples).collect()
}

fn manifests(cases: &[Case]) -> Vec<String> {
    let samples = fs::read_dir(root().join("samples")).into_iter().flatten().flatten().map(|file| file.path());
    let own = cases.iter().map(|case| case.directory.join("pod.yaml")).filter(|path| path.exists());
    let mut texts: Vec<_> = samples.chain(own).map(|path| read(&path)).collect();
    // Each in another place of a larger document, as JSON and as YAML.
    for (number, case) in cases.iter().enumerate() {
        let Some(pod) = pod(case) else { continue };
        let template = json!({"metadata": pod["metadata"], "spec": pod["spec"]});
        let document = match number % 4 {
            0 => {
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": template}})
            }
            1 => json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
                        "spec": {"jobTemplate": {"spec": {"template": template}}}}),
            2 => json!({"apiVersion": "v1", "kind": "List", "items": [pod, {"apiVersion": "v1", "kind": "Secret"}]}),
            _ => json!({"apiVersion": "v1", "kind": "PodTemplate", "template": template}),
        };
        texts.push(if number % 8 < 4 { document.to_string() } else { native_sidecar_manifest::to_yaml(&document) });
    }
    texts
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
