//! Failures as `wsl` prints them: a message, then the path of what was being done and a code.
//!
//! Layout and codes: microsoft/WSL `src/windows/common/WslClient.cpp`, `wslutil.cpp` (`ErrorToString`). Code paths are what
//! people search for, so they are wsl.exe's, although nothing here is a COM service.

mod code;
mod context;
mod known;

pub use code::Code;
pub use context::Context;

use serde::{Deserialize, Serialize};

/// Why a command of `wsl` did not do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{}", message.trim_end())]
pub struct Failure {
    /// What was being done, outermost first, without repetition.
    pub contexts: Vec<Context>,
    /// Which kind.
    pub code: Code,
    /// For people; may have several lines.
    pub message: String,
    /// What to do about it, where the message does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with the code's own message and no context.
    pub fn new(code: Code) -> Self {
        Self { contexts: Vec::new(), code, message: code.text().to_owned(), hint: None }
    }

    /// The same with another message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The same, met while doing `context`.
    #[must_use]
    pub fn in_context(mut self, context: Context) -> Self {
        if let Err(place) = self.contexts.binary_search(&context) {
            self.contexts.insert(place, context);
        }
        self
    }

    /// The same with a word on what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is printed: the message, the hint, and the line with the code, which two codes do without.
    pub fn render(&self) -> String {
        let mut text = format!("{}\n", self.message.trim_end_matches('\n'));
        if let Some(hint) = &self.hint {
            text.push_str(hint);
            text.push('\n');
        }
        if !matches!(self.code, Code::DefaultDistroNotFound | Code::InvalidUsage) {
            text.push_str("Error code: ");
            for context in &self.contexts {
                text.push_str(context.word());
                text.push('/');
            }
            text.push_str(self.code.name());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests;
