//! What is wrong with JSON that cannot be read, with the name of the field.

use serde::Deserialize;

/// A field that does not have the type Kubernetes gives it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}{reason}")]
pub struct Unreadable {
    /// The way to it with a colon, such as `spec.containers[1]: `; empty where it is the whole text.
    field: String,
    /// What is wrong with it.
    reason: String,
}

/// Reads `json`.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Unreadable> {
    serde_json::from_str(json).map_err(|error| Unreadable::find::<T>(json, &error))
}

// === impl Unreadable ===

impl Unreadable {
    /// A field that stands twice in the same object.
    pub(super) fn duplicate(field: &str) -> Self {
        Self { field: String::new(), reason: format!("duplicate field `{field}`") }
    }

    /// The same error, seen from the object in which the text that was read is the field `name`.
    pub(super) fn within(self, name: &str) -> Self {
        let join = if self.field.is_empty() {
            ": "
        } else if self.field.starts_with('[') {
            ""
        } else {
            "."
        };
        Self { field: format!("{name}{join}{}", self.field), reason: self.reason }
    }

    /// Reads once more, slower, to learn where the error is.
    fn find<'a, T: Deserialize<'a>>(json: &'a str, error: &serde_json::Error) -> Self {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let path =
            serde_path_to_error::deserialize::<_, T>(&mut deserializer).err().map(|error| error.path().to_string());
        let field = path.filter(|path| path != ".").map(|path| format!("{path}: "));
        Self { field: field.unwrap_or_default(), reason: reason(&error.to_string()) }
    }
}

/// Without places in a text that nobody has seen like this, and without names of ours.
fn reason(error: &str) -> String {
    let error = error.rsplit_once(" at line ").map_or(error, |(error, _)| error);
    match error.split_once("expected struct ") {
        Some((found, _)) => format!("{found}expected an object"),
        None => error.to_owned(),
    }
}
