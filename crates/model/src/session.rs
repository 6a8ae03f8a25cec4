//! Sessions: commands and shells inside a distribution.
//!
//! `wsl` asks the service; the service passes the request, the client's three standard streams and the client's own
//! connection on to the distribution's init, and is out of it from then on. A session outlives the service.

use serde::{Deserialize, Serialize};

use crate::words::Word;

/// What to run, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionSpec {
    /// User by name; none: the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The default user by number, when `wsl.conf` names none.
    pub default_uid: u32,
    /// What to run.
    pub program: Program,
    /// Where.
    pub folder: Folder,
    /// Variables from outside, by `WSLENV` and `TERM`; those that are paths are translated inside.
    pub environment: Vec<Variable>,
    /// The client's terminal; none: its standard streams are used as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSize>,
    /// The first interactive shell of a new distribution: run its first-run command before.
    #[serde(default)]
    pub first_run: bool,
}

/// What a session runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Program {
    /// The user's shell, interactive.
    Shell {
        /// As a login shell (`-bash`).
        login: bool,
    },
    /// The user's shell with `-c`.
    Line {
        /// The line.
        line: Word,
        /// As a login shell.
        login: bool,
    },
    /// A program, found in PATH, without a shell.
    Exec {
        /// Its words, the program first; never empty.
        words: Vec<Word>,
    },
}

/// Where a session begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Folder {
    /// The user's home folder.
    Home,
    /// A path inside, as the user wrote it: from the root (`/…`) or from the home folder (`~/…`).
    Inside {
        /// The path.
        path: Word,
    },
    /// A path on the host: the same folder inside if it is shared, else the home folder with a warning.
    Host {
        /// The path, absolute.
        path: Word,
    },
}

/// A variable for the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// Its name.
    pub name: Word,
    /// Its value as the client has it.
    pub value: Word,
    /// Whether the value is a path or a list of paths of the host.
    #[serde(default)]
    pub paths: bool,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// What the client says while its command runs. That it hangs up is a hang-up for the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "camelCase")]
pub enum SessionMessage {
    /// Signal the command's process group.
    Signal {
        /// Number of the signal (signal(7)).
        signal: i32,
    },
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "camelCase")]
pub enum End {
    /// It ended by itself.
    Exited {
        /// Its exit code.
        code: u8,
    },
    /// A signal ended it.
    Killed {
        /// Number of the signal.
        signal: u8,
    },
}

impl End {
    /// The exit code a shell would show: 128 + signal for the killed.
    pub fn code(self) -> u8 {
        match self {
            Self::Exited { code } => code,
            Self::Killed { signal } => 128u8.saturating_add(signal),
        }
    }
}
