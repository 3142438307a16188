//! JSON: one object, or several one after the other, as `kubectl` and `jq` take them.

mod edit;
mod tree;

pub(super) use edit::edited;
pub(super) use tree::{Content, Node};

use super::error::{Fault, Flaw, Position};
use serde_json::{Deserializer, Value};
use std::{collections::HashSet, ops::Range};

/// A document, and where it is.
pub(super) struct Piece {
    /// From its first character to the first one behind it.
    pub(super) range: Range<usize>,
    /// Its value; of two equal keys the last one counts, as it does to `kubectl`.
    pub(super) value: Value,
    /// What other readers would understand in another way: the first of it.
    pub(super) tolerated: Option<Flaw>,
}

/// Objects that are being walked through: the keys seen so far, or `None` for an array.
type Open = Vec<Option<HashSet<String>>>;

/// The documents in `text`, and what is wrong with what follows them; `null` is no document.
pub(super) fn read(text: &str) -> (Vec<Piece>, Option<Flaw>) {
    let mut documents = Vec::new();
    let mut stream = Deserializer::from_str(text).into_iter::<Value>();
    let (mut read, mut end) = (Position::START, 0);
    while let Some(value) = stream.next() {
        let value = match value {
            Ok(value) => value,
            Err(error) => return (documents, Some(syntax(&error))),
        };
        let blank = text[end..].len() - text[end..].trim_start().len();
        let range = end + blank..stream.byte_offset();
        let start = read.behind(&text[end..range.start]);
        read = start.behind(&text[range.clone()]);
        end = range.end;
        let tolerated = duplicate(&text[range.clone()]).map(|(key, offset)| {
            let position = start.behind(&text[range.start..range.start + offset]);
            Flaw::at(position, Fault::Duplicate, duplicate_key(&key))
        });
        if !value.is_null() {
            documents.push(Piece { range, value, tolerated });
        }
    }
    (documents, None)
}

/// What is said about a key that stands twice in one object.
pub(super) fn duplicate_key(key: &str) -> String {
    format!("duplicate key {key:?}: readers disagree on which of the two counts; remove one")
}

fn syntax(error: &serde_json::Error) -> Flaw {
    let what = error.to_string();
    let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
    let position = Position { line: error.line(), column: error.column().max(1) };
    let fault = if what.starts_with("recursion limit") { Fault::Limit } else { Fault::Syntax };
    Flaw::at(position, fault, format!("this is not JSON: {what}; correct the file"))
}

/// The first key that stands twice in one object, and where; `json` is known to be JSON.
///
/// `serde_json` keeps the last of two equal keys without a word. Walking over text that is known to be
/// right takes no more than strings and brackets.
fn duplicate(json: &str) -> Option<(String, usize)> {
    let bytes = json.as_bytes();
    let mut open = Open::new();
    let mut key_expected = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' => open.push(Some(HashSet::new())),
            b'[' => open.push(None),
            b'}' | b']' => drop(open.pop()),
            b'"' => {
                let end = tree::end_of_string(bytes, at);
                if key_expected && let Some(Some(keys)) = open.last_mut() {
                    let key: String = serde_json::from_str(&json[at..end]).ok()?;
                    if !keys.insert(key.clone()) {
                        return Some((key, at));
                    }
                }
                key_expected = false;
                at = end;
                continue;
            }
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            key_expected = matches!(byte, b'{' | b',');
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(r#"{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}"#, None)]
    #[case(r#"{"a":"a","b":["a","a","x,y"],"x":",\"b\":"}"#, None)]
    #[case(r#"{"a":1, "a":2}"#, Some(("a", 8)))]
    #[case(r#"{"x":[{"b\u0061":1,"ba":2}]}"#, Some(("ba", 19)))]
    fn keys_twice_in_one_object(#[case] json: &str, #[case] expected: Option<(&str, usize)>) {
        assert_eq!(duplicate(json), expected.map(|(key, offset)| (key.to_owned(), offset)));
    }

    #[test]
    fn objects_may_follow_each_other_without_space() {
        let (documents, flaw) = read("{\"a\":1}{\"b\":2}\n null {\"c\":3}\n");
        assert_eq!((documents.len(), flaw), (3, None));
        assert_eq!(documents[1].range, 7..14);
    }

    #[test]
    fn errors_tell_document_and_place() {
        let (documents, flaw) = read("{}\n{\"a\": tru}\n");
        assert_eq!((documents.len(), flaw.unwrap().position.unwrap().line), (1, 2));
        let (documents, flaw) = read("{}\n{\"a\":\n1, \"a\": 2} {}\n");
        assert_eq!((documents.len(), flaw), (3, None));
        let twice = documents[1].tolerated.clone().unwrap();
        assert_eq!(twice.position, Some(Position { line: 3, column: 4 }));
        assert_eq!(documents[1].value["a"], 2);
    }
}
