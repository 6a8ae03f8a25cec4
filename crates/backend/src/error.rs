//! One failure, as it reaches the user: a kind, a sentence, what to do.

use sampan_model::api::{ApiError, ErrorCode};

/// An error that knows its kind and what to do about it.
pub trait Explain: std::error::Error {
    /// Which kind it is.
    fn code(&self) -> ErrorCode {
        ErrorCode::Failed
    }
    /// What to do about it.
    fn hint(&self) -> Option<String> {
        None
    }
    /// Log lines of the part that failed.
    fn log(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A failure with its causes flattened into one sentence; made of any [`Explain`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Error(pub ApiError);

impl<E: Explain> From<E> for Error {
    fn from(error: E) -> Self {
        Self(ApiError { code: error.code(), message: chain(&error), hint: error.hint(), log: error.log() })
    }
}

impl Error {
    /// A failure without a type of its own.
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self(ApiError { code, message: message.into(), hint: hint.map(str::to_owned), log: Vec::new() })
    }

    /// Its kind.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }
}

/// An error's sentence and those of its causes, joined by colons.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
