//! A JSON Patch carried out on YAML text, so that comments, quotes and order stay as their author wrote them.
//!
//! Lines are cut, inserted and shifted; nothing else is touched. Whatever is out of the ordinary (a change
//! inside an alias, say) gives `None`, and so does a result that does not read as the value that the patch asks for:
//! the caller then writes the document anew, and [`super::obstacle`] tells why.

use super::{
    node::{Content, Node, code_before, is_block, parse, word_before},
    parts::in_parts,
    unfold::without_aliases,
    value::{is_merge, key_text},
    write::{Writer, flow_scalar},
};
use granit_parser::ScalarStyle;
use json_patch::{Patch, PatchOperation, jsonptr::Pointer};
use serde_json::Value;
use std::ops::Range;

/// How much may be read, in bytes: each operation reads the text anew.
pub(super) const WORK_LIMIT: usize = 32 << 20;

/// What may stand in a plain scalar, but not between brackets or braces; quotes are for JSON to write.
const NOT_IN_FLOW: [char; 7] = [',', '[', ']', '{', '}', '"', '\''];

/// A node with the entry it is the value of.
#[derive(Clone, Copy)]
pub(super) struct Found<'n> {
    pub(super) node: &'n Node,
    pub(super) key: Option<&'n Node>,
    /// Whether it stands between brackets or braces.
    in_flow: bool,
}

/// One change of the text.
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// A list item on its way to another list.
enum Item {
    /// Lines, and the column of their dash.
    Lines { lines: String, dash: usize },
    /// What stood between two commas.
    Flow(String),
}

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

// --- Finding the place

/// The place that `path` leads to.
pub(super) fn find<'n>(root: &'n Node, path: &Pointer) -> Option<Found<'n>> {
    let mut place = Found { node: root, key: None, in_flow: false };
    for token in path.tokens() {
        let token = token.decoded();
        let in_flow = place.in_flow || place.node.is_flow();
        place = match &place.node.content {
            Content::Mapping { entries, .. } => {
                let (key, node) = entries.iter().find(|(key, _)| is_key(key, &token))?;
                Found { node, key: Some(key), in_flow }
            }
            Content::Sequence { items, .. } => {
                Found { node: items.get(token.parse::<usize>().ok()?)?, key: None, in_flow }
            }
            Content::Scalar { .. } | Content::Alias(_) => return None,
        };
    }
    Some(place)
}

pub(super) fn is_key(key: &Node, name: &str) -> bool {
    !is_merge(key) && key_text(key).is_some_and(|text| text == name)
}

pub(super) fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// The offset behind the line end at or after `at`.
fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| at + newline + 1)
}

pub(super) fn column(text: &str, at: usize) -> usize {
    at - line_start(text, at)
}

/// Whether nothing but spaces stands before `at` on its line.
pub(super) fn is_first_on_line(text: &str, at: usize) -> bool {
    text[line_start(text, at)..at].bytes().all(|byte| byte == b' ')
}

/// The offset of the dash of a list item, where it stands behind nothing but spaces on its line.
pub(super) fn dash(text: &str, item: &Node) -> Option<usize> {
    let code = code_before(text, item.begin);
    let dash = code.checked_sub(1).filter(|dash| text.as_bytes().get(*dash) == Some(&b'-'))?;
    is_first_on_line(text, dash).then_some(dash)
}

pub(super) fn dash_column(text: &str, item: &Node) -> Option<usize> {
    dash(text, item).map(|dash| column(text, dash))
}

/// The indentation of a line that is nothing but a comment.
fn comment_column(line: &str) -> Option<usize> {
    let body = line.trim_start_matches(' ');
    body.starts_with('#').then_some(line.len() - body.len())
}

/// Where the comment lines begin that stand right above the line at `start`, in the same column.
fn with_comments_above(text: &str, mut start: usize, column: usize) -> usize {
    while start > 0 {
        let above = line_start(text, start - 1);
        if comment_column(&text[above..start]) != Some(column) {
            break;
        }
        start = above;
    }
    start
}

/// Where the lines of `node` end, with the comment lines below that stand further right than `column`.
pub(super) fn end_of_lines(text: &str, node: &Node, column: usize) -> usize {
    let mut end = line_end(text, node.end);
    while let Some(line) = text.get(end..line_end(text, end)) {
        if comment_column(line).is_none_or(|found| found <= column) {
            break;
        }
        end += line.len();
    }
    end
}

/// An entry's last node: the value, or the key where there is no value.
pub(super) fn last((key, value): &(Node, Node)) -> &Node {
    if value.end > key.end { value } else { key }
}

/// Whether the document's lists stand further right than their keys.
pub(super) fn indents_lists(text: &str, root: &Node) -> bool {
    list_style(text, root).unwrap_or_default()
}

/// Whether the document's first list stands further right than its key; `None` where it has no list.
pub(super) fn list_style(text: &str, root: &Node) -> Option<bool> {
    let mut style = None;
    root.walk(&mut |node| {
        let Content::Mapping { entries, flow: false } = &node.content else { return };
        for (key, value) in entries {
            let Content::Sequence { items, flow: false } = &value.content else { continue };
            let dash = items.first().and_then(|item| dash_column(text, item));
            style = style.or_else(|| dash.map(|dash| dash > column(text, key.begin)));
        }
    });
    style
}

fn spliced(text: &str, start: usize, end: usize, replacement: &str) -> String {
    format!("{}{replacement}{}", &text[..start], &text[end..])
}

/// `text` with whole lines inserted at `at`, which is the start of a line or the end of the text.
fn with_lines(text: &str, at: usize, lines: &str) -> String {
    let line_end = if at > 0 && !text[..at].ends_with('\n') { "\n" } else { "" };
    spliced(text, at, at, &format!("{line_end}{lines}"))
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

fn is_in_lines(node: &Node) -> bool {
    matches!(node.content, Content::Sequence { flow: false, .. } | Content::Mapping { flow: false, .. })
}

/// Where in `range` comments begin; all nodes in it are `node` or below it.
pub(super) fn comments(text: &str, range: Range<usize>, node: &Node) -> Vec<usize> {
    let mut content = Vec::new();
    node.walk(&mut |node| {
        if matches!(node.content, Content::Scalar { .. } | Content::Alias(_)) {
            content.push(node.start..node.end);
        }
    });
    let (mut found, mut at) = (Vec::new(), range.start);
    let ends = content.iter().map(|content| (content.start, content.end)).chain([(range.end, range.end)]);
    for (start, next) in ends {
        while let Some(hash) = comment_in(text, at..start) {
            found.push(hash);
            at = line_end(text, hash);
        }
        at = at.max(next);
    }
    found
}

/// Where the first comment begins in `range`, in which there is no content.
fn comment_in(text: &str, range: Range<usize>) -> Option<usize> {
    let is_comment = |at: &usize| text[..*at].is_empty() || text[..*at].ends_with([' ', '\t', '\n']);
    text.get(range.clone())?.match_indices('#').map(|(at, _)| range.start + at).find(is_comment)
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

// === impl Splice ===

impl Splice {
    pub(super) fn of(&self, text: &str) -> String {
        spliced(text, self.range.start, self.range.end, &self.text)
    }
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
