//! All that YAML offers, in and around a container that moves: what is edited in place, and what is not.

// The lint knows tests, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use native_sidecar_manifest::{Manifest, Side, Written};
use rstest::rstest;
use serde_json::{Value, json};

/// A pod with `containers` behind the first one.
fn pod(containers: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    a: b\nspec:\n  containers:\n  - name: app\n\
         {containers}  volumes: []\n"
    )
}

/// Does with the container `proxy` in `text` what a conversion does.
fn converted(text: &str) -> (String, Written) {
    let mut manifest = Manifest::read("f", text.as_bytes()).unwrap();
    let value = manifest.documents()[0].value(Side::Before).clone();
    let is_there = |pointer: &str| value.pointer(pointer).is_some_and(|value| !value.is_null());
    let containers = value["spec"]["containers"].as_array().unwrap();
    let at = containers.iter().position(|container| container["name"] == "proxy").unwrap();
    let mut operations = vec![add(&format!("/spec/containers/{at}/restartPolicy"), &json!("Always"))];
    if !is_there("/spec/initContainers") {
        operations.push(add("/spec/initContainers", &json!([])));
    }
    let from = format!("/spec/containers/{at}");
    operations.push(json!({"op": "move", "from": from, "path": "/spec/initContainers/-"}));
    for map in ["/metadata", "/metadata/annotations"].into_iter().filter(|map| !is_there(map)) {
        operations.push(add(map, &json!({})));
    }
    operations.push(add("/metadata/annotations/native-sidecar.io~1converted", &json!("proxy")));
    let written = manifest.apply(0, &serde_json::from_value(operations.into()).unwrap()).unwrap();
    (manifest.text(Side::After), written)
}

fn add(path: &str, value: &Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}

/// How many lines of `before` are not in `after`, wherever they stand there.
fn lost(before: &str, after: &str) -> usize {
    let mut rest: Vec<&str> = after.lines().map(str::trim).collect();
    let mut is_lost = |line: &&str| match rest.iter().position(|kept| kept == line) {
        Some(at) => {
            rest.swap_remove(at);
            false
        }
        None => true,
    };
    before.lines().map(str::trim).filter(|line| is_lost(line)).count()
}

fn assert_edited(text: &str, lost_lines: usize) {
    let (after, written) = converted(text);
    assert_eq!(written, Written::Edited, "{text}");
    assert_eq!(lost(text, &after), lost_lines, "{text}\n became\n{after}");
}

/// The number is that of the lines that change.
#[rstest]
#[case::keep_block("  - name: proxy\n    s: |+\n      x\n\n", 0)]
#[case::keep_block_last_in_doc("  - name: proxy\n  - name: z\n    s: |+\n      x\n\n", 0)]
#[case::strip("  - name: proxy\n    s: |-\n      x\n", 0)]
#[case::indicator("  - name: proxy\n    s: |2\n       x\n      y\n", 0)]
#[case::indicator_strip("  - name: proxy\n    s: |-2\n       x\n", 0)]
#[case::folded("  - name: proxy\n    s: >\n      x\n      y\n\n      z\n", 0)]
#[case::folded_keep("  - name: proxy\n    s: >+\n      x\n      y\n\n", 0)]
#[case::folded_blank_inside("  - name: proxy\n    s: >-\n      x\n        more\n\n      z\n    t: 1\n", 0)]
#[case::plain_multi("  - name: proxy\n    s: x\n      y\n\n      z\n", 0)]
#[case::dq_multi("  - name: proxy\n    s: \"x\n      y\n\n      z\"\n", 0)]
#[case::dq_multi_at_col("  - name: proxy\n    s: \"x\n     y\"\n", 0)]
#[case::dq_escape_eol("  - name: proxy\n    s: \"x\\\n      \\ y\"\n", 0)]
#[case::sq_multi("  - name: proxy\n    s: 'x\n      y'\n", 0)]
#[case::flow_item("  - {name: proxy, image: i}\n", 1)]
#[case::flow_item_comment("  # c\n  - {name: proxy, image: i} # d\n", 1)]
#[case::flow_item_multi("  - {\n      name: proxy,\n      image: i\n    }\n", 1)]
#[case::flow_item_multi_trailing_comma("  - {\n      name: proxy, # x\n      image: i, # y\n    }\n", 1)]
#[case::anchor_on_item("  - &x\n    name: proxy\n    image: i\n", 0)]
#[case::anchor_same_line("  - &x name: proxy\n    image: i\n", 0)]
#[case::anchor_in_value("  - name: proxy\n    image: &i i\n  - name: z\n    image: *i\n", 0)]
#[case::anchor_map_then_alias_after("  - name: proxy\n    env: &e\n    - name: A\n  - name: z\n    env: *e\n", 0)]
#[case::alias_in_moved_from_earlier("    env: &e\n    - name: A\n  - name: proxy\n    env: *e\n", 1)]
#[case::alias_scalar_from_earlier("    image: &i x\n  - name: proxy\n    image: *i\n", 1)]
#[case::anchored_moved_item_merge_after("  - &x\n    name: proxy\n    image: i\n  - <<: *x\n    name: z\n", 1)]
#[case::merge_in_moved("    image: i\n  - &b\n    name: z\n    image: i\n  - <<: *b\n    name: proxy\n", 1)]
#[case::merge_in_moved_from_metadata("  - <<: {image: i}\n    name: proxy\n", 0)]
#[case::quoted_keys("  - \"name\": proxy\n    'image': i\n", 0)]
#[case::tag_item("  - !!map\n    name: proxy\n", 0)]
#[case::tag_same_line("  - !!map {name: proxy}\n", 1)]
#[case::tag_value("  - name: !!str proxy\n    n: !!int 1\n", 0)]
#[case::tab_after_dash_value("  - name:\tproxy\n    image: i\t# x\n", 0)]
#[case::dash_own_line("  -\n    name: proxy\n    image: i\n", 0)]
#[case::dash_comment("  - # proxy\n    name: proxy\n    image: i\n", 0)]
#[case::dash_wide("  -   name: proxy\n      image: i\n", 0)]
#[case::blank_lines_between("\n  - name: proxy\n\n    image: i\n\n", 0)]
#[case::comment_at_col_0_between("# c\n  - name: proxy\n    image: i\n# d\n", 0)]
#[case::comment_more_indent_above("    # c\n  - name: proxy\n    image: i\n", 0)]
#[case::comment_inside("  - name: proxy\n    # c\n    image: i\n  # d\n  - name: z\n", 0)]
#[case::first_is_proxy("  - name: proxy\n    image: i\n", 0)]
#[case::trailing_spaces("  - name: proxy   \n    image: i   \n   \n", 0)]
#[case::nested_seq("  - name: proxy\n    args:\n    - - a\n      - b\n    - - c\n", 0)]
#[case::null_value_end("  - name: proxy\n    image:\n", 0)]
#[case::key_without_value_end("  - name: proxy\n    env:\n  - name: z\n", 0)]
#[case::flow_multi_args("  - name: proxy\n    args: [\n      a,\n      b\n    ]\n", 0)]
#[case::flow_multi_args_at_col("  - name: proxy\n    args: [\n      a,\n    # c\n    b\n    ]\n", 0)]
#[case::binary_block("  - name: proxy\n    s: !!binary |\n      eHh4\n", 0)]
#[case::block_w_tab("  - name: proxy\n    s: |\n      \tx\n", 0)]
#[case::block_w_comment_like("  - name: proxy\n    s: |\n      x\n      # no comment\n    # comment\n", 0)]
#[case::block_keep_with_comment("  - name: proxy\n    s: |+\n      x\n\n    # comment\n", 0)]
#[case::empty_block("  - name: proxy\n    s: |\n    t: 1\n", 0)]
#[case::restartpolicy_there("  - name: proxy\n    restartPolicy: &r Always\n", 0)]
#[case::restartpolicy_alias("    x: &r Never\n  - name: proxy\n    restartPolicy: *r\n", 1)]
fn containers_are_edited_in_place(#[case] containers: &str, #[case] changed: usize) {
    assert_edited(&pod(containers), changed);
}

/// The number is that of the lines that change.
#[rstest]
#[case::flow_list("apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app}, {name: proxy, image: i}]\n", 1)]
#[case::flow_list_w_comment(
    "apiVersion: v1\nkind: Pod\nmetadata: {annotations: {a: b}}\nspec:\n  containers: [{name: app}, {name: proxy, image: i}] # c\n",
    2
)]
#[case::flow_spec("apiVersion: v1\nkind: Pod\nspec: {containers: [{name: app}, {name: proxy}]}\n", 1)]
#[case::flow_spec_middle(
    "apiVersion: v1\nkind: Pod\nspec: {a: 1, containers: [{name: app}, {name: proxy}, {name: c}], volumes: []}\n",
    1
)]
#[case::flow_doc("{apiVersion: v1, kind: Pod, spec: {containers: [{name: app}, {name: proxy}]}}\n", 1)]
#[case::flow_with_init(
    "apiVersion: v1\nkind: Pod\nspec:\n  initContainers: [{name: a}]\n  containers: [{name: app}, {name: proxy}]\n",
    2
)]
#[case::block_init_flow_containers(
    "apiVersion: v1\nkind: Pod\nspec:\n  initContainers:\n  - name: a\n  containers: [{name: app}, {name: proxy}]\n",
    1
)]
#[case::null_init(
    "apiVersion: v1\nkind: Pod\nspec:\n  initContainers:\n  containers:\n  - name: app\n  - name: proxy\n",
    0
)]
#[case::null_init2(
    "apiVersion: v1\nkind: Pod\nspec:\n  initContainers: null # x\n  containers:\n  - name: app\n  - name: proxy\n",
    1
)]
#[case::empty_init(
    "apiVersion: v1\nkind: Pod\nspec:\n  initContainers: [] # x\n  containers:\n  - name: app\n  - name: proxy\n",
    1
)]
#[case::behind_dashes("--- {apiVersion: v1, kind: Pod, spec: {containers: [{name: app}, {name: proxy}]}}\n", 1)]
#[case::behind_dashes_map(
    "--- !!map\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    0
)]
#[case::anchor_root("--- &root\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n  - name: proxy\n", 0)]
#[case::anchored_list("apiVersion: v1\nkind: Pod\nspec:\n  containers: &c\n  - name: app\n  - name: proxy\n", 0)]
#[case::anchored_list_alias(
    "apiVersion: v1\nkind: Pod\nspec:\n  containers: &c\n  - name: app\n  - name: proxy\nz: *c\n",
    1
)]
#[case::tagged_list("apiVersion: v1\nkind: Pod\nspec:\n  containers: !!seq\n  - name: app\n  - name: proxy\n", 0)]
#[case::anchored_spec("apiVersion: v1\nkind: Pod\nspec: &s\n  containers:\n  - name: app\n  - name: proxy\n", 0)]
#[case::quoted_keys_2(
    "\"apiVersion\": v1\n\"kind\": Pod\n\"spec\":\n  \"containers\":\n  - \"name\": app\n  - \"name\": proxy\n",
    0
)]
#[case::comment_after_key(
    "apiVersion: v1\nkind: Pod\nspec: # s\n  # c\n  containers: # d\n\n  # e\n  - name: app\n  # f\n  - name: proxy\n",
    0
)]
#[case::dos(
    "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n  - name: proxy\n    s: |+\n      x\n\n",
    0
)]
#[case::metadata_flow(
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    1
)]
#[case::metadata_flow_multi(
    "apiVersion: v1\nkind: Pod\nmetadata: {\n  name: p\n}\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    1
)]
#[case::metadata_flow_multi_comma(
    "apiVersion: v1\nkind: Pod\nmetadata: {\n  name: p, # x\n}\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    1
)]
#[case::annotations_alias(
    "apiVersion: v1\nkind: Pod\nx: &a {a: b}\nmetadata: {annotations: *a}\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    1
)]
#[case::annotations_alias_block(
    "apiVersion: v1\nkind: Pod\nx: &a {a: b}\nmetadata:\n  annotations: *a\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    1
)]
#[case::annotations_merge(
    "apiVersion: v1\nkind: Pod\nx: &a {a: b}\nmetadata:\n  annotations:\n    <<: *a\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    0
)]
#[case::annotations_null(
    "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    0
)]
#[case::annotations_empty(
    "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations: {}\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    1
)]
#[case::annotations_anchored(
    "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations: &a\n    a: b\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    0
)]
#[case::annotations_anchored_used(
    "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations: &a\n    a: b\n  labels: *a\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    1
)]
#[case::annotations_on_key_line(
    "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n\n    # c\n    a: |+\n      x\n\n\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    0
)]
#[case::eof_no_newline(
    "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n  - name: proxy\n    s: |\n      x",
    1
)]
#[case::eof_no_newline_keep(
    "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n    s: |+\n      x\n\n  - name: proxy",
    0
)]
#[case::dots("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n  - name: proxy\n...\n", 0)]
#[case::yaml_directive(
    "%YAML 1.1\n---\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    0
)]
#[case::alias_as_item(
    "x: &p {name: proxy}\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n  - *p\n",
    1
)]
#[case::alias_as_list("x: &p\n- name: app\n- name: proxy\napiVersion: v1\nkind: Pod\nspec:\n  containers: *p\n", 1)]
#[case::alias_as_spec("x: &p\n  containers:\n  - name: app\n  - name: proxy\napiVersion: v1\nkind: Pod\nspec: *p\n", 1)]
#[case::spec_by_merge(
    "x: &p\n  containers:\n  - name: app\n  - name: proxy\napiVersion: v1\nkind: Pod\nspec:\n  <<: *p\n  z: 1\n",
    1
)]
#[case::indentless_deeper(
    "apiVersion: v1\nkind: Pod\nspec:\n    containers:\n        - name: app\n        - name: proxy\n          s: |\n              x\n",
    0
)]
#[case::init_deeper(
    "apiVersion: v1\nkind: Pod\nspec:\n    initContainers:\n    - name: a\n    containers:\n        - name: app\n        - name: proxy\n          s: |\n              x\n",
    0
)]
#[case::init_shallower_multi_plain(
    "apiVersion: v1\nkind: Pod\nspec:\n    initContainers:\n    - name: a\n    containers:\n        - name: app\n        - name: proxy\n          s: x\n            y\n          t: |2\n              y\n",
    0
)]
#[case::init_shallower_dq_at_low_column(
    "apiVersion: v1\nkind: Pod\nspec:\n  initContainers:\n  - name: a\n  containers:\n      - name: app\n      - name: proxy\n        s: \"x\n   y\"\n",
    0
)]
fn documents_are_edited_in_place(#[case] text: &str, #[case] changed: usize) {
    assert_edited(text, changed);
}

/// What stands behind `#` is there afterwards.
#[rstest]
#[case::null_init("metadata: {}\nspec:\n  initContainers: ~ # keep\n  containers:\n  - name: app\n  - name: proxy\n")]
#[case::no_init("spec:\n  initContainers: # keep\n  containers:\n  - name: app\n  - name: proxy\n")]
#[case::no_metadata("metadata: # keep\nspec:\n  containers:\n  - name: app\n  - name: proxy\n")]
#[case::no_annotations(
    "metadata:\n  annotations: # keep\n    # keep\nspec:\n  containers:\n  - name: app\n  - name: proxy\n"
)]
#[case::no_restart_policy(
    "spec:\n  containers:\n  - name: app\n  - name: proxy\n    restartPolicy: # keep\n    a: 1\n"
)]
#[case::restart_policy_last("spec:\n  containers:\n  - name: app\n  - name: proxy\n    restartPolicy: # keep\n")]
fn comments_stay_where_nothing_stood(#[case] text: &str) {
    for line_end in ["\n", "\r\n"] {
        let text = format!("apiVersion: v1\nkind: Pod\n{text}").replace('\n', line_end);
        let (after, written) = converted(&text);
        assert_eq!(written, Written::Edited, "{text}");
        assert_eq!(after.matches("# keep").count(), text.matches("# keep").count(), "{after}");
    }
}

#[rstest]
#[case::question_key(&pod("  - ? name\n    : proxy\n    ? image\n    : i\n"), "a key behind a question mark", 10)]
#[case::flow_list_multi(
    "apiVersion: v1\nkind: Pod\nmetadata: {annotations: {a: b}}\nspec:\n  containers: [\n    {name: app},\n    # c\n    {name: proxy, image: i},\n  ]\n",
    "a list in brackets",
    5
)]
#[case::flow_init_block_containers(
    "apiVersion: v1\nkind: Pod\nspec:\n  initContainers: [{name: a}]\n  containers:\n  - name: app\n  - name: proxy\n    image: i\n",
    "a list in brackets",
    4
)]
#[case::question_keys(
    "apiVersion: v1\nkind: Pod\n? spec\n: ? containers\n  : - name: app\n    - name: proxy\n",
    "a key behind a question mark",
    3
)]
#[case::comment_that_would_be_lost(
    "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations: # one\n    ~ # two\nspec:\n  containers:\n  - name: app\n  - name: proxy\n",
    "a comment",
    4
)]
#[case::comment_in_empty_brackets(
    "apiVersion: v1\nkind: Pod\nspec:\n  initContainers: [ # c\n    ]\n  containers:\n  - name: app\n  - name: proxy\n",
    "a list in brackets",
    4
)]
#[case::single("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: proxy\n", "what stands", 5)]
fn what_cannot_be_edited_is_named(#[case] text: &str, #[case] what: &str, #[case] line: usize) {
    let text = format!("# above\n---\n{text}");
    let (_, written) = converted(&text);
    let Written::Anew(obstacle) = written else { panic!("{text}") };
    assert_eq!((obstacle.what, obstacle.position.line), (what, line + 2));
    let said = format!("written anew, without its comments: {what} in line {} cannot be edited in place", line + 2);
    assert_eq!(written.to_string(), said);
}

#[rstest]
#[case::windows("\r\n")]
#[case::mixed("\n")]
fn line_ends_stay(#[case] above: &str) {
    let before = format!("apiVersion: v1{above}kind: Pod{above}spec:{above}  containers:{above}  - name: app{above}")
        + "  - name: proxy\r\n    s: |+\r\n      x\r\n\r\n  volumes: []\r\n";
    let (after, written) = converted(&before);
    assert_eq!(written, Written::Edited);
    let expected = format!("apiVersion: v1{above}kind: Pod{above}spec:{above}")
        + "  initContainers:\r\n  - name: proxy\r\n    s: |+\r\n      x\r\n\r\n    restartPolicy: Always\r\n"
        + "  containers:\r\n  - name: app\r\n"
        + "  volumes: []\r\nmetadata:\r\n  annotations:\r\n    native-sidecar.io/converted: proxy\r\n";
    assert_eq!(after, expected);
}

/// Each alias of what changes would be written out, and each of them reads the text again: there is an end to that.
#[test]
fn more_aliases_than_can_be_written_out() {
    let aliases: String = (0..3_000).map(|n| format!("z{n}: *a\n")).collect::<Vec<_>>().concat();
    let text =
        "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations: &a\n    a: b\nspec:\n  containers:\n  - name: app\n  \
                - name: proxy\n"
            .to_owned()
            + &aliases;
    let (_, written) = converted(&text);
    let Written::Anew(obstacle) = written else { panic!("{written}") };
    assert_eq!((obstacle.what, obstacle.position.line), ("an anchor", 5));
    let few = text.replace(&aliases, "z: *a\n");
    assert_eq!(converted(&few).1, Written::Edited);
}

/// A pod template with `containers` behind the first one, as an item of a list of templates.
fn template(containers: &str) -> String {
    let indented = |line: &str| format!("      {line}");
    let containers: String = containers.split_inclusive('\n').map(indented).collect();
    format!("  - template:\n      # one of many\n      spec:\n        containers:\n        - name: app\n{containers}")
}

/// The operations that make the second container of each of `count` templates a sidecar.
fn conversions(count: usize) -> Vec<Value> {
    let conversion = |n| {
        let at = |path: &str| format!("/spec/templates/{n}/template/{path}");
        [
            add(&at("spec/containers/1/restartPolicy"), &json!("Always")),
            add(&at("spec/initContainers"), &json!([])),
            json!({"op": "move", "from": at("spec/containers/1"), "path": at("spec/initContainers/-")}),
            add(&at("metadata"), &json!({"annotations": {"a": "b"}})),
        ]
    };
    (0..count).flat_map(conversion).collect()
}

fn with_templates(templates: &str, count: usize) -> (String, Written) {
    let text = format!("apiVersion: example.com/v1\nkind: Many\nspec:\n  templates: # all\n{templates}");
    let mut manifest = Manifest::read("f", text.as_bytes()).unwrap();
    let written = manifest.apply(0, &serde_json::from_value(conversions(count).into()).unwrap()).unwrap();
    (manifest.text(Side::After), written)
}

/// Whoever read all of the document for each change would not come to an end, or give up.
#[test]
fn many_templates_in_one_object() {
    let (after, written) = with_templates(&template("  - name: proxy # helps\n").repeat(3_000), 3_000);
    assert_eq!(written, Written::Edited);
    let expected = "  - template:\n      # one of many\n      spec:\n        initContainers:\n        - name: proxy # helps\n          \
                    restartPolicy: Always\n        containers:\n        - name: app\n      metadata:\n        annotations:\n          \
                    a: b\n";
    assert!(after.ends_with(&expected.repeat(3_000)), "{}", &after[..1_000]);
}

/// What is in the way is named, also where there is much else.
#[test]
fn many_templates_and_an_obstacle() {
    let odd = template("  - ? name\n    : proxy\n");
    let (_, written) = with_templates(&(odd + &template("  - name: proxy\n").repeat(1_000)), 1_001);
    let Written::Anew(obstacle) = written else { panic!("{written}") };
    assert_eq!((obstacle.what, obstacle.position.line), ("a key behind a question mark", 10));
}
