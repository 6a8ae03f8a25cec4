//! The command line of `wsl`: wsl.exe's grammar over words that are already split.
//!
//! Grammar: microsoft/WSL `src/windows/common/WslClient.cpp` and `src/shared/inc/CommandLine.h`. Where wsl.exe is careless
//! this is strict: whole words are versions and numbers, nothing is ignored that was asked for.

mod error;
mod line;
pub mod options;
mod run;
mod verbs;

use std::ffi::OsString;
use std::path::PathBuf;

pub use error::UsageError;
pub use line::shell_line;

use crate::session::{Folder, Program};
use crate::wsl::service::{Format, Install, Mount, Target};

/// What was asked for. Paths are as the user wrote them, relative ones from the caller's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A shell or a command in a distribution.
    Run(RunOptions),
    /// `--list`.
    List(ListOptions),
    /// `--status`.
    Status,
    /// `--version`.
    Version,
    /// `--help`.
    Help,
    /// `--update`. Whatever its options, what happens is the same.
    Update,
    /// `--set-default`.
    SetDefault {
        /// The distribution.
        name: String,
        /// `--force`: also an internal one.
        force: bool,
    },
    /// `--set-default-version`.
    SetDefaultVersion {
        /// 1 or 2.
        version: u8,
    },
    /// `--set-version`.
    SetVersion {
        /// The distribution.
        name: String,
        /// 1 or 2.
        version: u8,
    },
    /// `--terminate`.
    Terminate {
        /// The distribution.
        name: String,
    },
    /// `--unregister`.
    Unregister {
        /// The distribution.
        name: String,
        /// `--force`: also an internal one.
        force: bool,
    },
    /// `--shutdown`.
    Shutdown {
        /// `--force`: at once.
        force: bool,
    },
    /// `--import`.
    Import(ImportOptions),
    /// `--import-in-place`.
    ImportInPlace {
        /// Name of the new distribution.
        name: String,
        /// Its disk.
        disk: PathBuf,
    },
    /// `--export`.
    Export(ExportOptions),
    /// `--install`.
    Install(InstallOptions),
    /// `--manage`.
    Manage {
        /// The distribution.
        name: String,
        /// What to change.
        action: ManageAction,
    },
    /// `--mount`. The disk is as the user wrote it.
    Mount(Mount),
    /// `--unmount`.
    Unmount {
        /// The disk; none: all.
        disk: Option<PathBuf>,
    },
    /// `--debug-shell`.
    DebugShell,
    /// `--uninstall`.
    Uninstall,
}

/// A shell or a command in a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// `--distribution` or `--distribution-id`.
    pub target: Target,
    /// `--user`; none: the distribution's default user.
    pub user: Option<String>,
    /// `--cd` or `~`; none: the caller's own. A relative one is one of the host, from the caller's own.
    pub folder: Option<Folder>,
    /// What to run.
    pub program: Program,
    /// `--system`: the distribution may be the engine's own.
    pub system: bool,
}

/// Options of `--list`.
#[expect(clippy::struct_excessive_bools, reason = "five switches of a command line, each free of the others")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// `--all`: also distributions that are being installed or removed.
    pub all: bool,
    /// `--running`: only those that run.
    pub running: bool,
    /// `--quiet`: names only.
    pub quiet: bool,
    /// `--verbose`: state and version too. Lists all, whatever `running` says.
    pub verbose: bool,
    /// `--online`: those that can be installed.
    pub online: bool,
}

/// A file that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Standard input (`-`).
    Stdin,
    /// A file.
    File(PathBuf),
}

/// A file that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Standard output (`-`).
    Stdout,
    /// A file.
    File(PathBuf),
}

/// `--import`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportOptions {
    /// Name of the new distribution.
    pub name: String,
    /// Folder for its storage.
    pub location: PathBuf,
    /// The archive or disk.
    pub source: Source,
    /// `--version`, 1 or 2; none: the default version.
    pub version: Option<u8>,
    /// `--vhd`: the source is a disk.
    pub vhd: bool,
}

/// `--export`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOptions {
    /// The distribution.
    pub name: String,
    /// Where it is written to.
    pub sink: Sink,
    /// `--format` or `--vhd`.
    pub format: Format,
}

/// `--install`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstallOptions {
    /// What is to be installed. Its `location` is as the user wrote it; it has no `from_file`, see `source`.
    pub install: Install,
    /// `--from-file`; excludes a name in the manifest.
    pub source: Option<Source>,
    /// `--fixed-vhd`: all of the disk at once. Only with a size.
    pub fixed_vhd: bool,
    /// `--no-launch`: no shell afterwards.
    pub no_launch: bool,
    /// `--no-distribution`: nothing but prerequisites.
    pub no_distribution: bool,
    /// Options that are known and have no effect here, to say so.
    pub without_effect: Vec<&'static str>,
}

/// `--manage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManageAction {
    /// `--set-sparse`. With `--allow-unsafe` or without, the answer is the same.
    SetSparse(bool),
    /// `--move`: to this folder.
    Move(PathBuf),
    /// `--set-default-user`.
    SetDefaultUser(String),
    /// `--resize`: to so many bytes.
    Resize(u64),
}

/// Parses the words behind `wsl`.
pub fn parse(words: &[OsString]) -> Result<Command, UsageError> {
    run::parse(words)
}

#[cfg(test)]
mod tests;
