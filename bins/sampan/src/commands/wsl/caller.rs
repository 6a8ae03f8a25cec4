//! The process that asks: what of it matters to a distribution.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use sampan_model::session::TerminalSize;
use sampan_model::wsl::error::{Code, Failure};
use sampan_sys::process::{Standard, redirect};

/// Streams, folder and variables of a process.
#[derive(Debug)]
pub(in crate::commands) struct Caller {
    /// Standard input.
    pub(super) stdin: File,
    /// Standard output.
    pub(super) stdout: File,
    /// Standard error.
    pub(super) stderr: File,
    /// The working folder; none when it was removed.
    pub(super) folder: Option<PathBuf>,
    /// The environment.
    pub(super) variables: Vec<(OsString, OsString)>,
    /// Whether the streams are copies of this process's own, and those go with them.
    pub(super) own: bool,
}

impl Caller {
    /// This process.
    pub(in crate::commands) fn own() -> io::Result<Self> {
        let copy = |stream: BorrowedFd<'_>| stream.try_clone_to_owned().map(File::from);
        Ok(Self {
            stdin: copy(io::stdin().as_fd())?,
            stdout: copy(io::stdout().as_fd())?,
            stderr: copy(io::stderr().as_fd())?,
            folder: std::env::current_dir().ok(),
            variables: std::env::vars_os().collect(),
            own: true,
        })
    }

    /// Lets go of standard input and output, which are a command's by now.
    pub(super) fn let_go(&mut self) -> io::Result<()> {
        self.stdin = File::open("/dev/null")?;
        self.stdout = File::options().write(true).open("/dev/null")?;
        if self.own {
            redirect(&self.stdin, Standard::Input)
                .and_then(|()| redirect(&self.stdout, Standard::Output))
                .map_err(|error| io::Error::from(error.errno()))?;
        }
        Ok(())
    }

    /// The value of a variable.
    pub(super) fn variable(&self, name: &OsStr) -> Option<OsString> {
        self.variables.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone())
    }

    /// The size of its terminal: it has one when it reads from and writes to one.
    pub(super) fn terminal(&self) -> Option<TerminalSize> {
        if !(rustix::termios::isatty(&self.stdin) && rustix::termios::isatty(&self.stdout)) {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(&self.stdout).ok()?;
        Some(TerminalSize { rows: size.ws_row, columns: size.ws_col })
    }

    /// Whether any of its streams is shown to a person.
    pub(super) fn is_watched(&self) -> bool {
        [&self.stdin, &self.stdout, &self.stderr].into_iter().any(rustix::termios::isatty)
    }

    /// `path` as the caller means it, for this program's own use.
    pub(super) fn on_host(&self, path: &Path) -> PathBuf {
        self.folder.as_ref().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    /// `path` seen from its working folder. The service, which has another one, takes text only.
    pub(super) fn absolute(&self, path: &Path) -> Result<PathBuf, Failure> {
        if path.to_str().is_none() {
            let message = format!("The path '{}' is not UTF-8.", path.display());
            return Err(Failure::new(Code::InvalidArg).with_message(message));
        }
        if path.is_absolute() {
            return Ok(path.to_owned());
        }
        match &self.folder {
            Some(folder) if folder.to_str().is_some() => Ok(folder.join(path)),
            Some(_) => {
                Err(Failure::new(Code::InvalidArg)
                    .with_message("The path of the current folder is not UTF-8."))
            }
            None => Err(Failure::new(Code::PathNotFound).with_message("The current folder is gone.")),
        }
    }
}
