//! What is outside of a webhook's reach: manifests that `convert` has written, meeting what is stored already, policies and
//! controllers that know regular containers only, and `kubectl debug`.

use super::{
    cluster::{Cluster, Namespace, eventually, note, within},
    kubectl::{Answer, convert},
    neighbour::{Neighbour, Place},
    neighbours::{guard, strip, stripped_by_hand},
    pods::{annotated, native_sidecars},
    webhook::{Webhook, is_converted, is_installed},
};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// A Deployment with a sidecar among its regular containers. Paused, so that it has no pods.
const OLD: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  paused: true
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
      annotations:
        native-sidecar.io/containers: logs
    spec:
      containers:
      - name: web
        image: example.com/web:1
      - name: logs
        image: example.com/logs:1
";

/// The same in the new form.
static NEW: LazyLock<String> = LazyLock::new(|| convert("", OLD));

/// What somebody else applies to the sidecar of the same Deployment.
const TUNING: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    spec:
      containers:
      - name: logs
        resources:
          requests: {cpu: 10m}
";

const PATCH: &str = "patch deployment web --type=json --patch-file=/dev/stdin";

const OLD_FORM: &str = "|web logs";
const NEW_FORM: &str = "logs|web";

/// `POST`.
const CREATED: Origin = Origin(&[("create -f -", OLD)]);
/// By kubectl without `--server-side`.
const APPLIED: Origin = Origin(&[("apply -f -", OLD)]);
/// By server-side apply.
const APPLIED_ON_THE_SERVER: Origin = Origin(&[("apply --server-side -f -", OLD)]);
/// By server-side apply of another field manager.
const APPLIED_BY_ANOTHER: Origin = Origin(&[("apply --server-side --field-manager=deployer -f -", OLD)]);
/// By server-side apply, and then a field of the sidecar by another field manager.
const TUNED: Origin =
    Origin(&[("apply --server-side -f -", OLD), ("apply --server-side --field-manager=tuner -f -", TUNING)]);

const BY_OTHERS: [Origin; 4] = [CREATED, APPLIED, APPLIED_BY_ANOTHER, TUNED];

/// How the old form came to be stored: commands of kubectl, and what they read.
struct Origin(&'static [(&'static str, &'static str)]);

/// The names of the Deployment's init containers and containers.
fn form(namespace: &Namespace<'_>) -> String {
    let lists = "{.spec.template.spec.initContainers[*].name}|{.spec.template.spec.containers[*].name}";
    namespace.kubectl(&format!("get deployment web -o jsonpath={lists}"), "").done()
}

// === impl Origin ===

impl Origin {
    /// Stores the old form, in the place of what was stored before.
    fn store(&self, namespace: &Namespace<'_>) {
        namespace.kubectl("delete deployment web --ignore-not-found", "").done();
        for (words, manifest) in self.0 {
            namespace.kubectl(words, manifest).done();
        }
    }
}

// What is stored belongs to somebody else.

#[tokio::test]
async fn a_converted_manifest_is_refused_over_what_somebody_else_stored() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    for origin in BY_OTHERS {
        origin.store(&namespace);
        for words in ["apply --server-side -f -", "apply --server-side --force-conflicts -f -"] {
            let refusal = namespace.kubectl(words, &NEW).refused();
            assert!(
                refusal.contains(r#"spec.template.spec.initContainers[0].name: Duplicate value: "logs""#),
                "{refusal}"
            );
        }
        assert_eq!(form(&namespace), OLD_FORM);
    }
}

/// A client-side apply knows from an annotation what it applied before, so it cannot follow anything but itself.
#[tokio::test]
async fn client_side_apply_is_refused_over_anything_but_itself() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    for origin in [CREATED, APPLIED_ON_THE_SERVER, APPLIED_BY_ANOTHER, TUNED] {
        origin.store(&namespace);
        let refusal = namespace.kubectl("apply -f -", &NEW).refused();
        assert!(refusal.contains("Duplicate value"), "{refusal}");
    }
}

#[tokio::test]
async fn a_converted_manifest_is_taken_from_whoever_applied_the_old_form() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    for (origin, words) in [
        (APPLIED, "apply -f -"),
        (APPLIED_ON_THE_SERVER, "apply --server-side -f -"),
        (APPLIED_BY_ANOTHER, "apply --server-side --field-manager=deployer -f -"),
    ] {
        origin.store(&namespace);
        namespace.kubectl(words, &NEW).done();
        assert_eq!(form(&namespace), NEW_FORM, "{words}");
    }
}

// Ways through.

/// Whoever takes a container away by another way than apply takes it from all that own its fields.
#[tokio::test]
async fn converting_what_is_stored_makes_way() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    for origin in BY_OTHERS {
        origin.store(&namespace);
        convert_stored(&namespace, "", "replace -f -").await;
        namespace.kubectl("apply --server-side -f -", &NEW).done();
        assert_eq!(form(&namespace), NEW_FORM);
    }
    TUNED.store(&namespace);
    convert_stored(&namespace, "-o patch", PATCH).await;
    namespace.kubectl("apply --server-side -f -", &NEW).done();
    assert_eq!(form(&namespace), NEW_FORM);
}

#[tokio::test]
async fn replacing_by_the_manifest_makes_way() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    for origin in BY_OTHERS {
        origin.store(&namespace);
        namespace.kubectl("replace -f -", &NEW).done();
        namespace.kubectl("apply --server-side -f -", &NEW).done();
        assert_eq!(form(&namespace), NEW_FORM);
    }
}

#[tokio::test]
async fn what_others_have_set_is_kept_by_converting_what_is_stored_and_lost_by_the_manifest() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    CREATED.store(&namespace);
    namespace.kubectl("scale deployment web --replicas=3", "").done();
    convert_stored(&namespace, "", "replace -f -").await;
    assert_eq!(replicas(&namespace), "3");
    namespace.kubectl("replace -f -", &NEW).done();
    assert_eq!(replicas(&namespace), "1", "the default");
}

/// Writes back, with these words, what `convert` makes of what is stored.
async fn convert_stored(namespace: &Namespace<'_>, options: &str, words: &str) {
    write_back(namespace, words, |stored| convert(options, stored)).await.done();
}

/// Reads the Deployment, changes it and writes it, again where its controller wrote meanwhile.
async fn write_back(namespace: &Namespace<'_>, words: &str, change: impl Fn(&str) -> String) -> Answer {
    within("nobody writes meanwhile", || async {
        let stored = namespace.kubectl("get deployment web -o json", "").done();
        Some(namespace.kubectl(words, &change(&stored))).filter(|answer| !answer.says("the object has been modified"))
    })
    .await
}

fn replicas(namespace: &Namespace<'_>) -> String {
    namespace.kubectl("get deployment web -o jsonpath={.spec.replicas}", "").done()
}

/// kubectl hands what it applied by itself over to its server-side apply, but only after one that succeeded.
#[tokio::test]
async fn applying_the_old_form_first_takes_over_from_client_side_apply_alone() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    for (origin, after) in [(APPLIED, NEW_FORM), (CREATED, OLD_FORM), (APPLIED_BY_ANOTHER, OLD_FORM)] {
        origin.store(&namespace);
        namespace.kubectl("apply --server-side -f -", OLD).done();
        let answer = namespace.kubectl("apply --server-side -f -", &NEW);
        if after == NEW_FORM {
            answer.done();
        } else {
            assert!(answer.refused().contains("Duplicate value"));
        }
        assert_eq!(form(&namespace), after);
    }
}

/// The entry of the former owner, and not all of them: what nobody owns is given to `before-first-apply`.
#[tokio::test]
async fn taking_the_former_owner_out_makes_way_and_taking_all_out_does_not() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    for (everybody, after) in [(false, NEW_FORM), (true, OLD_FORM)] {
        CREATED.store(&namespace);
        // An owner of its status would be one that is left.
        eventually("the controller has nothing more to write", || async { is_settled(&namespace) }).await;
        if everybody {
            set_owners(&namespace, &json!([{}]));
            namespace.kubectl("apply --server-side -f -", OLD).done();
        } else {
            namespace.kubectl("apply --server-side -f -", OLD).done();
            let others = owners(&namespace).into_iter().filter(|owner| owner["manager"] != "kubectl-create");
            set_owners(&namespace, &others.collect());
        }
        let answer = namespace.kubectl("apply --server-side -f -", &NEW);
        if everybody {
            assert!(answer.refused().contains("Duplicate value"));
            assert!(owners(&namespace).iter().any(|owner| owner["manager"] == "before-first-apply"));
        } else {
            answer.done();
        }
        assert_eq!(form(&namespace), after);
    }
}

fn is_settled(namespace: &Namespace<'_>) -> bool {
    let generations = "get deployment web -o jsonpath={.metadata.generation}|{.status.observedGeneration}";
    let generations = namespace.kubectl(generations, "").done();
    generations.split_once('|').is_some_and(|(wanted, seen)| wanted == seen)
}

fn owners(namespace: &Namespace<'_>) -> Vec<Value> {
    let stored = namespace.kubectl("get deployment web -o json --show-managed-fields", "").done();
    let mut stored: Value = serde_json::from_str(&stored).unwrap();
    serde_json::from_value(stored["metadata"]["managedFields"].take()).unwrap()
}

fn set_owners(namespace: &Namespace<'_>, owners: &Value) {
    let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": owners}]);
    namespace.kubectl(PATCH, &patch.to_string()).done();
}

#[tokio::test]
async fn deleting_the_deployment_alone_makes_way_and_keeps_its_replica_sets() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    namespace.kubectl("create -f -", &without_pods(OLD)).done();
    let first = within("the Deployment has a ReplicaSet", || async { replica_sets(&namespace).await.pop() }).await;
    namespace.kubectl("delete deployment web --cascade=orphan", "").done();
    namespace.kubectl("apply --server-side -f -", &without_pods(&NEW)).done();
    let uid = namespace.kubectl("get deployment web -o jsonpath={.metadata.uid}", "").done();
    eventually("the new Deployment has both ReplicaSets", || async {
        let sets = replica_sets(&namespace).await;
        sets.len() == 2 && sets.iter().all(|set| set["metadata"]["ownerReferences"][0]["uid"] == uid.as_str())
    })
    .await;
    let uids = replica_sets(&namespace).await.into_iter().map(|mut set| set["metadata"]["uid"].take());
    assert!(uids.into_iter().any(|uid| uid == first["metadata"]["uid"]), "the former one is kept");
}

/// The Deployment as one that is at work, with nothing to do.
fn without_pods(manifest: &str) -> String {
    manifest.replace("paused: true", "replicas: 0")
}

async fn replica_sets(namespace: &Namespace<'_>) -> Vec<Value> {
    let path = format!("/apis/apps/v1/namespaces/{}/replicasets", namespace.name);
    namespace.cluster.get(&path).await.created()["items"].as_array().unwrap().clone()
}

// Policies that know regular containers only.

/// Gives each regular container what Pod Security's `restricted` asks for, as Kyverno's policies do.
fn restrict(pod: &Value) -> Vec<Value> {
    let context = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let containers = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    let path = |index: usize| format!("/spec/containers/{index}/securityContext");
    (0..containers).map(|index| json!({"op": "add", "path": path(index), "value": context})).collect()
}

fn changed(mut object: Value, operations: Vec<Value>) -> Value {
    let patch: json_patch::Patch = serde_json::from_value(operations.into()).unwrap();
    json_patch::patch(&mut object, &patch).unwrap();
    object
}

fn converted(pod: &Value) -> Value {
    let pod: Value = serde_json::from_str(&convert("", &pod.to_string())).unwrap();
    assert!(is_converted(&pod), "{pod:#}");
    pod
}

async fn restricted_namespace(cluster: &Cluster) -> Namespace<'_> {
    cluster.labelled_namespace(&json!({"pod-security.kubernetes.io/enforce": "restricted"})).await
}

#[tokio::test]
async fn a_policy_for_regular_containers_does_not_see_what_convert_has_moved() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = restricted_namespace(&cluster).await;
    let _policy = Neighbour::start(&namespace, Place::BeforeUs, restrict).await;
    namespace.create(annotated()).await.created();
    let reply = namespace.create(converted(&annotated())).await;
    let refusal = reply.refusal();
    for part in [r#"violates PodSecurity "restricted:latest""#, r#"container "sidecar" must set"#] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[tokio::test]
async fn what_a_policy_changed_before_convert_is_accepted() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = restricted_namespace(&cluster).await;
    let restricted = changed(annotated(), restrict(&annotated()));
    let pod = namespace.create(converted(&restricted)).await.created();
    assert_eq!(native_sidecars(&pod), ["sidecar"]);
}

#[tokio::test]
async fn what_a_policy_changed_before_our_webhook_is_accepted() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = restricted_namespace(&cluster).await;
    let _policy = Neighbour::start(&namespace, Place::BeforeUs, restrict).await;
    let pod = namespace.create(annotated()).await.created();
    assert_eq!(native_sidecars(&pod), ["sidecar"]);
    assert_eq!(pod["spec"]["initContainers"][0]["securityContext"]["runAsNonRoot"], true);
}

// Controllers that write workloads with types older than native sidecars.

/// Reads the Deployment and writes it as such a controller does.
async fn rewrite(namespace: &Namespace<'_>) -> Answer {
    write_back(namespace, "replace -f -", |stored| {
        let mut deployment: Value = serde_json::from_str(stored).unwrap();
        let template = deployment["spec"]["template"].take();
        let lost = strip(&template);
        assert!(!lost.is_empty(), "there is nothing to lose: {template:#}");
        deployment["spec"]["template"] = changed(template, lost);
        deployment.to_string()
    })
    .await
}

#[tokio::test]
async fn an_old_rewriter_of_a_sidecar_with_probe_or_hook_is_refused() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    let probe = "startupProbe: {httpGet: {path: /ready, port: 9090}}";
    let hook = "lifecycle: {preStop: {exec: {command: [sync]}}}";
    let image = "image: example.com/logs:1\n";
    for (field, more) in [("startupProbe", probe), ("lifecycle", hook)] {
        let old = OLD.replace(image, &format!("{image}        {more}\n"));
        namespace.kubectl("delete deployment web --ignore-not-found", "").done();
        namespace.kubectl("create -f -", &convert("", &old)).done();
        let refusal = rewrite(&namespace).await.refused();
        let word = format!("initContainers[0].{field}: Forbidden: may not be set for init containers without");
        assert!(refusal.contains(&word), "{refusal}");
    }
}

#[tokio::test]
async fn what_an_old_rewriter_lost_is_repaired_in_the_pods() {
    let Some(cluster) = Cluster::connect().await else { return };
    let _webhook = Webhook::install(&cluster).await;
    let namespace = cluster.namespace().await;
    namespace.kubectl("create -f -", &without_pods(&NEW)).done();
    rewrite(&namespace).await.done();
    namespace.kubectl("scale deployment web --replicas=1", "").done();
    let pod = within("the Deployment has a pod", || async { namespace.pods("app=web").await.pop() }).await;
    assert!(is_converted(&pod), "{pod:#}");
}

/// Without our webhook; what then protects the pods is the guard, which Kubernetes has from 1.30 on.
#[tokio::test]
async fn what_an_old_rewriter_lost_is_refused_by_the_guard() {
    let Some(cluster) = Cluster::connect().await else { return };
    if is_installed() {
        note("the webhook is installed here: it repairs what the guard would refuse");
        return;
    }
    let namespace = cluster.namespace().await;
    let _guard = guard(&cluster).await;
    namespace.kubectl("create -f -", &without_pods(&NEW)).done();
    rewrite(&namespace).await.done();
    if !cluster.has_admission_policies() {
        namespace.kubectl("scale deployment web --replicas=1", "").done();
        let pod = within("the Deployment has a pod", || async { namespace.pods("app=web").await.pop() }).await;
        assert_eq!(native_sidecars(&pod), [""; 0], "nothing to refuse it before 1.30");
        return;
    }
    let stripped = stripped_by_hand(&cluster);
    eventually("the guard is in force", || async { !stripped().await }).await;
    namespace.kubectl("scale deployment web --replicas=1", "").done();
    let why = "get deployment web -o jsonpath={.status.conditions[?(@.type==\"ReplicaFailure\")].message}";
    let message = within("the Deployment says why it has no pod", || async {
        Some(namespace.kubectl(why, "").done()).filter(|message| !message.is_empty())
    })
    .await;
    for part in ["native-sidecar-guard", "native-sidecar made logs a native sidecar", "removed restartPolicy"] {
        assert!(message.contains(part), "{message}");
    }
}

// `kubectl debug` of a container that was moved.

/// A pod named `sick` with a native sidecar named `sidecar`.
fn sick(namespace: &Namespace<'_>) {
    let mut pod = annotated();
    pod["metadata"]["name"] = "sick".into();
    namespace.kubectl("create -f -", &convert("", &pod.to_string())).done();
}

/// The images of a pod's init containers and containers.
fn images(namespace: &Namespace<'_>, pod: &str) -> (String, String) {
    let image =
        |list: &str| namespace.kubectl(&format!("get pod {pod} -o jsonpath={{.spec.{list}[*].image}}"), "").done();
    (image("initContainers"), image("containers"))
}

#[tokio::test]
async fn kubectl_debug_sets_images_of_regular_containers_only_and_does_not_say_so() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    sick(&namespace);
    let before = images(&namespace, "sick");
    namespace.kubectl("debug sick --copy-to=named --set-image=sidecar=example.com/other:1", "").silent();
    assert_eq!(images(&namespace, "named"), before);
    namespace.kubectl("debug sick --copy-to=all --set-image=*=example.com/other:1", "").silent();
    assert_eq!(images(&namespace, "all"), (before.0, "example.com/other:1".to_owned()));
}

#[tokio::test]
async fn kubectl_debug_changes_the_copy_of_a_moved_container_that_is_named_as_the_one_to_debug() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    sick(&namespace);
    let before = images(&namespace, "sick");
    namespace.kubectl("debug sick --copy-to=copy --container=sidecar --image=example.com/other:1", "").silent();
    assert_eq!(images(&namespace, "copy"), ("example.com/other:1".to_owned(), before.1));
    namespace.kubectl("debug sick --copy-to=shell --container=sidecar -- sleep 1d", "").silent();
    let command = namespace.kubectl("get pod shell -o jsonpath={.spec.initContainers[*].command}", "").done();
    assert_eq!(command, r#"["sleep","1d"]"#);
}

#[tokio::test]
async fn kubectl_finds_a_moved_container_otherwise() {
    let Some(cluster) = Cluster::connect().await else { return };
    let namespace = cluster.namespace().await;
    sick(&namespace);
    namespace.kubectl("debug sick --target=sidecar --image=example.com/tools:1 --container=tools", "").done();
    let target = "get pod sick -o jsonpath={.spec.ephemeralContainers[*].targetContainerName}";
    assert_eq!(namespace.kubectl(target, "").done(), "sidecar");
    namespace.kubectl("set image pod/sick sidecar=example.com/other:1", "").done();
    assert_eq!(images(&namespace, "sick").0, "example.com/other:1");
}
