//! YAML text -> a tree of nodes that remember where they are.

use crate::error::{Fault, Flaw, Position};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag, options};
use std::{borrow::Cow, ops::Range};

/// How deep a document may be nested: what `serde_json` reads, so that both formats have one limit.
pub(super) const DEPTH_LIMIT: usize = 128;

/// One node, and where it is in the text.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Offset of the first byte: of an anchor or tag, or of the `|` of a block of text.
    pub(crate) begin: usize,
    /// Offset of the first byte of the content, behind an anchor or tag.
    pub(crate) start: usize,
    /// Offset behind the last byte of the content that is no white space, but for lines that a block of text keeps: there
    /// it is that of their last line end.
    pub(crate) end: usize,
    pub(crate) position: Position,
    /// The anchor's number; 0 where there is none.
    pub(crate) anchor: usize,
    pub(crate) tag: Option<String>,
    pub(crate) content: Content,
}

/// What a node consists of.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Scalar {
        text: String,
        style: ScalarStyle,
    },
    Sequence {
        items: Vec<Node>,
        flow: bool,
    },
    Mapping {
        entries: Vec<(Node, Node)>,
        flow: bool,
    },
    /// The number of the anchor that is meant.
    Alias(usize),
}

/// Builds the tree from events.
struct Builder<'t> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    tolerated: Option<Flaw>,
    /// Where the content ends that was read last: no anchor or tag of what comes next stands before it.
    read: usize,
}

/// A document, as `kubectl` reads it.
pub(super) struct Parsed {
    /// `None` where there is no document, or an empty one.
    pub(super) root: Option<Node>,
    /// What other readers would understand in another way, or refuse: the first of it.
    pub(super) tolerated: Option<Flaw>,
}

/// The root of the document in `text`; `None` where there is none or it is empty.
///
/// # Errors
///
/// When `text` is no YAML, is more than one document, or is not understood alike by all readers.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Flaw> {
    let Parsed { root, tolerated } = parse_tolerantly(text)?;
    tolerated.map_or(Ok(root), Err)
}

/// The document in `text`.
///
/// # Errors
///
/// When `text` is no YAML, or more than one document.
pub(super) fn parse_tolerantly(text: &str) -> Result<Parsed, Flaw> {
    // As libyaml and its translation to Go do: a file may lack its last line end.
    let options = options! {
        block_scalar_eof_without_line_feed: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH_LIMIT,
        block_nesting_limit: DEPTH_LIMIT,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { text, parser, tolerated: None, read: 0 };
    let mut root = None;
    while let Some((event, span)) = builder.next()? {
        if !event.is_node() {
            continue;
        }
        if root.is_some() {
            let what = "a second document begins here; put `---` before it";
            return Err(Flaw::at(position(&span), Fault::Syntax, what));
        }
        root = Some(builder.node(event, span)?);
    }
    let root = root.filter(|root| !root.is_empty_document());
    Ok(Parsed { root, tolerated: builder.tolerated })
}

pub(super) fn is_block(style: ScalarStyle) -> bool {
    matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
}

/// Offset behind the last byte before `at` that is neither white space nor in a comment.
pub(super) fn code_before(text: &str, at: usize) -> usize {
    code_between(text, 0..at)
}

/// Offset behind the last byte of `range` that is neither white space nor in a comment; its start where there is none.
fn code_between(text: &str, Range { start, end: mut at }: Range<usize>) -> usize {
    let is_comment = |hash: &usize| text[..*hash].is_empty() || text[..*hash].ends_with([' ', '\t', '\n']);
    loop {
        let code = start + text.get(start..at).map_or(0, |between| between.trim_end().len());
        let line = text[start..code].rfind('\n').map_or(start, |newline| start + newline + 1);
        match text[line..code].match_indices('#').map(|(hash, _)| line + hash).find(is_comment) {
            Some(hash) => at = hash,
            None => return code,
        }
    }
}

/// Where the last word before `at` is, if it begins with one of `marks`.
pub(super) fn word_before(text: &str, at: usize, marks: &[char]) -> Option<usize> {
    word_between(text, 0..at, marks)
}

/// Where the last word of `range` is, if it begins with one of `marks`.
fn word_between(text: &str, range: Range<usize>, marks: &[char]) -> Option<usize> {
    let start = range.start;
    let code = &text[start..code_between(text, range)];
    let word = code.rfind(|c: char| c.is_ascii_whitespace()).map_or(0, |blank| blank + 1);
    code[word..].starts_with(marks).then_some(start + word)
}

/// Where `node` begins with its anchor and tag, which stand behind `floor`; its content where that cannot be told.
fn begin(text: &str, node: &Node, floor: usize) -> usize {
    let mut at = node.start;
    let before = |at: usize, marks| word_between(text, floor.min(at)..at, marks).unwrap_or(at);
    if matches!(node.content, Content::Scalar { style, .. } if is_block(style)) {
        at = before(at, &['|', '>']);
    }
    for _ in 0..usize::from(node.anchor != 0) + usize::from(node.tag.is_some()) {
        at = before(at, &['&', '!']);
    }
    at
}

fn position(span: &Span) -> Position {
    Position { line: span.start.line().max(1), column: span.start.col() + 1 }
}

fn flaw(error: &ScanError) -> Flaw {
    let marker = error.marker();
    let advice = match error.kind() {
        ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => "; indent with spaces",
        ErrorKind::UnknownAnchor => "; an anchor must stand before its alias, in the same document",
        ErrorKind::MappingValueNotAllowed => "; quote a value that contains `: `, and check the indentation",
        _ => "; correct the file",
    };
    let fault = match error.kind() {
        ErrorKind::RecursionLimitExceeded => Fault::Limit,
        _ => Fault::Syntax,
    };
    let position = Position { line: marker.line().max(1), column: marker.col() + 1 };
    Flaw::at(position, fault, format!("this is not YAML: {}{advice}", error.info()))
}

/// A tag without `tag:yaml.org,2002:`; a tag of others keeps its `!`.
fn tag_name(tag: &Tag) -> String {
    tag.suffix_in_namespace("tag:yaml.org,2002:").map_or_else(|| tag.to_string(), Cow::into_owned)
}

/// The text of a scalar that begins with a question mark.
fn question(node: &Node) -> Option<&str> {
    match &node.content {
        Content::Scalar { text, style: ScalarStyle::Plain } => text.strip_prefix('?').map(str::trim_start),
        _ => None,
    }
}

fn question_flaw(node: &Node) -> Flaw {
    let what = "YAML readers disagree on a question mark here; quote the value";
    Flaw::at(node.position, Fault::Ambiguous, what)
}

/// What follows the colon behind a plain `key`, where it is a comma or bracket.
fn colon_before<'t>(text: &'t str, key: &Node) -> Option<&'t str> {
    let plain = matches!(key.content, Content::Scalar { style: ScalarStyle::Plain, .. });
    let rest = text.get(key.end..)?.trim_start_matches([' ', '\t']).strip_prefix(':').filter(|_| plain);
    rest.filter(|rest| rest.starts_with([',', '[', ']', '{', '}']))
}

// === impl Builder ===

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Flaw> {
        self.parser.next_event().transpose().map_err(|error| flaw(&error))
    }

    fn must(&mut self) -> Result<(Event<'t>, Span), Flaw> {
        let nowhere = || Flaw {
            position: None,
            item: None,
            fault: Fault::Syntax,
            what: "the YAML ends too early; complete the file".into(),
        };
        self.next()?.ok_or_else(nowhere)
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Node, Flaw> {
        let range = span.byte_range().unwrap_or_default();
        let (start, anchor) = (range.start, event.anchor_id().unwrap_or_default());
        let tag = event.tag().map(tag_name);
        let floor = self.read;
        if matches!(
            event,
            Event::SequenceStart(StructureStyle::Flow, ..) | Event::MappingStart(StructureStyle::Flow, ..)
        ) {
            self.read = range.end;
        }
        let (content, end) = match event {
            Event::Alias(target) => (Content::Alias(target), range.end),
            Event::Scalar(text, style, ..) => {
                // The parser writes `~` for a value that is not there.
                let absent = range.is_empty() && style == ScalarStyle::Plain;
                let text = if absent { String::new() } else { text.into_owned() };
                let end = self.end_of_scalar(range, &text, style);
                (Content::Scalar { text, style }, end)
            }
            Event::SequenceStart(style, ..) => self.sequence(style == StructureStyle::Flow)?,
            Event::MappingStart(style, ..) => self.mapping(style == StructureStyle::Flow)?,
            _ => {
                let what = "this is not YAML: a value is missing; correct the file";
                return Err(Flaw::at(position(&span), Fault::Syntax, what));
            }
        };
        let end = end.max(start);
        let mut node = Node { begin: start, start, end, position: position(&span), anchor, tag, content };
        node.begin = begin(self.text, &node, floor);
        self.read = self.read.max(end);
        Ok(node)
    }

    fn end_of_scalar(&self, range: Range<usize>, text: &str, style: ScalarStyle) -> usize {
        let raw = self.text.get(range.clone()).unwrap_or_default();
        let lines = raw.trim_end_matches(' ');
        let is_kept = is_block(style) && text.ends_with("\n\n") && lines.ends_with('\n');
        let len = if is_kept { lines.len() - 1 } else { raw.trim_end().len() };
        range.start + len
    }

    fn sequence(&mut self, flow: bool) -> Result<(Content, usize), Flaw> {
        let (mut items, mut end) = (Vec::new(), 0);
        loop {
            let (event, span) = self.must()?;
            if event == Event::SequenceEnd {
                end = if flow { span.byte_range().map_or(end, |range| range.end) } else { end };
                return Ok((Content::Sequence { items, flow }, end));
            }
            let mut item = self.node(event, span)?;
            if flow {
                self.read_item_as_kubectl(&mut item);
            }
            end = item.end;
            items.push(item);
        }
    }

    fn mapping(&mut self, flow: bool) -> Result<(Content, usize), Flaw> {
        let (mut entries, mut end) = (Vec::new(), 0);
        loop {
            let (event, span) = self.must()?;
            if event == Event::MappingEnd {
                end = if flow { span.byte_range().map_or(end, |range| range.end) } else { end };
                return Ok((Content::Mapping { entries, flow }, end));
            }
            let mut key = self.node(event, span)?;
            let (event, span) = self.must()?;
            let value = self.node(event, span)?;
            if flow {
                self.read_key_as_kubectl(&mut key)?;
                question(&value).map_or(Ok(()), |_| Err(question_flaw(&value)))?;
            }
            end = value.end.max(key.end);
            entries.push((key, value));
        }
    }

    /// In brackets, YAML 1.2 reads `{a:}` as the key `a`, and go.yaml.in/yaml/v2 as `a:`; and `{?a: b}` the other way
    /// round.
    fn read_key_as_kubectl(&mut self, key: &mut Node) -> Result<(), Flaw> {
        if let Some(text) = question(key).map(str::to_owned) {
            self.tolerate(question_flaw(key));
            key.set_text(text);
        }
        let Some(rest) = colon_before(self.text, key) else { return Ok(()) };
        let what =
            "YAML readers disagree on a colon right before a comma or bracket; quote it, or put a space behind it";
        let flaw = Flaw::at(key.position, Fault::Ambiguous, what);
        if rest.starts_with(['[', '{']) {
            return Err(flaw);
        }
        self.tolerate(flaw);
        if let Content::Scalar { text, .. } = &mut key.content {
            text.push(':');
        }
        Ok(())
    }

    /// Where YAML 1.2 reads `[?a]` as a string, go.yaml.in/yaml/v2 reads `[{a: null}]`; and `[a:]` the other way round.
    fn read_item_as_kubectl(&mut self, item: &mut Node) {
        if let Some(text) = question(item).map(str::to_owned) {
            self.tolerate(question_flaw(item));
            let (mut key, mut value) = (item.clone(), item.clone());
            key.set_text(text);
            value.set_text(String::new());
            item.content = Content::Mapping { entries: vec![(key, value)], flow: true };
        } else if let Content::Mapping { entries, .. } = &item.content
            && let [(key, _)] = entries.as_slice()
            && key.start == item.start
            && colon_before(self.text, key).is_some()
        {
            item.content = key.content.clone();
        }
    }

    fn tolerate(&mut self, flaw: Flaw) {
        self.tolerated.get_or_insert(flaw);
    }
}

// === impl Node ===

impl Node {
    fn is_empty_document(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, style: ScalarStyle::Plain } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// Whether it is a collection in brackets or braces.
    pub(super) fn is_flow(&self) -> bool {
        matches!(self.content, Content::Sequence { flow: true, .. } | Content::Mapping { flow: true, .. })
    }

    fn set_text(&mut self, new: String) {
        if let Content::Scalar { text, .. } = &mut self.content {
            *text = new;
        }
    }

    /// All nodes below this one, and itself.
    pub(super) fn walk<'n>(&'n self, visit: &mut impl FnMut(&'n Self)) {
        visit(self);
        match &self.content {
            Content::Sequence { items, .. } => items.iter().for_each(|item| item.walk(visit)),
            Content::Mapping { entries, .. } => entries.iter().for_each(|(key, value)| {
                key.walk(visit);
                value.walk(visit);
            }),
            Content::Scalar { .. } | Content::Alias(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// The text of each node that has an anchor or a tag, up to its content.
    fn properties(text: &str) -> Vec<&str> {
        let root = parse(text).unwrap().unwrap();
        let mut found = Vec::new();
        root.walk(&mut |node| {
            if node.anchor != 0 || node.tag.is_some() {
                found.push(&text[node.begin..node.start]);
            }
        });
        found
    }

    #[rstest]
    #[case::in_brackets("a: [&a 1, !!str &b x#, &c , &d [&e !!int 2]]\n", &["&a ", "!!str &b ", "&c", "&d ", "&e !!int "])]
    #[case::right_behind_a_bracket("[&a ]\n", &["&a"])]
    #[case::in_lines("&r\na: &b # c\n  # &d\n  &c k: &e\n", &["&r\n", "&b # c\n  # &d\n  ", "&c ", "&e"])]
    #[case::behind_a_block("a: &a |+\n  &x\n\nb: &b !!str >-\n  y\n", &["&a |+\n  ", "&b !!str >-\n  "])]
    #[case::behind_nothing("a:\n&b b: &c\nd: *c\n", &["&b ", "&c"])]
    fn a_node_begins_with_its_anchor_and_tag(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(properties(text), expected);
    }

    /// Whoever looked for each anchor from the beginning of its line would not come to an end.
    #[rstest]
    #[case::words("&a a, ")]
    #[case::hashes("&a a#, ")]
    #[case::nothing("&a , ")]
    fn many_anchors_stand_on_one_line(#[case] item: &str) {
        let text = format!("a: [{}]\n", item.repeat(50_000));
        assert_eq!(properties(&text).len(), 50_000);
    }
}
