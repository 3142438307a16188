//! A tree of nodes -> the JSON value that `kubectl` would send.

use super::{
    super::{
        error::{Fault, Flaw},
        json::duplicate_key,
    },
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
    tolerated: Option<Flaw>,
}

/// The value of the tree below `root` as `kubectl` reads it, and the first thing in it that other readers would
/// understand in another way, or refuse.
///
/// # Errors
///
/// When an alias contains itself, or something has no form in JSON.
pub(super) fn value(root: &Node) -> Result<(Value, Option<Flaw>), Flaw> {
    let mut unfolder = Unfolder::of(root);
    let value = unfolder.value(root, 0)?;
    Ok((value, unfolder.tolerated))
}

/// The value of `node`, which is in the tree below `root`.
///
/// # Errors
///
/// When an alias contains itself, or something has no form in JSON.
pub(super) fn value_in<'n>(root: &'n Node, node: &'n Node) -> Result<Value, Flaw> {
    Unfolder::of(root).value(node, 0)
}

/// What a key is in JSON; `None` where it has no form there.
pub(crate) fn key_text(key: &Node) -> Option<String> {
    exact_or_rounded(key).map(|(text, _)| text)
}

/// What a key is in JSON, and whether that is the number that was written; `None` where it has no form there.
///
/// Source: sigs.k8s.io/yaml, `convertToJSONableObject`.
fn exact_or_rounded(key: &Node) -> Option<(String, bool)> {
    let Content::Scalar { text, .. } = &key.content else { return None };
    let exact = match scalar(key).ok()? {
        Scalar::Bool(value) => value.to_string(),
        Scalar::Integer(value) => i64::try_from(value).ok()?.to_string(),
        Scalar::Float(json) => return float_key(&json),
        Scalar::NotFinite(name) => name.to_owned(),
        Scalar::Merge | Scalar::Text => text.clone(),
        Scalar::Null => return None,
    };
    Some((exact, true))
}

/// Whether `key` is `<<`, which brings in the entries of its value. A quoted one is an ordinary key.
pub(crate) fn is_merge(key: &Node) -> bool {
    let Content::Scalar { text, style } = &key.content else { return false };
    text == "<<" && (*style == ScalarStyle::Plain && key.tag.is_none() || key.tag.as_deref() == Some("merge"))
}

fn scalar(node: &Node) -> Result<Scalar, Flaw> {
    let Content::Scalar { text, style } = &node.content else {
        return Err(Flaw::at(node.position, Fault::NoJson, "expected a scalar here; correct the file"));
    };
    match node.tag.as_deref() {
        None if *style == ScalarStyle::Plain => Ok(Scalar::of(text)),
        None => Ok(Scalar::Text),
        Some(tag) => Scalar::tagged(tag, text)
            .ok_or_else(|| no_json(node, format!("{text:?} is no !!{tag}; correct the value or the tag"))),
    }
}

fn no_json(node: &Node, what: impl Into<String>) -> Flaw {
    Flaw::at(node.position, Fault::NoJson, what)
}

// === impl Unfolder ===

impl<'n> Unfolder<'n> {
    fn of(root: &'n Node) -> Self {
        let mut anchors = HashMap::new();
        root.walk(&mut |node| {
            if node.anchor != 0 {
                anchors.insert(node.anchor, node);
            }
        });
        Self { anchors, open: Vec::new(), spent: 0, tolerated: None }
    }

    fn value(&mut self, node: &'n Node, depth: usize) -> Result<Value, Flaw> {
        if depth > DEPTH_LIMIT {
            let what = format!("nested more than {DEPTH_LIMIT} deep; make it flatter");
            return Err(Flaw::at(node.position, Fault::Limit, what));
        }
        match &node.content {
            Content::Alias(target) => self.alias(node, *target, depth),
            Content::Scalar { text, .. } => {
                self.spend(node, NODE_COST + text.len())?;
                if node.tag.as_deref() == Some("binary") {
                    return self.binary(node, text).map(Value::String);
                }
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
        if self.spent > ALIAS_BUDGET { Err(Flaw::at(node.position, Fault::Limit, what)) } else { Ok(()) }
    }

    fn tolerate(&mut self, node: &Node, fault: Fault, what: impl FnOnce() -> String) {
        self.tolerated.get_or_insert_with(|| Flaw::at(node.position, fault, what()));
    }

    fn binary(&mut self, node: &Node, text: &str) -> Result<String, Flaw> {
        let what = "!!binary has no form in JSON; write the value without the tag";
        let compact: String = text.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(compact).map_err(|_| no_json(node, what))?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|no_text| {
            self.tolerate(node, Fault::NoJson, || what.to_owned());
            String::from_utf8_lossy(no_text.as_bytes()).into_owned()
        }))
    }

    fn alias(&mut self, node: &Node, target: usize, depth: usize) -> Result<Value, Flaw> {
        let Some(meant) = self.anchors.get(&target).copied() else {
            return Err(Flaw::at(node.position, Fault::Syntax, "this alias has no anchor; correct the name"));
        };
        if self.open.contains(&target) || contains(meant, node) {
            return Err(no_json(node, "this alias contains itself; JSON cannot express that"));
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
                    let what = || "`<<` stands twice; write one, `<<: [*first, *second]`".to_owned();
                    self.tolerate(key, Fault::Duplicate, what);
                }
                self.merge(key, value, &mut map, &own, depth)?;
                continue;
            }
            let name = self.key(key)?;
            if !own.insert(name.clone()) {
                self.tolerate(key, Fault::Duplicate, || duplicate_key(&name));
            }
            let value = self.value(value, depth + 1)?;
            map.insert(name, value);
        }
        Ok(map)
    }

    fn key(&mut self, key: &'n Node) -> Result<String, Flaw> {
        let what = "a key must be a string; quote it";
        let (name, is_exact) = exact_or_rounded(self.meant(key)).ok_or_else(|| no_json(key, what))?;
        if !is_exact {
            self.tolerate(key, Fault::Ambiguous, || what.to_owned());
        }
        Ok(name)
    }

    fn meant(&self, node: &'n Node) -> &'n Node {
        let Content::Alias(target) = node.content else { return node };
        self.anchors.get(&target).copied().unwrap_or(node)
    }

    /// Brings in the entries of `value`. The first of several mappings counts, and what is brought in counts before the
    /// entries above it.
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
        let mut brought = Map::new();
        for source in sources {
            let Value::Object(source) = source else {
                return Err(no_json(value, "`<<` wants a mapping or a list of mappings; correct its value"));
            };
            for (name, value) in source {
                brought.entry(name).or_insert(value);
            }
        }
        for (name, value) in brought {
            // go.yaml.in/yaml/v2 lets the later one count here, the YAML specification the mapping's own.
            if own.contains(&name) && map.get(&name) != Some(&value) {
                self.tolerate(key, Fault::Ambiguous, || {
                    format!(
                        "`<<` brings a second value for {name:?}, and readers disagree on which counts; put `<<` first"
                    )
                });
            }
            map.insert(name, value);
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
    let number = |json: &str| {
        json_number(json).map(Value::Number).ok_or_else(|| no_json(node, format!("{text:?} is no number")))
    };
    match scalar(node)? {
        Scalar::Null => Ok(Value::Null),
        Scalar::Bool(value) => Ok(Value::Bool(value)),
        Scalar::Integer(value) => number(&value.to_string()),
        Scalar::Float(json) => number(&json),
        Scalar::NotFinite(name) => Err(no_json(node, format!("{name} has no form in JSON; quote it"))),
        Scalar::Merge | Scalar::Text => Ok(Value::String(text.to_owned())),
    }
}
