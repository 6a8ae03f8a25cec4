//! `sampan-guest`, which does the work in namespaces.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::time::Duration;

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::guest::{Answer, ConfineSpec};
use serde::Serialize;

use super::{Tool, ToolError};
use crate::cancel::Cancel;

/// Status of `confine` for "what was written could not be kept: no room".
pub(crate) const NO_ROOM: i32 = 75;

/// A verb of the guest that only sets something up may take this long, on the slowest disk.
const LIMIT: Duration = Duration::from_mins(1);

/// Why the guest did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuestError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("{message}")]
    Refused { message: String, busy: bool },
    #[error("sampan-guest {verb} answered `{said}`")]
    Garbled { verb: String, said: String },
}

impl GuestError {
    /// Whether the cause was that something still uses the object.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { busy: true, .. })
    }
}

impl Explain for GuestError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Tool(error) => error.code(),
            Self::Refused { message, .. } if message.contains("No space left on device") => {
                ErrorCode::DiskFull
            }
            Self::Refused { .. } | Self::Garbled { .. } => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Tool(error) => error.hint(),
            Self::Refused { busy: true, .. } => {
                Some("something still uses it: `sampan stop`, then try again".to_owned())
            }
            Self::Refused { .. } | Self::Garbled { .. } => None,
        }
    }
}

/// The guest program of this installation.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    path: PathBuf,
    cancel: Cancel,
}

impl Guest {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, cancel: Cancel::default() }
    }

    /// A program that is installed beside it.
    pub(crate) fn beside(&self, program: &str) -> PathBuf {
        self.path.with_file_name(program)
    }

    /// The same, but that commands are stopped when nobody waits for them any more.
    pub(crate) fn stopped_by(&self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// Asks a verb that answers.
    pub(crate) fn ask(
        &self,
        verb: &str,
        spec: &impl Serialize,
        log: Option<File>,
    ) -> Result<Answer, GuestError> {
        self.ask_on(LIMIT, verb, spec, std::io::empty(), log)
    }

    /// As [`Guest::ask`], with another limit than the usual one, and with what follows the line of the spec on its input.
    pub(crate) fn ask_on(
        &self,
        limit: Duration,
        verb: &str,
        spec: &impl Serialize,
        rest: impl Read + Send + 'static,
        log: Option<File>,
    ) -> Result<Answer, GuestError> {
        let line = serde_json::to_string(spec).expect("a spec is plain data") + "\n";
        let mut tool = Tool::at(&format!("sampan-guest {verb}"), self.path.clone(), limit).arg(verb);
        if let Some(log) = log {
            tool = tool.log_to(log);
        }
        let said = tool.run(Some(Box::new(Cursor::new(line).chain(rest))), |_| {})?;
        match serde_json::from_str(&said) {
            Ok(Answer::Failed { message, busy }) => Err(GuestError::Refused { message, busy }),
            Ok(answer) => Ok(answer),
            Err(_) => Err(GuestError::Garbled { verb: verb.to_owned(), said }),
        }
    }

    /// A command that reaches nothing but the trees of `spec`, called `name` in messages. Its program is given by path.
    pub(crate) fn confine(&self, name: &str, spec: &ConfineSpec, limit: Duration) -> Tool {
        let spec = serde_json::to_string(spec).expect("a spec is plain data");
        self.command(name, limit).arg("confine").arg(spec).arg("--")
    }

    /// A command whose every descendant ends with this process.
    pub(crate) fn tether(&self, name: &str, limit: Duration) -> Tool {
        self.command(name, limit).arg("tether").arg("--")
    }

    fn command(&self, name: &str, limit: Duration) -> Tool {
        Tool::at(name, self.path.clone(), limit).stopped_by(&self.cancel)
    }
}
