//! How inputs are changed so that they stay what they are: JSON keeps its form, and lines stay lines. Bytes that are
//! changed anywhere seldom come further than the first error.
//!
//! Every other change is left to libFuzzer, which knows the bytes that comparisons look for; `None` says so.

use fastrand::Rng;
use native_sidecar_manifest::{Manifest, Side};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// libFuzzer's dictionary, without its escapes.
static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let quoted = include_str!("../words.dict").lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.filter(|word| !word.contains('\\')).collect()
});
/// At most so many changes at once.
const MOST_CHANGES: usize = 4;
/// An item is repeated so often at most.
const MOST_REPEATS: usize = 64;

/// Changes a JSON text.
#[must_use]
pub fn json(bytes: &[u8], most: usize, seed: u32) -> Option<Vec<u8>> {
    let mut rng = Rng::with_seed(seed.into());
    if rng.u8(..4) == 0 {
        return None;
    }
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    for _ in 0..rng.usize(1..=MOST_CHANGES) {
        change(&mut value, &mut rng);
    }
    let mut text = value.to_string().into_bytes();
    if rng.u8(..8) == 0 {
        repeat_member(&mut text, &mut rng);
    }
    (text.len() <= most).then_some(text)
}

/// Puts a part of the JSON text `other` into the JSON text `one`, in a place of its kind where there is one.
#[must_use]
pub fn cross_json(one: &[u8], other: &[u8], seed: u32) -> Option<Vec<u8>> {
    let (mut value, other): (Value, Value) = (serde_json::from_slice(one).ok()?, serde_json::from_slice(other).ok()?);
    cross(&mut value, &other, &mut Rng::with_seed(seed.into()))?;
    Some(value.to_string().into_bytes())
}

/// Changes a YAML document; half of the time it loses its comments and its style.
#[must_use]
pub fn yaml(bytes: &[u8], most: usize, seed: u32) -> Option<Vec<u8>> {
    let mut rng = Rng::with_seed(seed.into());
    if rng.bool() {
        return lines(bytes, most, seed);
    }
    let mut value = read_yaml(bytes)?;
    for _ in 0..rng.usize(1..=MOST_CHANGES) {
        if rng.u8(..4) == 0 {
            change(&mut value, &mut rng);
        } else {
            let same = value.clone();
            cross(&mut value, &same, &mut rng)?;
        }
    }
    let text = native_sidecar_manifest::to_yaml(&value).into_bytes();
    (text.len() <= most).then_some(text)
}

/// Puts a part of the YAML document `other` into `one`, in a place of its kind where there is one.
#[must_use]
pub fn cross_yaml(one: &[u8], other: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut rng = Rng::with_seed(seed.into());
    if rng.u8(..3) == 0 {
        return cross_lines(one, other, seed);
    }
    let (mut value, other) = (read_yaml(one)?, read_yaml(other)?);
    cross(&mut value, &other, &mut rng)?;
    Some(native_sidecar_manifest::to_yaml(&value).into_bytes())
}

fn read_yaml(bytes: &[u8]) -> Option<Value> {
    let manifest = Manifest::read("yaml", bytes).ok()?;
    Some(manifest.documents().first()?.value(Side::Before).clone())
}

/// Changes lines.
#[must_use]
pub fn lines(bytes: &[u8], most: usize, seed: u32) -> Option<Vec<u8>> {
    let mut rng = Rng::with_seed(seed.into());
    if rng.u8(..3) == 0 {
        return None;
    }
    let mut lines: Vec<String> = std::str::from_utf8(bytes).ok()?.split('\n').map(str::to_owned).collect();
    for _ in 0..rng.usize(1..=MOST_CHANGES) {
        change_lines(&mut lines, &mut rng);
    }
    let text = lines.join("\n").into_bytes();
    (text.len() <= most).then_some(text)
}

/// Puts a part of one manifest into another.
#[must_use]
pub fn cross_manifest(one: &[u8], other: &[u8], seed: u32) -> Option<Vec<u8>> {
    cross_json(one, other, seed).or_else(|| cross_yaml(one, other, seed))
}

/// Puts some lines of `other` between those of `one`.
#[must_use]
pub fn cross_lines(one: &[u8], other: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut rng = Rng::with_seed(seed.into());
    let mut lines: Vec<&str> = std::str::from_utf8(one).ok()?.split('\n').collect();
    let others: Vec<&str> = std::str::from_utf8(other).ok()?.split('\n').collect();
    let from = rng.usize(..others.len());
    let to = rng.usize(from..others.len()) + 1;
    let at = rng.usize(..=lines.len());
    let end = if rng.bool() { at } else { rng.usize(at..=lines.len()) };
    lines.splice(at..end, others[from..to].iter().copied());
    Some(lines.join("\n").into_bytes())
}

/// Changes a manifest, which is JSON or YAML.
#[must_use]
pub fn manifest(bytes: &[u8], most: usize, seed: u32) -> Option<Vec<u8>> {
    if bytes.first() == Some(&b'{') { json(bytes, most, seed) } else { yaml(bytes, most, seed) }
}

// === JSON ===

/// Puts a part of `other` into `value`: one from a place of the same kind, or else any.
fn cross(value: &mut Value, other: &Value, rng: &mut Rng) -> Option<()> {
    let mut place = Vec::new();
    let (number, all) = (rng.usize(..count(value)), count(other));
    path_to(value, &mut { number }, &mut place);
    let mut alike = Vec::new();
    alike_at(other, &place, &mut alike);
    let part = if alike.is_empty() { nth(other, &mut rng.usize(..all))? } else { alike[rng.usize(..alike.len())] };
    *nth_mut(value, &mut { number })? = part.clone();
    Some(())
}

/// How many values there are in `value`, itself among them.
fn count(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// The one of them that `number` others are in front of; `number` is what is left to count.
fn nth<'v>(value: &'v Value, number: &mut usize) -> Option<&'v Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Object(fields) => fields.values().find_map(|value| nth(value, number)),
        Value::Array(items) => items.iter().find_map(|value| nth(value, number)),
        _ => None,
    }
}

fn nth_mut<'v>(value: &'v mut Value, number: &mut usize) -> Option<&'v mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Object(fields) => fields.values_mut().find_map(|value| nth_mut(value, number)),
        Value::Array(items) => items.iter_mut().find_map(|value| nth_mut(value, number)),
        _ => None,
    }
}

/// The keys on the way to it, `None` for an item of a list.
fn path_to<'v>(value: &'v Value, number: &mut usize, path: &mut Vec<Option<&'v str>>) -> bool {
    if *number == 0 {
        return true;
    }
    *number -= 1;
    let mut below = |token: Option<&'v str>, value: &'v Value| {
        path.push(token);
        let is_there = path_to(value, number, path);
        if !is_there {
            path.pop();
        }
        is_there
    };
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| below(Some(key), value)),
        Value::Array(items) => items.iter().any(|value| below(None, value)),
        _ => false,
    }
}

/// Everything in `value` that such keys lead to.
fn alike_at<'v>(value: &'v Value, path: &[Option<&str>], found: &mut Vec<&'v Value>) {
    match (path.split_first(), value) {
        (None, value) => found.push(value),
        (Some((Some(key), rest)), Value::Object(fields)) => {
            fields.get(*key).into_iter().for_each(|value| alike_at(value, rest, found));
        }
        (Some((None, rest)), Value::Array(items)) => items.iter().for_each(|value| alike_at(value, rest, found)),
        _ => {}
    }
}

fn change(value: &mut Value, rng: &mut Rng) {
    let all = count(value);
    let part = nth(value, &mut rng.usize(..all)).cloned().unwrap_or_default();
    let Some(place) = nth_mut(value, &mut rng.usize(..all)) else { return };
    match (rng.u8(..10), place) {
        (0, place) => *place = literal(rng),
        (1, place) => *place = part,
        (2, Value::Object(fields)) => rename(fields, rng),
        (3 | 4, Value::Object(fields)) => drop(fields.insert(word(rng).to_owned(), part)),
        (5, Value::Object(fields)) if !fields.is_empty() => {
            let key = any_key(fields, rng);
            fields.shift_remove(&key);
        }
        (2..=5, Value::Array(items)) if !items.is_empty() => change_items(items, part, rng),
        (2..=5, Value::Array(items)) => items.push(part),
        (2..=6, Value::String(text)) => change_text(text, rng),
        (_, place @ (Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_))) => *place = literal(rng),
        (_, Value::Object(fields)) => drop(fields.insert(word(rng).to_owned(), literal(rng))),
        (_, Value::Array(items)) => items.push(part),
    }
}

fn change_items(items: &mut Vec<Value>, part: Value, rng: &mut Rng) {
    let at = rng.usize(..items.len());
    match rng.u8(..16) {
        0..4 => drop(items.remove(at)),
        4..8 => items.insert(at, part),
        8..12 => items.swap(at, 0),
        12..15 => items.push(items[at].clone()),
        _ => {
            for number in 0..rng.usize(..MOST_REPEATS) {
                let mut item = items[at].clone();
                if let Some(name) = item.get_mut("name") {
                    *name = format!("{}-{number}", name.as_str().unwrap_or_default()).into();
                }
                items.push(item);
            }
        }
    }
}

fn rename(fields: &mut Map<String, Value>, rng: &mut Rng) {
    if fields.is_empty() {
        return;
    }
    let key = any_key(fields, rng);
    let at = fields.keys().position(|one| *one == key).unwrap_or_default();
    if let Some(value) = fields.shift_remove(&key) {
        fields.shift_insert(at.min(fields.len().saturating_sub(1)), word(rng).to_owned(), value);
    }
}

fn any_key(fields: &Map<String, Value>, rng: &mut Rng) -> String {
    fields.keys().nth(rng.usize(..fields.len())).cloned().unwrap_or_default()
}

fn change_text(text: &mut String, rng: &mut Rng) {
    let at = text.char_indices().map(|(at, _)| at).nth(rng.usize(..=text.len())).unwrap_or(text.len());
    match rng.u8(..5) {
        0 => text.truncate(at),
        1 => text.insert_str(at, word(rng)),
        2 => text.insert(
            at,
            [',', '\n', ':', '/', '~', '"', '\\', '\u{2028}', '\u{202e}', '\u{e9}', ' ', '\0'][rng.usize(..12)],
        ),
        3 => *text = format!("{text},{}", word(rng)),
        _ => *text = text.repeat(rng.usize(1..=8)),
    }
}

/// Writes a member of some object a second time, which no value can hold.
fn repeat_member(text: &mut Vec<u8>, rng: &mut Rng) {
    let objects: Vec<usize> =
        text.windows(2).enumerate().filter(|(_, two)| two == b"{\"").map(|(at, _)| at + 1).collect();
    if !objects.is_empty() {
        let at = objects[rng.usize(..objects.len())];
        let member = format!("{}:{},", Value::from(word(rng)), literal(rng));
        text.splice(at..at, member.into_bytes());
    }
}

fn literal(rng: &mut Rng) -> Value {
    match rng.u8(..8) {
        0 => Value::Null,
        1 => Value::Bool(rng.bool()),
        2 => rng.i64(-2..70_000).into(),
        3 => serde_json::from_str(word(rng)).unwrap_or_default(),
        4 => Value::Object(Map::new()),
        _ => word(rng).into(),
    }
}

fn word(rng: &mut Rng) -> &'static str {
    WORDS[rng.usize(..WORDS.len())]
}

// === lines ===

fn change_lines(lines: &mut Vec<String>, rng: &mut Rng) {
    if lines.is_empty() {
        lines.push(word(rng).to_owned());
    }
    let (at, other) = (rng.usize(..lines.len()), rng.usize(..lines.len()));
    match rng.u8(..11) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[other].clone()),
        2 => lines.swap(at, other),
        3 => lines[at].insert_str(0, if rng.bool() { "  " } else { " " }),
        4 => lines[at] = lines[at].strip_prefix(' ').unwrap_or(&lines[at]).to_owned(),
        5 => lines.insert(at, format!("{}{}", indent(&lines[at]), word(rng))),
        6 => {
            let (key, _) = lines[at].split_once([':', '=']).unwrap_or((&lines[at], ""));
            let sign = if lines[at].contains(": ") { ": " } else { "=" };
            lines[at] = format!("{key}{sign}{}", word(rng));
        }
        7 => {
            let (_, value) = lines[at].split_once(": ").unwrap_or(("", &lines[at]));
            lines[at] = format!("{}{}: {value}", indent(&lines[at]), word(rng));
        }
        8 => change_text(&mut lines[at], rng),
        9 => lines[at].push_str([" # note", "\r", "\t", " ", ",", "\\n", " &a", " *a", "'", "\""][rng.usize(..10)]),
        _ => {
            let block: Vec<_> = lines[at.min(other)..=at.max(other)].to_vec();
            for _ in 0..rng.usize(1..=3) {
                lines.extend(block.iter().take(MOST_REPEATS).cloned());
            }
        }
    }
}

fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}
