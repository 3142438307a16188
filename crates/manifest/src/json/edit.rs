//! A JSON Patch carried out on JSON text, so that its layout stays: what is not changed is copied, and what is new is
//! written as its neighbours are.

use super::tree::{self, Member};
use json_patch::{
    Patch, PatchOperation,
    jsonptr::{Pointer, Token},
};
use serde_json::Value;
use std::ops::Range;

/// A value on its way from the old text to the new one.
#[derive(Clone, Debug)]
struct Node {
    /// Where it is in the old text.
    origin: Option<Range<usize>>,
    /// Where it is in the old text with its key, as long as it stays in its place or something takes its place.
    slot: Option<Range<usize>>,
    /// Whether something in it is new, gone or elsewhere.
    is_changed: bool,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Scalar(Value),
    Array(Vec<Node>),
    Object(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
struct Key {
    name: String,
    origin: Option<Range<usize>>,
}

/// How a text is laid out.
#[derive(Clone, Debug)]
struct Layout<'t> {
    text: &'t str,
    /// Where its lines begin.
    lines: Vec<usize>,
    /// The line end, where members have lines of their own.
    line_end: Option<&'t str>,
    /// What each level is indented by.
    step: &'t str,
    /// Between a key and its value.
    colon: &'t str,
    /// Between members on one line.
    comma: &'t str,
}

/// What stands around the members of one container.
struct Gaps {
    open: String,
    between: String,
    close: String,
}

/// Carries out `patch` on the document in `text`, whose value is then `wanted`.
pub(crate) fn edited(text: &str, patch: &Patch, wanted: &Value) -> String {
    try_edited(text, patch, wanted).unwrap_or_else(|| format!("{wanted:#}"))
}

fn try_edited(text: &str, patch: &Patch, wanted: &Value) -> Option<String> {
    let tree = tree::Node::of(text);
    let layout = Layout::of(text, &tree);
    let mut root = Node::old(&tree);
    for operation in &patch.0 {
        root.apply(operation)?;
    }
    let mut out = String::new();
    layout.node(&mut out, &root, "", layout.line_end.is_some());
    serde_json::from_str(&out).is_ok_and(|read: Value| read == *wanted).then_some(out)
}

/// `text` with each line below the first at another indentation.
fn shifted(text: &str, from: &str, to: &str) -> String {
    let mut lines = text.split('\n');
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        out.push('\n');
        match line.strip_prefix(from) {
            Some(rest) => out.extend([to, rest]),
            None => out.push_str(line),
        }
    }
    out
}

// === impl Node ===

impl Node {
    fn old(tree: &tree::Node) -> Self {
        let content = match &tree.content {
            tree::Content::Scalar => Content::Scalar(Value::Null),
            tree::Content::Array(items) => Content::Array(items.iter().map(Self::old).collect()),
            tree::Content::Object(members) => Content::Object(members.iter().map(Self::old_member).collect()),
        };
        Self { origin: Some(tree.range.clone()), slot: Some(tree.range.clone()), is_changed: false, content }
    }

    fn old_member(Member { name, key, value }: &Member) -> (Key, Self) {
        let slot = Some(key.start..value.range.end);
        (Key { name: name.clone(), origin: Some(key.clone()) }, Self { slot, ..Self::old(value) })
    }

    fn new(value: &Value) -> Self {
        let content = match value {
            Value::Array(items) => Content::Array(items.iter().map(Self::new).collect()),
            Value::Object(map) => {
                let member =
                    |(name, value): (&String, &Value)| (Key { name: name.clone(), origin: None }, Self::new(value));
                Content::Object(map.iter().map(member).collect())
            }
            scalar => Content::Scalar(scalar.clone()),
        };
        Self { origin: None, slot: None, is_changed: true, content }
    }

    fn apply(&mut self, operation: &PatchOperation) -> Option<()> {
        match operation {
            PatchOperation::Add(add) => self.add(&add.path, Self::new(&add.value)),
            PatchOperation::Replace(replace) => {
                self.remove_or_replace(&replace.path, Some(Self::new(&replace.value))).map(drop)
            }
            PatchOperation::Remove(remove) => self.remove_or_replace(&remove.path, None).map(drop),
            PatchOperation::Move(shift) => {
                let node = self.remove_or_replace(&shift.from, None)?;
                self.add(&shift.path, node)
            }
            PatchOperation::Copy(copy) => {
                let node = copy.from.tokens().try_fold(&*self, |node, token| node.child(&token))?.clone();
                self.add(&copy.path, node)
            }
            PatchOperation::Test(_) => Some(()),
        }
    }

    fn child(&self, token: &Token<'_>) -> Option<&Self> {
        match &self.content {
            Content::Array(items) => items.get(token.decoded().parse::<usize>().ok()?),
            Content::Object(members) => {
                members.iter().find(|(key, _)| key.name == token.decoded()).map(|(_, node)| node)
            }
            Content::Scalar(_) => None,
        }
    }

    /// The container at `path`, which is about to change.
    fn opened(&mut self, path: &Pointer) -> Option<&mut Self> {
        let mut node = self;
        node.is_changed = true;
        for token in path.tokens() {
            node = match &mut node.content {
                Content::Array(items) => items.get_mut(token.decoded().parse::<usize>().ok()?)?,
                Content::Object(members) => {
                    let name = token.decoded();
                    members.iter_mut().find(|(key, _)| key.name == name).map(|(_, node)| node)?
                }
                Content::Scalar(_) => return None,
            };
            node.is_changed = true;
        }
        Some(node)
    }

    fn add(&mut self, path: &Pointer, mut node: Self) -> Option<()> {
        node.slot = None;
        let (parent, token) = path.split_back()?;
        let name = token.decoded();
        match &mut self.opened(parent)?.content {
            Content::Array(items) if name == "-" => items.push(node),
            Content::Array(items) => {
                let index = name.parse::<usize>().ok().filter(|index| *index <= items.len())?;
                items.insert(index, node);
            }
            Content::Object(members) => {
                let position = |name: &str| members.iter().position(|(key, _)| key.name == name);
                if let Some(at) = position(&name) {
                    members[at].1.replace(node);
                } else {
                    let at = crate::stands_before(&name).and_then(position).unwrap_or(members.len());
                    members.insert(at, (Key { name: name.into_owned(), origin: None }, node));
                }
            }
            Content::Scalar(_) => return None,
        }
        Some(())
    }

    fn remove_or_replace(&mut self, path: &Pointer, new: Option<Self>) -> Option<Self> {
        let (parent, token) = path.split_back()?;
        let name = token.decoded();
        match &mut self.opened(parent)?.content {
            Content::Array(items) => {
                let index = name.parse::<usize>().ok().filter(|index| *index < items.len())?;
                match new {
                    Some(new) => Some(items[index].replace(new)),
                    None => Some(items.remove(index)),
                }
            }
            Content::Object(members) => {
                let index = members.iter().position(|(key, _)| key.name == name)?;
                match new {
                    Some(new) => Some(members[index].1.replace(new)),
                    None => Some(members.remove(index).1),
                }
            }
            Content::Scalar(_) => None,
        }
    }

    /// Puts `new` in the place of this one, which comes back.
    fn replace(&mut self, new: Self) -> Self {
        let slot = self.slot.take();
        std::mem::replace(self, Self { slot, ..new })
    }

    fn members(&self) -> Vec<(Option<&Key>, &Self)> {
        match &self.content {
            Content::Scalar(_) => Vec::new(),
            Content::Array(items) => items.iter().map(|item| (None, item)).collect(),
            Content::Object(members) => members.iter().map(|(key, node)| (Some(key), node)).collect(),
        }
    }
}

// === impl Layout ===

impl<'t> Layout<'t> {
    fn of(text: &'t str, root: &tree::Node) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(newline, _)| newline + 1)).collect();
        let open = blanks(text, root.range.start + 1);
        let line_end = if open.contains("\r\n") { Some("\r\n") } else { open.contains('\n').then_some("\n") };
        let first = open.rsplit('\n').next().unwrap_or_default();
        let step = Some(first).filter(|step| !step.is_empty());
        let colon = match &root.content {
            tree::Content::Object(members) => {
                members.first().map(|member| &text[member.key.end..member.value.range.start])
            }
            _ => None,
        };
        let comma = comma(text, root).unwrap_or(", ");
        Self { text, lines, line_end, step: step.unwrap_or("  "), colon: colon.unwrap_or(": "), comma }
    }

    /// The blanks that the line of the byte at `at` begins with.
    fn indentation(&self, at: usize) -> &'t str {
        let line =
            self.lines.partition_point(|start| *start <= at).checked_sub(1).and_then(|line| self.lines.get(line));
        let rest = line.and_then(|line| self.text.get(*line..)).unwrap_or_default();
        &rest[..rest.len() - rest.trim_start_matches([' ', '\t']).len()]
    }

    /// Writes `node` where the line is indented by `indent`; a new container takes lines of its own if it is `spread`.
    fn node(&self, out: &mut String, node: &Node, indent: &str, spread: bool) {
        match (&node.origin, &node.content) {
            (Some(origin), _) if !node.is_changed => {
                out.push_str(&shifted(&self.text[origin.clone()], self.indentation(origin.start), indent));
            }
            (_, Content::Scalar(value)) => out.push_str(&value.to_string()),
            (_, Content::Array(_)) => self.container(out, node, ['[', ']'], indent, spread),
            (_, Content::Object(_)) => self.container(out, node, ['{', '}'], indent, spread),
        }
    }

    fn container(&self, out: &mut String, node: &Node, [open, close]: [char; 2], indent: &str, spread: bool) {
        let members = node.members();
        out.push(open);
        if !members.is_empty() {
            let gaps = self.gaps(node, &members, indent, spread);
            let from = node.origin.as_ref().map_or("", |origin| self.indentation(origin.start));
            let mut above: Option<&Node> = None;
            for (key, member) in members {
                let kept = above.and_then(|above| self.kept(above, member)).map(|gap| shifted(gap, from, indent));
                let gap = match (&kept, above) {
                    (Some(kept), _) => kept,
                    (None, Some(_)) => &gaps.between,
                    (None, None) => &gaps.open,
                };
                out.push_str(gap);
                let own = gap.rsplit_once('\n').map(|(_, own)| own).filter(|own| own.trim().is_empty());
                if let Some(key) = key {
                    self.key(out, key);
                }
                self.node(out, member, own.unwrap_or(indent), gaps.open.contains('\n'));
                above = Some(member);
            }
            out.push_str(&gaps.close);
        }
        out.push(close);
    }

    fn key(&self, out: &mut String, key: &Key) {
        match &key.origin {
            Some(origin) => {
                let rest = &self.text[origin.end..];
                let colon = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', ':']).len();
                out.push_str(&self.text[origin.start..origin.end + colon]);
            }
            None => out.extend([Value::from(key.name.as_str()).to_string().as_str(), self.colon]),
        }
    }

    /// What stands between two members that stood next to each other in the old text.
    fn kept(&self, above: &Node, below: &Node) -> Option<&'t str> {
        let gap = self.text.get(above.slot.as_ref()?.end..below.slot.as_ref()?.start)?;
        (gap.trim() == ",").then_some(gap)
    }

    fn gaps(&self, node: &Node, members: &[(Option<&Key>, &Node)], indent: &str, spread: bool) -> Gaps {
        let origin =
            node.origin.as_ref().filter(|origin| !self.text[origin.start + 1..origin.end - 1].trim().is_empty());
        let (open, close) = match (origin, self.line_end.filter(|_| spread)) {
            (Some(origin), _) => {
                let from = self.indentation(origin.start);
                let inside = &self.text[origin.start + 1..origin.end - 1];
                let close = &inside[inside.trim_end().len()..];
                (shifted(blanks(self.text, origin.start + 1), from, indent), shifted(close, from, indent))
            }
            (None, Some(line_end)) => (format!("{line_end}{indent}{}", self.step), format!("{line_end}{indent}")),
            (None, None) => (String::new(), String::new()),
        };
        let between = if open.contains('\n') {
            format!(",{open}")
        } else {
            let old = members.windows(2).find_map(|pair| self.kept(pair[0].1, pair[1].1));
            old.unwrap_or(self.comma).to_owned()
        };
        Gaps { open, between, close }
    }
}

/// The blanks at `at`.
fn blanks(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    &rest[..rest.len() - rest.trim_start().len()]
}

/// What stands between the first two members that share a line.
fn comma<'t>(text: &'t str, node: &tree::Node) -> Option<&'t str> {
    let gap = |one: usize, other: usize| text.get(one..other).filter(|gap| !gap.contains('\n'));
    match &node.content {
        tree::Content::Scalar => None,
        tree::Content::Array(items) => {
            let own = items.windows(2).find_map(|pair| gap(pair[0].range.end, pair[1].range.start));
            own.or_else(|| items.iter().find_map(|item| comma(text, item)))
        }
        tree::Content::Object(members) => {
            let own = members.windows(2).find_map(|pair| gap(pair[0].value.range.end, pair[1].key.start));
            own.or_else(|| members.iter().find_map(|member| comma(text, &member.value)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    const POD: &str = r#"{"kind":"Pod","a":"\u003c","n":1.50,"spec":{"containers":[{"name":"a","args":["x","y"]},{"name":"b"},{"name":"c"}],"z":[]}}"#;

    fn conversion() -> Patch {
        serde_json::from_value(json!([
            {"op": "add", "path": "/spec/containers/1/restartPolicy", "value": "Always"},
            {"op": "add", "path": "/spec/initContainers", "value": []},
            {"op": "move", "from": "/spec/containers/1", "path": "/spec/initContainers/0"},
            {"op": "replace", "path": "/kind", "value": "P"},
            {"op": "add", "path": "/spec/containers/0/args/-", "value": "z"},
            {"op": "add", "path": "/spec/z/-", "value": {"k": [1]}},
            {"op": "add", "path": "/metadata", "value": {"annotations": {}}},
            {"op": "add", "path": "/metadata/annotations/k", "value": "v"},
        ]))
        .unwrap()
    }

    fn edit(text: &str) -> String {
        let mut wanted: Value = serde_json::from_str(text).unwrap();
        json_patch::patch(&mut wanted, &conversion()).unwrap();
        let edited = try_edited(text, &conversion(), &wanted);
        edited.unwrap_or_else(|| panic!("{text:?}"))
    }

    #[test]
    fn compact_text_stays_compact() {
        let expected = r#"{"kind":"P","a":"\u003c","n":1.50,"spec":{"initContainers":[{"name":"b","restartPolicy":"Always"}],"containers":[{"name":"a","args":["x","y","z"]},{"name":"c"}],"z":[{"k":[1]}]},"metadata":{"annotations":{"k":"v"}}}"#;
        assert_eq!(edit(POD), expected);
    }

    #[rstest]
    #[case("  ", "\n")]
    #[case("    ", "\n")]
    #[case("\t", "\n")]
    #[case("  ", "\r\n")]
    fn lines_stay_as_they_are(#[case] step: &str, #[case] line_end: &str) {
        let laid_out = |lines: &[&str]| {
            let line = |line: &&str| {
                let body = line.trim_start();
                step.repeat(line.len() - body.len()) + body + line_end
            };
            lines.iter().map(line).collect::<String>()
        };
        let text = laid_out(&[
            "{",
            " \"kind\": \"Pod\",",
            "",
            " \"n\" : 1.50,",
            " \"spec\": {",
            "  \"containers\": [",
            "   {",
            "    \"name\": \"a\",",
            "    \"args\": [\"x\",\"y\"]",
            "   },",
            "   {",
            "    \"name\": \"b\"",
            "   },",
            "   {\"name\": \"c\"}",
            "  ],",
            "  \"z\": []",
            " }",
            "}",
        ]);
        let expected = laid_out(&[
            "{",
            " \"kind\": \"P\",",
            "",
            " \"n\" : 1.50,",
            " \"spec\": {",
            "  \"initContainers\": [",
            "   {",
            "    \"name\": \"b\",",
            "    \"restartPolicy\": \"Always\"",
            "   }",
            "  ],",
            "  \"containers\": [",
            "   {",
            "    \"name\": \"a\",",
            "    \"args\": [\"x\",\"y\",\"z\"]",
            "   },",
            "   {\"name\": \"c\"}",
            "  ],",
            "  \"z\": [",
            "   {",
            "    \"k\": [",
            "     1",
            "    ]",
            "   }",
            "  ]",
            " },",
            " \"metadata\": {",
            "  \"annotations\": {",
            "   \"k\": \"v\"",
            "  }",
            " }",
            "}",
        ]);
        assert_eq!(edit(text.trim_end()), expected.trim_end());
    }

    /// Each item is copied, and nothing is counted from the beginning of the line.
    #[test]
    fn a_long_list_on_one_line() {
        let items = vec!["{\"a\":[1,2],\"b\":\"some text that is longer than that\"}"; 20_000].join(",");
        let operations = (0..2_000).map(|n| json!({"op": "add", "path": format!("/items/{}/c", n * 10), "value": 1}));
        let patch: Patch = serde_json::from_value(operations.collect()).unwrap();
        let text = format!("{{\"items\":[{items}]}}");
        let mut wanted: Value = serde_json::from_str(&text).unwrap();
        json_patch::patch(&mut wanted, &patch).unwrap();
        let edited = try_edited(&text, &patch, &wanted).unwrap();
        assert_eq!(edited.matches("that\",\"c\":1}").count(), 2_000);
    }

    #[test]
    fn spaces_on_one_line_stay() {
        let text = POD.replace(':', ": ").replace("\",", "\", ");
        let edited = edit(&text);
        assert!(
            edited.contains(r#""args": ["x", "y", "z"]"#) && edited.contains(r#"{"annotations": {"k": "v"}}"#),
            "{edited}"
        );
    }

    #[test]
    fn lines_of_an_item_follow_it() {
        let text =
            "{\n  \"a\": [\n      {\n        \"x\": [\n          1\n        ]\n      },\n      2\n  ],\n  \"b\": []\n}";
        let patch: Patch = serde_json::from_value(json!([{"op": "move", "from": "/a/0", "path": "/b/0"}])).unwrap();
        let wanted = json!({"a": [2], "b": [{"x": [1]}]});
        let expected =
            "{\n  \"a\": [\n      2\n  ],\n  \"b\": [\n    {\n      \"x\": [\n        1\n      ]\n    }\n  ]\n}";
        assert_eq!(try_edited(text, &patch, &wanted).unwrap(), expected);
    }

    proptest! {
        /// However blanks are strewn: the result is the value that was asked for, and what is not concerned stays.
        #[test]
        fn any_layout_is_edited(blanks in prop::collection::vec(prop::sample::select(vec!["", " ", "\n", "\n  ", "\t", "\r\n"]), 60)) {
            let mut blanks = blanks.iter().cycle();
            let mut text = String::new();
            for c in POD.chars() {
                let is_mark = matches!(c, '{' | '}' | '[' | ']' | ',') || c == ':';
                if is_mark {
                    text.extend(blanks.next().copied());
                }
                text.push(c);
                if is_mark {
                    text.extend(blanks.next().copied());
                }
            }
            let text = text.trim();
            let edited = edit(text);
            prop_assert!(edited.contains(r#""\u003c""#) && edited.contains("1.50"), "{}", edited);
        }
    }
}
