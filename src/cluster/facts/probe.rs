//! The proof: a pod with a native sidecar, created in a dry run, still has it in the answer.
//!
//! It shows an API server that does not know the field, one whose feature gate is off, and a webhook that drops the field,
//! all of which look the same to a pod.

use super::SurveyorSettings;
use crate::cluster::api::{Failure, bounded};
use kube::{Client, api::PostParams, core::Request};
use serde::Deserialize;
use serde_json::{Value, json};

const SIDECAR: &str = "sidecar";

/// What became of the sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is there as it was sent.
    Kept,
    /// It has lost `restartPolicy: Always`.
    Lost,
    /// Something else came back, which proves nothing.
    Odd(String),
}

/// The pod that comes back. Only what is wanted is read: the code for all of a pod's types takes long to compile.
#[derive(Deserialize)]
struct Pod {
    spec: Option<PodSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    init_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    restart_policy: Option<String>,
}

/// Tries it.
pub(super) async fn run(client: &Client, settings: &SurveyorSettings) -> Result<Verdict, Failure> {
    let pods = Request::new(format!("/api/v1/namespaces/{}/pods", settings.namespace));
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let request = pods.create(&params, pod(&settings.image).to_string().into_bytes());
    match bounded(client.request(request.map_err(kube::Error::BuildRequest)?)).await {
        Ok(pod) => Ok(judge(&pod)),
        Err(failure) if names_the_field(&failure) => Ok(Verdict::Lost),
        // This is how a webhook that cannot be called looks (`failed calling webhook`): no outage of the API server.
        Err(Failure::Refused { reason, message, code: code @ 500 }) => {
            Ok(Verdict::Odd(format!("the dry run failed in admission: {code} {reason}: {message}")))
        }
        Err(failure) => Err(failure),
    }
}

/// A pod that every default policy lets through: `restricted` of Pod Security, small requests and limits for quotas.
/// No `runAsUser`, which the constraints of `OpenShift` would refuse. No probes either: where `restartPolicy` is dropped before
/// validation they would make the pod invalid, and the answer less clear.
fn pod(image: &str) -> Value {
    let container = |name: &str| {
        json!({
            "name": name,
            "image": image,
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        })
    };
    let mut sidecar = container(SIDECAR);
    sidecar["restartPolicy"] = json!("Always");
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "native-sidecar-dry-run-",
            "labels": {"app.kubernetes.io/name": "native-sidecar-dry-run"},
        },
        "spec": {
            "automountServiceAccountToken": false,
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "initContainers": [sidecar],
            "containers": [container("main")],
        },
    })
}

fn judge(pod: &Pod) -> Verdict {
    let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    match containers.into_iter().find(|container| container.name == SIDECAR) {
        Some(sidecar) if sidecar.restart_policy.as_deref() == Some("Always") => Verdict::Kept,
        Some(_) => Verdict::Lost,
        None => Verdict::Odd("a webhook took the init container out of the dry run's pod".to_owned()),
    }
}

/// Whether validation itself rejects the field: an API server that does not let it be set.
fn names_the_field(failure: &Failure) -> bool {
    let Failure::Refused { code: 422, message, .. } = failure else { return false };
    message.contains("initContainers[0].restartPolicy")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(edit: impl FnOnce(&mut Value)) -> Verdict {
        let mut pod = pod("pause");
        edit(&mut pod);
        judge(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn verdicts() {
        assert_eq!(judged(|_| ()), Verdict::Kept);
        let strip =
            |pod: &mut Value| drop(pod["spec"]["initContainers"][0].as_object_mut().unwrap().remove("restartPolicy"));
        assert_eq!(judged(strip), Verdict::Lost);
        assert!(matches!(judged(|pod| pod["spec"]["initContainers"] = json!([])), Verdict::Odd(_)));
    }

    #[test]
    fn other_init_containers_do_not_matter() {
        let inject =
            |pod: &mut Value| pod["spec"]["initContainers"].as_array_mut().unwrap().insert(0, json!({"name": "x"}));
        assert_eq!(judged(inject), Verdict::Kept);
    }

    #[test]
    fn only_a_complaint_about_the_field_is_a_loss() {
        let invalid =
            |message: &str| Failure::Refused { code: 422, reason: "Invalid".to_owned(), message: message.to_owned() };
        assert!(names_the_field(&invalid("spec.initContainers[0].restartPolicy: Forbidden: may not be set")));
        assert!(!names_the_field(&invalid("spec.priority: Forbidden")));
    }
}
