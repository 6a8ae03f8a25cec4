//! Why a command of `wsl` ends before its work is done.

use std::io;
use std::path::Path;

use sampan_model::api::ErrorCode;
use sampan_model::wsl::args::UsageError;
use sampan_model::wsl::error::{Code, Context, Failure};

use super::FAILURE;
use crate::exit::{Exit, Kind, Problem};

/// Why a command ends early.
#[derive(Debug)]
pub(in crate::commands) enum Halt {
    /// The command line is no good.
    Usage(UsageError),
    /// Something failed.
    Failure(Failure),
    /// A signal with this number came.
    Signal(i32),
    /// A signal with this number came when the work could not be stopped any more: it is done.
    TooLate(i32),
    /// Nobody reads what is printed.
    OutputClosed,
}

impl Halt {
    /// What is printed, and the exit code.
    pub(super) fn last_word(&self) -> (String, u8) {
        match self {
            Self::Usage(error) => (error.render(), FAILURE),
            // What became of a mount is told without a code; and it is the one failure that is not -1 in wsl.exe.
            Self::Failure(failure) if failure.code == Code::DiskMountFailed => (line(&failure.message), 1),
            Self::Failure(failure) if failure.code == Code::DiskUnmountFailed => {
                (line(&failure.message), FAILURE)
            }
            Self::Failure(failure) => {
                let mut failure = failure.clone().in_context(Context::Wsl);
                failure.hint = failure.hint.map(|hint| format!("To mend it: {hint}"));
                (failure.render(), FAILURE)
            }
            Self::Signal(signal) => (String::new(), by_signal(*signal)),
            Self::TooLate(signal) => (line("It was done before it could be stopped."), by_signal(*signal)),
            Self::OutputClosed => (String::new(), FAILURE),
        }
    }
}

impl From<UsageError> for Halt {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// The exit code of a program that a signal ended, as shells have it.
pub(super) fn by_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(FAILURE)
}

/// A failure of this program's own, in wsl.exe's words.
pub(super) fn of_problem(problem: &Problem) -> Failure {
    let (code, context) = match problem.kind {
        Kind::NotRunning => (Code::Unexpected, Some(Context::Service)),
        kind => match kind.exit() {
            Exit::Denied => (Code::AccessDenied, Some(Context::Service)),
            Exit::Usage => (Code::InvalidArg, None),
            Exit::Busy => (Code::Busy, Some(Context::Service)),
            Exit::DiskFull => (Code::DiskFull, Some(Context::Service)),
            Exit::Timeout => (Code::Timeout, Some(Context::Service)),
            _ => (Code::Fail, Some(Context::Service)),
        },
    };
    let mut failure = Failure::new(code).with_message(&problem.message);
    failure.hint.clone_from(&problem.hint);
    match context {
        Some(context) => failure.in_context(context),
        None => failure,
    }
}

/// A failure of the service in the words of `sampan`.
pub(in crate::commands) fn to_problem(halt: Halt) -> Problem {
    let failure = match halt {
        Halt::Failure(failure) => failure,
        Halt::Usage(error) => return Problem::invalid(error.to_string()),
        Halt::Signal(_) => return Problem::failed("interrupted"),
        Halt::TooLate(_) => return Problem::failed("it was done before it could be stopped"),
        Halt::OutputClosed => return Problem::new(Kind::OutputClosed, ""),
    };
    let message = failure.to_string();
    let problem = match failure.code {
        Code::AccessDenied => Problem::denied(message),
        Code::InvalidArg | Code::DistroNotFound | Code::AlreadyExists => Problem::invalid(message),
        Code::IllegalStateChange | Code::Busy => Problem::new(Kind::Api(ErrorCode::Busy), message),
        Code::DiskFull => Problem::new(Kind::Api(ErrorCode::DiskFull), message),
        Code::Timeout => Problem::new(Kind::Api(ErrorCode::Timeout), message),
        _ => Problem::failed(message),
    };
    match failure.hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// The file at `path` can't be opened.
pub(super) fn of_file(error: &io::Error, path: &Path) -> Failure {
    let object = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Failure::new(Code::FileNotFound),
        io::ErrorKind::NotADirectory => Failure::new(Code::PathNotFound),
        io::ErrorKind::PermissionDenied => {
            Failure::new(Code::AccessDenied).with_message(format!("Access to '{object}' is denied."))
        }
        io::ErrorKind::IsADirectory => {
            Failure::new(Code::AccessDenied).with_message(format!("'{object}' is a folder, not a file."))
        }
        io::ErrorKind::StorageFull => {
            Failure::new(Code::DiskFull).with_message(format!("There is no space left for '{object}'."))
        }
        _ => Failure::new(Code::Fail).with_message(format!("'{object}' can't be used: {error}.")),
    }
}

/// The standard streams can't be handed on.
pub(super) fn of_streams(error: &io::Error) -> Failure {
    Failure::new(Code::Fail).with_message(format!("The standard streams can't be used: {error}."))
}

fn line(message: &str) -> String {
    format!("{}\n", message.trim_end_matches('\n'))
}
