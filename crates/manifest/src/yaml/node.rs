//! YAML text -> a tree of nodes that remember where they are.

use crate::error::{Flaw, Position};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag, options};
use std::borrow::Cow;

/// How deep a document may be nested: what `serde_json` reads, so that both formats have one limit.
pub(super) const DEPTH_LIMIT: usize = 128;

/// One node, and where it is in the text.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Offset of the first byte of the content, behind an anchor or tag.
    pub(super) start: usize,
    /// Offset behind the last byte of the content that is no white space.
    pub(super) end: usize,
    pub(super) position: Position,
    /// The anchor's number; 0 where there is none.
    pub(super) anchor: usize,
    pub(super) tag: Option<String>,
    pub(super) content: Content,
}

/// What a node consists of.
#[derive(Clone, Debug)]
pub(super) enum Content {
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
}

/// The root of the document in `text`; `None` where there is none or it is empty.
///
/// # Errors
///
/// When `text` is no YAML, or more than one document.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Flaw> {
    // As libyaml and its translation to Go do: a file may lack its last line end.
    let options = options! {
        block_scalar_eof_without_line_feed: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH_LIMIT,
        block_nesting_limit: DEPTH_LIMIT,
    };
    let mut builder = Builder { text, parser: Parser::new_from_str_with_options(text, options) };
    let mut root = None;
    while let Some((event, span)) = builder.next()? {
        if !event.is_node() {
            continue;
        }
        if root.is_some() {
            return Err(Flaw::at(position(&span), "a second document begins here; put `---` before it"));
        }
        root = Some(builder.node(event, span)?);
    }
    Ok(root.filter(|root| !root.is_empty_document()))
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
    let position = Position { line: marker.line().max(1), column: marker.col() + 1 };
    Flaw::at(position, format!("this is not YAML: {}{advice}", error.info()))
}

/// A tag without `tag:yaml.org,2002:`; a tag of others keeps its `!`.
fn tag_name(tag: &Tag) -> String {
    tag.suffix_in_namespace("tag:yaml.org,2002:").map_or_else(|| tag.to_string(), Cow::into_owned)
}

/// In brackets, YAML 1.2 reads `[?a]` as a string and go.yaml.in/yaml/v2 as a key.
fn refuse_question_mark(node: &Node) -> Result<(), Flaw> {
    match &node.content {
        Content::Scalar { text, style: ScalarStyle::Plain } if text.starts_with('?') => {
            Err(Flaw::at(node.position, "YAML readers disagree on a question mark here; quote the value"))
        }
        _ => Ok(()),
    }
}

// === impl Builder ===

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Flaw> {
        self.parser.next_event().transpose().map_err(|error| flaw(&error))
    }

    fn must(&mut self) -> Result<(Event<'t>, Span), Flaw> {
        let nowhere = || Flaw { position: None, item: None, what: "the YAML ends too early; complete the file".into() };
        self.next()?.ok_or_else(nowhere)
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Node, Flaw> {
        let range = span.byte_range().unwrap_or_default();
        let (start, anchor) = (range.start, event.anchor_id().unwrap_or_default());
        let tag = event.tag().map(tag_name);
        let (content, end) = match event {
            Event::Alias(target) => (Content::Alias(target), range.end),
            Event::Scalar(text, style, ..) => {
                // The parser writes `~` for a value that is not there.
                let absent = range.is_empty() && style == ScalarStyle::Plain;
                let text = if absent { String::new() } else { text.into_owned() };
                (Content::Scalar { text, style }, range.end)
            }
            Event::SequenceStart(style, ..) => self.sequence(style == StructureStyle::Flow)?,
            Event::MappingStart(style, ..) => self.mapping(style == StructureStyle::Flow)?,
            _ => return Err(Flaw::at(position(&span), "this is not YAML: a value is missing; correct the file")),
        };
        let end = start + self.text.get(start..end).map_or(0, |text| text.trim_end().len());
        Ok(Node { start, end, position: position(&span), anchor, tag, content })
    }

    fn sequence(&mut self, flow: bool) -> Result<(Content, usize), Flaw> {
        let (mut items, mut end) = (Vec::new(), 0);
        loop {
            let (event, span) = self.must()?;
            if event == Event::SequenceEnd {
                end = if flow { span.byte_range().map_or(end, |range| range.end) } else { end };
                return Ok((Content::Sequence { items, flow }, end));
            }
            let item = self.node(event, span)?;
            if flow {
                refuse_question_mark(&item)?;
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
            let key = self.node(event, span)?;
            let (event, span) = self.must()?;
            let value = self.node(event, span)?;
            if flow {
                self.refuse_ambiguous_key(&key)?;
                refuse_question_mark(&value)?;
            }
            end = value.end.max(key.end);
            entries.push((key, value));
        }
    }

    /// In brackets, YAML 1.2 reads `[a:]` as a mapping and go.yaml.in/yaml/v2 as the string `a:`.
    fn refuse_ambiguous_key(&self, key: &Node) -> Result<(), Flaw> {
        refuse_question_mark(key)?;
        let plain = matches!(key.content, Content::Scalar { style: ScalarStyle::Plain, .. });
        let rest = self.text[key.end..].trim_start_matches([' ', '\t']).strip_prefix(':').filter(|_| plain);
        if rest.is_some_and(|rest| rest.starts_with([',', '[', ']', '{', '}'])) {
            let what =
                "YAML readers disagree on a colon right before a comma or bracket; quote it, or put a space behind it";
            return Err(Flaw::at(key.position, what));
        }
        Ok(())
    }
}

// === impl Node ===

impl Node {
    fn is_empty_document(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, style: ScalarStyle::Plain } if matches!(text.as_str(), "" | "~" | "null"))
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
