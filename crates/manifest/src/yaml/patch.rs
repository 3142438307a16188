//! A JSON Patch carried out on YAML text, so that comments, quotes and order stay as their author wrote them.
//!
//! Whatever is out of the ordinary (a change inside an alias, say) gives `None`, and so does a result that does not read as
//! the value that the patch asks for: the caller then writes the document anew, and [`super::obstacle`] tells why.

use super::{
    edit::apply_all,
    node::{Content, is_block, parse, word_before},
    parts::in_parts,
    place::spliced,
};
use json_patch::Patch;
use serde_json::Value;

/// Carries out `patch` on the document in `text`, whose value is then `wanted`.
pub(super) fn patched(text: &str, patch: &Patch, wanted: &Value) -> Option<String> {
    let plain = text.replace("\r\n", "\n");
    let means = |edited: &String| matches!(super::value_of(edited), Ok(Some(value)) if value == *wanted);
    let try_on = |text: &str| {
        let in_parts = in_parts(text, &patch.0, None).filter(means);
        in_parts.or_else(|| apply_all(text, &patch.0, None).filter(means))
    };
    let edited = try_on(&plain).or_else(|| try_on(&stripped_at_end(&plain)?))?;
    Some(if plain.len() < text.len() { with_line_ends_of(text, &edited) } else { edited })
}

/// `text`, which ends with a block of text without a line end, so that it means the same with one.
pub(super) fn stripped_at_end(text: &str) -> Option<String> {
    let root = parse(text).ok()?.filter(|_| !text.ends_with('\n'))?;
    let mut last = None;
    root.walk(&mut |node| {
        if matches!(node.content, Content::Scalar { style, .. } if is_block(style)) {
            last = Some(node);
        }
    });
    let header = word_before(text, last?.start, &['|', '>'])?;
    let end = header + text[header..].find(|c: char| c.is_ascii_whitespace())?;
    let (kept, chomping) = text[header..end].split_at(text[header..end].trim_end_matches(['+', '-']).len());
    (chomping != "-").then(|| spliced(text, header, end, &format!("{kept}-")))
}

/// `edited` with the line ends of `text`: those of its first and last lines where they are the same, and between these
/// the one of Windows.
fn with_line_ends_of(text: &str, edited: &str) -> String {
    let old: Vec<&str> = text.split_inclusive('\n').collect();
    let new: Vec<&str> = edited.split_inclusive('\n').collect();
    let is_same = |(old, new): &(&&str, &&str)| old.trim_end_matches(['\r', '\n']) == new.trim_end_matches('\n');
    let above = old.iter().zip(&new).take_while(is_same).count();
    let rest = old.len().min(new.len()) - above;
    let below = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(is_same).count();
    let between = new[above..new.len() - below].concat().replace('\n', "\r\n");
    [old[..above].concat(), between, old[old.len() - below..].concat()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn edit(text: &str, operations: &Value) -> Option<String> {
        let patch: Patch = serde_json::from_value(operations.clone()).expect("the operations are a patch");
        let mut wanted = crate::yaml::value_of(text).unwrap_or_default().unwrap_or_default();
        json_patch::patch(&mut wanted, &patch).expect("the operations fit the text");
        patched(text, &patch, &wanted)
    }

    const POD: &str = "\
# the pod
spec:
  # what it runs
  containers:
  - name: app # the application
    args: [\"a\", 'b']

  # helps
  - name: proxy
    image: \"proxy:1\"   # pinned
    script: |
      one
        two

      three
    # end of proxy
  - resizePolicy: []
    name: last
# end
";

    #[test]
    fn a_container_moves_with_its_comments() {
        let operations = json!([
            {"op": "add", "path": "/spec/containers/1/restartPolicy", "value": "Always"},
            {"op": "add", "path": "/spec/initContainers", "value": []},
            {"op": "move", "from": "/spec/containers/1", "path": "/spec/initContainers/-"},
        ]);
        let expected = "\
# the pod
spec:
  initContainers:
  # helps
  - name: proxy
    image: \"proxy:1\"   # pinned
    script: |
      one
        two

      three
    restartPolicy: Always
    # end of proxy
  # what it runs
  containers:
  - name: app # the application
    args: [\"a\", 'b']

  - resizePolicy: []
    name: last
# end
";
        assert_eq!(edit(POD, &operations).unwrap(), expected);
    }

    #[rstest]
    #[case::first_entry_behind_a_dash(
        json!([{"op": "remove", "path": "/spec/containers/2/resizePolicy"}]), "  - name: last\n# end\n")]
    #[case::in_brackets(
        json!([{"op": "add", "path": "/spec/containers/0/args/-", "value": "c: d"}]), "[\"a\", 'b', \"c: d\"]\n")]
    #[case::scalar_keeps_its_comment(
        json!([{"op": "replace", "path": "/spec/containers/1/image", "value": "proxy:2"}]), "image: proxy:2   # pinned\n")]
    #[case::lines_replaced(
        json!([{"op": "add", "path": "/spec/containers/1/script", "value": "x"}]), "    script: x\n    # end of proxy\n")]
    #[case::a_structure(
        json!([{"op": "add", "path": "/spec/containers/2/startupProbe", "value": {"exec": {"command": ["true", "x"]}}}]),
        "    name: last\n    startupProbe:\n      exec:\n        command:\n        - \"true\"\n        - x\n# end\n")]
    fn single_changes(#[case] operations: Value, #[case] expected: &str) {
        let edited = edit(POD, &operations).unwrap();
        assert!(edited.contains(expected), "{edited}");
    }

    #[rstest]
    #[case("a: {}\nb: 1\n", "/a/k", json!("v"), Some("a:\n  k: v\nb: 1\n"))]
    #[case("a: {} # none\n", "/a/k", json!("v"), Some("a: # none\n  k: v\n"))]
    #[case("a: {b: 1}\n", "/a/k", json!("v"), Some("a: {b: 1, k: v}\n"))]
    #[case("x: {a: {}}\n", "/x/a/k", json!("v"), Some("x: {a: {\"k\": \"v\"}}\n"))]
    #[case("a:\n  b: 1", "/a/k", json!("yes"), Some("a:\n  b: 1\n  k: \"yes\"\n"))]
    #[case("a:\n", "/a", json!({"k": 1}), Some("a:\n  k: 1\n"))]
    #[case("a: {\"b\": 1}\n", "/a/k", json!("v"), Some("a: {\"b\": 1, \"k\": \"v\"}\n"))]
    #[case("a: {b: 1}\n", "/a/k", json!("x, y"), Some("a: {b: 1, k: \"x, y\"}\n"))]
    #[case("a: # none\n", "/a", json!({"k": 1}), Some("a: # none\n  k: 1\n"))]
    #[case("a: # none\n", "/a", json!([]), Some("a: [] # none\n"))]
    #[case("a: # none\n  # to do\nb: 1\n", "/a", json!("x"), Some("a: x # none\n  # to do\nb: 1\n"))]
    #[case("a: # none\n  ~\n", "/a", json!([1]), Some("a: # none\n- 1\n"))]
    #[case("a: ~\t# none", "/a", json!([1]), Some("a: # none\n- 1\n"))]
    #[case("a: ~#none\n", "/a", json!([1]), Some("a:\n- 1\n"))]
    #[case("a: \"x # y\n  # z\" # none\n", "/a", json!([1]), Some("a: # none\n- 1\n"))]
    #[case("a: | # text\n  # x\n", "/a", json!("v"), Some("a: v # text\n"))]
    #[case("a: # one\n  ~ # two\n", "/a", json!([1]), None)]
    #[case("a:\n  b: 1 # b\n", "/a", json!("y"), None)]
    #[case("a:\n  # b\n  b: 1\n", "/a", json!("y"), None)]
    #[case("a: [ # one\n  1 ] # two\n", "/a", json!("y"), None)]
    #[case("a: { # c\n  }\n", "/a/k", json!("v"), Some("a: {\"k\": \"v\" # c\n  }\n"))]
    #[case("a: &x {b: 1}\nc: # c\n  *x\n", "/c/k", json!("v"), None)]
    #[case("x: &x {b: {}}\na:\n  <<: # c\n    *x\n", "/a/b/k", json!("v"), None)]
    #[case("a: &x {b: 1}\nc: *x\n", "/c/k", json!("v"), Some("a: &x {b: 1}\nc:\n  b: 1\n  k: v\n"))]
    #[case("a: &x\n  b: 1\nc: *x\n", "/a/k", json!("v"), Some("a: &x\n  b: 1\n  k: v\nc:\n  b: 1\n"))]
    #[case("? a\n: b: 1\n", "/a/k", json!("v"), Some("? a\n: b: 1\n  k: v\n"))]
    #[case("? a\n: 1\n", "/k", json!("v"), None)]
    #[case("a:\n  b: |\n    x", "/a/k", json!("v"), Some("a:\n  b: |-\n    x\n  k: v\n"))]
    #[case("a:\n  b: &c !!str >2+ # c\n    x", "/a/k", json!("v"), Some("a:\n  b: &c !!str >2- # c\n    x\n  k: v\n"))]
    #[case("a:\n  b: |-\n    x", "/a/k", json!("v"), Some("a:\n  b: |-\n    x\n  k: v\n"))]
    #[case("x: &x {b: 1}\na:\n  <<: *x\n  c: 1\n", "/a/k", json!("v"), Some("x: &x {b: 1}\na:\n  <<: *x\n  c: 1\n  k: v\n"))]
    #[case("a:\r\n  b: 1\r\n", "/a/k", json!("v"), Some("a:\r\n  b: 1\r\n  k: v\r\n"))]
    fn additions(#[case] text: &str, #[case] path: &str, #[case] value: Value, #[case] expected: Option<&str>) {
        let operations = json!([{"op": "add", "path": path, "value": value}]);
        assert_eq!(edit(text, &operations).as_deref(), expected);
    }

    /// Whoever compared each of them with each would not come to an end.
    #[test]
    fn many_keys_are_brought_to_many_keys() {
        let keys = |from: usize, indent: &str| {
            (from..from + 20_000).map(|n| format!("{indent}key-{n:06}: 1\n")).collect::<Vec<_>>().concat()
        };
        let text = format!("x: &x\n  m: {{}}\n{}a:\n  <<: *x\n{}", keys(0, "  "), keys(20_000, "  "));
        let edited = edit(&text, &json!([{"op": "add", "path": "/a/m/k", "value": "v"}])).unwrap();
        assert_eq!(edited.matches("  key-0").count(), 60_000);
    }

    #[test]
    fn nothing_is_cut_within_a_character() {
        let text = "a:\n- &é # é\n  é: |1 # é\n   x\n- !!str |\n  é\n- \"é\"\n- ? é\n  : é\n";
        for index in 0..4 {
            let operations = json!([{"op": "remove", "path": format!("/a/{index}")}]);
            assert!(edit(text, &operations).is_some(), "{index}");
        }
    }

    #[test]
    fn items_are_shifted_to_where_their_list_stands() {
        let text = "i:\n    - a: 1\nc:\n- b: |\n    x\n  z: 1\n- d: 2\n";
        let operations = json!([{"op": "move", "from": "/c/0", "path": "/i/0"}]);
        let there = edit(text, &operations).unwrap();
        assert_eq!(there, "i:\n    - b: |\n        x\n      z: 1\n    - a: 1\nc:\n- d: 2\n");
        let back = json!([{"op": "move", "from": "/i/0", "path": "/c/0"}]);
        assert_eq!(edit(&there, &back).unwrap(), text);
    }

    /// Whoever read all of the text for each change would not come to an end, or give up.
    #[rstest]
    #[case::no_list("")]
    #[case::empty("  i: [] # i\n")]
    #[case::items("  i:\n    - n: a\n")]
    fn many_items_move_from_one_list_to_another(#[case] list: &str) {
        let count = 3_000;
        let item = |n: usize| format!("  # above {n}\n  - n: {n} # beside\n    t: |\n      x\n    # below {n}\n");
        let text = format!("s:\n{list}  c:\n  - n: b\n{}\nz: 1\n", (0..count).map(item).collect::<Vec<_>>().concat());
        let kept = (0..count).map(|n| json!({"op": "add", "path": format!("/s/c/{}/r", n + 1), "value": "v"}));
        let new = list.is_empty().then(|| json!({"op": "add", "path": "/s/i", "value": []}));
        let moves = (0..count).map(|_| json!({"op": "move", "from": "/s/c/1", "path": "/s/i/-"}));
        let operations: Vec<_> = kept.chain(new).chain(moves).collect();
        let edited = edit(&text, &operations.into()).unwrap();
        let there = if list.contains("    -") { "    " } else { "  " };
        let moved = |n: usize| {
            let item = format!("# above {n}\n- n: {n} # beside\n  t: |\n    x\n  r: v\n  # below {n}\n");
            item.split_inclusive('\n').map(|line| format!("{there}{line}")).collect::<Vec<_>>().concat()
        };
        assert!(edited.contains(&(0..count).map(moved).collect::<Vec<_>>().concat()), "{}", &edited[..500]);
    }

    #[test]
    fn templates_in_one_object_are_edited_each_by_itself() {
        let count = 2_000;
        let item = |n: usize, rest: &str| {
            format!("  - name: a\n    t:\n      m: {{}} # {n}\n      c:\n      - n: a\n{rest}    # end of {n}\n")
        };
        let text = (0..count).map(|n| item(n, "      - n: b\n")).collect::<Vec<_>>().concat();
        let text = format!("k:\n  x: &x 1\n  l: # all\n{text}o: *x\nm:\n  z/~: 1\n");
        let operations: Vec<_> = (0..count)
            .flat_map(|n| {
                let at = |path: &str| format!("/k/l/{n}/t/{path}");
                [
                    json!({"op": "add", "path": at("i"), "value": []}),
                    json!({"op": "move", "from": at("c/1"), "path": at("i/-")}),
                    json!({"op": "add", "path": at("m/k"), "value": "v"}),
                ]
            })
            .chain([json!({"op": "replace", "path": "/m/z~1~0", "value": 2})])
            .collect();
        let edited = edit(&text, &operations.into()).unwrap();
        assert!(edited.ends_with("m:\n  z/~: 2\n"));
        assert_eq!(edited.matches("      m: # ").count(), count);
        assert_eq!(edited.matches("      i:\n      - n: b\n    # end of ").count(), count);
        assert_eq!(edited.matches("        k: v\n").count(), count);
    }

    #[test]
    fn items_of_a_list_are_edited_each_by_itself() {
        let text = "items: # all\n- a: {}\n\n# second\n- b: 1 # one\n- c: [1]\n# end";
        let operations = json!([
            {"op": "add", "path": "/items/2/d", "value": 1},
            {"op": "replace", "path": "/items/1/b", "value": 2},
            {"op": "add", "path": "/items/0/a/x", "value": "y"},
        ]);
        let expected = "items: # all\n- a:\n    x: \"y\"\n\n# second\n- b: 2 # one\n- c: [1]\n  d: 1\n# end";
        assert_eq!(edit(text, &operations).unwrap(), expected);
    }
}
