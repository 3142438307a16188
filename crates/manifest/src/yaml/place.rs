//! Places in YAML text: where nodes, their lines and their comments are.

use super::{
    node::{Content, Node, code_before},
    value::{is_merge, key_text},
};
use json_patch::jsonptr::Pointer;
use std::ops::Range;

/// How much may be read, in bytes: each operation reads the text anew.
pub(super) const WORK_LIMIT: usize = 32 << 20;

/// A node with the entry it is the value of.
#[derive(Clone, Copy)]
pub(super) struct Found<'n> {
    pub(super) node: &'n Node,
    pub(super) key: Option<&'n Node>,
    /// Whether it stands between brackets or braces.
    pub(super) in_flow: bool,
}

/// One change of the text.
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// The place that `path` leads to.
pub(super) fn find<'n>(root: &'n Node, path: &Pointer) -> Option<Found<'n>> {
    way(root, path).last().flatten()
}

/// The places on the way to what `path` names, from the root on, and `None` where the way ends before.
pub(super) fn way<'n>(root: &'n Node, path: &Pointer) -> impl Iterator<Item = Option<Found<'n>>> {
    let begin = Some(Found { node: root, key: None, in_flow: false });
    let steps = path.tokens().scan(begin, |place, token| {
        *place = (*place)?.below(&token.decoded());
        Some(*place)
    });
    std::iter::once(begin).chain(steps)
}

pub(super) fn is_key(key: &Node, name: &str) -> bool {
    !is_merge(key) && key_text(key).is_some_and(|text| text == name)
}

pub(super) fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// The offset behind the line end at or after `at`.
pub(super) fn line_end(text: &str, at: usize) -> usize {
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
pub(super) fn comment_column(line: &str) -> Option<usize> {
    let body = line.trim_start_matches(' ');
    body.starts_with('#').then_some(line.len() - body.len())
}

/// Where the comment lines begin that stand right above the line at `start`, in the same column.
pub(super) fn with_comments_above(text: &str, mut start: usize, column: usize) -> usize {
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

pub(super) fn spliced(text: &str, start: usize, end: usize, replacement: &str) -> String {
    format!("{}{replacement}{}", &text[..start], &text[end..])
}

/// `text` with whole lines inserted at `at`, which is the start of a line or the end of the text.
pub(super) fn with_lines(text: &str, at: usize, lines: &str) -> String {
    let line_end = if at > 0 && !text[..at].ends_with('\n') { "\n" } else { "" };
    spliced(text, at, at, &format!("{line_end}{lines}"))
}

pub(super) fn is_in_lines(node: &Node) -> bool {
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
pub(super) fn comment_in(text: &str, range: Range<usize>) -> Option<usize> {
    let is_comment = |at: &usize| text[..*at].is_empty() || text[..*at].ends_with([' ', '\t', '\n']);
    text.get(range.clone())?.match_indices('#').map(|(at, _)| range.start + at).find(is_comment)
}

// === impl Found ===

impl Found<'_> {
    /// What `token` names in it.
    fn below(self, token: &str) -> Option<Self> {
        let in_flow = self.in_flow || self.node.is_flow();
        match &self.node.content {
            Content::Mapping { entries, .. } => {
                let (key, node) = entries.iter().find(|(key, _)| is_key(key, token))?;
                Some(Self { node, key: Some(key), in_flow })
            }
            Content::Sequence { items, .. } => {
                Some(Self { node: items.get(token.parse::<usize>().ok()?)?, key: None, in_flow })
            }
            Content::Scalar { .. } | Content::Alias(_) => None,
        }
    }
}

// === impl Splice ===

impl Splice {
    pub(super) fn of(&self, text: &str) -> String {
        spliced(text, self.range.start, self.range.end, &self.text)
    }
}
