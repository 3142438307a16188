//! Templates in objects of kinds that are not known.

use super::super::*;
use rstest::rstest;
use serde_json::json;

/// A template that asks to be converted.
fn asking() -> Value {
    json!({
        "metadata": {"annotations": {"native-sidecar.io/containers": "b"}},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
    })
}

/// A pod's spec where a template is expected: it can carry no annotation.
fn pod_spec_alone() -> Value {
    json!({"podSpec": asking()["spec"], "annotations": asking()["metadata"]["annotations"]})
}

fn custom(spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": spec})
}

/// The places of the templates in `document`.
fn places(document: &Value) -> Vec<String> {
    Search::default().templates(document).unwrap().into_iter().map(|template| template.path.to_string()).collect()
}

#[rstest]
#[case(json!({"template": asking()}), "/spec/template")]
#[case(json!({"podTemplate": asking()}), "/spec/podTemplate")]
#[case(json!({"jobTemplate": {"spec": {"template": asking()}}}), "/spec/jobTemplate/spec/template")]
#[case(json!({"groups": [{"pods": asking()}]}), "/spec/groups/0/pods")]
#[case(json!({"roles": {"Worker": {"template": asking()}}}), "/spec/roles/Worker/template")]
#[case(json!({"deep": {"a/b": {"c": [[asking()]]}}}), "/spec/deep/a~1b/c/0/0")]
fn what_looks_like_a_template_and_asks_is_one(#[case] spec: Value, #[case] path: &str) {
    let document = custom(&spec);
    let found = Search::default().templates(&document).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].path.as_str(), found[0].basis), (path, Basis::Annotation));
    assert_eq!(found[0].object.to_string(), "Thing/x");
    assert_eq!(found[0].object_path.as_str(), "");
}

#[rstest]
#[case(json!({"template": {"metadata": {}, "spec": {"containers": [{"name": "a"}]}}}))]
#[case(json!({"template": {"metadata": asking()["metadata"], "spec": {"containers": []}}}))]
#[case(json!({"template": {"metadata": asking()["metadata"], "spec": {"containers": ["a"]}}}))]
#[case(json!({"template": {"metadata": asking()["metadata"], "spec": {"containers": [{"image": "a"}]}}}))]
#[case(json!({"template": {"metadata": asking()["metadata"], "spec": {"containers": [{"name": "a"}, {}]}}}))]
#[case(json!({"template": {"metadata": asking()["metadata"], "spec": {"containers": {"name": "a"}}}}))]
#[case(json!({"template": {"metadata": asking()["metadata"], "spec": {"initContainers": [{"name": "a"}]}}}))]
#[case(json!({"template": asking().to_string()}))]
#[case(pod_spec_alone())]
fn what_does_not_ask_or_is_no_template_is_left(#[case] spec: Value) {
    assert_eq!(places(&custom(&spec)), [""; 0]);
}

#[test]
fn the_object_itself_is_no_template() {
    let mut document = asking();
    document["apiVersion"] = "example.com/v1".into();
    document["kind"] = "Thing".into();
    assert_eq!(places(&document), [""; 0]);
}

#[test]
fn an_object_that_does_not_say_what_it_is_is_not_searched() {
    let mut document = custom(&json!({"template": asking()}));
    document["kind"] = Value::Null;
    assert_eq!(places(&document), [""; 0]);
}

#[test]
fn a_template_is_not_looked_for_in_a_template_nor_in_what_the_cluster_writes() {
    let mut outer = asking();
    outer["spec"]["inner"] = asking();
    let mut document = custom(&json!({"template": outer}));
    document["status"] = json!({"template": asking()});
    document["metadata"]["template"] = asking();
    assert_eq!(places(&document), ["/spec/template"]);
}

#[test]
fn only_what_was_asked_for_in_the_template_counts_there() {
    let document = custom(&json!({"template": asking()}));
    let template = &Search::default().templates(&document).unwrap()[0];
    let catalogue = native_sidecar_core::catalogue::Catalogue::built_in();
    let facts = native_sidecar_core::conversion::ClusterFacts::default();
    let settings = native_sidecar_core::conversion::Settings {
        catalogue: &catalogue,
        facts: &facts,
        known: native_sidecar_core::conversion::Known::Move,
        mode: native_sidecar_core::intent::Mode::Convert,
        containers: Some("a"),
        workload: None,
    };
    let own = template.settings(settings);
    assert_eq!((own.known, own.containers), (native_sidecar_core::conversion::Known::Stay, None));
    let of_kind = Template { basis: Basis::Kind, ..template.clone() };
    assert_eq!(of_kind.settings(settings).containers, Some("a"));
}

#[rstest]
#[case(json!({"template": asking()}), "example.com/v1", "Thing")]
#[case(json!({"template": asking(), "completions": 3}), "batch/v1", "Job")]
#[case(json!({"template": asking(), "podFailurePolicy": {}}), "batch/v1", "Job")]
fn the_owner_is_the_object_or_a_job(#[case] spec: Value, #[case] version: &str, #[case] kind: &str) {
    let document = custom(&json!({"inner": spec}));
    let owner = Search::default().templates(&document).unwrap().remove(0).owner.unwrap();
    assert_eq!((owner.api_version.as_str(), owner.kind.as_str()), (version, kind));
}

#[test]
fn whole_objects_in_unknown_kinds_are_objects_of_their_own() {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": asking()},
    });
    let mut silent = deployment.clone();
    silent["spec"]["template"]["metadata"] = json!({});
    let document = custom(&json!({"resources": [{"base": deployment}, {"base": silent}]}));
    let found = Search::default().templates(&document).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path.as_str(), "/spec/resources/0/base/spec/template");
    assert_eq!(found[0].object_path.as_str(), "/spec/resources/0/base");
    assert_eq!(found[0].object.to_string(), "Deployment/web");
    assert_eq!(found[0].owner.as_ref().unwrap().kind, "ReplicaSet");
    assert_eq!(found[0].basis, Basis::Annotation);
    // A holder that is known is like a list: its objects need not ask themselves.
    let work = json!({
        "apiVersion": "work.open-cluster-management.io/v1", "kind": "ManifestWork",
        "spec": {"workload": {"manifests": [silent, 1, {"kind": "Secret"}]}},
    });
    let found = Search::default().templates(&work).unwrap();
    assert_eq!((found.len(), found[0].basis), (1, Basis::Kind));
}

#[test]
fn a_resource_list_is_a_list_where_it_is_asked_for() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a"}]}});
    let list = json!({"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": [pod]});
    assert_eq!(Search::default().templates(&list).unwrap(), []);
    let search = Search { resource_list: true, ..Search::default() };
    let found = search.templates(&list).unwrap();
    assert_eq!((found.len(), found[0].path.as_str()), (1, "/items/0"));
    let list = json!({"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": [pod, 1]});
    assert_eq!(search.templates(&list), Err(2));
}

#[test]
fn what_another_command_is_for_is_not_looked_into() {
    let mut pod = asking();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"object": pod}});
    assert_eq!(places(&review), [""; 0]);
    let annotations = &pod["metadata"]["annotations"];
    let kustomization = json!({"resources": ["web.yaml"], "commonAnnotations": annotations});
    assert_eq!(Search::default().remarks(&kustomization), []);
}

#[test]
fn depth_is_bounded() {
    let nest = |levels: usize| custom(&(0..levels).fold(json!({"template": asking()}), |inner, _| json!({"n": inner})));
    assert_eq!(places(&nest(28)).len(), 1);
    assert_eq!(places(&nest(120)).len(), 0);
    assert_eq!(places(&custom(&json!({"n".repeat(254): asking()}))).len(), 0);
    let long = |levels: usize| {
        custom(&(0..levels).fold(json!({"template": asking()}), |inner, _| json!({"n".repeat(99): inner})))
    };
    assert_eq!(places(&long(10)).len(), 1);
    assert_eq!(places(&long(11)).len(), 0);
    let hold = |levels: usize| {
        (0..levels).fold(custom(&json!({"template": asking()})), |inner, _| custom(&json!({"n": inner})))
    };
    assert_eq!(places(&hold(4)).len(), 1);
    assert_eq!(places(&hold(5)).len(), 0);
}

#[rstest]
#[case(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}), Some(Special::AdmissionReview))]
#[case(json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}), Some(Special::Kustomization))]
#[case(json!({"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}), Some(Special::Kustomization))]
#[case(json!({"resources": ["deployment.yaml"]}), Some(Special::Kustomization))]
#[case(json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization"}), None)]
#[case(json!({"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": []}), Some(Special::ResourceList))]
#[case(json!({"apiVersion": "v2", "name": "shop", "version": "1.0.0"}), Some(Special::Chart))]
#[case(json!({"apiVersion": "v1", "name": "shop", "version": "1.0.0"}), Some(Special::Chart))]
#[case(json!({"apiVersion": "v1", "metadata": {"name": "x"}, "spec": {}}), None)]
#[case(json!({"replicas": 2, "image": {"tag": "1"}}), None)]
#[case(json!({"resources": {"limits": {}}}), None)]
#[case(json!({"apiVersion": "v1", "kind": "Pod"}), None)]
fn documents_for_other_commands(#[case] document: Value, #[case] special: Option<Special>) {
    assert_eq!(Special::of(&document), special);
}

/// Whatever stands in the fields of an object that is not known is no fault of the document.
#[rstest]
#[case(json!(["{{x}}"]), 0)]
#[case(json!([1, {"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": {"native-sidecar.io/containers": "b"}}}]), 1)]
#[case(json!([{"apiVersion": "v1", "kind": "List", "items": [null]}]), 0)]
fn a_list_in_an_object_that_is_not_known_may_have_anything_in_it(#[case] items: Value, #[case] templates: usize) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let foo = json!({"apiVersion": "example.com/v1", "kind": "Foo", "spec": {"template": list}});
    assert_eq!(Search::default().templates(&foo).map(|found| found.len()), Ok(templates));
    let outer = json!({"apiVersion": "v1", "kind": "List", "items": [foo, "x"]});
    assert_eq!(Search::default().templates(&outer), Err(2));
}
