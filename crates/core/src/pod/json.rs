//! Reading JSON as Kubernetes' own decoder does: `null` is a field's empty value, and a list is never an object.
//!
//! Nothing that is read is copied: a text points into the JSON unless it has escapes.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;
use std::{
    borrow::{Borrow, Cow},
    cell::OnceCell,
    fmt,
    marker::PhantomData,
    ops::Deref,
};

/// A text of the JSON, borrowed from it where it has no escapes. `null` is the empty text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Text<'a>(Cow<'a, str>);

/// The entries of a JSON object with keys of the user's own, by key. The last entry of a key counts.
#[derive(Clone, Debug)]
pub struct Entries<'a, V> {
    sorted: Vec<(Text<'a>, V)>,
}

/// The value of a label or annotation. Kubernetes wants strings; what else a manifest has, such as `true` without quotes,
/// is read as its JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    /// A string.
    String(Text<'a>),
    /// The JSON of anything else.
    Other(&'a str),
}

/// A field of an object: its JSON at once, its value on demand, and then kept.
#[derive(Debug)]
pub(super) struct Field<'a, T> {
    raw: Option<&'a RawValue>,
    value: OnceCell<Option<T>>,
}

/// Reads an object into what is read from a map.
struct ObjectVisitor<T>(PhantomData<T>);

/// Reads `null` as the default, and everything else as an object.
struct OptionalObject<T>(PhantomData<T>);

struct EntriesVisitor<V>(PhantomData<V>);

/// Reads a list of `T`, of which it keeps what `keep` makes of them.
struct KeptItems<F, T> {
    keep: F,
    items: PhantomData<T>,
}

/// Labels or annotations, as much as Kubernetes takes of them.
struct Labels<'a>(Entries<'a, Label<'a>>);

struct LabelsVisitor;

/// The most that Kubernetes takes of annotations, in bytes of keys and values together; labels are far below it.
///
/// Source: k8s.io/apimachinery/pkg/api/validation/objectmeta.go, `TotalAnnotationSizeLimitB`.
pub const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Reads `null` as the type's default.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads an object; a list, which serde takes for a structure's fields in their order, is an error.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

/// The same, or `None` for `null`.
pub(crate) fn optional_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_option(OptionalObject(PhantomData))
}

/// Reads labels or annotations; `None` for `null`.
pub(super) fn labels<'de, D>(deserializer: D) -> Result<Option<Entries<'de, Label<'de>>>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.map(|Labels(entries)| entries))
}

/// Sets what a key stands for, and refuses to do so twice.
pub(super) fn once<T, E: de::Error>(field: &'static str, slot: &mut Option<T>, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(field)),
    }
}

/// The items of a list for which `keep` has something to keep; it gets each item's index and value.
pub(super) fn kept_items<'de, D, T, K>(
    deserializer: D,
    keep: impl Fn(usize, T) -> Option<K>,
) -> Result<Vec<K>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(KeptItems { keep, items: PhantomData })
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OptionalObject<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        object(deserializer).map(Some)
    }
}

impl<'de, T, K, F> Visitor<'de> for KeptItems<F, T>
where
    T: Deserialize<'de>,
    F: Fn(usize, T) -> Option<K>,
{
    type Value = Vec<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (mut kept, mut index) = (Vec::new(), 0);
        while let Some(item) = list.next_element()? {
            kept.extend((self.keep)(index, item));
            index += 1;
        }
        Ok(kept)
    }
}

// === impl Text ===

impl Text<'_> {
    /// Whether the text is empty or absent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_str(self)
            }
        }

        deserializer.deserialize_option(TextVisitor)
    }
}

// === impl Label ===

impl<'a> Label<'a> {
    fn of(raw: &'a RawValue) -> Self {
        let json = raw.get();
        match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            None => Self::Other(json),
            // What has no escapes stands there as it is.
            Some(text) if !text.contains('\\') => Self::String(text.into()),
            Some(_) => Self::String(serde_json::from_str(json).unwrap_or_else(|_| json.into())),
        }
    }
}

impl Deref for Label<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::String(text) => text,
            Self::Other(json) => json,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Label<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(deserializer).map(Self::of)
    }
}

// === impl Entries ===

impl<'a, V> Entries<'a, V> {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&V> {
        let at = self.sorted.binary_search_by(|(own, _)| (**own).cmp(key)).ok()?;
        self.sorted.get(at).map(|(_, value)| value)
    }

    /// Whether there is an entry for `key`.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether there is an entry whose key begins with `prefix`.
    #[must_use]
    pub fn has_prefix(&self, prefix: &str) -> bool {
        let at = self.sorted.partition_point(|(key, _)| **key < *prefix);
        self.sorted.get(at).is_some_and(|(key, _)| key.starts_with(prefix))
    }

    /// Whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The entries, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.sorted.iter().map(|(key, value)| (&**key, value))
    }

    fn of(mut entries: Vec<(Text<'a>, V)>) -> Self {
        let is_sorted = entries.is_sorted_by(|(one, _), (next, _)| one < next);
        if !is_sorted {
            // The sort is stable: behind it the last entry of a key is still the last.
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            entries.reverse();
            entries.dedup_by(|(one, _), (other, _)| one == other);
            entries.reverse();
        }
        Self { sorted: entries }
    }
}

impl<V> Default for Entries<'_, V> {
    fn default() -> Self {
        Self { sorted: Vec::new() }
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Entries<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

impl<'de, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<V> {
    type Value = Entries<'de, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries::of(entries))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LabelsVisitor)
    }
}

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut entries, mut size) = (Vec::new(), 0);
        while let Some((key, value)) = map.next_entry::<Text<'de>, Label<'de>>()? {
            size += key.len() + value.len();
            if size > ANNOTATIONS_LIMIT {
                return Err(de::Error::custom(format_args!(
                    "more than the {ANNOTATIONS_LIMIT} bytes that Kubernetes allows"
                )));
            }
            entries.push((key, value));
        }
        Ok(Labels(Entries::of(entries)))
    }
}

// === impl Field ===

impl<'a, T> Field<'a, T> {
    /// The field's JSON; `None` where it is absent or null.
    pub(super) const fn raw(&self) -> Option<&'a RawValue> {
        self.raw
    }

    /// Notes the field's JSON; false where it was there already.
    pub(super) const fn note(&mut self, raw: Option<&'a RawValue>) -> bool {
        let is_first = self.raw.is_none();
        self.raw = raw;
        is_first
    }
}

impl<'a, T: Deserialize<'a>> Field<'a, T> {
    /// The field's value; `None` where it is absent, null, or not of its type.
    pub(super) fn get(&self) -> Option<&T> {
        let raw = self.raw?;
        self.value.get_or_init(|| serde_json::from_str(raw.get()).ok()).as_ref()
    }
}

impl<T> Default for Field<'_, T> {
    fn default() -> Self {
        Self { raw: None, value: OnceCell::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_of_a_key_counts_in_any_order() {
        let entries: Entries<'_, Label<'_>> = serde_json::from_str(r#"{"b":"1","a":"2","b":"3","a":"4"}"#).unwrap();
        let all: Vec<_> = entries.iter().map(|(key, value)| (key, &**value)).collect();
        assert_eq!(all, [("a", "4"), ("b", "3")]);
        assert!(entries.has_prefix("a") && entries.has_prefix("") && !entries.has_prefix("c"));
    }

    #[test]
    fn labels_that_are_no_strings_are_read_as_their_json() {
        let entries: Entries<'_, Label<'_>> =
            serde_json::from_str(r#"{"a":true,"b":"x\u0041","c":null,"d":[1, 2],"e":"\ud800"}"#).unwrap();
        let all: Vec<_> = entries.iter().map(|(_, value)| &**value).collect();
        assert_eq!(all, ["true", "xA", "null", "[1, 2]", r#""\ud800""#]);
        let are_strings: Vec<_> = entries.iter().map(|(_, value)| matches!(value, Label::String(_))).collect();
        assert_eq!(are_strings, [false, true, false, false, true]);
    }

    #[test]
    fn to_know_what_is_no_string_takes_no_memory() {
        assert_eq!(size_of::<Label<'_>>(), size_of::<Text<'_>>());
    }

    #[test]
    fn a_list_is_no_object() {
        #[derive(Deserialize)]
        struct One {
            #[serde(deserialize_with = "object")]
            _inner: Two,
        }
        #[derive(Deserialize)]
        struct Two {
            _a: u8,
        }
        assert!(serde_json::from_str::<One>(r#"{"_inner":{"_a":1}}"#).is_ok());
        assert!(serde_json::from_str::<One>(r#"{"_inner":[1]}"#).is_err());
    }
}
