//! What the platform tells `sampan-guest`, and what that answers: JSON on standard input and output of its
//! short-lived verbs, and messages on a distribution's control socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::distro::Guid;
use crate::session::SessionSpec;

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
    /// Folders of the host, shown to the engine at their own paths below the host's view ([`crate::views`]).
    pub folders: Vec<SharedFolder>,
    /// Take the network namespace of this process instead of a new one: the hub that made it died, and a distribution
    /// lives on in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns_of: Option<ProcessId>,
    /// Whether users' distributions are in the host's network instead of its own. Only noted here, for all that start as long
    /// as this hub lives.
    #[serde(default)]
    pub mirrored: bool,
    /// Take the views over that this process sees instead of making new ones: the hub that made them died, and the engine
    /// lives on with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views_of: Option<ProcessId>,
}

/// The record of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubRecord {
    /// The process.
    pub process: ProcessId,
    /// Whether users' distributions are in the host's network.
    #[serde(default)]
    pub mirrored: bool,
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
    /// First of its ids on the host, with a user namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdRange>,
}

/// A range of user and group ids of the host that a distribution's own, from 0, are shifted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdRange {
    /// The host's id of its id 0.
    pub base: u32,
    /// How many.
    pub count: u32,
}

/// Input of `sampan-guest boot`: start a user's distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootSpec {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub guid: Guid,
    /// Where to record the process ([`DistroRecord`]) before it does anything.
    pub record: PathBuf,
    /// Its root file system.
    pub root: BootRoot,
    /// Whether it is in the host's network; else in the hub's. One of version 1 always is.
    #[serde(default)]
    pub in_host_network: bool,
    /// Its ids; none: root in it is root of the host.
    pub ids: Option<IdRange>,
    /// The inner cgroup.
    pub cgroup: DistroCgroup,
    /// Its control socket, on the host; mode 0600.
    pub control: PathBuf,
    /// Its path socket ([`crate::integration::PathQuestion`]), on the host; mode 0600.
    pub paths: PathBuf,
    /// Folder of the copy of `sampan-guest` that becomes PID 1, on the host; nothing else is in it.
    pub programs: PathBuf,
    /// The host's name, which it has unless its `wsl.conf` says otherwise.
    pub hostname: String,
    /// Text of the `resolv.conf` it gets unless its `wsl.conf` says otherwise.
    pub resolv_conf: String,
    /// Text of the host's `/etc/hosts`, whose entries it gets unless its `wsl.conf` says otherwise.
    pub hosts: String,
    /// Folders of the host, at `<automount.root>/host/<name>` unless its `wsl.conf` says otherwise.
    pub folders: Vec<SharedFolder>,
    /// What it sees of WSL integration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<IntegrationSpec>,
    /// It ends after this many milliseconds in which nothing happened in it; none: never.
    pub idle_timeout_ms: Option<u64>,
    /// Whether `wsl2.safeMode` of `.wslconfig` turns off what could keep it from starting.
    #[serde(default)]
    pub safe_mode: bool,
    /// Log file of init, on the host.
    pub log: PathBuf,
}

/// What follows the spec on the input of `sampan-guest boot` when the disk of an image is attached.
pub const ATTACHED: &str = "attached\n";

/// The root file system of a user's distribution, by version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum BootRoot {
    /// Version 2: an ext4 image, which is being attached in the hub. The input goes on with [`ATTACHED`] when it is, and ends
    /// without that when it can't be.
    Image {
        /// The hub.
        hub: ProcessId,
        /// The image file.
        image: PathBuf,
        /// Where in the hub, e.g. `/views/<guid>`.
        at: PathBuf,
        /// Its file system is damaged: it may only be looked at.
        read_only: bool,
    },
    /// Version 1: a folder of the host.
    Folder {
        /// The folder.
        path: PathBuf,
    },
}

/// The cgroups of a user's distribution: whatever the host has, it sees a private unified hierarchy, and every process
/// of it is in the inner cgroup of every hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DistroCgroup {
    /// The inner cgroup of the unified hierarchy, on the host; none: the host has no such hierarchy.
    pub unified: Option<PathBuf>,
    /// The inner cgroup in each of the other hierarchies.
    pub others: Vec<PathBuf>,
}

/// What a distribution sees of WSL integration ([`crate::integration`]), all of it read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationSpec {
    /// Its own folder on the host, seen at [`crate::integration::PLACE`].
    pub folder: PathBuf,
    /// The folder of the Docker CLI on the host, seen at [`crate::docker_cli::PLACE`] if it is there.
    pub cli: PathBuf,
    /// The folder of the `docker` for distributions on the host, seen at [`crate::docker_cli::SHIM_PLACE`] if it is there.
    pub bin: PathBuf,
    /// Whether `docker` is to work there.
    pub on: bool,
}

/// A folder of the host that distributions see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedFolder {
    /// Its name inside.
    pub name: String,
    /// Its path on the host.
    pub from: PathBuf,
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
    /// Its file system may only be looked at.
    #[serde(default)]
    pub read_only: bool,
}

/// Input of `sampan-guest share`: show folders of the host in a hub that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShareSpec {
    /// The hub.
    pub hub: ProcessId,
    /// All that is to be seen. What is seen already stays as it is.
    pub folders: Vec<SharedFolder>,
}

/// Input of `sampan-guest detach`: unmount in the hub what is mounted there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetachSpec {
    /// The hub.
    pub hub: ProcessId,
    /// Where in the hub.
    pub at: PathBuf,
}

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDevice {
    /// Its name below `/dev`, e.g. `loop3p1`.
    pub name: String,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// Input of `sampan-guest mount-disk`: mount a disk of the user's in the hub. A refusal's message is the reason, as
/// [`crate::wsl::message::mount_failed`] takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountDiskSpec {
    /// The hub.
    pub hub: ProcessId,
    /// The disk or partition.
    pub device: BlockDevice,
    /// Its file system; none: found out by its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fstype: Option<String>,
    /// Options of mount(8).
    pub options: String,
    /// Where in the hub, e.g. `/wsl/data`.
    pub at: PathBuf,
}

/// Input of `sampan-guest show-disk`: mount what is mounted in the hub in a distribution too, with its ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShowDiskSpec {
    /// The hub.
    pub hub: ProcessId,
    /// Where in the hub.
    pub from: PathBuf,
    /// PID 1 of the distribution.
    pub process: ProcessId,
    /// Where inside.
    pub to: PathBuf,
}

/// Input of `sampan-guest hide-disk`: take the topmost mount at a place off in a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HideDiskSpec {
    /// PID 1 of the distribution.
    pub process: ProcessId,
    /// Where inside.
    pub at: PathBuf,
}

/// Input of `sampan-guest disk-nodes`: which block devices a distribution without a user namespace may open, and has in its
/// `/dev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskNodesSpec {
    /// PID 1 of the distribution.
    pub process: ProcessId,
    /// Its inner cgroup.
    pub cgroup: DistroCgroup,
    /// All that it may.
    pub present: Vec<BlockDevice>,
    /// What it may no longer.
    pub gone: Vec<BlockDevice>,
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
    /// The address by which containers reach the host's services, where there is a network.
    pub host_gateway: Option<std::net::Ipv4Addr>,
    /// Listening sockets that programs inside serve.
    pub sockets: Vec<SocketSpec>,
    /// Programs that init keeps running. Besides those sockets they may name `hostnet`, the host's network namespace, and
    /// `hostproc`, the host's `/proc`.
    pub services: Vec<ServiceSpec>,
    /// The program that becomes [`crate::ports::PROXY`].
    pub docker_proxy: PathBuf,
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

/// Input of `sampan-guest integrate`: write what integration needs into a distribution, or take it out again, whether the
/// distribution runs or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntegrateSpec {
    /// The hub, if there is one.
    pub hub: Option<ProcessId>,
    /// Where in the hub the distribution is attached, if it is.
    pub at: PathBuf,
    /// Its image file, used when it is not attached.
    pub image: PathBuf,
    /// The journal of the distribution ([`crate::integration::journal`]), on the host.
    pub journal: PathBuf,
    /// What to do.
    pub task: Integration,
}

/// What to do with a distribution's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Integration {
    /// Write what is not there yet.
    Write {
        /// Also what is there, of which nothing is taken away before the new one is there.
        anew: bool,
        /// The program that becomes `docker`, on the host.
        shim: PathBuf,
        /// Files that are written where their folder is there and they are not: path in the distribution, text.
        completions: Vec<(PathBuf, String)>,
        /// The default user by number, unless its `wsl.conf` names one.
        default_uid: u32,
    },
    /// Undo all that was written.
    Undo,
}

/// First argument of `sampan-guest confine SPEC -- COMMAND…`: run a command that reaches nothing but these trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfineSpec {
    /// What it sees beside the programs of the host. The first one is its working folder.
    pub trees: Vec<ConfinedTree>,
    /// It reads standard input, which is fed to it through a pipe, and is not trusted. What was read of it before, which
    /// is fed first.
    pub input: Option<Vec<u8>>,
}

/// A tree that a confined command sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfinedTree {
    /// Where, e.g. `/target`.
    pub at: PathBuf,
    /// What.
    pub root: ConfinedRoot,
    /// Whether it may write there.
    pub writable: bool,
}

/// A root file system that no distribution runs from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ConfinedRoot {
    /// In an ext4 image.
    Image {
        /// The image file.
        image: PathBuf,
    },
    /// In an ext4 image that is mounted elsewhere, where others may write to it; here it is only read.
    Layer {
        /// The image file.
        image: PathBuf,
    },
    /// A folder of the host; mounts below it are not seen.
    Folder {
        /// The folder.
        path: PathBuf,
    },
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
        /// What the user should know, one sentence each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// A gateway was started, is recorded, and listens.
    Listening {
        /// Where.
        ports: crate::gateway::GatewayPorts,
    },
    /// Whether the gateway has answered.
    Reached {
        /// Which of the two.
        reached: bool,
    },
    /// Folders of the host are shown, but for those that the sentences name.
    Shared {
        /// What the user should know, one sentence each.
        warnings: Vec<String>,
    },
    /// Integration has what it needs in a distribution.
    Written {
        /// Number of the group `docker`, in the distribution.
        gid: u32,
        /// Programs called `docker` of somebody else. While there is one, it is the one to be used, and there is none of ours.
        foreign: Vec<PathBuf>,
        /// What the user should know, one sentence each.
        warnings: Vec<String>,
    },
    /// All that integration wrote is undone, but for what others have changed since.
    Undone {
        /// Files that were left as they are.
        kept: Vec<PathBuf>,
    },
    /// It failed; nothing is left of the attempt.
    Failed {
        /// The sentence, causes included.
        message: String,
        /// Whether the cause was that something still uses the object.
        busy: bool,
    },
}

/// What a client asks a distribution's init, one message.
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
    /// Have the Docker socket where clients look for it, or no longer.
    Integrate {
        /// Which of the two.
        on: bool,
    },
    /// Run a command. Descriptors: standard input, output, error, and the client's connection, on which the session
    /// itself answers from here on ([`crate::wsl::service::Reply`]).
    Session {
        /// What.
        spec: Box<SessionSpec>,
    },
}

/// What init answers, one message.
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
    /// The answer to [`ControlRequest::Integrate`].
    Integrated {
        /// What the user should know.
        warnings: Vec<String>,
    },
    /// The session belongs to the distribution now.
    Accepted,
    /// Follows [`ControlReply::Accepted`] on the same connection once the first-run command of the session has succeeded;
    /// without it the connection just ends. Nobody needs to wait for it.
    #[serde(rename_all = "camelCase")]
    FirstRun {
        /// The default user from now on; none: as before.
        default_uid: Option<u32>,
    },
    /// The request could not be read, or not done.
    Refused {
        /// Why.
        message: String,
    },
}
