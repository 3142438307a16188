//! Ways to pod templates, as people write them.

use serde_json::Value;
use std::{borrow::Cow, fmt, ops::ControlFlow, str::FromStr};

/// No field of any API has a longer name, and no object.
pub(super) const LONGEST_FIELD: usize = 253;

/// A way to pod templates in objects whose kind is not known, such as `spec.workers[].template`.
///
/// Names of fields stand between dots. `[]` is every item of a list, `*` every entry of an object; a dot in a name is
/// written `\.`, or the name in double quotes. `.` is the object itself. `KIND=PATH` or `KIND.GROUP=PATH` is a way in
/// objects of that kind only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplatePath {
    written: String,
    kind: Option<KindName>,
    steps: Vec<Step<'static>>,
}

/// A kind, as a path names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KindName {
    kind: String,
    group: Option<String>,
}

/// One step of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<'s> {
    Field(Cow<'s, str>),
    Items,
    Entries,
}

/// Why a text is no way to pod templates: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is no way to a pod template: {what}")]
pub struct PathError {
    path: String,
    what: &'static str,
}

/// The steps of a way in the table of kinds, in which no name has a dot.
pub(super) fn steps(path: &'static str) -> Vec<Step<'static>> {
    let parts = path.split('.').filter(|part| !part.is_empty());
    let steps = parts.flat_map(|part| {
        let (name, items) = part.strip_suffix("[]").map_or((part, None), |name| (name, Some(Step::Items)));
        let first = if name == "*" { Step::Entries } else { Step::Field(name.into()) };
        [Some(first), items]
    });
    steps.flatten().collect()
}

/// Shows everything that `steps` lead to in `value` to `visit`, with the names on the way there, until it breaks off.
///
/// Whoever wants a path makes it of the names: most of what is found is of no use, and a path may be long.
pub(super) fn find<'v, B>(
    value: &'v Value,
    steps: &[Step<'_>],
    mut visit: impl FnMut(&[Cow<'_, str>], &'v Value) -> ControlFlow<B>,
) -> Option<B> {
    find_below(value, steps, &mut Vec::new(), &mut visit).break_value()
}

fn find_below<'v: 's, 's, B>(
    value: &'v Value,
    steps: &'s [Step<'_>],
    tokens: &mut Vec<Cow<'s, str>>,
    visit: &mut impl FnMut(&[Cow<'_, str>], &'v Value) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let Some((step, rest)) = steps.split_first() else { return visit(tokens, value) };
    for (token, inner) in step.take(value) {
        tokens.push(token);
        find_below(inner, rest, tokens, visit)?;
        tokens.pop();
    }
    ControlFlow::Continue(())
}

/// The way of a JSON pointer below an object, as people write it: `spec.workers[].template`.
pub(super) fn written<'t>(object: &Value, tokens: impl IntoIterator<Item = Cow<'t, str>>) -> String {
    let mut out = String::new();
    let mut value = object;
    for token in tokens {
        if value.is_array() {
            out.push_str("[]");
        } else {
            let dot = if out.is_empty() { "" } else { "." };
            let name = token.replace('\\', "\\\\").replace('.', "\\.");
            out.push_str(dot);
            out.push_str(&name);
        }
        value = match value {
            Value::Array(items) => token.parse().ok().and_then(|index: usize| items.get(index)).unwrap_or(&Value::Null),
            other => &other[token.as_ref()],
        };
    }
    out
}

/// Whether `tokens` lead to a place where `steps` lead, or below it.
pub(super) fn is_below(tokens: &[Cow<'_, str>], steps: &[Step<'_>]) -> bool {
    let fits = |(token, step): (&Cow<'_, str>, &Step<'_>)| match step {
        Step::Field(name) => name == token,
        Step::Items | Step::Entries => true,
    };
    tokens.len() >= steps.len() && tokens.iter().zip(steps).all(fits)
}

/// Reads the part behind `KIND=`.
fn parse_steps(text: &str) -> Result<Vec<Step<'static>>, &'static str> {
    if text == "." {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    let mut rest = text;
    loop {
        rest = parse_name(rest, &mut steps)?;
        while let Some(behind) = rest.strip_prefix('[') {
            rest =
                behind.strip_prefix(']').ok_or("write [] for every item of a list; single items cannot be chosen")?;
            steps.push(Step::Items);
        }
        if rest.is_empty() {
            return Ok(steps);
        }
        rest = rest.strip_prefix('.').ok_or("put a dot between the names of fields")?;
    }
}

/// Reads one name, and returns what follows it.
fn parse_name<'t>(text: &'t str, steps: &mut Vec<Step<'static>>) -> Result<&'t str, &'static str> {
    let is_quoted = text.starts_with('"');
    let mut name = String::new();
    let mut characters = text.char_indices().skip(usize::from(is_quoted));
    let end = loop {
        match characters.next() {
            None if is_quoted => return Err("a double quote is missing behind a name"),
            None => break text.len(),
            Some((_, '\\')) => name.push(characters.next().ok_or("a name follows each backslash")?.1),
            Some((at, '"')) if is_quoted => break at + 1,
            Some((at, '.' | '[')) if !is_quoted => break at,
            Some((_, other)) => name.push(other),
        }
    };
    match name.as_str() {
        // The first step of a way may be a list's items.
        "" if text.starts_with("[]") && steps.is_empty() => {}
        "" => return Err("a name of a field is missing; write it as in spec.workers[].template"),
        "*" if !is_quoted && text.starts_with('*') => steps.push(Step::Entries),
        _ => steps.push(Step::Field(name.into())),
    }
    Ok(&text[end..])
}

// === impl Step ===

impl Step<'_> {
    /// The values that are one step below `value`.
    fn take<'s, 'v: 's>(&'s self, value: &'v Value) -> Box<dyn Iterator<Item = (Cow<'s, str>, &'v Value)> + 's> {
        match (self, value) {
            (Self::Field(name), Value::Object(map)) => {
                Box::new(map.get(name.as_ref()).map(|value| (Cow::Borrowed(name.as_ref()), value)).into_iter())
            }
            (Self::Items, Value::Array(items)) => {
                Box::new(items.iter().enumerate().map(|(index, value)| (index.to_string().into(), value)))
            }
            (Self::Entries, Value::Object(map)) => Box::new(
                map.iter().filter(|(name, _)| name.len() <= LONGEST_FIELD).map(|(name, value)| (name.into(), value)),
            ),
            _ => Box::new(std::iter::empty()),
        }
    }
}

// === impl TemplatePath ===

impl TemplatePath {
    /// Whether the path is for objects of one kind.
    pub(super) const fn is_bound(&self) -> bool {
        self.kind.is_some()
    }

    /// Whether the path is for objects of this kind.
    pub(super) fn is_for(&self, group: &str, kind: &str) -> bool {
        self.kind.as_ref().is_none_or(|name| name.kind == kind && name.group.as_deref().is_none_or(|of| of == group))
    }

    pub(super) fn steps(&self) -> &[Step<'static>] {
        &self.steps
    }
}

impl FromStr for TemplatePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let error = |what| PathError { path: text.to_owned(), what };
        let (kind, path) = match text.split_once('=') {
            // A quoted name may have the sign.
            Some((kind, path)) if !kind.contains('"') => (Some(kind), path),
            _ => (None, text),
        };
        let kind = kind.map(KindName::parse).transpose().map_err(error)?;
        if path.starts_with('$') || path.starts_with('/') {
            return Err(error("write names with dots between them, as in spec.workers[].template"));
        }
        // People copy the dot in front from jsonPath.
        let path = path.strip_prefix('.').filter(|path| !path.is_empty()).unwrap_or(path);
        let steps = parse_steps(path).map_err(error)?;
        Ok(Self { written: text.to_owned(), kind, steps })
    }
}

/// As it was written.
impl fmt::Display for TemplatePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

// === impl KindName ===

impl KindName {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (kind, group) = text.split_once('.').map_or((text, None), |(kind, group)| (kind, Some(group.to_owned())));
        let is_name =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
        if !is_name(kind) || !group.as_deref().is_none_or(is_name) {
            return Err("write KIND=PATH or KIND.GROUP=PATH, for example Worker.example.com=spec.template");
        }
        Ok(Self { kind: kind.to_owned(), group })
    }
}
