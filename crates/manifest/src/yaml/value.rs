//! A tree of nodes -> the JSON value that `kubectl` would send.

use super::{
    super::{error::Flaw, json::duplicate_key},
    node::{Content, DEPTH_LIMIT, Node},
    scalar::{Scalar, float_key, json_number},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use granit_parser::ScalarStyle;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// How much aliases may unfold to, in bytes of scalars with something added for each node: far beyond any
/// manifest (the API server takes 3 MiB), far below what would exhaust the machine.
const ALIAS_BUDGET: usize = 64 << 20;

/// What a node costs beside its text.
const NODE_COST: usize = 64;

/// Unfolds one document.
struct Unfolder<'n> {
    anchors: HashMap<usize, &'n Node>,
    /// Anchors whose alias is being unfolded.
    open: Vec<usize>,
    spent: usize,
}

/// The value of the tree below `root`.
///
/// # Errors
///
/// When a key stands twice, an alias contains itself, or something has no form in JSON.
pub(super) fn value(root: &Node) -> Result<Value, Flaw> {
    let mut anchors = HashMap::new();
    root.walk(&mut |node| {
        if node.anchor != 0 {
            anchors.insert(node.anchor, node);
        }
    });
    Unfolder { anchors, open: Vec::new(), spent: 0 }.value(root, 0)
}

/// What a key is in JSON; `None` where it has no form there.
///
/// Source: sigs.k8s.io/yaml, `convertToJSONableObject`.
pub(super) fn key_text(key: &Node) -> Option<String> {
    let Content::Scalar { text, .. } = &key.content else { return None };
    match scalar(key).ok()? {
        Scalar::Bool(value) => Some(value.to_string()),
        Scalar::Integer(value) => i64::try_from(value).ok().map(|value| value.to_string()),
        Scalar::Float(json) => float_key(&json),
        Scalar::NotFinite(name) => Some(name.to_owned()),
        Scalar::Merge | Scalar::Text => Some(text.clone()),
        Scalar::Null => None,
    }
}

/// Whether `key` is `<<`, which brings in the entries of its value. A quoted one is an ordinary key.
pub(super) fn is_merge(key: &Node) -> bool {
    let Content::Scalar { text, style } = &key.content else { return false };
    text == "<<" && (*style == ScalarStyle::Plain && key.tag.is_none() || key.tag.as_deref() == Some("merge"))
}

fn scalar(node: &Node) -> Result<Scalar, Flaw> {
    let Content::Scalar { text, style } = &node.content else {
        return Err(Flaw::at(node.position, "expected a scalar here; correct the file"));
    };
    match node.tag.as_deref() {
        None if *style == ScalarStyle::Plain => Ok(Scalar::of(text)),
        None => Ok(Scalar::Text),
        Some(tag) => Scalar::tagged(tag, text)
            .ok_or_else(|| Flaw::at(node.position, format!("{text:?} is no !!{tag}; correct the value or the tag"))),
    }
}

fn binary(node: &Node, text: &str) -> Result<String, Flaw> {
    let compact: String = text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let what = "!!binary has no form in JSON; write the value without the tag";
    bytes.ok_or_else(|| Flaw::at(node.position, what))
}

// === impl Unfolder ===

impl<'n> Unfolder<'n> {
    fn value(&mut self, node: &'n Node, depth: usize) -> Result<Value, Flaw> {
        if depth > DEPTH_LIMIT {
            return Err(Flaw::at(node.position, format!("nested more than {DEPTH_LIMIT} deep; make it flatter")));
        }
        match &node.content {
            Content::Alias(target) => self.alias(node, *target, depth),
            Content::Scalar { text, .. } => {
                self.spend(node, NODE_COST + text.len())?;
                scalar_value(node, text)
            }
            Content::Sequence { items, .. } => {
                self.spend(node, NODE_COST)?;
                items.iter().map(|item| self.value(item, depth + 1)).collect()
            }
            Content::Mapping { entries, .. } => {
                self.spend(node, NODE_COST)?;
                self.mapping(entries, depth).map(Value::Object)
            }
        }
    }

    /// Only what stands in an alias is counted: the rest is as long as the file itself.
    fn spend(&mut self, node: &Node, cost: usize) -> Result<(), Flaw> {
        if self.open.is_empty() {
            return Ok(());
        }
        self.spent += cost;
        let what = "the aliases unfold to more than 64 MiB; write out what is needed";
        if self.spent > ALIAS_BUDGET { Err(Flaw::at(node.position, what)) } else { Ok(()) }
    }

    fn alias(&mut self, node: &Node, target: usize, depth: usize) -> Result<Value, Flaw> {
        let Some(meant) = self.anchors.get(&target).copied() else {
            return Err(Flaw::at(node.position, "this alias has no anchor; correct the name"));
        };
        if self.open.contains(&target) || contains(meant, node) {
            return Err(Flaw::at(node.position, "this alias contains itself; JSON cannot express that"));
        }
        self.open.push(target);
        let value = self.value(meant, depth);
        self.open.pop();
        value
    }

    fn mapping(&mut self, entries: &'n [(Node, Node)], depth: usize) -> Result<Map<String, Value>, Flaw> {
        let (mut map, mut own, mut merged) = (Map::new(), HashSet::new(), false);
        for (key, value) in entries {
            if is_merge(key) {
                if std::mem::replace(&mut merged, true) {
                    return Err(Flaw::at(key.position, "`<<` stands twice; write one, `<<: [*first, *second]`"));
                }
                self.merge(key, value, &mut map, &own, depth)?;
                continue;
            }
            let what = "a key must be a string; quote it";
            let name = key_text(self.meant(key)).ok_or_else(|| Flaw::at(key.position, what))?;
            if !own.insert(name.clone()) {
                return Err(Flaw::at(key.position, duplicate_key(&name)));
            }
            let value = self.value(value, depth + 1)?;
            map.insert(name, value);
        }
        Ok(map)
    }

    fn meant(&self, node: &'n Node) -> &'n Node {
        let Content::Alias(target) = node.content else { return node };
        self.anchors.get(&target).copied().unwrap_or(node)
    }

    /// Brings in the entries of `value`. The first of several mappings counts, and an entry of the mapping
    /// itself counts before all.
    fn merge(
        &mut self,
        key: &Node,
        value: &'n Node,
        map: &mut Map<String, Value>,
        own: &HashSet<String>,
        depth: usize,
    ) -> Result<(), Flaw> {
        let sources = match self.value(value, depth + 1)? {
            Value::Array(sources) => sources,
            source => vec![source],
        };
        for source in sources {
            let Value::Object(source) = source else {
                return Err(Flaw::at(value.position, "`<<` wants a mapping or a list of mappings; correct its value"));
            };
            for (name, value) in source {
                // go.yaml.in/yaml/v2 lets the later one count here, the YAML specification the mapping's own.
                if own.contains(&name) && map.get(&name) != Some(&value) {
                    let what = format!(
                        "`<<` brings a second value for {name:?}, and readers disagree on which counts; put `<<` first"
                    );
                    return Err(Flaw::at(key.position, what));
                }
                map.entry(name).or_insert(value);
            }
        }
        Ok(())
    }
}

fn contains(outer: &Node, inner: &Node) -> bool {
    let mut found = false;
    outer.walk(&mut |node| found |= std::ptr::eq(node, inner));
    found
}

fn scalar_value(node: &Node, text: &str) -> Result<Value, Flaw> {
    if node.tag.as_deref() == Some("binary") {
        return binary(node, text).map(Value::String);
    }
    let number = |json: &str| {
        json_number(json).map(Value::Number).ok_or_else(|| Flaw::at(node.position, format!("{text:?} is no number")))
    };
    match scalar(node)? {
        Scalar::Null => Ok(Value::Null),
        Scalar::Bool(value) => Ok(Value::Bool(value)),
        Scalar::Integer(value) => number(&value.to_string()),
        Scalar::Float(json) => number(&json),
        Scalar::NotFinite(name) => Err(Flaw::at(node.position, format!("{name} has no form in JSON; quote it"))),
        Scalar::Merge | Scalar::Text => Ok(Value::String(text.to_owned())),
    }
}
