//! Words of a command line or an environment: bytes that are nearly always text.
//!
//! Linux takes any bytes but zero in arguments, variables and paths; JSON takes text. Text goes as text, anything else as a
//! list of numbers, so that nothing is lost and the usual case stays readable.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct Word(OsString);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Bytes(Vec<u8>),
}

impl Word {
    /// As the system takes it.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// As a path.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// For messages: what is no text is shown with replacement characters.
    pub fn display(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// The word itself.
    pub fn into_os_string(self) -> OsString {
        self.0
    }
}

impl<T: Into<OsString>> From<T> for Word {
    fn from(word: T) -> Self {
        Self(word.into())
    }
}

impl From<Wire> for Word {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::Text(text) => Self(text.into()),
            Wire::Bytes(bytes) => Self(OsString::from_vec(bytes)),
        }
    }
}

impl From<Word> for Wire {
    fn from(word: Word) -> Self {
        match word.0.into_string() {
            Ok(text) => Self::Text(text),
            Err(word) => Self::Bytes(word.as_bytes().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_readable_and_bytes_survive() {
        let text = Word::from("a b");
        assert_eq!(serde_json::to_string(&text).unwrap(), "\"a b\"");
        let bytes = Word::from(OsString::from_vec(b"a\xff".to_vec()));
        let wire = serde_json::to_string(&bytes).unwrap();
        assert_eq!(wire, "[97,255]");
        assert_eq!(serde_json::from_str::<Word>(&wire).unwrap(), bytes);
    }
}
