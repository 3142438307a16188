//! Where the values of a document are in its file.

use crate::{
    Position, json,
    yaml::{Content as Yaml, Node, is_merge, key_text},
};
use json_patch::jsonptr::Pointer;
use std::collections::HashMap;

/// The places of all values in one document, as it was read: made in one walk, so that each question is answered without
/// another.
#[derive(Clone, Debug, Default)]
pub struct Located {
    /// The first is the document's; none where nothing is known of it.
    places: Vec<Place>,
}

#[derive(Clone, Debug)]
struct Place {
    position: Position,
    content: Content,
}

/// What stands in a place; the numbers are those of places.
#[derive(Clone, Debug)]
enum Content {
    Scalar,
    List(Vec<usize>),
    Map {
        own: HashMap<String, usize>,
        /// What `<<` brings in.
        merged: Vec<usize>,
    },
    /// Another name for what stands in that place.
    Alias(usize),
}

/// Walks through a document in YAML.
#[derive(Default)]
struct Yamls {
    places: Vec<Place>,
    anchors: HashMap<usize, usize>,
}

/// Walks through a document in JSON.
struct Jsons<'t> {
    text: &'t str,
    places: Vec<Place>,
    /// How far the text was counted through, and the place there.
    counted: (usize, Position),
}

// === impl Located ===

impl Located {
    /// The places in a document in YAML, which begins at `start` in its file.
    pub(super) fn in_yaml(root: &Node, start: Position) -> Self {
        let mut walk = Yamls::default();
        walk.node(root);
        let mut places = walk.places;
        for place in &mut places {
            place.position = place.position.from(start);
        }
        Self { places }
    }

    /// The places in a document in JSON, `text`, which begins at `start` in its file.
    pub(super) fn in_json(text: &str, start: Position) -> Self {
        let mut walk = Jsons { text, places: Vec::new(), counted: (0, start) };
        walk.node(&json::Node::of(text));
        Self { places: walk.places }
    }

    /// The first character of the value at `pointer`: of a mapping or list in lines of its own that is its first key or item,
    /// of a block of text its first line, and where the value is an alias, it is the alias. What stands below an alias, or comes by `<<`, is where the anchor is.
    #[must_use]
    pub fn position(&self, pointer: &Pointer) -> Option<Position> {
        let mut at = 0;
        for token in pointer.tokens() {
            at = self.below(at, &token.decoded())?;
        }
        self.places.get(at).map(|place| place.position)
    }

    fn below(&self, at: usize, token: &str) -> Option<usize> {
        match &self.places.get(at)?.content {
            Content::Scalar => None,
            Content::List(items) => items.get(token.parse::<usize>().ok()?).copied(),
            Content::Map { own, merged } => {
                let own = own.get(token).copied();
                own.or_else(|| merged.iter().find_map(|merged| self.brought(*merged, token)))
            }
            Content::Alias(target) => self.below(*target, token),
        }
    }

    /// The entry that `<<` brings in from the mapping, or the first of the mappings, at `at`.
    fn brought(&self, at: usize, token: &str) -> Option<usize> {
        match &self.places.get(at)?.content {
            Content::List(sources) => sources.iter().find_map(|source| self.below(*source, token)),
            _ => self.below(at, token),
        }
    }
}

// === impl Yamls ===

impl Yamls {
    fn node(&mut self, node: &Node) -> usize {
        let number = self.places.len();
        self.places.push(Place { position: node.position, content: Content::Scalar });
        if node.anchor != 0 {
            self.anchors.insert(node.anchor, number);
        }
        let content = match &node.content {
            Yaml::Scalar { .. } => Content::Scalar,
            Yaml::Alias(target) => self.anchors.get(target).map_or(Content::Scalar, |place| Content::Alias(*place)),
            Yaml::Sequence { items, .. } => Content::List(items.iter().map(|item| self.node(item)).collect()),
            Yaml::Mapping { entries, .. } => self.mapping(entries),
        };
        self.places[number].content = content;
        number
    }

    fn mapping(&mut self, entries: &[(Node, Node)]) -> Content {
        let (mut own, mut merged) = (HashMap::new(), Vec::new());
        for (key, value) in entries {
            if key.anchor != 0 {
                let number = self.places.len();
                self.places.push(Place { position: key.position, content: Content::Scalar });
                self.anchors.insert(key.anchor, number);
            }
            let value = self.node(value);
            if is_merge(key) {
                merged.push(value);
            } else if let Some(name) = key_text(key) {
                own.insert(name, value);
            }
        }
        Content::Map { own, merged }
    }
}

// === impl Jsons ===

impl Jsons<'_> {
    fn node(&mut self, node: &json::Node) -> usize {
        let number = self.places.len();
        let (end, place) = self.counted;
        let position = place.behind(self.text.get(end..node.range.start).unwrap_or_default());
        self.counted = (node.range.start, position);
        self.places.push(Place { position, content: Content::Scalar });
        self.places[number].content = match &node.content {
            json::Content::Scalar => Content::Scalar,
            json::Content::Array(items) => Content::List(items.iter().map(|item| self.node(item)).collect()),
            json::Content::Object(members) => {
                let own = members.iter().map(|member| (member.name.clone(), self.node(&member.value))).collect();
                Content::Map { own, merged: Vec::new() }
            }
        };
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;
    use rstest::rstest;

    fn place(manifest: &Manifest, document: usize, pointer: &str) -> Option<(usize, usize)> {
        let position = manifest.located(document).position(Pointer::parse(pointer).unwrap());
        position.map(|Position { line, column }| (line, column))
    }

    const YAML: &str = "\
# é
a: 1
---
--- # two
é: &x {b: [1, 'two']}
c:
- name: one
  &y k: v
-   # comment
  name: two
- !!map
  name: three
- &z
  name: four
- {name: five}
- [x]
d: *x
e:
  <<: [*x, *z]
  own: 1
f: |
  text
g:
\"h\": 0
";

    #[rstest]
    #[case::document("", Some((5, 1)))]
    #[case::flow_mapping("/é", Some((5, 7)))]
    #[case::in_brackets("/é/b/1", Some((5, 15)))]
    #[case::sequence("/c", Some((7, 3)))]
    #[case::item("/c/0", Some((7, 3)))]
    #[case::value("/c/0/name", Some((7, 9)))]
    #[case::behind_an_anchor("/c/0/k", Some((8, 9)))]
    #[case::item_below_its_dash("/c/1", Some((10, 3)))]
    #[case::tagged_item("/c/2", Some((12, 3)))]
    #[case::anchored_item("/c/3", Some((14, 3)))]
    #[case::item_in_braces("/c/4", Some((15, 3)))]
    #[case::list_in_a_list("/c/5/0", Some((16, 4)))]
    #[case::alias("/d", Some((17, 4)))]
    #[case::below_an_alias("/d/b/0", Some((5, 12)))]
    #[case::merged("/e/b", Some((5, 11)))]
    #[case::merged_from_the_second("/e/name", Some((14, 9)))]
    #[case::own("/e/own", Some((20, 8)))]
    #[case::block("/f", Some((22, 3)))]
    #[case::quoted_key("/h", Some((24, 6)))]
    #[case::absent("/c/9", None)]
    #[case::below_a_scalar("/h/x", None)]
    fn in_yaml(#[case] pointer: &str, #[case] expected: Option<(usize, usize)>) {
        let manifest = Manifest::read("f", YAML.as_bytes()).unwrap();
        assert_eq!(place(&manifest, 1, pointer), expected);
        assert_eq!(place(&manifest, 0, "/a"), Some((2, 4)));
        assert_eq!(place(&manifest, 7, ""), None);
    }

    #[rstest]
    #[case("", Some((2, 3)))]
    #[case("/é", Some((2, 9)))]
    #[case("/é/1", Some((2, 14)))]
    #[case("/c/0/b~1d", Some((4, 11)))]
    #[case("/c/1", None)]
    fn in_json(#[case] pointer: &str, #[case] expected: Option<(usize, usize)>) {
        let text = "{\"a\": 1}\r\n  {\"é\": [10, 2],\r\n \"c\": [{\r\n  \"b/d\" : null}]}";
        let manifest = Manifest::read("f", text.as_bytes()).unwrap();
        assert_eq!(place(&manifest, 1, pointer), expected);
    }

    #[test]
    fn nothing_is_known_of_what_could_not_be_read() {
        let (manifest, _) = Manifest::read_all("f", b"a: [");
        assert_eq!(place(&manifest, 0, ""), None);
    }

    /// Each answer takes steps down, and none aside: with a walk for each question this would not end.
    #[test]
    fn many_items_are_asked_for() {
        let items: String = (0..20_000).map(|n| format!("- {{name: {n}}}\n")).collect::<Vec<_>>().concat();
        let manifest = Manifest::read("f", format!("items:\n{items}").as_bytes()).unwrap();
        let located = manifest.located(0);
        for n in 0..20_000 {
            let pointer = json_patch::jsonptr::PointerBuf::parse(format!("/items/{n}/name")).unwrap();
            assert_eq!(located.position(&pointer), Some(Position { line: n + 2, column: 10 }));
        }
    }
}
