//! The table as a whole.

use super::super::{path, *};
use serde_json::json;
use std::collections::HashSet;

fn places() -> impl Iterator<Item = (&'static str, &'static Place)> {
    TABLE.iter().flat_map(|engine| {
        engine.groups.iter().flat_map(|group| engine.places.iter().map(move |place| (*group, place)))
    })
}

/// `value` at the end of a way, with one item or entry wherever there may be many.
fn at_the_end(steps: &[path::Step<'_>], value: Value) -> Value {
    steps.iter().rev().fold(value, |inner, step| match step {
        path::Step::Field(name) => json!({ name.to_string(): inner }),
        path::Step::Items => json!([inner]),
        path::Step::Entries => json!({ "any": inner }),
    })
}

#[test]
fn no_place_is_there_twice() {
    let mut seen = HashSet::new();
    for (group, place) in places() {
        assert!(seen.insert((group, place.kind, place.path)), "{group} {} {}", place.kind, place.path);
    }
}

#[test]
fn each_path_is_one_that_users_could_write() {
    for (_, place) in places().filter(|(_, place)| !place.path.is_empty()) {
        let path: TemplatePath = place.path.parse().unwrap();
        assert_eq!(path.steps(), place.steps(), "{}", place.path);
    }
}

#[test]
fn each_place_is_treated_as_the_table_says() {
    let template = json!({
        "metadata": {"annotations": {"native-sidecar.io/containers": "proxy"}},
        "spec": {"containers": [{"name": "app"}, {"name": "proxy"}]},
    });
    for (group, place) in places() {
        let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let mut inner = template.clone();
        if place.treatment == Treatment::Holds {
            inner["apiVersion"] = "v1".into();
            inner["kind"] = "Pod".into();
        }
        let mut object = at_the_end(&place.steps(), inner);
        object["apiVersion"] = version.into();
        object["kind"] = place.kind.into();
        let what = format!("{group} {} {}", place.kind, place.path);
        let search = Search::default();
        let found = search.templates(&object).unwrap();
        let remarks: Vec<_> = search.remarks(&object).into_iter().map(|remark| remark.kind).collect();
        match place.treatment {
            Treatment::Left(_) => assert_eq!((found.len(), remarks), (0, vec![RemarkKind::EngineOwned]), "{what}"),
            Treatment::Merged(_) => assert_eq!((found.len(), remarks), (0, vec![RemarkKind::MergedTemplate]), "{what}"),
            Treatment::Pod | Treatment::Holds => {
                assert_eq!((found.len(), remarks), (1, vec![]), "{what}");
                assert_eq!((&found[0].owner, found[0].basis), (&None, Basis::Kind), "{what}");
            }
            Treatment::Converted(owner) => {
                assert_eq!((found.len(), remarks), (1, vec![]), "{what}");
                assert_eq!((&found[0].owner, found[0].basis), (&Some(owner.into()), Basis::Kind), "{what}");
            }
        }
    }
}

#[test]
fn a_reason_is_one_sentence_that_says_what_to_do() {
    for reason in places().filter_map(|(_, place)| place.reason()) {
        assert!(reason.contains("; "), "{reason}");
        assert!(!reason.ends_with('.') && !reason.contains(['\n', '\t']) && !reason.contains("  "), "{reason}");
    }
}
