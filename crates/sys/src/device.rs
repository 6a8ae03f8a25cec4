//! Devices: a `/dev` folder with its nodes and links, and which devices the processes of a cgroup may open.

mod rules;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;

pub use rules::{DeviceRule, limit_devices, replace_device_limits};

use crate::error::{Context, Result};
use crate::mount::{MountAttrFlags, new_virtual};

/// A character device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// Path in the folder, e.g. `null` or `net/tun`.
    pub name: &'a str,
    /// Access rights.
    pub mode: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The devices every program may expect.
pub const STANDARD_NODES: [Node<'static>; 6] = [
    Node { name: "null", mode: 0o666, major: 1, minor: 3 },
    Node { name: "zero", mode: 0o666, major: 1, minor: 5 },
    Node { name: "full", mode: 0o666, major: 1, minor: 7 },
    Node { name: "random", mode: 0o666, major: 1, minor: 8 },
    Node { name: "urandom", mode: 0o666, major: 1, minor: 9 },
    Node { name: "tty", mode: 0o666, major: 5, minor: 0 },
];

/// The links every program may expect.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Mount points for the file systems that belong below `/dev`.
const FOLDERS: [&str; 3] = ["pts", "shm", "mqueue"];

/// A new `/dev`, attached nowhere yet (see [`crate::mount::attach`]): [`STANDARD_NODES`] and `more`, with exactly these
/// rights whatever the umask, the usual links, and the folders `pts`, `shm` and `mqueue`. All of it belongs to the user
/// and the group `owner`.
///
/// A process in a user namespace can't make one that works: nodes on its own file systems do not open.
pub fn new_dev(more: &[Node<'_>], owner: u32) -> Result<OwnedFd> {
    let dev = new_virtual("tmpfs", &[("mode", Some("0755"))], MountAttrFlags::MOUNT_ATTR_NOSUID)?;
    let folder = Folder { fd: dev.as_fd(), owner };
    folder.own("")?;
    for node in STANDARD_NODES.iter().chain(more) {
        folder.node(node)?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, folder.fd, name).on("link", name)?;
        folder.own(name)?;
    }
    FOLDERS.iter().try_for_each(|name| folder.folder(name))?;
    Ok(dev)
}

struct Folder<'a> {
    fd: BorrowedFd<'a>,
    owner: u32,
}

impl Folder<'_> {
    fn node(&self, node: &Node<'_>) -> Result<()> {
        let Some((folder, name)) = node.name.split_once('/') else { return self.node_here(node) };
        self.folder(folder)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let below = rustix::fs::openat(self.fd, folder, flags, Mode::empty()).on("open", folder)?;
        Folder { fd: below.as_fd(), owner: self.owner }.node(&Node { name, ..*node })
    }

    fn node_here(&self, node: &Node<'_>) -> Result<()> {
        let mode = Mode::from_raw_mode(node.mode);
        let device = makedev(node.major, node.minor);
        rustix::fs::mknodat(self.fd, node.name, FileType::CharacterDevice, mode, device)
            .on("create the device", node.name)?;
        rustix::fs::chmodat(self.fd, node.name, mode, AtFlags::empty())
            .on("set the access rights of", node.name)?;
        self.own(node.name)
    }

    /// Makes a folder, unless it is there.
    fn folder(&self, name: &str) -> Result<()> {
        const WHAT: &str = "make the folder";
        let mode = Mode::from_raw_mode(0o755);
        match rustix::fs::mkdirat(self.fd, name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(errno) => return Err(errno).on(WHAT, name),
        }
        rustix::fs::chmodat(self.fd, name, mode, AtFlags::empty()).on(WHAT, name)?;
        self.own(name)
    }

    /// Gives `name`, or this folder itself when it is empty, to the owner.
    fn own(&self, name: &str) -> Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        let (uid, gid) = (Uid::from_raw(self.owner), Gid::from_raw(self.owner));
        rustix::fs::chownat(self.fd, name, Some(uid), Some(gid), flags).on("set the owner of", name)
    }
}
