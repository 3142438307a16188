//! Single operations of a JSON Patch carried out on YAML text: lines are cut, inserted and shifted; nothing else is touched.

use super::{
    node::{Content, Node, parse},
    place::{
        Found, Splice, WORK_LIMIT, column, comments, dash, dash_column, end_of_lines, find, is_first_on_line,
        is_in_lines, is_key, last, line_end, line_start, list_style, spliced, with_comments_above, with_lines,
    },
    unfold::without_aliases,
    write::{Writer, flow_scalar},
};
use granit_parser::ScalarStyle;
use json_patch::{PatchOperation, jsonptr::Pointer};
use serde_json::Value;
use std::ops::Range;

/// What may stand in a plain scalar, but not between brackets or braces; quotes are for JSON to write.
const NOT_IN_FLOW: [char; 7] = [',', '[', ']', '{', '}', '"', '\''];

/// A list item on its way to another list.
enum Item {
    /// Lines, and the column of their dash.
    Lines { lines: String, dash: usize },
    /// What stood between two commas.
    Flow(String),
}

/// Carries out `operations` one after the other, those that go together at once.
pub(super) fn apply_all(text: &str, operations: &[PatchOperation], style: Option<bool>) -> Option<String> {
    let steps: Vec<_> = operations.chunk_by(go_together).collect();
    let mut work = text.len().saturating_mul(steps.len());
    let mut edited = text.to_owned();
    for step in steps {
        if work > WORK_LIMIT {
            return None;
        }
        if let Some(together) = Some(step).filter(|step| step.len() > 1).and_then(|step| move_all(&edited, step, style))
        {
            edited = together;
            continue;
        }
        work = work.saturating_add(text.len().saturating_mul(step.len() - 1));
        if work > WORK_LIMIT {
            return None;
        }
        for operation in step {
            edited = apply(&edited, operation, style)?;
        }
    }
    Some(edited)
}

/// Whether both operations take an item out of the same list and put it at the end of the same other list.
fn go_together(one: &PatchOperation, next: &PatchOperation) -> bool {
    let (PatchOperation::Move(one), PatchOperation::Move(next)) = (one, next) else { return false };
    one.path == next.path
        && one.path.as_str().ends_with("/-")
        && one.from.parent() == next.from.parent()
        && one.path.parent() != one.from.parent()
}

/// Carries out moves that go together, of items with lines of their own.
fn move_all(text: &str, moves: &[PatchOperation], style: Option<bool>) -> Option<String> {
    let root = parse(text).ok()?.filter(|_| !text.contains('*'))?;
    let writer = Writer { indent_lists: list_style(text, &root).or(style).unwrap_or_default() };
    let (list, _) = moves.iter().find_map(from)?.split_back()?;
    let Content::Sequence { items, flow: false } = &find(&root, list)?.node.content else { return None };
    let mut left: Vec<usize> = (0..items.len()).collect();
    let (mut splices, mut all, mut column) = (Vec::new(), String::new(), None);
    for from in moves.iter().map(from) {
        let index = from?.split_back()?.1.decoded().parse::<usize>().ok()?;
        let original = if index < left.len() { left.remove(index) } else { return None };
        let (cut, Item::Lines { lines, dash }) = cut_item(text, &root, &list.with_trailing_token(original))? else {
            return None;
        };
        all.push_str(&lines);
        splices.push(cut);
        if left.is_empty() || *column.get_or_insert(dash) != dash {
            return None;
        }
    }
    let item = Item::Lines { lines: all, dash: column? };
    splices.push(paste_item(text, &root, moves.first()?.path(), &item, writer)?);
    splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
    let (mut edited, mut copied) = (String::new(), 0);
    for splice in splices {
        edited.push_str(text.get(copied..splice.range.start)?);
        edited.push_str(&splice.text);
        copied = splice.range.end;
    }
    edited.push_str(text.get(copied..)?);
    Some(edited)
}

fn from(operation: &PatchOperation) -> Option<&Pointer> {
    match operation {
        PatchOperation::Move(shift) => Some(&shift.from),
        _ => None,
    }
}

fn apply(text: &str, operation: &PatchOperation, style: Option<bool>) -> Option<String> {
    // Without an asterisk there is no alias.
    let unfolded = if text.contains('*') { Some(without_aliases(text, operation)?) } else { None };
    let text = unfolded.as_deref().unwrap_or(text);
    let root = parse(text).ok()??;
    let writer = Writer { indent_lists: list_style(text, &root).or(style).unwrap_or_default() };
    match operation {
        PatchOperation::Add(add) => insert(text, &root, &add.path, &add.value, writer),
        PatchOperation::Replace(replace) => insert(text, &root, &replace.path, &replace.value, writer),
        PatchOperation::Remove(remove) => delete(text, &root, &remove.path),
        PatchOperation::Move(shift) => {
            // An anchor and its alias may stand in both places: between cutting and pasting the text might not be YAML.
            let (cut, item) = cut_item(text, &root, &shift.from)?;
            let paste = paste_item(text, &root, &shift.path, &item, writer)?;
            both(text, cut, paste)
        }
        PatchOperation::Copy(_) | PatchOperation::Test(_) => None,
    }
}

// --- Adding and replacing

fn insert(text: &str, root: &Node, path: &Pointer, value: &Value, writer: Writer) -> Option<String> {
    let (parent, token) = path.split_back()?;
    let (place, token) = (find(root, parent)?, token.decoded());
    match &place.node.content {
        Content::Mapping { entries, flow } => match entries.iter().find(|(key, _)| is_key(key, &token)) {
            Some(entry) => replace_entry(text, entry, &token, value, *flow, writer),
            None if *flow => {
                let lines = |column| {
                    let mut lines = " ".repeat(column);
                    writer.entry(&mut lines, &token, value, column);
                    lines
                };
                let neighbour =
                    crate::stands_before(&token).and_then(|name| entries.iter().find(|(key, _)| is_key(key, name)));
                let written = pair(&token, value, entries.first().map(|(key, _)| key))?;
                Some(match neighbour {
                    Some((key, _)) => spliced(text, key.begin, key.begin, &format!("{written}, ")),
                    None => insert_in_flow(text, place, entries.last().map(last), &written, lines),
                })
            }
            None => insert_entry(text, entries, &token, value, writer),
        },
        Content::Sequence { items, flow: true } if token == "-" => {
            let written = serde_json::to_string(value).ok()?;
            Some(insert_in_flow(text, place, items.last(), &written, |_| String::new()))
        }
        Content::Sequence { items, flow: false } => {
            let dash = dash_column(text, items.first()?)?;
            let mut lines = " ".repeat(dash);
            writer.item(&mut lines, value, dash);
            paste(text, items, &token, dash, &lines).map(|paste| paste.of(text))
        }
        _ => None,
    }
}

/// `key: value` as it stands between braces; in quotes only where that is needed, or done beside it.
fn pair(key: &str, value: &Value, neighbour: Option<&Node>) -> Option<String> {
    let is_plain = |node: &Node| matches!(node.content, Content::Scalar { style: ScalarStyle::Plain, .. });
    let written = |value: &Value| match flow_scalar(value) {
        plain if neighbour.is_some_and(is_plain) && value.is_string() && !plain.contains(NOT_IN_FLOW) => Some(plain),
        _ => serde_json::to_string(value).ok(),
    };
    Some(format!("{}: {}", written(&key.into())?, written(value)?))
}

fn replace_entry(
    text: &str,
    (key, value): &(Node, Node),
    name: &str,
    wanted: &Value,
    flow: bool,
    writer: Writer,
) -> Option<String> {
    let on_one_line = !text[value.start..value.end].contains('\n') && value.end > value.start;
    let simple = |node: &Node| {
        let quoted_or_plain = |style| !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        node.tag.is_none() && matches!(node.content, Content::Scalar { style, .. } if quoted_or_plain(style))
    };
    if on_one_line && simple(value) && !wanted.is_array() && !wanted.is_object() {
        let is_text_of_lines = wanted.as_str().is_some_and(|text| text.contains('\n'));
        let written = if flow || is_text_of_lines { wanted.to_string() } else { flow_scalar(wanted) };
        return Some(spliced(text, value.start, value.end, &written));
    }
    if flow {
        return None;
    }
    let comment = comment_beside(text, key, value).ok()?;
    let end = line_end(text, value.end.max(key.end));
    let mut lines = String::new();
    writer.entry(&mut lines, name, wanted, column(text, key.begin));
    if let Some(comment) = comment {
        lines.insert_str(lines.find('\n')?, &format!(" {comment}"));
    }
    Some(spliced(text, key.begin, end, &lines))
}

/// The comment on the line of `key`, whose entry is replaced with all of its lines; where there are comments that would be
/// lost, the error is the offset of the first one.
pub(super) fn comment_beside<'t>(text: &'t str, key: &Node, value: &Node) -> Result<Option<&'t str>, usize> {
    let end = line_end(text, value.end.max(key.end));
    let comments = comments(text, key.end..end, value);
    let on_line_of_key = |at: &usize| *at < line_end(text, key.end);
    let comment = |at: usize| text[at..line_end(text, at)].trim_end();
    match comments.as_slice() {
        [] => Ok(None),
        [at] if on_line_of_key(at) || !is_in_lines(value) => Ok(Some(comment(*at))),
        [first, ..] => Err(*first),
    }
}

fn insert_entry(text: &str, entries: &[(Node, Node)], name: &str, value: &Value, writer: Writer) -> Option<String> {
    let (first, _) = entries.first()?;
    let column = column(text, first.begin);
    let mut lines = " ".repeat(column);
    writer.entry(&mut lines, name, value, column);
    let neighbour = crate::stands_before(name).and_then(|name| entries.iter().find(|(key, _)| is_key(key, name)));
    let at = match neighbour {
        Some((key, _)) if is_first_on_line(text, key.begin) => {
            with_comments_above(text, line_start(text, key.begin), column)
        }
        _ => end_of_lines(text, last(entries.last()?), column),
    };
    Some(with_lines(text, at, &lines))
}

/// Adds to a collection in brackets: behind its last member, or as lines below where it is empty.
fn insert_in_flow(
    text: &str,
    place: Found<'_>,
    last: Option<&Node>,
    written: &str,
    lines: impl Fn(usize) -> String,
) -> String {
    if let Some(last) = last {
        return spliced(text, last.end, last.end, &format!(", {written}"));
    }
    let inside = || spliced(text, place.node.start + 1, place.node.start + 1, written);
    let is_mapping = text[place.node.start..place.node.end].starts_with('{');
    let key = place.key.filter(|_| is_mapping);
    let key = key.filter(|_| !place.in_flow);
    let below = key.and_then(|key| below_key(text, place.node, key, &lines(column(text, key.begin) + 2)));
    below.map_or_else(inside, |below| below.of(text))
}

/// `lines` below `key`, in place of the empty brackets that are its value.
fn below_key(text: &str, empty: &Node, key: &Node, lines: &str) -> Option<Splice> {
    let head = text[..empty.begin].trim_end();
    let end = line_end(text, empty.end);
    let rest = &text[empty.end..end];
    let alone = rest.trim().is_empty() || rest.trim_start().starts_with('#');
    let on_line_of_key = line_start(text, head.len()) == line_start(text, key.begin);
    if !alone || !on_line_of_key || !comments(text, empty.begin..empty.end, empty).is_empty() {
        return None;
    }
    Some(Splice { range: head.len()..end, text: format!("{}\n{lines}", rest.trim_end()) })
}

// --- Removing

fn delete(text: &str, root: &Node, path: &Pointer) -> Option<String> {
    let (parent, token) = path.split_back()?;
    let token = token.decoded();
    match &find(root, parent)?.node.content {
        Content::Mapping { entries, flow: false } => delete_entry(text, entries, &token),
        Content::Mapping { entries, flow: true } => {
            let index = entries.iter().position(|(key, _)| is_key(key, &token))?;
            let ranges: Vec<_> = entries.iter().map(|entry| entry.0.begin..last(entry).end).collect();
            cut_in_flow(text, &ranges, index).map(|cut| cut.of(text))
        }
        Content::Sequence { .. } => cut_item(text, root, path).map(|(cut, _)| cut.of(text)),
        _ => None,
    }
}

fn delete_entry(text: &str, entries: &[(Node, Node)], name: &str) -> Option<String> {
    let index = entries.iter().position(|(key, _)| is_key(key, name))?;
    let (key, _) = &entries[index];
    if entries.len() < 2 {
        return None;
    }
    let column = column(text, key.begin);
    let end = end_of_lines(text, last(&entries[index]), column);
    if is_first_on_line(text, key.begin) {
        let start = with_comments_above(text, line_start(text, key.begin), column);
        return Some(spliced(text, start, end, ""));
    }
    // The first entry behind a dash: the next one takes its place.
    let (next, _) = entries.get(index + 1)?;
    (line_start(text, next.begin) == end).then(|| spliced(text, key.begin, next.begin, ""))
}

/// One of the members between commas, which all stand where `ranges` say, cut out with a comma and no comment.
fn cut_in_flow(text: &str, ranges: &[Range<usize>], index: usize) -> Option<Splice> {
    let member = ranges.get(index)?;
    let above = index.checked_sub(1).and_then(|index| ranges.get(index));
    let (gap, range) = match (ranges.get(index + 1), above) {
        (Some(next), _) => (member.end..next.start, member.start..next.start),
        (None, Some(above)) => (above.end..member.start, above.end..member.end),
        (None, None) => return None,
    };
    (text.get(gap)?.trim() == ",").then_some(Splice { range, text: String::new() })
}

// --- Moving list items

fn cut_item(text: &str, root: &Node, path: &Pointer) -> Option<(Splice, Item)> {
    let (parent, token) = path.split_back()?;
    let Content::Sequence { items, flow } = &find(root, parent)?.node.content else { return None };
    let index = token.decoded().parse::<usize>().ok()?;
    let item = items.get(index).filter(|_| items.len() > 1)?;
    if *flow {
        let ranges: Vec<_> = items.iter().map(|item| item.begin..item.end).collect();
        return Some((cut_in_flow(text, &ranges, index)?, Item::Flow(text[item.begin..item.end].to_owned())));
    }
    let at = dash(text, item)?;
    let dash = column(text, at);
    let start = with_comments_above(text, line_start(text, at), dash);
    let end = end_of_lines(text, item, dash);
    let mut lines = text[start..end].to_owned();
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    Some((Splice { range: start..end, text: String::new() }, Item::Lines { lines, dash }))
}

fn paste_item(text: &str, root: &Node, path: &Pointer, item: &Item, writer: Writer) -> Option<Splice> {
    let (parent, token) = path.split_back()?;
    let place = find(root, parent)?;
    let Content::Sequence { items, flow } = &place.node.content else { return None };
    match (items.first(), place.key, item) {
        (Some(first), ..) if !flow => {
            let dash = dash_column(text, first)?;
            paste(text, items, &token.decoded(), dash, &item.at(dash))
        }
        (Some(_), _, Item::Flow(written)) => paste_in_flow(items, &token.decoded(), written),
        (None, _, Item::Flow(written)) => {
            let inside = place.node.start + 1;
            Some(Splice { range: inside..inside, text: written.clone() })
        }
        (None, Some(key), Item::Lines { .. }) if !place.in_flow => {
            let indent = if writer.indent_lists { 2 } else { 0 };
            let lines = item.at(column(text, key.begin) + indent);
            below_key(text, place.node, key, &lines)
        }
        _ => None,
    }
}

/// Puts `lines` before the item that `token` names, or behind the last one.
fn paste(text: &str, items: &[Node], token: &str, dash_column: usize, lines: &str) -> Option<Splice> {
    let at = match token.parse::<usize>().ok().and_then(|index| items.get(index)) {
        Some(item) => with_comments_above(text, line_start(text, dash(text, item)?), dash_column),
        None => end_of_lines(text, items.last()?, dash_column),
    };
    let line_end = if at > 0 && !text[..at].ends_with('\n') { "\n" } else { "" };
    Some(Splice { range: at..at, text: format!("{line_end}{lines}") })
}

/// Puts `written` before the item that `token` names, or behind the last one.
fn paste_in_flow(items: &[Node], token: &str, written: &str) -> Option<Splice> {
    let (at, text) = match token.parse::<usize>().ok().and_then(|index| items.get(index)) {
        Some(item) => (item.begin, format!("{written}, ")),
        None => (items.last()?.end, format!(", {written}")),
    };
    Some(Splice { range: at..at, text })
}

/// `text` with both changes.
fn both(text: &str, one: Splice, other: Splice) -> Option<String> {
    let (first, second) = if one.range.start < other.range.start { (one, other) } else { (other, one) };
    (first.range.end <= second.range.start).then(|| first.of(&second.of(text)))
}

// === impl Item ===

impl Item {
    /// The lines with their dash at `column`.
    fn at(&self, column: usize) -> String {
        match self {
            Self::Lines { lines, dash } => {
                lines.split_inclusive('\n').map(|line| shifted(line, *dash, column)).collect()
            }
            Self::Flow(written) => format!("{}- {written}\n", " ".repeat(column)),
        }
    }
}

/// `line` of an item whose dash stands at `dash`, for one whose dash stands at `column`.
fn shifted(line: &str, dash: usize, column: usize) -> String {
    if line.trim().is_empty() {
        return line.to_owned();
    }
    if column >= dash {
        return " ".repeat(column - dash) + line;
    }
    let spaces = line.len() - line.trim_start_matches(' ').len();
    line[spaces.min(dash - column)..].to_owned()
}
