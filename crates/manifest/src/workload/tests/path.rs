//! Ways to templates, as users write them.

use super::super::{path, *};
use json_patch::jsonptr::PointerBuf;
use rstest::rstest;
use serde_json::json;
use std::ops::ControlFlow;

/// Where the way leads in an object with much in it.
fn found(way: &str) -> Vec<String> {
    let object = json!({
        "spec": {
            "template": {},
            "workers": [{"template": {"a": 1}}, {"template": {"b": 1}}, {"other": 1}],
            "groups": {"x": {"podTemplate": {}}, "y": {"podTemplate": {}}, "*": 1, "z": []},
            "example.com/pods": {"t": {}},
            "a\"b": {"c]d": [[1, 2], [3]]},
        }
    });
    let way: TemplatePath = way.parse().unwrap();
    let mut found = Vec::new();
    path::find(&object, way.steps(), |tokens, _| {
        found.push(PointerBuf::from_tokens(tokens.iter().map(AsRef::as_ref)).to_string());
        ControlFlow::<()>::Continue(())
    });
    found
}

#[rstest]
#[case("spec.template", &["/spec/template"])]
#[case(".spec.template", &["/spec/template"])]
#[case(".", &[""])]
#[case("spec.workers[].template", &["/spec/workers/0/template", "/spec/workers/1/template"])]
#[case("spec.groups.*.podTemplate", &["/spec/groups/x/podTemplate", "/spec/groups/y/podTemplate"])]
#[case(r#"spec.groups."*""#, &["/spec/groups/*"])]
#[case(r"spec.groups.\*", &["/spec/groups/*"])]
#[case(r"spec.example\.com/pods.t", &["/spec/example.com~1pods/t"])]
#[case(r#"spec."example.com/pods".t"#, &["/spec/example.com~1pods/t"])]
#[case(r#"spec."a\"b"."c]d"[][]"#, &["/spec/a\"b/c]d/0/0", "/spec/a\"b/c]d/0/1", "/spec/a\"b/c]d/1/0"])]
#[case("spec.workers.template", &[])]
#[case("spec.template[]", &[])]
#[case("spec.none.template", &[])]
fn ways(#[case] way: &str, #[case] expected: &[&str]) {
    assert_eq!(found(way), expected);
}

#[rstest]
#[case("", "a name of a field is missing; write it as in spec.workers[].template")]
#[case("spec..template", "a name of a field is missing; write it as in spec.workers[].template")]
#[case("spec.", "a name of a field is missing; write it as in spec.workers[].template")]
#[case("spec.workers[0].template", "write [] for every item of a list; single items cannot be chosen")]
#[case("spec.workers[", "write [] for every item of a list; single items cannot be chosen")]
#[case("spec.workers[]template", "put a dot between the names of fields")]
#[case(r#"spec."a"b"#, "put a dot between the names of fields")]
#[case(r#"spec."a"#, "a double quote is missing behind a name")]
#[case(r"spec.a\", "a name follows each backslash")]
#[case("/spec/template", "write names with dots between them, as in spec.workers[].template")]
#[case("$.spec.template", "write names with dots between them, as in spec.workers[].template")]
#[case("=spec.template", "write KIND=PATH or KIND.GROUP=PATH, for example Worker.example.com=spec.template")]
#[case("Work er=spec.template", "write KIND=PATH or KIND.GROUP=PATH, for example Worker.example.com=spec.template")]
#[case("Worker.=spec.template", "write KIND=PATH or KIND.GROUP=PATH, for example Worker.example.com=spec.template")]
fn no_ways(#[case] way: &str, #[case] what: &str) {
    let error = way.parse::<TemplatePath>().unwrap_err();
    assert_eq!(error.to_string(), format!("{way:?} is no way to a pod template: {what}"));
}

#[rstest]
#[case("spec.x", "example.com", "Worker", true)]
#[case("Worker=spec.x", "example.com", "Worker", true)]
#[case("Worker=spec.x", "example.org", "Worker", true)]
#[case("Worker=spec.x", "example.com", "Other", false)]
#[case("Worker.example.com=spec.x", "example.com", "Worker", true)]
#[case("Worker.example.com=spec.x", "example.org", "Worker", false)]
#[case(r#"spec."a=b""#, "example.org", "Worker", true)]
fn kinds_of_a_way(#[case] way: &str, #[case] group: &str, #[case] kind: &str, #[case] is_for: bool) {
    let path: TemplatePath = way.parse().unwrap();
    assert_eq!(path.is_for(group, kind), is_for);
    assert_eq!(path.to_string(), way);
}

/// The templates that a search with these ways finds: place, the owner's kind, and why.
fn searched(ways: &[&str], document: &Value) -> Vec<(String, String, Basis)> {
    let search = Search { paths: ways.iter().map(|way| way.parse().unwrap()).collect(), resource_list: false };
    let found = search.templates(document).unwrap().into_iter();
    found.map(|t| (t.path.to_string(), t.owner.map(|owner| owner.kind).unwrap_or_default(), t.basis)).collect()
}

fn worker(spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Worker", "metadata": {"name": "w"}, "spec": spec})
}

#[test]
fn a_named_place_needs_no_annotation() {
    let pod = json!({"spec": {"containers": [{"name": "a"}]}});
    let document = worker(&json!({"x": {"template": pod}, "y": {"template": pod, "backoffLimit": 1}}));
    assert_eq!(searched(&[], &document), []);
    let expected = [
        ("/spec/x/template".to_owned(), "Worker".to_owned(), Basis::Path(0)),
        ("/spec/y/template".to_owned(), "Job".to_owned(), Basis::Path(0)),
    ];
    assert_eq!(searched(&["spec.*.template"], &document), expected);
    assert_eq!(searched(&["Worker.example.com=spec.*.template", "spec.y.template"], &document), expected);
    assert_eq!(searched(&["Other=spec.*.template"], &document), []);
    assert_eq!(
        searched(&["."], &json!({"apiVersion": "example.com/v1", "kind": "Worker", "spec": pod["spec"]})).len(),
        1
    );
}

#[test]
fn the_table_gives_way_only_to_a_place_that_names_the_kind() {
    let pod = json!({"spec": {"containers": [{"name": "a"}]}});
    let spec = json!({"template": pod, "extra": pod});
    let knative = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "spec": spec});
    assert_eq!(searched(&["spec.template"], &knative), []);
    let expected = [("/spec/template".to_owned(), "Service".to_owned(), Basis::Path(0))];
    assert_eq!(searched(&["Service.serving.knative.dev=spec.template"], &knative), expected);
    let rollout = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": spec});
    let found = searched(&["spec.extra", "Rollout=spec.extra"], &rollout);
    let paths: Vec<_> = found.iter().map(|(path, _, basis)| (path.as_str(), *basis)).collect();
    assert_eq!(paths, [("/spec/extra", Basis::Path(1)), ("/spec/template", Basis::Kind)]);
}

#[test]
fn a_place_without_containers_is_told() {
    let document = worker(&json!({"template": {"containers": [{"name": "a"}]}}));
    let search = Search { paths: vec!["spec.template".parse().unwrap()], resource_list: false };
    assert_eq!(search.templates(&document).unwrap(), []);
    let remarks = search.remarks(&document);
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    assert_eq!((remarks[0].kind, remarks[0].place.as_str()), (RemarkKind::UnreadableTemplate, "/spec/template"));
    assert_eq!(
        remarks[0].message,
        "--template-path spec.template leads to no pod template: spec.containers is missing there; name what stands around spec"
    );
}

/// The same mistake at each place of a list is told once.
#[test]
fn places_without_containers_are_counted() {
    let document = worker(&json!({"a": [{}, 1, {"spec": {"containers": [{"name": "a"}]}}, null], "b": [{}, {}]}));
    let paths = ["spec.a[]", "spec.b[]", "spec.a"].map(|way| way.parse().unwrap());
    let remarks = Search { paths: paths.into(), resource_list: false }.remarks(&document);
    let told: Vec<_> = remarks.iter().map(|remark| (remark.place.as_str(), remark.message.as_str())).collect();
    let missing = |way: &str, places: &str| {
        format!(
            "--template-path {way} leads to no pod template: spec.containers is missing {places}; name what stands around spec"
        )
    };
    let expected = [
        ("/spec/a/0", missing("spec.a[]", "there and at 2 more places")),
        ("/spec/b/0", missing("spec.b[]", "there and at 1 more place")),
        ("/spec/a", missing("spec.a", "there")),
    ];
    assert_eq!(told, expected.each_ref().map(|(place, message)| (*place, message.as_str())));
}

/// A name longer than that of any field is no field.
#[test]
fn a_way_does_not_go_past_a_name_that_is_too_long() {
    let pod = json!({"spec": {"containers": [{"name": "a"}]}});
    let document = worker(&json!({"n".repeat(253): pod, "m".repeat(254): pod}));
    assert_eq!(searched(&["spec.*"], &document).len(), 1);
}
