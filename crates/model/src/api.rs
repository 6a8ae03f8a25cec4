//! Bodies of the service's API, `/v1` on the unix socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::distro::{DistroState, Guid};
use crate::engine::{EngineInfo, EngineReport, Mark, Stage};

/// Version of the API, the first part of every path.
pub const API: &str = "/v1";

/// Header in which a client names the state folder it means. A service of another one refuses the request: a run folder
/// that is shared by mistake must not let one instance's commands act on another.
pub const STATE_HEADER: &str = "sampan-state";

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Name of the instance.
    pub instance: String,
    /// Version of the service.
    pub version: String,
    /// Process number of the service.
    pub service_pid: u32,
    /// The engine.
    pub engine: EngineReport,
    /// What the engine says of itself, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_info: Option<EngineInfo>,
    /// The Docker API for programs of the host.
    pub docker_socket: PathBuf,
    /// Where all state is.
    pub state_dir: PathBuf,
    /// The installed distributions.
    pub distributions: Vec<Distribution>,
    /// Disks of the distributions.
    pub disks: Vec<Disk>,
    /// The network between host and distributions, while it is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
}

/// An installed distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub guid: Guid,
    /// What it is doing.
    pub state: DistroState,
    /// 1 or 2.
    pub version: u8,
    /// Whether `wsl` without `-d` means it.
    pub default: bool,
}

/// `GET /v1/distributions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distributions {
    /// In order of installation.
    pub distributions: Vec<Distribution>,
}

/// A disk image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// The distribution it belongs to.
    pub distribution: String,
    /// The image file.
    pub path: PathBuf,
    /// The size it may grow to, in bytes.
    pub size_bytes: u64,
    /// What it takes on the host now, in bytes.
    pub allocated_bytes: u64,
}

/// `GET /v1/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Version of the service.
    pub version: String,
    /// The engine image that is installed, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_image: Option<ImageManifest>,
}

/// What an engine image was made of, recorded inside it (`usr/lib/sampan/engine-image.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Debian suite, or `custom` for an image from elsewhere.
    pub suite: String,
    /// Package names and versions.
    pub packages: Vec<Package>,
}

/// A package in an engine image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// `POST /v1/start` and `/v1/restart`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StartRequest {
    /// Use this root file system for `docker-desktop` instead of the one built from Debian packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_image: Option<PathBuf>,
    /// Give up after this many seconds; the setting `lifecycleTimeoutSeconds` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// The folder in which the caller works: shared with containers from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_tree: Option<PathBuf>,
}

/// `POST /v1/share`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ShareRequest {
    /// The folder in which the caller works, an absolute path without links.
    pub working_tree: PathBuf,
}

/// `POST /v1/stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StopRequest {
    /// How long containers get to end by themselves, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
}

/// `POST /v1/reset`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ResetRequest {
    /// Settings, logs, the cached engine image and all your distributions too: nothing of the instance is left.
    pub all: bool,
}

/// `GET /v1/reset`: what a reset deletes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResetPlan {
    /// Whether it is the plan of `--all`.
    pub all: bool,
    /// What dies.
    pub items: Vec<ResetItem>,
}

/// One thing that a reset deletes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResetItem {
    /// What it is, for people.
    pub what: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it takes on the host, in bytes.
    pub bytes: u64,
}

/// One line of the answer to a `POST` that takes time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Event {
    /// A stage began.
    #[serde(rename_all = "camelCase")]
    Stage {
        /// Which.
        stage: Stage,
        /// When, in microseconds of `CLOCK_MONOTONIC`.
        at_us: u64,
    },
    /// How far the stage is.
    #[serde(rename_all = "camelCase")]
    Progress {
        /// Which stage.
        stage: Stage,
        /// Thousandths done, when that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        permille: Option<u16>,
        /// What is being done.
        detail: String,
    },
    /// Something the user did not ask for in so many words was done.
    Note {
        /// One sentence.
        message: String,
    },
    /// Something is not as it should be, and the operation goes on.
    Warning {
        /// One sentence.
        message: String,
    },
    /// The end, all well.
    #[serde(rename_all = "camelCase")]
    Done {
        /// What was done, one sentence.
        message: String,
        /// Whether there was nothing to do.
        already: bool,
        /// Where the time of a start went.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        marks: Vec<Mark>,
        /// The user's distributions that go on after a stop, by name, and the service with them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remaining: Vec<String>,
    },
    /// The end, not well.
    Failed {
        /// Why.
        error: ApiError,
    },
}

/// A failure, as the user reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct ApiError {
    /// Which kind, for programs.
    pub code: ErrorCode,
    /// One sentence that names the object.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The last log lines of the part that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// Kinds of failure. Each has its exit code in `sampan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorCode {
    /// Anything without a kind of its own.
    Failed,
    /// The request itself is wrong.
    Invalid,
    /// The caller may not do this.
    Denied,
    /// Another operation is under way.
    Busy,
    /// A prerequisite of the machine is missing.
    Prerequisite,
    /// A file of the instance is damaged or newer than this program.
    State,
    /// Storage that must be there is not.
    DataMissing,
    /// No room on the disk.
    DiskFull,
    /// A deadline passed.
    Timeout,
}

/// Body of an answer that is not 2xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The failure.
    pub error: ApiError,
}
