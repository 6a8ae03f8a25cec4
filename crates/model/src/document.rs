//! State files: JSON objects with a `schemaVersion`, read strictly.
//!
//! A file that is damaged, or newer than this program, is reported and left as it is; nothing starts afresh over it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A type that is kept in a state file.
pub trait Document: Serialize + DeserializeOwned {
    /// What the file is called in messages and on disk, e.g. `registry.json`.
    const FILE: &'static str;
    /// The schema this program writes. Older ones are migrated, newer ones refused.
    const SCHEMA: u64;

    /// Turns the body of an older schema into that of the next one. Called once per step.
    ///
    /// `from` is the version that `body` has; the default accepts no older version, as there is none.
    fn migrate(from: u64, body: Value) -> Result<Value, DocumentError> {
        let _ = body;
        Err(DocumentError::Damaged(format!(
            "schemaVersion {from} was never written by any version of Sampan"
        )))
    }
}

/// Why a state file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not what Sampan writes: cut off, edited wrongly, or another file.
    #[error("it is damaged or was edited wrongly: {0}")]
    Damaged(String),
    /// Written by a newer Sampan.
    #[error("it was written by a newer Sampan (schema {found}, this one reads up to {supported})")]
    Newer {
        /// The file's schema.
        found: u64,
        /// The newest schema this program reads.
        supported: u64,
    },
}

/// Reads a document from the text of its file.
pub fn parse<T: Document>(text: &str) -> Result<T, DocumentError> {
    let damaged = |error: serde_json::Error| DocumentError::Damaged(error.to_string());
    let mut value: Value = serde_json::from_str(text).map_err(damaged)?;
    let object = value
        .as_object_mut()
        .ok_or_else(|| DocumentError::Damaged("its content is not a JSON object".to_owned()))?;
    let found = object
        .shift_remove("schemaVersion")
        .and_then(|v| v.as_u64())
        .ok_or_else(|| DocumentError::Damaged("it has no schemaVersion number".to_owned()))?;
    if found > T::SCHEMA {
        return Err(DocumentError::Newer { found, supported: T::SCHEMA });
    }
    for version in found..T::SCHEMA {
        value = T::migrate(version, value)?;
    }
    serde_json::from_value(value).map_err(damaged)
}

/// The text of a document's file: pretty-printed, `schemaVersion` first, newline at the end.
pub fn render<T: Document>(document: &T) -> String {
    text_of::<T>(body(document))
}

/// The text of a document's file that says `text` (nothing, if there is no file yet) after `before` was changed to `after`:
/// keys that did not change stay as they are, and those that are not there stay away, so that defaults can change.
pub fn render_change<T: Document>(text: &str, before: &T, after: &T) -> String {
    let mut object: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    if object.shift_remove("schemaVersion").is_some_and(|schema| schema != T::SCHEMA) {
        // Its keys are those of another schema.
        return render(after);
    }
    let (before, after) = (body(before), body(after));
    object.retain(|key, _| after.contains_key(key) || !before.contains_key(key));
    object.extend(after.into_iter().filter(|(key, value)| before.get(key) != Some(value)));
    text_of::<T>(object)
}

fn body<T: Document>(document: &T) -> Map<String, Value> {
    match serde_json::to_value(document) {
        Ok(Value::Object(body)) => body,
        _ => Map::new(),
    }
}

fn text_of<T: Document>(body: Map<String, Value>) -> String {
    let mut object = Map::new();
    object.insert("schemaVersion".to_owned(), Value::from(T::SCHEMA));
    object.extend(body);
    let mut text = format!("{:#}", Value::Object(object));
    text.push('\n');
    text
}
