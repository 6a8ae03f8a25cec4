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
        Kind::NotRunning | Kind::Api(ErrorCode::State) => (Code::Unexpected, Some(Context::Service)),
        // As the service has it.
        Kind::Api(ErrorCode::DataMissing) => (Code::PathNotFound, Some(Context::Service)),
        kind => match kind.exit() {
            Exit::Denied => (Code::AccessDenied, Some(Context::Service)),
            Exit::Usage => (Code::InvalidArg, None),
            Exit::Busy => (Code::Busy, Some(Context::Service)),
            Exit::DiskFull => (Code::DiskFull, Some(Context::Service)),
            Exit::Timeout => (Code::Timeout, Some(Context::Service)),
            _ => (Code::Fail, Some(Context::Service)),
        },
    };
    let mut failure = Failure::new(code).with_message(sentence(&problem.message));
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
        _ => Failure::new(Code::Fail).with_message(format!("'{object}' can't be used: {}.", reason(error))),
    }
}

/// The standard streams can't be handed on.
pub(super) fn of_streams(error: &io::Error) -> Failure {
    Failure::new(Code::Fail).with_message(format!("The standard streams can't be used: {}.", reason(error)))
}

/// What the system says of an error. The number that Rust adds is for programmers.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text).to_owned()
}

/// `text` as the beginning of a sentence, unless that is a path or a name like `docker-desktop`.
fn sentence(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    if !word.chars().all(char::is_alphabetic) {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn line(message: &str) -> String {
    format!("{}\n", message.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_becomes_a_sentence() {
        assert_eq!(of_problem(&Problem::denied("you may not use it")).message, "You may not use it");
        for as_it_is in ["", "docker-desktop is gone", "/x is missing"] {
            assert_eq!(of_problem(&Problem::failed(as_it_is)).message, as_it_is);
        }
    }

    #[test]
    fn a_damaged_registry_has_one_code_with_and_without_the_service() {
        let problem = Problem::new(Kind::Api(ErrorCode::State), "the registry cannot be used");
        assert_eq!(of_problem(&problem).code, Code::Unexpected);
    }

    #[test]
    fn nobody_is_told_the_number_of_an_error() {
        let told = of_file(&io::Error::from_raw_os_error(5), Path::new("x"));
        assert_eq!(told.message, "'x' can't be used: Input/output error.");
    }
}
