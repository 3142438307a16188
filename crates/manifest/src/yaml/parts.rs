//! A patch carried out in parts of a document, each on its own lines.

use super::{
    edit::apply_all,
    node::{Content, Node, parse},
    place::{WORK_LIMIT, column, dash, end_of_lines, is_first_on_line, last, line_start, list_style},
    value::{is_merge, key_text},
};
use crate::workload::with_paths;
use json_patch::{
    PatchOperation,
    jsonptr::{Pointer, PointerBuf},
};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

/// Lines that are YAML by themselves, a mapping of one entry or a list of one item, and what is done in them.
struct Part {
    lines: Range<usize>,
    operations: Vec<PatchOperation>,
}

/// Carries out `operations` on the document in `text`, those that stay in a part of it on the lines of this part alone: so
/// the whole text is not read anew for each of them.
///
/// `style` is that of what stands around: whether lists stand further right than their keys.
pub(super) fn in_parts(text: &str, operations: &[PatchOperation], style: Option<bool>) -> Option<String> {
    let root = parse(text).ok()??;
    let style = list_style(text, &root).or(style);
    let Some(parts) = parts(text, &root, operations) else { return in_runs(text, &root, operations, style) };
    let (mut edited, mut copied) = (String::new(), 0);
    for Part { lines, operations } in parts {
        edited.push_str(text.get(copied..lines.start)?);
        edited.push_str(&in_parts(text.get(lines.clone())?, &operations, style)?);
        copied = lines.end;
        if copied < text.len() && !edited.ends_with('\n') {
            edited.push('\n');
        }
    }
    edited.push_str(&text[copied..]);
    Some(edited)
}

/// Carries out `operations`, of which some do something to a node that the others do something below: those that follow each
/// other are carried out together.
fn in_runs(text: &str, root: &Node, operations: &[PatchOperation], style: Option<bool>) -> Option<String> {
    let (mut place, mut depth) = (root, 0);
    while let Some(children) = children(place, operations, depth) {
        match children.first_key_value() {
            Some((child, _)) if children.len() == 1 => place = nth(place, *child)?,
            _ => return apply_all(text, operations, style),
        }
        depth += 1;
    }
    let names = names(place);
    let is_below = |operation: &PatchOperation| child(place, &names, operation, depth).is_some();
    let runs: Vec<_> = operations.chunk_by(|one, next| is_below(one) == is_below(next)).collect();
    if text.len().saturating_mul(runs.len()) > WORK_LIMIT {
        return None;
    }
    runs.into_iter().try_fold(text.to_owned(), |text, run| match run {
        [first, _, ..] if is_below(first) => in_parts(&text, run, style),
        _ => apply_all(&text, run, style),
    })
}

/// The smallest parts of the document in `text` that each have all that `operations` do in them, in the order of their
/// lines; `None` where they do something to the document as a whole.
fn parts(text: &str, root: &Node, operations: &[PatchOperation]) -> Option<Vec<Part>> {
    let (mut place, mut found) = (root, None);
    for depth in 0.. {
        let Some(children) = children(place, operations, depth) else { break };
        let parts = children.iter().map(|(child, operations)| part(text, place, *child, operations, depth));
        found = parts.collect::<Option<Vec<_>>>().filter(|parts| !is_whole(text, parts)).or(found);
        match children.first_key_value() {
            Some((child, _)) if children.len() == 1 => place = nth(place, *child)?,
            _ => break,
        }
    }
    found
}

/// Whether the text would be cut into nothing smaller than itself.
fn is_whole(text: &str, parts: &[Part]) -> bool {
    parts.iter().any(|part| part.lines.len() == text.len())
}

/// The numbers of the nodes right below `place` that `operations` do something in, which is at `depth` in their paths.
/// `None` where one of them does something to `place` itself, or to two of the nodes.
fn children<'o>(
    place: &Node,
    operations: &'o [PatchOperation],
    depth: usize,
) -> Option<BTreeMap<usize, Vec<&'o PatchOperation>>> {
    let names = names(place);
    let mut children: BTreeMap<usize, Vec<&PatchOperation>> = BTreeMap::new();
    for operation in operations {
        children.entry(child(place, &names, operation, depth)?).or_default().push(operation);
    }
    Some(children)
}

/// The numbers of the entries of `place`, by their keys.
fn names(place: &Node) -> HashMap<String, usize> {
    let Content::Mapping { entries, .. } = &place.content else { return HashMap::new() };
    let own = entries.iter().enumerate().filter(|(_, (key, _))| !is_merge(key));
    // Of two keys that are the same, the first one counts.
    own.rev().filter_map(|(number, (key, _))| Some((key_text(key)?, number))).collect()
}

/// The number of the one node right below `place` that `operation` does something in.
fn child(place: &Node, names: &HashMap<String, usize>, operation: &PatchOperation, depth: usize) -> Option<usize> {
    let (token, _) = cut_path(operation.path(), depth)?;
    let from = match operation {
        PatchOperation::Move(shift) => cut_path(&shift.from, depth)?.0,
        PatchOperation::Copy(copy) => cut_path(&copy.from, depth)?.0,
        _ => token,
    };
    if from != token {
        return None;
    }
    let name = PointerBuf::parse(format!("/{token}")).ok()?.first()?.decoded().into_owned();
    match &place.content {
        Content::Mapping { .. } => names.get(&name).copied(),
        Content::Sequence { .. } => name.parse().ok(),
        Content::Scalar { .. } | Content::Alias(_) => None,
    }
}

/// The token of `path` at `depth`, and the tokens below it, which are one at least: `7` and `spec/x` of `/items/7/spec/x`.
fn cut_path(path: &Pointer, depth: usize) -> Option<(&str, &str)> {
    let below = path.as_str().strip_prefix('/')?;
    let below = (0..depth).try_fold(below, |below, _| below.split_once('/').map(|(_, below)| below))?;
    below.split_once('/')
}

fn nth(place: &Node, number: usize) -> Option<&Node> {
    match &place.content {
        Content::Sequence { items, .. } => items.get(number),
        Content::Mapping { entries, .. } => entries.get(number).map(|(_, value)| value),
        Content::Scalar { .. } | Content::Alias(_) => None,
    }
}

/// The entry or item `number` of `place` as a document of its own; `None` where other things stand on its lines too.
fn part(text: &str, place: &Node, number: usize, operations: &[&PatchOperation], depth: usize) -> Option<Part> {
    let (at, last) = match &place.content {
        Content::Mapping { entries, flow: false } => {
            let entry = entries.get(number)?;
            (entry.0.begin, last(entry))
        }
        Content::Sequence { items, flow: false } => (dash(text, items.get(number)?)?, items.get(number)?),
        _ => return None,
    };
    if !is_first_on_line(text, at) {
        return None;
    }
    let lines = line_start(text, at)..end_of_lines(text, last, column(text, at));
    let is_item = matches!(place.content, Content::Sequence { .. });
    let within = |path: &Pointer| {
        let (token, below) = cut_path(path, depth)?;
        PointerBuf::parse(format!("/{}/{below}", if is_item { "0" } else { token })).ok()
    };
    let mut all_are = true;
    let mut shorten = |path: &mut PointerBuf| match within(path) {
        Some(short) => *path = short,
        None => all_are = false,
    };
    let operations = operations.iter().map(|operation| with_paths(operation, &mut shorten)).collect();
    all_are.then_some(Part { lines, operations })
}
