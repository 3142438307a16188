use super::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use rstest::rstest;
use serde_json::{Value, json};

fn ask_bytes(body: &[u8], route: Route) -> Result<Value, NotAReview> {
    let (catalogue, facts) = (Catalogue::built_in(), ClusterFacts::default());
    review(body, route, Context { catalogue: &catalogue, facts: &facts }).map(|reviewed| {
        assert!(DECISIONS.contains(&reviewed.decision));
        serde_json::from_slice(&reviewed.body).unwrap()
    })
}

fn ask(review: &Value) -> Value {
    ask_bytes(review.to_string().as_bytes(), Route::Annotated).unwrap()
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "pi-", "annotations": {"native-sidecar.io/containers": "sidecar"},
                     "ownerReferences": [{"kind": "Job", "name": "pi", "controller": true}]},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "pi", "image": "perl:5.34.0"}, {"name": "sidecar", "image": "busybox"}]}
    })
}

fn request_for(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE", "namespace": "default", "object": pod
        }
    })
}

fn patch(answer: &Value) -> Value {
    let encoded = answer["response"]["patch"].as_str().unwrap();
    serde_json::from_slice(&STANDARD.decode(encoded).unwrap()).unwrap()
}

#[test]
fn an_annotated_pod_gets_a_patch() {
    let answer = ask(&request_for(&pod()));
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], "u-1");
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    assert_eq!(answer["response"]["auditAnnotations"]["decision"], "converted");
    let expected = json!([
        {"op": "add", "path": "/spec/containers/1/restartPolicy", "value": "Always"},
        {"op": "add", "path": "/spec/initContainers", "value": []},
        {"op": "move", "from": "/spec/containers/1", "path": "/spec/initContainers/-"},
        {"op": "add", "path": "/metadata/annotations/native-sidecar.io~1converted", "value": "sidecar"},
    ]);
    assert_eq!(patch(&answer), expected);
}

#[test]
fn the_subject_is_told_for_logs() {
    let (catalogue, facts) = (Catalogue::built_in(), ClusterFacts::default());
    let body = request_for(&pod()).to_string();
    let context = Context { catalogue: &catalogue, facts: &facts };
    let reviewed = review(body.as_bytes(), Route::Annotated, context).unwrap();
    let expected = Subject {
        uid: "u-1".into(),
        namespace: "default".into(),
        pod: "pi-".into(),
        owner: "Job/pi".into(),
        dry_run: false,
    };
    assert_eq!(reviewed.subject, expected);
}

#[rstest]
#[case::update("operation", json!("UPDATE"))]
#[case::delete("operation", json!("DELETE"))]
#[case::subresource("subResource", json!("ephemeralcontainers"))]
#[case::other_kind("kind", json!({"group": "apps", "version": "v1", "kind": "Deployment"}))]
#[case::other_group("kind", json!({"group": "example.com", "version": "v1", "kind": "Pod"}))]
#[case::other_resource("resource", json!({"group": "", "version": "v1", "resource": "podtemplates"}))]
#[case::no_object("object", Value::Null)]
fn everything_but_the_creation_of_pods_is_allowed_untouched(#[case] field: &str, #[case] value: Value) {
    let mut review = request_for(&pod());
    review["request"][field] = value;
    let answer = ask(&review);
    assert_eq!(answer["response"], json!({"uid": "u-1", "allowed": true}));
}

#[rstest]
#[case::v1beta1("apiVersion", json!("admission.k8s.io/v1beta1"))]
#[case::kind("kind", json!("Pod"))]
fn what_is_not_understood_is_allowed_with_a_warning(#[case] field: &str, #[case] value: Value) {
    let mut review = request_for(&pod());
    review[field] = value;
    let answer = ask(&review);
    assert_eq!(answer["response"]["uid"], "u-1");
    assert_eq!(answer["response"]["allowed"], true);
    assert!(answer["response"]["patch"].is_null() && answer["response"]["patchType"].is_null());
    assert!(answer["response"]["warnings"][0].as_str().unwrap().contains("admissionReviewVersions: [v1]"));
    assert_eq!(answer["apiVersion"], review["apiVersion"]);
}

/// Nobody could read an answer of a version that is not known, and what is echoed must be something that is known.
#[rstest]
#[case::unknown(json!("admission.k8s.io/v2"))]
#[case::of_others(json!("v1"))]
#[case::none(Value::Null)]
#[case::no_text(json!(1))]
fn a_version_that_is_not_known_is_told_those_that_are(#[case] version: Value) {
    let mut review = request_for(&pod());
    review["apiVersion"] = version;
    let body = review.to_string();
    let error = ask_bytes(body.as_bytes(), Route::Annotated).unwrap_err().to_string();
    assert!(error.contains("admission.k8s.io/v1 ") && error.contains("admissionReviewVersions: [v1]"), "{error}");
    assert!(allowed_unchanged(body.as_bytes(), Some("x")).is_none());
}

#[test]
fn a_uid_is_echoed_up_to_a_length_that_no_uid_has() {
    let ask_with = |uid: &str, version: &str| {
        let mut review = request_for(&pod());
        review["request"]["uid"] = json!(uid);
        review["apiVersion"] = json!(version);
        ask_bytes(review.to_string().as_bytes(), Route::Annotated)
    };
    for version in ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"] {
        let longest = "\u{1}".repeat(128);
        assert_eq!(ask_with(&longest, version).unwrap()["response"]["uid"], longest);
        let error = ask_with(&"u".repeat(129), version).unwrap_err().to_string();
        assert!(error.contains("129 bytes") && error.contains("128"), "{error}");
    }
}

/// Whoever sends 8 MB must not be able to have them sent back: what waits to be read by a client is memory of ours and of
/// the kernel.
#[rstest]
#[case::version("/apiVersion")]
#[case::kind("/kind")]
#[case::uid("/request/uid")]
#[case::operation("/request/operation")]
#[case::namespace("/request/namespace")]
#[case::kind_of_object("/request/kind/kind")]
#[case::resource("/request/resource/resource")]
#[case::wrong_type("/request/dryRun")]
#[case::request("/request")]
#[case::object("/request/object")]
#[case::name("/request/object/metadata/generateName")]
#[case::owner("/request/object/metadata/ownerReferences/0/name")]
#[case::annotation("/request/object/metadata/annotations/native-sidecar.io~1containers")]
#[case::container("/request/object/spec/containers/1/name")]
#[case::application("/request/object/spec/containers/0/name")]
#[case::image("/request/object/spec/containers/1/image")]
#[case::containers("/request/object/spec/containers")]
fn what_is_sent_back_has_bounds(#[case] at: &str, #[values("x", "\u{1}", "\u{10ffff}")] text: &str) {
    let mut review = request_for(&pod());
    *review.pointer_mut("/request/object/metadata/annotations").unwrap() =
        json!({"native-sidecar.io/containers": "sidecar", "native-sidecar.io/known": "true"});
    review["request"]["dryRun"] = json!(false);
    *review.pointer_mut(at).unwrap() = json!(text.repeat(100_000));
    for (kind, uid) in [("AdmissionReview", json!("u-1")), ("Pod", json!("u-1")), ("AdmissionReview", json!(null))] {
        if let Some(request) = review["request"].as_object_mut().filter(|_| at != "/request/uid") {
            request.insert("uid".to_owned(), uid);
        }
        if at != "/kind" {
            review["kind"] = json!(kind);
        }
        let (catalogue, facts) = (Catalogue::built_in(), ClusterFacts::default());
        let context = Context { catalogue: &catalogue, facts: &facts };
        match super::review(review.to_string().as_bytes(), Route::Known, context) {
            Ok(reviewed) => assert!(reviewed.body.len() < 8192, "{} bytes", reviewed.body.len()),
            Err(error) => assert!(error.to_string().len() < 2048, "{} bytes", error.to_string().len()),
        }
    }
}

#[rstest]
#[case::empty(b"")]
#[case::text(b"hello")]
#[case::json(b"{}")]
#[case::list(b"[1,2]")]
#[case::list_for_a_review(br#"["admission.k8s.io/v1","AdmissionReview",{"uid":"1"}]"#)]
#[case::list_for_a_request(br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":["1"]}"#)]
#[case::null_request(br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}"#)]
#[case::no_uid(br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}"#)]
#[case::empty_uid(br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":""}}"#)]
#[case::uid_of_another_type(br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":1}}"#)]
#[case::cut(br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"#)]
#[case::not_utf8(b"{\"apiVersion\":\"\xff\"}")]
fn what_is_no_review_is_refused_in_one_sentence(#[case] body: &[u8]) {
    let error = ask_bytes(body, Route::Annotated).unwrap_err().to_string();
    assert!(error.starts_with("the body is not an AdmissionReview") || error.starts_with("this webhook"), "{error}");
    assert!(!error.contains('\n'));
    assert!(allowed_unchanged(body, Some("x")).is_none());
}

/// What is skipped takes no stack, and what is read has a bound on its depth.
#[test]
fn no_nesting_is_too_deep_where_nobody_reads() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let ask_with = |field: &str, json: &str| {
        let body = request_for(&pod()).to_string().replace("\"image\":\"busybox\"", &format!("\"{field}\":{json}"));
        ask_bytes(body.as_bytes(), Route::Annotated)
    };
    for levels in [120, 200_000] {
        let answer = ask_with("futureField", &deep(levels)).unwrap();
        assert_eq!(answer["response"]["auditAnnotations"]["decision"], "converted");
    }
    let answer = ask_with("args", &deep(200_000)).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["auditAnnotations"]["findings"], "unreadable-pod");
    let endless = "[".repeat(1_000_000);
    assert!(ask_bytes(endless.as_bytes(), Route::Annotated).is_err());
    assert!(ask_with("futureField", &endless).is_err());
}

#[test]
fn a_request_with_a_field_of_the_wrong_type_is_allowed_with_a_warning() {
    let mut review = request_for(&pod());
    review["request"]["dryRun"] = json!("yes");
    let answer = ask(&review);
    assert_eq!(answer["response"]["allowed"], true);
    assert!(answer["response"]["patch"].is_null());
    assert!(answer["response"]["warnings"][0].as_str().unwrap().contains("expected a boolean"));
}

#[test]
fn a_pod_that_cannot_be_read_is_allowed_with_a_warning() {
    let mut broken = pod();
    broken["spec"]["containers"][1]["args"] = json!("not a list");
    let answer = ask(&request_for(&broken));
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["auditAnnotations"]["findings"], "unreadable-pod");
}

#[test]
fn dry_runs_are_answered_as_real_ones() {
    let mut review = request_for(&pod());
    let real = ask(&review);
    review["request"]["dryRun"] = json!(true);
    assert_eq!(ask(&review), real);
}

#[test]
fn only_a_pod_that_asks_for_it_is_refused() {
    let mut blocked = pod();
    blocked["spec"]["containers"][1]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
    let left = ask(&request_for(&blocked));
    assert_eq!(left["response"]["allowed"], true);
    assert_eq!(left["response"]["auditAnnotations"]["decision"], "blocked");
    assert!(patch(&left)[0]["value"].as_str().unwrap().starts_with("host-port: "));

    blocked["metadata"]["annotations"]["native-sidecar.io/on-blocker"] = json!("deny");
    let denied = ask(&request_for(&blocked));
    assert_eq!(denied["response"]["allowed"], false);
    assert!(denied["response"]["patch"].is_null());
    assert!(denied["response"]["status"]["message"].as_str().unwrap().starts_with("host-port: "));
}

#[test]
fn warnings_are_one_line_and_short() {
    let mut odd = pod();
    odd["metadata"]["annotations"][format!("native-sidecar.io/{}", "ä".repeat(400))] = json!("x");
    odd["metadata"]["annotations"]["native-sidecar.io/containers"] = json!("sidecar, no\u{7}where");
    for number in 0..30 {
        odd["metadata"]["annotations"][format!("native-sidecar.io/zzzzzzzz{number}")] = json!("x");
    }
    let answer = ask(&request_for(&odd));
    let warnings = answer["response"]["warnings"].as_array().unwrap();
    assert!((2..=WARNINGS).contains(&warnings.len()));
    for warning in warnings {
        let warning = warning.as_str().unwrap();
        assert!(warning.chars().count() <= 256 && !warning.chars().any(char::is_control), "{warning}");
    }
}

const WARNINGS: usize = 12;

/// What turns around, hides or ends a line.
const INVISIBLE: &str = "\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\u{7f}\u{9b}\u{1b}[2K\n\u{e0061}\u{e000}";

#[rstest]
#[case::left("leave")]
#[case::refused("deny")]
fn nothing_invisible_is_repeated(#[case] on_blocker: &str) {
    let odd = format!("x{INVISIBLE}y");
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({
        "native-sidecar.io/containers": format!("sidecar,{odd}"),
        format!("native-sidecar.io/{odd}"): "x",
        "native-sidecar.io/accept": odd,
        "native-sidecar.io/on-blocker": on_blocker,
    });
    pod["metadata"]["generateName"] = odd.clone().into();
    pod["spec"]["containers"][0]["name"] = odd.clone().into();
    pod["spec"]["containers"][1]["ports"] = json!([{"containerPort": 80, "hostPort": 80, "name": odd}]);
    let answer = ask(&request_for(&pod));
    let patch = answer["response"]["patch"].as_str().map(|_| patch(&answer)).unwrap_or_default();
    let warnings = answer["response"]["warnings"].as_array().into_iter().flatten();
    let others = [&patch[0]["value"], &answer["response"]["status"]["message"]];
    let shown: String = warnings.chain(others).filter_map(Value::as_str).collect();
    assert!(shown.contains(r"x\u{202e}"), "nothing of it is repeated: {shown}");
    assert!(!shown.chars().any(crate::text::is_invisible), "{shown:?}");
}

#[test]
fn the_known_route_moves_what_the_catalogue_knows() {
    let mut known = pod();
    known["metadata"]["annotations"] = json!({});
    known["spec"]["containers"][1] =
        json!({"name": "proxy", "image": "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.14.1"});
    let body = request_for(&known).to_string();
    assert!(ask_bytes(body.as_bytes(), Route::Annotated).unwrap()["response"]["patch"].is_null());
    assert!(ask_bytes(body.as_bytes(), Route::Known).unwrap()["response"]["patch"].is_string());
    known["metadata"]["annotations"] = json!({"native-sidecar.io/known": "false"});
    let body = request_for(&known).to_string();
    assert!(ask_bytes(body.as_bytes(), Route::Known).unwrap()["response"]["patch"].is_null());
}

/// A decision, its findings and what whoever creates the pod is told.
fn seen(review: &Value, route: Route, review_as: Review) -> (Value, Vec<String>) {
    let (catalogue, facts) = (Catalogue::built_in(), ClusterFacts::default());
    let context = Context { catalogue: &catalogue, facts: &facts };
    let reviewed = review_as(review.to_string().as_bytes(), route, context).unwrap();
    let answer: Value = serde_json::from_slice(&reviewed.body).unwrap();
    let response = &answer["response"];
    assert_eq!(response["allowed"], true);
    assert!(response["patch"].is_null() && response["patchType"].is_null() && response["status"].is_null());
    assert_eq!(response["auditAnnotations"]["decision"], reviewed.decision);
    let warnings = response["warnings"].as_array().into_iter().flatten();
    (response["auditAnnotations"].clone(), warnings.map(|warning| warning.as_str().unwrap().to_owned()).collect())
}

type Review = fn(&[u8], Route, Context<'_>) -> Result<Reviewed, NotAReview>;

#[test]
fn an_observing_server_says_nothing_to_whoever_creates_a_pod() {
    let mut asks = pod();
    let (audit, warnings) = seen(&request_for(&asks), Route::Annotated, observe);
    assert_eq!((&audit["decision"], warnings), (&json!("would-convert"), Vec::new()));
    // Whatever it says itself.
    asks["metadata"]["annotations"]["native-sidecar.io/mode"] = json!("convert");
    asks["metadata"]["annotations"]["native-sidecar.io/containers"] = json!("sidecar,nobody");
    let (audit, warnings) = seen(&request_for(&asks), Route::Annotated, observe);
    assert_eq!(audit, json!({"decision": "would-convert", "findings": "job-exit-codes,name-not-found"}));
    assert_eq!(warnings, Vec::<String>::new());
    asks["spec"]["containers"][1]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
    asks["metadata"]["annotations"]["native-sidecar.io/on-blocker"] = json!("deny");
    let (audit, warnings) = seen(&request_for(&asks), Route::Annotated, observe);
    assert_eq!(audit, json!({"decision": "would-block", "findings": "host-port,job-exit-codes,name-not-found"}));
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_pod_that_asks_to_be_observed_is_told_the_outcome() {
    let mut asks = pod();
    asks["metadata"]["annotations"]["native-sidecar.io/mode"] = json!("observe");
    asks["metadata"]["annotations"]["native-sidecar.io/on-blocker"] = json!("deny");
    for review_as in [review as Review, observe] {
        let (audit, warnings) = seen(&request_for(&asks), Route::Annotated, review_as);
        assert_eq!(audit, json!({"decision": "would-convert", "findings": "job-exit-codes"}));
        let expected = "native-sidecar: only observed, and would make native: sidecar; nothing was changed, as \
                        native-sidecar.io/mode is not `convert`";
        assert_eq!(warnings, [expected]);
    }
    asks["spec"]["containers"][1]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
    let (audit, warnings) = seen(&request_for(&asks), Route::Annotated, review);
    assert_eq!(audit, json!({"decision": "would-block", "findings": "host-port,job-exit-codes"}));
    let held_back = "native-sidecar: only observed, and would be held back: host-port: container \"sidecar\": ";
    assert!(warnings.len() == 1 && warnings[0].starts_with(held_back), "{warnings:?}");
}

#[test]
fn a_pod_that_nobody_can_read_is_observed_too() {
    let mut broken = pod();
    broken["metadata"]["annotations"] = json!([]);
    for (route, review_as) in [(Route::Annotated, observe as Review), (Route::Observed, review)] {
        let (audit, warnings) = seen(&request_for(&broken), route, review_as);
        assert_eq!(audit, json!({"decision": "would-block", "findings": "unreadable-pod"}));
        assert_eq!(warnings, Vec::<String>::new());
    }
}

#[test]
fn a_failure_is_answered_as_allowed() {
    let answer = allowed_unchanged(request_for(&pod()).to_string().as_bytes(), Some("it broke")).unwrap();
    assert_eq!(answer.decision, "failed");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["response"]["uid"], "u-1");
    assert_eq!(body["response"]["warnings"], json!(["native-sidecar: it broke"]));
}
