//! Aliases written out where a change would otherwise reach further than it should, or could not be made.

use super::{
    node::{Content, Node, parse},
    place::{Splice, WORK_LIMIT, comments, dash, dash_column, find, indents_lists, is_key, line_start},
    value::{is_merge, key_text, value_in},
    write::{Writer, flow_scalar},
};
use json_patch::{PatchOperation, jsonptr::Pointer};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// How many levels of aliases are written out for one change.
const ALIAS_DEPTH: usize = 8;

/// A place that uses anchors.
struct Use<'n> {
    node: &'n Node,
    place: Place<'n>,
    in_flow: bool,
}

enum Place<'n> {
    /// The value of a key.
    Entry(&'n Node),
    /// An item of a list.
    Item,
    /// What `<<` brings into a mapping.
    Merge { key: &'n Node, mapping: &'n Node },
}

/// The nodes on the way to a value.
struct Way<'n> {
    nodes: Vec<&'n Node>,
    /// The mapping that lacks the key that comes next; `<<` may bring it.
    lacking: Option<&'n Node>,
}

/// `text` with those aliases written out that `operation` would have to change, or that mean what it changes or moves.
pub(super) fn without_aliases(text: &str, operation: &PatchOperation) -> Option<String> {
    let mut text = text.to_owned();
    // An alias may stand for what has an alias in it.
    for _ in 0..ALIAS_DEPTH {
        let root = parse(&text).ok()??;
        let writer = Writer { indent_lists: indents_lists(&text, &root) };
        let (mut splices, mut work) = (Vec::new(), 0);
        for place in in_the_way(&root, operation) {
            let splice: Splice = place.spelt_out(&text, &root, writer)?;
            work += text.len() + splice.text.len();
            if work > WORK_LIMIT {
                return None;
            }
            splices.push(splice);
        }
        if splices.is_empty() {
            return Some(text);
        }
        splices.sort_by_key(|splice| std::cmp::Reverse(splice.range.start));
        for splice in splices {
            text = splice.of(&text);
        }
    }
    None
}

fn in_the_way<'n>(root: &'n Node, operation: &PatchOperation) -> Vec<Use<'n>> {
    let uses = uses(root);
    if uses.is_empty() {
        return uses;
    }
    let (target, from): (&Pointer, Option<&Pointer>) = match operation {
        PatchOperation::Move(shift) => (&shift.path, Some(&shift.from)),
        other => (other.path(), None),
    };
    let is_new = matches!(operation, PatchOperation::Add(_) | PatchOperation::Move(_));
    let ways: Vec<_> =
        from.map(|from| Way::to(root, from, false)).into_iter().chain([Way::to(root, target, is_new)]).collect();
    let shifted = from.and_then(|from| find(root, from)).map(|found| found.node);
    let below = target.parent().and_then(|list| find(root, list)).map(|found| found.node.begin);
    let mut anchors = HashMap::new();
    root.walk(&mut |node| {
        anchors.insert(node.anchor, node.begin);
    });
    let is_left_behind = |target: &usize| {
        let anchor = anchors.get(target).copied().unwrap_or_default();
        shifted.is_some_and(|shifted| anchor < shifted.begin) && below.is_some_and(|below| anchor > below)
    };
    let is_in_the_way = |place: &Use<'_>| {
        let targets = place.targets();
        ways.iter().any(|way| way.crosses(place, &targets))
            || shifted.is_some_and(|shifted| place.is_below(shifted)) && targets.iter().any(is_left_behind)
    };
    uses.into_iter().filter(is_in_the_way).collect()
}

/// All places below `node` that use anchors.
fn uses(node: &Node) -> Vec<Use<'_>> {
    let mut found = Vec::new();
    collect(node, false, &mut found);
    found
}

fn collect<'n>(node: &'n Node, in_flow: bool, found: &mut Vec<Use<'n>>) {
    let in_flow = in_flow || node.is_flow();
    let mut visit = |node: &'n Node, place: Place<'n>| match node.content {
        Content::Alias(_) => found.push(Use { node, place, in_flow }),
        _ if matches!(place, Place::Merge { .. }) => found.push(Use { node, place, in_flow }),
        _ => collect(node, in_flow, found),
    };
    match &node.content {
        Content::Sequence { items, .. } => items.iter().for_each(|item| visit(item, Place::Item)),
        Content::Mapping { entries, .. } => entries.iter().for_each(|(key, value)| {
            let place = if is_merge(key) { Place::Merge { key, mapping: node } } else { Place::Entry(key) };
            visit(value, place);
        }),
        Content::Scalar { .. } | Content::Alias(_) => {}
    }
}

// === impl Use ===

impl<'n> Use<'n> {
    /// The numbers of the anchors.
    fn targets(&self) -> Vec<usize> {
        let mut targets = Vec::new();
        self.node.walk(&mut |node| {
            if let Content::Alias(target) = node.content {
                targets.push(target);
            }
        });
        targets
    }

    /// Whether it is the alias `node`.
    fn is_alias(&self, node: &Node) -> bool {
        std::ptr::eq(self.node, node)
    }

    /// Whether it is what `<<` brings into the mapping `node`.
    fn merges_into(&self, node: &Node) -> bool {
        matches!(self.place, Place::Merge { mapping, .. } if std::ptr::eq(mapping, node))
    }

    /// Whether it is in `node`.
    fn is_below(&self, node: &Node) -> bool {
        node.begin <= self.node.begin && self.node.end <= node.end
    }

    /// Writes out what is meant.
    fn spelt_out(&self, text: &str, root: &'n Node, writer: Writer) -> Option<Splice> {
        match &self.place {
            Place::Merge { key, mapping } => self.merged(text, root, key, mapping, writer),
            Place::Entry(key) => self.entry(text, &value_in(root, self.node).ok()?, key, writer),
            Place::Item => self.item(text, &value_in(root, self.node).ok()?, writer),
        }
        .filter(|splice| comments(text, splice.range.clone(), self.node).is_empty())
    }

    fn entry(&self, text: &str, value: &Value, key: &Node, writer: Writer) -> Option<Splice> {
        if let Some(short) = self.short(value) {
            return Some(short);
        }
        let mut lines = String::new();
        writer.entry(&mut lines, &key_text(key)?, value, key.begin - line_start(text, key.begin));
        Some(Splice { range: key.begin..self.node.end, text: lines.trim_end_matches('\n').to_owned() })
    }

    fn item(&self, text: &str, value: &Value, writer: Writer) -> Option<Splice> {
        if let Some(short) = self.short(value) {
            return Some(short);
        }
        let mut lines = String::new();
        writer.item(&mut lines, value, dash_column(text, self.node)?);
        Some(Splice { range: dash(text, self.node)?..self.node.end, text: lines.trim_end_matches('\n').to_owned() })
    }

    /// What takes no more than a line.
    fn short(&self, value: &Value) -> Option<Splice> {
        let is_small = match value {
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::String(text) => !text.contains('\n'),
            _ => true,
        };
        let written = if self.in_flow { value.to_string() } else { flow_scalar(value) };
        (is_small || self.in_flow).then_some(Splice { range: self.node.begin..self.node.end, text: written })
    }

    fn merged(&self, text: &str, root: &'n Node, key: &Node, mapping: &'n Node, writer: Writer) -> Option<Splice> {
        let (Content::Mapping { entries, flow: false }, Value::Object(all)) =
            (&mapping.content, value_in(root, mapping).ok()?)
        else {
            return None;
        };
        let own: HashSet<String> =
            entries.iter().filter(|(key, _)| !is_merge(key)).filter_map(|(key, _)| key_text(key)).collect();
        let column = key.begin - line_start(text, key.begin);
        let mut lines = String::new();
        for (name, value) in all.iter().filter(|(name, _)| !own.contains(*name)) {
            if !lines.is_empty() {
                lines.push_str(&" ".repeat(column));
            }
            writer.entry(&mut lines, name, value, column);
        }
        let written = lines.trim_end_matches('\n');
        (!written.is_empty()).then(|| Splice { range: key.begin..self.node.end, text: written.to_owned() })
    }
}

// === impl Way ===

impl<'n> Way<'n> {
    fn to(root: &'n Node, path: &Pointer, is_new: bool) -> Self {
        let mut way = Self { nodes: vec![root], lacking: None };
        let (mut place, mut rest) = (root, path.tokens().count());
        for token in path.tokens() {
            let token = token.decoded();
            rest -= 1;
            let next = match &place.content {
                Content::Mapping { entries, .. } => {
                    let own = entries.iter().find(|(key, _)| is_key(key, &token)).map(|(_, node)| node);
                    way.lacking = Some(place).filter(|_| own.is_none() && !(is_new && rest == 0));
                    own
                }
                Content::Sequence { items, .. } if !(is_new && rest == 0) => {
                    token.parse::<usize>().ok().and_then(|index| items.get(index))
                }
                Content::Sequence { .. } | Content::Scalar { .. } | Content::Alias(_) => None,
            };
            let Some(next) = next else { break };
            way.nodes.push(next);
            place = next;
        }
        way
    }

    /// Whether `place`, which uses the anchors `targets`, is on the way, or means something on the way.
    fn crosses(&self, place: &Use<'_>, targets: &[usize]) -> bool {
        self.lacking.is_some_and(|lacking| place.merges_into(lacking))
            || self.nodes.iter().any(|node| place.is_alias(node) || targets.contains(&node.anchor))
    }
}
