//! What the platform tells `sampan-guest`, and what that answers: JSON on standard input and output of its
//! short-lived verbs, and one packet per message on a distribution's control socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::distro::Guid;

/// Identity of a process that survives the reuse of its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessId {
    /// Its number.
    pub pid: i32,
    /// When it began, in clock ticks since boot (`/proc/PID/stat` field 22, proc(5)).
    pub start_time: u64,
    /// The boot it belongs to (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
}

/// Input of `sampan-guest hub`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubSpec {
    /// An empty folder of the host where the hub builds its root before it leaves the host's tree.
    pub workdir: PathBuf,
    /// Name shown by `ps`, e.g. `sampan-hub`.
    pub name: String,
    /// Where to record the process ([`HubRecord`]) before it does anything.
    pub record: PathBuf,
    /// The `cgroup.procs` of the hub's cgroup.
    pub cgroup: PathBuf,
    /// Take the network namespace of this process instead of a new one: the hub that made it died, and a distribution
    /// lives on in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns_of: Option<ProcessId>,
}

/// The record of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubRecord {
    /// The process.
    pub process: ProcessId,
}

/// The record of a running distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DistroRecord {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub guid: Guid,
    /// Its PID 1.
    pub process: ProcessId,
}

/// Input of `sampan-guest attach`: mount an ext4 image in the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachSpec {
    /// The hub.
    pub hub: ProcessId,
    /// The image file, on the host.
    pub image: PathBuf,
    /// Where in the hub, e.g. `/int/<guid>`.
    pub at: PathBuf,
    /// Read it through the host's page cache: right for a disk whose content is read again at each start.
    pub cached: bool,
}

/// Input of `sampan-guest detach`: unmount in the hub what [`AttachSpec`] mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetachSpec {
    /// The hub.
    pub hub: ProcessId,
    /// Where in the hub.
    pub at: PathBuf,
}

/// Input of `sampan-guest launch`: start a distribution whose disks are attached to the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchSpec {
    /// Its name, also its host name.
    pub name: String,
    /// Its identity.
    pub guid: Guid,
    /// The hub; the distribution gets its network namespace.
    pub hub: ProcessId,
    /// Inode of that network namespace: dockerd is never started in another one.
    pub netns: u64,
    /// Where to record the process ([`DistroRecord`]) before it does anything.
    pub record: PathBuf,
    /// The root file system, in the hub.
    pub root: PathBuf,
    /// Further trees of the hub to mount inside.
    pub disks: Vec<Placement>,
    /// Folders of the host to mount inside, as slaves.
    pub folders: Vec<Placement>,
    /// The inner cgroup: one folder per hierarchy; PID 1 joins all of them.
    pub cgroup: CgroupView,
    /// Text of `/etc/resolv.conf` inside (kept on a tmpfs, never written to the image).
    pub resolv_conf: String,
    /// Listening sockets that programs inside serve.
    pub sockets: Vec<SocketSpec>,
    /// Programs that init keeps running.
    pub services: Vec<ServiceSpec>,
    /// Log file of init, on the host.
    pub log: PathBuf,
}

/// `from` (outside) is mounted on `to` (inside).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Outside.
    pub from: PathBuf,
    /// Inside; made when missing.
    pub to: PathBuf,
}

/// How cgroups look inside a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum CgroupView {
    /// One folder per version 1 hierarchy below `/sys/fs/cgroup`, e.g. `memory`, `cpu,cpuacct`, `systemd`.
    V1 {
        /// The hierarchies.
        hierarchies: Vec<Hierarchy>,
    },
    /// The unified hierarchy at `/sys/fs/cgroup`.
    V2 {
        /// The inner cgroup's folder on the host.
        path: PathBuf,
    },
}

/// One cgroup version 1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hierarchy {
    /// Mount options that select it, e.g. `memory`, `none,name=systemd`; empty for cgroup2 on a hybrid host.
    pub options: String,
    /// Name of its folder below `/sys/fs/cgroup` inside.
    pub folder: String,
    /// The inner cgroup's folder on the host.
    pub path: PathBuf,
}

/// A unix stream socket bound on the host and served inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketSpec {
    /// Services name it; they find its descriptor in `SAMPAN_FD_<NAME>`.
    pub name: String,
    /// Path on the host.
    pub path: PathBuf,
    /// Permissions.
    pub mode: u32,
    /// Owning group, root's when none.
    pub gid: Option<u32>,
}

/// A verb of `sampan-guest` that init keeps running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// Name in logs; its output goes to the log of this name.
    pub name: String,
    /// Arguments, the verb first.
    pub args: Vec<String>,
    /// Names of the sockets it serves.
    pub sockets: Vec<String>,
}

/// Input of `sampan-guest copy-out`: copy files out of an ext4 image that no distribution runs from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyOutSpec {
    /// The image file.
    pub image: PathBuf,
    /// An empty folder to mount it on (seen by this process only).
    pub mountpoint: PathBuf,
    /// Where copies go; made when missing.
    pub dest: PathBuf,
    /// What to copy.
    pub files: Vec<CopyOut>,
}

/// A file to copy out of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyOut {
    /// Paths in the image, the first that exists is taken. Links are followed inside the image only.
    pub candidates: Vec<String>,
    /// Path below `dest`; with none the file must exist and is not copied.
    pub to: Option<String>,
    /// Whether its absence is a failure.
    pub required: bool,
}

/// Answer of a verb of `sampan-guest`, one JSON line on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase")]
pub enum Answer {
    /// It was done.
    Done,
    /// A process was started, is recorded, and is ready.
    Started {
        /// Its identity.
        process: ProcessId,
    },
    /// It failed; nothing is left of the attempt.
    Failed {
        /// The sentence, causes included.
        message: String,
        /// Whether the cause was that something still uses the object.
        busy: bool,
    },
}

/// What a client asks a distribution's init, one packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum ControlRequest {
    /// Who are you? The sign of life.
    Hello,
    /// End services, then all processes, then yourself.
    #[serde(rename_all = "camelCase")]
    Shutdown {
        /// After this time what still runs is killed, in milliseconds.
        deadline_ms: u64,
    },
}

/// What init answers, one packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase")]
pub enum ControlReply {
    /// The answer to [`ControlRequest::Hello`].
    Hello {
        /// The distribution's name.
        name: String,
        /// Its identity.
        guid: Guid,
    },
    /// The shutdown has begun; its end is the end of the process.
    ShuttingDown,
    /// The request could not be read.
    Refused {
        /// Why.
        message: String,
    },
}
