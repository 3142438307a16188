//! Whatever stands in a document, looking through it costs at most a multiple of its bytes: allocations are counted, and what
//! is held at once, for documents of one size and of four times that size. No clock is asked.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use native_sidecar_manifest::Search;
use rstest::rstest;
use serde_json::{Map, Value, json};

/// The smaller of the two documents, in bytes; the other has [`TIMES`] as many.
const BYTES: usize = 16 * 1024;
const TIMES: usize = 4;
/// So many per cent are still taken for linear: tables grow by doubling.
const MOST_PER_CENT: u64 = 150 * TIMES as u64;
/// So many bytes may be held for each byte of the document: what is found has its place, and a template is no shorter than this
/// part of the longest one.
const MOST_HELD: u64 = 64;

/// A kind of document, and what writes one of so many bytes.
type Writer = (&'static str, fn(usize) -> Value);

/// What looking for templates and remarks in `document` costs: allocations, and the bytes that are held at once.
fn cost(search: &Search, document: &Value) -> (u64, u64) {
    let measured = allocation_counter::measure(|| {
        let found = (search.templates(document), search.remarks(document));
        assert!(found.1.len() <= 64, "{} remarks", found.1.len());
    });
    (measured.count_total, measured.bytes_max)
}

/// As many of `item` as have `bytes` together.
fn many(bytes: usize, item: &Value) -> Value {
    (0..bytes / (item.to_string().len() + 1)).map(|_| item.clone()).collect()
}

/// As many entries, whose names begin with `prefix`.
fn entries(bytes: usize, prefix: &str, value: &Value) -> Value {
    let length = prefix.len() + value.to_string().len() + 10;
    Value::Object((0..bytes / length).map(|n| (format!("{prefix}{n}"), value.clone())).collect())
}

fn object(kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec})
}

/// What `write` makes of half the bytes each, below 29 fields with names as long as they may be, and as long as they may be if the
/// way is to be followed.
fn deep(bytes: usize, write: impl Fn(usize) -> Value) -> Value {
    let below = |length: usize| {
        (0..29).fold(write(bytes / 2), |inner, _| Value::Object(Map::from_iter([("k".repeat(length), inner)])))
    };
    json!([below(253), below(30)])
}

fn job_set(name: &str, jobs: &Value) -> Value {
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": name},
        "spec": {"replicatedJobs": jobs}
    })
}

fn annotated() -> Value {
    json!({"metadata": {"annotations": {"native-sidecar.io/containers": "b"}}, "spec": {"containers": [{"name": "b"}]}})
}

fn wish() -> Value {
    json!({"native-sidecar.io/containers": "b"})
}

fn numbers_below_a_long_way(bytes: usize) -> Value {
    object("Foo", &deep(bytes, |bytes| job_set("x", &many(bytes, &json!(0)))))
}

fn jobs_below_a_long_way(bytes: usize) -> Value {
    let template = json!({"metadata": {"annotations": wish()}});
    object(
        "Foo",
        &deep(bytes, |bytes| job_set("x", &many(bytes, &json!({"template": {"spec": {"template": template}}})))),
    )
}

fn templates_below_a_long_way(bytes: usize) -> Value {
    object("Foo", &deep(bytes, |bytes| many(bytes, &annotated())))
}

fn templates_that_do_not_ask(bytes: usize) -> Value {
    object("Foo", &deep(bytes, |bytes| many(bytes, &json!({"spec": {"containers": [{"name": "b"}]}}))))
}

fn objects_below_a_long_way(bytes: usize) -> Value {
    object("Foo", &deep(bytes, |bytes| many(bytes, &json!({"apiVersion": "a", "kind": "b"}))))
}

fn items_below_a_long_way(bytes: usize) -> Value {
    object(
        "Foo",
        &deep(bytes, |bytes| json!({"apiVersion": "v1", "kind": "PodList", "items": many(bytes, &json!({}))})),
    )
}

fn a_long_name_of_a_list(bytes: usize) -> Value {
    object("Foo", &Value::Object(Map::from_iter([("k".repeat(bytes / 2), many(bytes / 2, &json!(0)))])))
}

fn an_object_with_a_long_name(bytes: usize) -> Value {
    job_set(&"n".repeat(bytes / 2), &many(bytes / 2, &json!({"template": {"spec": {"template": {}}}})))
}

fn an_object_of_a_long_kind(bytes: usize) -> Value {
    object(&"K".repeat(bytes / 2), &many(bytes / 2, &annotated()))
}

fn an_object_of_a_long_version(bytes: usize) -> Value {
    json!({"apiVersion": "v".repeat(bytes / 2), "kind": "Foo", "spec": many(bytes / 2, &annotated())})
}

fn wishes_below_a_long_way(bytes: usize) -> Value {
    object("Foo", &deep(bytes, |bytes| many(bytes, &wish())))
}

fn wishes_in_a_kind_of_an_engine(bytes: usize) -> Value {
    json!({"apiVersion": "kafka.strimzi.io/v1", "kind": "Kafka", "spec": deep(bytes, |bytes| many(bytes, &wish()))})
}

fn wishes_in_no_object(bytes: usize) -> Value {
    json!({"metadata": {}, "spec": deep(bytes, |bytes| many(bytes, &wish()))})
}

fn many_wishes_at_once(bytes: usize) -> Value {
    object("Foo", &entries(bytes, "native-sidecar.io/", &json!("x")))
}

fn labels_of_namespaces(bytes: usize) -> Value {
    object("Foo", &deep(bytes, |bytes| many(bytes, &json!({"labels": {"native-sidecar.io/known": "true"}}))))
}

fn places_that_were_named(bytes: usize) -> Value {
    object("Foo", &many(bytes, &json!({"a": {}})))
}

#[rstest]
fn what_is_held_grows_with_the_bytes_of_the_document_and_no_faster(
    #[values("", "spec", "*[]", "spec[]", "spec[].*", "spec.*", "*.*[].*", "JobSet=spec.*[].*")] way: &str,
) {
    let search = Search {
        paths: Some(way).filter(|way| !way.is_empty()).map(|way| way.parse().unwrap()).into_iter().collect(),
        resource_list: false,
    };
    let documents: [Writer; 16] = [
        ("numbers below a long way", numbers_below_a_long_way),
        ("jobs below a long way", jobs_below_a_long_way),
        ("templates below a long way", templates_below_a_long_way),
        ("templates that do not ask", templates_that_do_not_ask),
        ("objects below a long way", objects_below_a_long_way),
        ("items below a long way", items_below_a_long_way),
        ("a long name of a list", a_long_name_of_a_list),
        ("an object with a long name", an_object_with_a_long_name),
        ("an object of a long kind", an_object_of_a_long_kind),
        ("an object of a long version", an_object_of_a_long_version),
        ("wishes below a long way", wishes_below_a_long_way),
        ("wishes in a kind of an engine", wishes_in_a_kind_of_an_engine),
        ("wishes in no object", wishes_in_no_object),
        ("many wishes at once", many_wishes_at_once),
        ("labels of namespaces", labels_of_namespaces),
        ("places that were named", places_that_were_named),
    ];
    let judged = documents.iter().filter_map(|(name, write)| {
        let few = cost(&search, &write(BYTES));
        let many = cost(&search, &write(TIMES * BYTES));
        println!("{name}: {} and {} allocations, {} and {} KiB held", few.0, many.0, few.1 / 1024, many.1 / 1024);
        let grows = |few: u64, many: u64| many * 100 > few * MOST_PER_CENT + 100_000;
        let is_too_much = grows(few.0, many.0) || grows(few.1, many.1);
        let holds = many.1 / (TIMES * BYTES) as u64;
        (is_too_much || holds > MOST_HELD).then(|| format!("{name}: {few:?}, {many:?}, {holds} times its bytes"))
    });
    let judged: Vec<_> = judged.collect();
    assert!(judged.is_empty(), "{}", judged.join("\n"));
}
