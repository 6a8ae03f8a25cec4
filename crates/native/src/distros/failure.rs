//! Failures of this crate's parts, in the words of `wsl`.

use sampan_backend::Error;
use sampan_model::api::ErrorCode;
use sampan_model::wsl::error::{Code, Failure};

/// The failure that an error is for the users of `wsl`; sentence and hint are kept.
pub fn failure(error: impl Into<Error>) -> Failure {
    let error = error.into().0;
    let code = match error.code {
        ErrorCode::Invalid => Code::InvalidArg,
        ErrorCode::Denied => Code::AccessDenied,
        ErrorCode::Busy => Code::Busy,
        ErrorCode::DiskFull => Code::DiskFull,
        ErrorCode::Timeout => Code::Timeout,
        ErrorCode::State => Code::Unexpected,
        ErrorCode::DataMissing => Code::PathNotFound,
        ErrorCode::Failed | ErrorCode::Prerequisite => Code::Fail,
    };
    let failure = Failure::new(code).with_message(error.message);
    match error.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The error that a failure is for those who know nothing of `wsl`.
pub(super) fn error(failure: &Failure) -> Error {
    let code = match failure.code {
        Code::Busy | Code::DistroNotStopped | Code::IllegalStateChange => ErrorCode::Busy,
        Code::DiskFull => ErrorCode::DiskFull,
        Code::AccessDenied => ErrorCode::Denied,
        _ => ErrorCode::Failed,
    };
    Error::new(code, failure.message.trim_end(), failure.hint.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_and_hint_are_kept() {
        let told = failure(Error::new(ErrorCode::DiskFull, "no room", Some("free some")));
        assert_eq!(told.code, Code::DiskFull);
        assert_eq!((told.message.as_str(), told.hint.as_deref()), ("no room", Some("free some")));
        assert_eq!(failure(Error::new(ErrorCode::State, "x", None)).code, Code::Unexpected);
    }
}
