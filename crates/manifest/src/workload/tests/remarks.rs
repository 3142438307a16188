//! What is said about documents.

use super::super::*;
use native_sidecar_core::findings::Severity;
use rstest::rstest;
use serde_json::json;
use std::collections::HashSet;

const OURS: &str = "native-sidecar.io/containers";

fn ours() -> Value {
    json!({ OURS: "proxy" })
}

fn pod_spec() -> Value {
    json!({"containers": [{"name": "app"}, {"name": "proxy"}]})
}

/// Code, severity, place and text of each remark.
fn said(document: &Value) -> Vec<(&'static str, Severity, String, String)> {
    let remarks = Search::default().remarks(document).into_iter();
    remarks.map(|r| (r.kind.code(), r.severity, r.place.to_string(), r.message)).collect()
}

/// The only remark on `document`: code, place and text.
fn warned(document: &Value) -> (&'static str, String, String) {
    let mut all = said(document);
    assert_eq!(all.len(), 1, "{all:?}");
    let (code, severity, place, text) = all.remove(0);
    assert_eq!(severity, Severity::Warning, "{text}");
    (code, place, text)
}

fn deployment(metadata: &Value, spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
}

#[rstest]
#[case(json!({"annotations": ours()}), json!({"template": {"spec": pod_spec()}}), "/metadata/annotations")]
#[case(json!({}), json!({"metadata": {"annotations": ours()}, "template": {"spec": pod_spec()}}), "/spec/metadata/annotations")]
#[case(json!({}), json!({"annotations": ours(), "template": {"spec": pod_spec()}}), "/spec/annotations")]
#[case(json!({}), json!({"template": {"annotations": ours(), "spec": pod_spec()}}), "/spec/template/annotations")]
#[case(json!({}), json!({"template": {"metadata": ours(), "spec": pod_spec()}}), "/spec/template/metadata")]
#[case(json!({}), json!({"template": {"spec": {"annotations": ours(), "containers": []}}}), "/spec/template/spec/annotations")]
#[case(json!({}), json!({"template": {"spec": {"containers": [{"name": "a", "annotations": ours()}]}}}), "/spec/template/spec/containers/0/annotations")]
fn an_annotation_at_the_wrong_level_is_told(#[case] metadata: Value, #[case] spec: Value, #[case] place: &str) {
    let (code, at, text) = warned(&deployment(&metadata, &spec));
    assert_eq!((code, at.as_str()), ("misplaced-annotation", place));
    assert!(text.starts_with(&format!("annotation {OURS} at ")), "{text}");
    assert!(text.ends_with(" has no effect here; move it to spec.template.metadata.annotations"), "{text}");
}

#[rstest]
#[case(json!({"jobTemplate": {"metadata": {"annotations": ours()}, "spec": {"template": {"spec": pod_spec()}}}}), "/spec/jobTemplate/metadata/annotations")]
#[case(json!({"jobTemplate": {"spec": {"metadata": {"annotations": ours()}, "template": {"spec": pod_spec()}}}}), "/spec/jobTemplate/spec/metadata/annotations")]
fn between_a_cron_job_and_its_pods_too(#[case] spec: Value, #[case] place: &str) {
    let document = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "n"}, "spec": spec});
    let (code, at, text) = warned(&document);
    assert_eq!((code, at.as_str()), ("misplaced-annotation", place));
    assert!(text.ends_with("move it to spec.jobTemplate.spec.template.metadata.annotations"), "{text}");
}

#[test]
fn in_a_kind_with_several_templates_all_are_named() {
    let document = json!({
        "apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "r", "annotations": ours()}, "spec": {},
    });
    assert_eq!(
        warned(&document).2,
        "annotation native-sidecar.io/containers at metadata.annotations has no effect here; move it to \
         spec.headGroupSpec.template.metadata.annotations or spec.workerGroupSpecs[].template.metadata.annotations"
    );
}

#[test]
fn several_annotations_at_one_place_are_one_remark() {
    let all = json!({
        OURS: "b", "native-sidecar.io/known": "true", "position.native-sidecar.io/b": "first", "pre-stop.native-sidecar.io/b": "keep",
        "example.com/other": "x",
    });
    let text = warned(&deployment(&json!({"annotations": all}), &json!({"template": {"spec": pod_spec()}}))).2;
    assert_eq!(
        text,
        "annotations native-sidecar.io/containers, native-sidecar.io/known, position.native-sidecar.io/b and 1 more at \
         metadata.annotations have no effect here; move it to spec.template.metadata.annotations"
    );
}

#[rstest]
#[case(deployment(&json!({"labels": ours()}), &json!({"template": {"spec": pod_spec()}})), "/metadata/labels")]
#[case(deployment(&json!({}), &json!({"template": {"metadata": {"labels": ours()}, "spec": pod_spec()}})), "/spec/template/metadata/labels")]
fn a_label_is_no_annotation(#[case] document: Value, #[case] place: &str) {
    let (code, at, text) = warned(&document);
    assert_eq!((code, at.as_str()), ("annotation-as-label", place));
    assert!(text.ends_with(" has no effect as a label; write it under spec.template.metadata.annotations"), "{text}");
}

#[test]
fn a_pod_that_does_not_say_what_it_is_is_told() {
    let pod = json!({"metadata": {"name": "p", "annotations": ours()}, "spec": pod_spec()});
    let (code, place, text) = warned(&pod);
    assert_eq!((code, place.as_str()), ("incomplete-object", "/metadata/annotations"));
    let add = "so that nothing is done; add apiVersion: v1 and kind: Pod if it is one";
    assert_eq!(text, format!("has no apiVersion and kind, {add}"));
    let mut half = pod.clone();
    half["apiVersion"] = "v1".into();
    assert_eq!(warned(&half).2, format!("has no kind, {add}"));
    let mut half = pod.clone();
    half["kind"] = "Pod".into();
    assert_eq!(warned(&half).2, format!("has no apiVersion, {add}"));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [pod]});
    assert_eq!(warned(&list).1, "/items/0/metadata/annotations");
    let silent = json!({"metadata": {"name": "p"}, "spec": pod_spec()});
    assert_eq!(warned(&silent).0, "incomplete-object");
}

#[test]
fn objects_that_do_not_say_what_they_are_and_values_of_charts_are_told_apart() {
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"template": {"metadata": {"annotations": ours()}, "spec": pod_spec()}}});
    assert_eq!(
        warned(&deployment).2,
        "has no apiVersion and kind, so that nothing is done; add them as the API server wants them"
    );
    let values = json!({"image": {"tag": "1"}, "podAnnotations": ours()});
    assert_eq!(
        warned(&values).2,
        "is no Kubernetes object; if these are values of a chart, run helm template CHART -f FILE | native-sidecar convert"
    );
}

fn custom(metadata: &Value, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": metadata, "spec": spec})
}

#[test]
fn in_an_unknown_kind_without_a_template_the_way_is_asked_for() {
    let metadata = json!({"annotations": ours()});
    let (code, place, text) = warned(&custom(&metadata, &json!({"podSpec": pod_spec()})));
    assert_eq!((code, place.as_str()), ("no-template", "/metadata/annotations"));
    assert_eq!(
        text,
        "annotation native-sidecar.io/containers at metadata.annotations is not read, since Thing.example.com is not known and no pod \
         template was found in it; give its place with --template-path Thing.example.com=PATH, or let the webhook convert the pods \
         that get the annotation"
    );
    let text = warned(&custom(&metadata, &pod_spec())).2;
    assert!(text.ends_with("are all containers of its pods, give --template-path Thing.example.com=."), "{text}");
    // What a chart or an engine may make annotations of is the webhook's matter.
    let all = said(&custom(&json!({}), &json!({"values": {"podAnnotations": ours()}})));
    assert_eq!((all.len(), all[0].0, all[0].1), (1, "no-template", Severity::Note));
}

#[test]
fn a_kind_of_kubernetes_without_pods_has_none() {
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "annotations": ours()}, "spec": {}});
    let (_, _, message) = warned(&service);
    assert!(message.ends_with("is not read, since a Service has no pods; write it on the pod template"), "{message}");
}

#[test]
fn in_an_unknown_kind_with_a_template_that_one_is_named() {
    let spec = json!({"workers": [{"template": {"spec": pod_spec()}}]});
    let document = custom(&json!({"annotations": ours()}), &spec);
    assert_eq!(
        warned(&document).2,
        "annotation native-sidecar.io/containers at metadata.annotations has no effect here; move it to \
         spec.workers[].template.metadata.annotations if its operator keeps what stands there (docs/workloads.md says how to find out)"
    );
    let all = said(&custom(&json!({}), &spec));
    assert_eq!((all.len(), all[0].0, all[0].1), (1, "unknown-kind", Severity::Note));
    assert_eq!(
        all[0].3,
        "the pod template at spec.workers[].template is left, since Thing.example.com is not known; annotate the template, or give \
         --template-path Thing.example.com=spec.workers[].template"
    );
}

#[test]
fn a_template_that_an_engine_owns_is_a_note_where_nobody_asks() {
    let service = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"template": {"spec": pod_spec()}},
    });
    let all = said(&service);
    assert_eq!(
        (all.len(), all[0].0, all[0].1, all[0].2.as_str()),
        (1, "engine-owned", Severity::Note, "/spec/template")
    );
    let prometheus = json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "spec": {"replicas": 1}});
    assert_eq!(said(&prometheus), []);
}

#[test]
fn an_engine_that_owns_the_pods_is_named_once_for_an_object() {
    let kafka = json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "Kafka", "metadata": {"annotations": ours()},
        "spec": {"kafka": {"template": {"pod": {"metadata": {"annotations": ours()}}}}},
    });
    assert_eq!(warned(&kafka).0, "engine-owned");
}

#[test]
fn in_a_kind_that_is_converted_in_part_each_place_is_judged_alone() {
    let runners = |metadata: &Value, listener: &Value| {
        json!({
            "apiVersion": "actions.github.com/v1alpha1", "kind": "AutoscalingRunnerSet", "metadata": metadata,
            "spec": {"listenerTemplate": {"metadata": listener, "spec": pod_spec()}, "template": {"spec": pod_spec()}},
        })
    };
    let annotated = json!({"annotations": ours()});
    assert_eq!(warned(&runners(&json!({}), &annotated)).0, "merged-template");
    let (code, _, text) = warned(&runners(&annotated, &json!({})));
    assert_eq!(code, "misplaced-annotation");
    assert!(text.ends_with("move it to spec.template.metadata.annotations"), "{text}");
}

#[rstest]
#[case(json!({"labels": {"native-sidecar.io/known": "true"}}), None)]
#[case(json!({"labels": {"native-sidecar.io/known": "observe"}}), None)]
#[case(json!({"annotations": {"native-sidecar.io/known": "true"}}), Some("label-as-annotation"))]
#[case(json!({"labels": {"native-sidecar.io/containers": "b"}}), Some("misplaced-annotation"))]
fn a_namespace_has_a_label_of_ours(#[case] metadata: Value, #[case] code: Option<&str>) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
    assert_eq!(said(&namespace).first().map(|remark| remark.0), code);
}

/// Nothing is to be said about these.
#[rstest]
#[case(deployment(&json!({}), &json!({"template": {"metadata": {"annotations": ours()}, "spec": pod_spec()}})))]
#[case(deployment(&json!({"annotations": {"native-sidecar.io/converted": "b", "native-sidecar.io/blocked": "x"}}), &json!({"template": {"spec": pod_spec()}})))]
#[case(deployment(&json!({"annotations": {"example.com/native-sidecar.io": "x"}}), &json!({"template": {"spec": pod_spec()}})))]
#[case(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": ours()}, "spec": pod_spec()}))]
#[case(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"pod.yaml": "metadata: {annotations: {native-sidecar.io/containers: b}}"}}))]
#[case(custom(&json!({}), &json!({"template": {"metadata": {"annotations": ours()}, "spec": pod_spec()}})))]
#[case(json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"native-sidecar.io/known": "true"}}}]}]}}))]
#[case(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "spec": {"syncPolicy": {"managedNamespaceMetadata": {"labels": {"native-sidecar.io/known": "true"}}}}}))]
#[case(json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "spec": {"rules": [{"mutate": {"patchStrategicMerge": {"metadata": {"annotations": ours()}}}}]}}))]
#[case(json!({"image": {"tag": "1"}, "resources": {}}))]
fn silence(#[case] document: Value) {
    assert_eq!(said(&document), []);
}

#[test]
fn a_remark_is_one_line_whatever_fields_are_called() {
    let document =
        json!({"apiVersion": "example.com/v1", "kind": "A\u{1b}[2J\nB", "spec": {"x\ny": {"annotations": ours()}}});
    let text = warned(&document).2;
    assert!(!text.contains(['\n', '\u{1b}']), "{text:?}");
}

/// What is told to the reader of a large document has an end.
#[test]
fn remarks_are_bounded() {
    let places: Vec<_> = (0..500).map(|_| json!({"annotations": ours()})).collect();
    let remarks = said(&deployment(&json!({}), &json!({"places": places, "template": {"spec": pod_spec()}})));
    assert_eq!(remarks.len(), 64);
}

#[test]
fn codes_are_kebab_case_and_differ() {
    let codes: HashSet<_> = RemarkKind::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(codes.len(), RemarkKind::ALL.len());
    assert!(codes.iter().all(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
}
