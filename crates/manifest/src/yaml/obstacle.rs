//! Why a document was written anew.

use super::{
    edit::comment_beside,
    node::{Content, Node, code_before, is_block, parse},
    place::{Found, WORK_LIMIT, find, way},
};
use crate::{Position, error::Obstacle};
use json_patch::{Patch, PatchOperation, jsonptr::Pointer};
use std::collections::HashSet;

/// How many operations are looked at, and fewer in a long text: each may lead past all of it.
const OPERATIONS_LIMIT: usize = 1000;

/// What kept `patch` from being carried out on the document in `text`, as far as can be told: the first odd thing on the way
/// to a change, or in what is moved; and else an anchor on the way, for what has one may be meant elsewhere too.
pub(super) fn of(text: &str, patch: &Patch) -> Obstacle {
    let begin = Position::of(text, text.len() - text.trim_start().len());
    let Ok(Some(root)) = parse(text) else { return Obstacle { what: "this document", position: begin } };
    let (mut place, mut anchored, mut seen) = (&root, None, HashSet::new());
    let looked_at = OPERATIONS_LIMIT.min(1 + WORK_LIMIT / text.len().max(1));
    for operation in patch.0.iter().take(looked_at) {
        let moved = match operation {
            PatchOperation::Move(shift) => find(&root, &shift.from).map(|found| found.node),
            _ => None,
        };
        let replaced = find(&root, operation.path()).filter(|_| !matches!(operation, PatchOperation::Remove(_)));
        if let Some(comment) = replaced.and_then(|found| lost_comment(text, found)) {
            return comment;
        }
        let way = [Some(operation.path()), from(operation)].into_iter().flatten().flat_map(|path| above(&root, path));
        for node in way.chain(moved).filter(|node| seen.insert(std::ptr::from_ref(*node))) {
            if let Some(obstacle) = at(text, node) {
                return obstacle;
            }
            anchored = anchored.or_else(|| Some(node).filter(|node| node.anchor != 0));
        }
        place = moved.unwrap_or(place);
        if let Some(obstacle) = moved.and_then(|moved| below(text, moved)) {
            return obstacle;
        }
    }
    if anchored.is_none() && text.len().saturating_mul(patch.0.len()) > WORK_LIMIT {
        return Obstacle { what: "a mapping with so many changes", position: root.position };
    }
    let what = if anchored.is_some() { "an anchor" } else { "what stands" };
    Obstacle { what, position: anchored.unwrap_or(place).position }
}

fn from(operation: &PatchOperation) -> Option<&Pointer> {
    match operation {
        PatchOperation::Move(shift) => Some(&shift.from),
        PatchOperation::Copy(copy) => Some(&copy.from),
        _ => None,
    }
}

/// The nodes above what `path` names, from the root on.
fn above<'n>(root: &'n Node, path: &Pointer) -> impl Iterator<Item = &'n Node> {
    way(root, path).take(path.count().max(1)).flatten().map(|found| found.node)
}

/// A comment that would be lost with the value that it stands in or beside.
fn lost_comment(text: &str, replaced: Found<'_>) -> Option<Obstacle> {
    let at = comment_beside(text, replaced.key?, replaced.node).err()?;
    Some(Obstacle { what: "a comment", position: Position::of(text, at) })
}

/// What is odd about `node` itself.
fn at(text: &str, node: &Node) -> Option<Obstacle> {
    let what = match &node.content {
        Content::Alias(_) => "an alias",
        Content::Sequence { flow: true, .. } => "a list in brackets",
        Content::Mapping { flow: true, .. } => "a mapping in braces",
        Content::Mapping { entries, flow: false } => {
            let key = entries.iter().map(|(key, _)| key).find(|key| is_behind_question_mark(text, key))?;
            return Some(Obstacle { what: "a key behind a question mark", position: key.position });
        }
        Content::Sequence { flow: false, .. } | Content::Scalar { .. } => return None,
    };
    Some(Obstacle { what, position: node.position })
}

fn is_behind_question_mark(text: &str, key: &Node) -> bool {
    let code = &text[..code_before(text, key.begin)];
    let before = code.strip_suffix('?').filter(|before| before.is_empty() || before.ends_with([' ', '\t', '\n']));
    before.is_some()
}

/// What is odd in `moved`.
fn below(text: &str, moved: &Node) -> Option<Obstacle> {
    let mut found = None;
    moved.walk(&mut |node| {
        let block = matches!(node.content, Content::Scalar { style, .. } if is_block(style));
        let what = match node.content {
            Content::Alias(_) => Some("an alias"),
            _ if node.anchor != 0 => Some("an anchor"),
            _ if block => Some("a block of text"),
            _ => None,
        };
        let odd = what.map(|what| Obstacle { what, position: node.position }).or_else(|| at(text, node));
        found = found.take().or(odd);
    });
    found
}
