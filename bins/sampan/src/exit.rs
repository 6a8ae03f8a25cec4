//! How a command ends: exit codes, and the problem that the user reads.

use std::io;
use std::process::ExitCode;

use sampan_model::api::{ApiError, ErrorCode};
use serde::{Serialize, Serializer};

/// Exit codes of `sampan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, or there was nothing to do.
    Ok = 0,
    /// Anything without a code of its own.
    Failed = 1,
    /// The command line or the request is wrong.
    Usage = 2,
    /// Sampan does not run.
    NotRunning = 3,
    /// The caller may not do this.
    Denied = 4,
    /// Another operation is under way.
    Busy = 5,
    /// A prerequisite of the machine is missing.
    Prerequisite = 6,
    /// State is damaged, newer than the program, or missing.
    State = 7,
    /// No room on the disk.
    DiskFull = 8,
    /// A deadline passed.
    Timeout = 9,
}

impl Exit {
    /// All codes and what they mean, for the manual.
    pub(crate) const ALL: [(Self, &'static str); 10] = [
        (Self::Ok, "Done, or there was nothing to do."),
        (Self::Failed, "It failed; none of the codes below fits."),
        (Self::Usage, "The command line or the request is wrong."),
        (Self::NotRunning, "Sampan, or its engine, does not run."),
        (Self::Denied, "The user may not do this; the message says what to type."),
        (Self::Busy, "Another operation is under way."),
        (Self::Prerequisite, "The machine lacks something that Sampan needs; see sampan check."),
        (
            Self::State,
            "A state file is damaged or newer than this program, or the disk with the data is missing.",
        ),
        (Self::DiskFull, "There is no room on the disk."),
        (Self::Timeout, "A deadline passed."),
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Which kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The service, or what the command needs of it, does not run.
    NotRunning,
    /// A kind that the service knows too.
    Api(ErrorCode),
    /// Whoever read the output has gone; nobody is left to be told.
    OutputClosed,
}

impl Kind {
    /// The exit code.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::NotRunning => Exit::NotRunning,
            Self::OutputClosed => Exit::Failed,
            Self::Api(code) => match code {
                ErrorCode::Failed => Exit::Failed,
                ErrorCode::Invalid => Exit::Usage,
                ErrorCode::Denied => Exit::Denied,
                ErrorCode::Busy => Exit::Busy,
                ErrorCode::Prerequisite => Exit::Prerequisite,
                ErrorCode::State | ErrorCode::DataMissing => Exit::State,
                ErrorCode::DiskFull => Exit::DiskFull,
                ErrorCode::Timeout => Exit::Timeout,
            },
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::NotRunning => serializer.serialize_str("notRunning"),
            Self::OutputClosed => serializer.serialize_str("outputClosed"),
            Self::Api(code) => code.serialize(serializer),
        }
    }
}

/// Why a command did not do what it was asked to, in words for its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    /// Which kind.
    #[serde(rename = "code")]
    pub(crate) kind: Kind,
    /// One sentence.
    pub(crate) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// The last log lines of the part that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) log: Vec<String>,
}

impl Problem {
    /// A problem of the given kind.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, log: Vec::new() }
    }

    /// A problem without a kind of its own.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Api(ErrorCode::Failed), message)
    }

    /// Sampan does not run.
    pub(crate) fn not_running(message: impl Into<String>) -> Self {
        Self::new(Kind::NotRunning, message)
    }

    /// The caller may not do this.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(Kind::Api(ErrorCode::Denied), message)
    }

    /// The command line is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Api(ErrorCode::Invalid), message)
    }

    /// The same problem with a way out.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same problem with log lines.
    pub(crate) fn log(mut self, log: Vec<String>) -> Self {
        self.log = log;
        self
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        Self { kind: Kind::Api(error.code), message: error.message, hint: error.hint, log: error.log }
    }
}

/// Errors of writing to standard output: every other I/O error is given its object where it happens.
impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Kind::OutputClosed, "");
        }
        let kind =
            if error.kind() == io::ErrorKind::StorageFull { ErrorCode::DiskFull } else { ErrorCode::Failed };
        Self::new(Kind::Api(kind), format!("can't write to standard output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        let expected = [
            (ErrorCode::Failed, 1),
            (ErrorCode::Invalid, 2),
            (ErrorCode::Denied, 4),
            (ErrorCode::Busy, 5),
            (ErrorCode::Prerequisite, 6),
            (ErrorCode::State, 7),
            (ErrorCode::DataMissing, 7),
            (ErrorCode::DiskFull, 8),
            (ErrorCode::Timeout, 9),
        ];
        for (code, exit) in expected {
            assert_eq!(Kind::Api(code).exit() as u8, exit, "{code:?}");
        }
        assert_eq!(Kind::NotRunning.exit() as u8, 3);
    }

    #[test]
    fn the_manual_lists_the_codes_in_order() {
        for (index, (exit, _)) in Exit::ALL.iter().enumerate() {
            assert_eq!(*exit as usize, index);
        }
    }

    #[test]
    fn a_problem_as_json() {
        let problem = Problem::not_running("Sampan is not running").hint("sampan start");
        assert_eq!(
            serde_json::to_string(&problem).unwrap(),
            r#"{"code":"notRunning","message":"Sampan is not running","hint":"sampan start"}"#
        );
        let problem = Problem::denied("no");
        assert_eq!(serde_json::to_string(&problem).unwrap(), r#"{"code":"denied","message":"no"}"#);
    }
}
