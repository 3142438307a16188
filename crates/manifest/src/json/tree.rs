//! JSON text -> a tree of nodes that remember where they are.

use std::ops::Range;

/// One value, and where it is in the text.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) range: Range<usize>,
    pub(crate) content: Content,
}

/// What a value consists of.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Scalar,
    Array(Vec<Node>),
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where its key is.
    pub(crate) key: Range<usize>,
    pub(crate) value: Node,
}

/// Walks over text that is known to be JSON: strings, brackets and commas are all that there is to see.
struct Walker<'t> {
    text: &'t str,
    at: usize,
}

// === impl Node ===

impl Node {
    /// The value that `text`, which is known to be JSON, holds.
    pub(crate) fn of(text: &str) -> Self {
        Walker { text, at: 0 }.value()
    }
}

// === impl Walker ===

impl Walker<'_> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether `byte` comes next; it is then behind us.
    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self) -> Node {
        let first = self.peek();
        let start = self.at;
        let content = match first {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => {
                self.at = end_of_string(self.text.as_bytes(), start);
                Content::Scalar
            }
            _ => {
                let rest = self.text.as_bytes().get(start..).unwrap_or_default();
                let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}');
                self.at += rest.iter().take_while(|byte| !ends(byte)).count();
                Content::Scalar
            }
        };
        Node { range: start..self.at, content }
    }

    fn array(&mut self) -> Content {
        self.at += 1;
        let mut items = Vec::new();
        while !self.takes(b']') && self.peek().is_some() {
            items.push(self.value());
            self.takes(b',');
        }
        Content::Array(items)
    }

    fn object(&mut self) -> Content {
        self.at += 1;
        let mut members = Vec::new();
        while !self.takes(b'}') && self.peek().is_some() {
            let key = self.at..end_of_string(self.text.as_bytes(), self.at);
            let name = self.text.get(key.clone()).and_then(|key| serde_json::from_str(key).ok()).unwrap_or_default();
            self.at = key.end;
            self.takes(b':');
            let value = self.value();
            members.push(Member { name, key, value });
            self.takes(b',');
        }
        Content::Object(members)
    }
}

/// The offset behind the string that begins at `start`.
pub(super) fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}
