//! What `wsl` asks the service, and what it answers: one message per request on `distros.sock`, then messages until the
//! last one. Descriptors (standard streams, archives) go with the request.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::Failure;
use crate::api::Distribution;
use crate::distro::Guid;
use crate::integration;
use crate::session::{End, SessionSpec};
use crate::words::Word;

/// A request with the state folder that the client means: a run folder shared by mistake must not let one instance's
/// commands act on another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The state folder.
    pub state: Word,
    /// What is asked.
    pub request: Request,
}

/// Which distribution is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "camelCase")]
pub enum Target {
    /// The default one.
    Default,
    /// By name, whatever the case.
    Name {
        /// The name.
        name: String,
    },
    /// By identity.
    Id {
        /// The identity.
        id: Guid,
    },
}

/// How an archive is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// tar.
    #[default]
    Tar,
    /// tar, compressed by gzip.
    TarGz,
    /// tar, compressed by xz.
    TarXz,
    /// The disk itself, as a VHD or VHDX (by the file's ending) or raw image.
    Vhd,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    /// Run a command. Descriptors: standard input, output, error.
    Session {
        /// Where.
        target: Target,
        /// Whether the user may mean `docker-desktop` (`--system`).
        system: bool,
        /// What.
        spec: Box<SessionSpec>,
    },
    /// All distributions.
    List,
    /// The default distribution and the default version.
    Status,
    /// Choose the default distribution.
    SetDefault {
        /// Its name.
        name: String,
        /// Also an internal one.
        force: bool,
    },
    /// Choose the version of new distributions.
    SetDefaultVersion {
        /// 1 or 2.
        version: u8,
    },
    /// Convert.
    SetVersion {
        /// Its name.
        name: String,
        /// 1 or 2.
        version: u8,
    },
    /// Stop one.
    Terminate {
        /// Its name.
        name: String,
    },
    /// Remove one with all its files.
    Unregister {
        /// Its name.
        name: String,
        /// Also an internal one.
        force: bool,
    },
    /// Stop all, the engine too.
    Shutdown {
        /// At once, without asking anybody to end.
        force: bool,
    },
    /// Make a distribution. Descriptor: the archive or disk.
    Import {
        /// Its name.
        name: String,
        /// Folder for its storage; made when only its last part is missing.
        location: PathBuf,
        /// 1 or 2; none: the default version.
        version: Option<u8>,
        /// The descriptor is a disk, not an archive.
        vhd: bool,
        /// What the client calls the file, for messages.
        source: String,
    },
    /// Register a disk where it is.
    ImportInPlace {
        /// Its name.
        name: String,
        /// The disk image.
        disk: PathBuf,
    },
    /// Write one to a file. Descriptor: the file, empty.
    Export {
        /// Its name.
        name: String,
        /// How.
        format: Format,
        /// What the client calls the file, for messages and for the ending of a disk's name.
        file: String,
    },
    /// Install one. Descriptor: the archive, with `from_file`.
    Install(Box<Install>),
    /// Distributions that can be installed.
    Online,
    /// Change one.
    Manage {
        /// Its name.
        name: String,
        /// What.
        action: Manage,
    },
    /// Attach a disk to all distributions of version 2.
    Mount(Box<Mount>),
    /// Take one off, or all.
    Unmount {
        /// The disk as it was mounted; none: all.
        disk: Option<PathBuf>,
    },
    /// Something about WSL integration.
    Integration(integration::Action),
    /// Give a distribution root's freedom on the host, or take it away.
    SetPrivileged {
        /// Its name.
        name: String,
        /// Which.
        privileged: bool,
    },
}

/// `wsl --install`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Install {
    /// Name in the manifest; none: the manifest's default.
    pub distribution: Option<String>,
    /// Name to register; none: the image's or the manifest's.
    pub name: Option<String>,
    /// Folder for its storage; absolute in a request.
    pub location: Option<PathBuf>,
    /// 1 or 2; none: the default version.
    pub version: Option<u8>,
    /// Largest size of its disk, in bytes.
    pub vhd_size: Option<u64>,
    /// What the client calls the file whose descriptor comes with the request.
    pub from_file: Option<String>,
    /// Only packages of the manifest, no archives.
    pub legacy: bool,
    /// The file is what `docker export` wrote of a container.
    #[serde(default)]
    pub of_container: bool,
}

/// `wsl --manage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Manage {
    /// Bring its storage to another folder.
    Move {
        /// The folder.
        folder: PathBuf,
    },
    /// Change the largest size of its disk.
    Resize {
        /// In bytes.
        bytes: u64,
    },
    /// Give deleted bytes back to the host, or keep them.
    SetSparse {
        /// Which.
        sparse: bool,
    },
    /// Choose its default user, who must exist. Descriptors: standard input, output, error (for `id`'s own words).
    SetDefaultUser {
        /// By name.
        user: String,
    },
}

/// `wsl --mount`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Disk image or block device; absolute in a request.
    pub disk: PathBuf,
    /// The disk is an image file.
    pub vhd: bool,
    /// Attach only.
    pub bare: bool,
    /// Name below `/mnt/wsl`, which may be one that no mount can have; none: made of the path.
    pub name: Option<String>,
    /// File system; none: by its content.
    pub fstype: Option<String>,
    /// Options of mount(8).
    pub options: Option<String>,
    /// Partition, from 1; none: the whole disk.
    pub partition: Option<u32>,
}

/// An answer. `Done`, `Failed` and `Ended` are last words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reply {
    /// A line for standard output.
    Line {
        /// Without a newline.
        text: String,
    },
    /// How far it is, for a progress bar.
    Progress {
        /// What is being done.
        label: String,
        /// Thousandths done, when that is known.
        permille: Option<u16>,
    },
    /// Something is not as it should be, and it goes on.
    Warning {
        /// One sentence, without `wsl: `.
        message: String,
    },
    /// The answer to [`Request::List`].
    Distributions {
        /// In order of installation.
        distributions: Vec<Distribution>,
    },
    /// The answer to [`Request::Status`].
    Status {
        /// Name of the default distribution.
        default: Option<String>,
        /// Version of new distributions.
        version: u8,
    },
    /// The answer to [`Request::Online`].
    Online {
        /// Name and friendly name.
        rows: Vec<(String, String)>,
    },
    /// The answer to [`integration::Action::List`].
    Integrations {
        /// In order of installation.
        rows: Vec<integration::Row>,
    },
    /// The session's command has its streams, and the client can let go of its own: the end of a pipe is to be seen on
    /// the other side when the command closes it, not when the command ends.
    Begun,
    /// The session's terminal; descriptor: its master.
    Terminal,
    /// The session's command has ended.
    Ended {
        /// How.
        end: End,
    },
    /// All done.
    Done {
        /// Name of the distribution that was made, after an installation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        installed: Option<String>,
    },
    /// Not done.
    Failed {
        /// Why.
        failure: Failure,
    },
}
