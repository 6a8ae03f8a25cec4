//! Nodes of a `/dev` folder.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, makedev};
use rustix::io::Errno;

use crate::error::{Context, Result, SysError};

/// A character device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// File name in the folder.
    pub name: &'a str,
    /// Access rights.
    pub mode: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The devices every program may expect; `ptmx` is a link, see [`link_dev`].
pub const STANDARD_NODES: [Node<'static>; 6] = [
    Node { name: "null", mode: 0o666, major: 1, minor: 3 },
    Node { name: "zero", mode: 0o666, major: 1, minor: 5 },
    Node { name: "full", mode: 0o666, major: 1, minor: 7 },
    Node { name: "random", mode: 0o666, major: 1, minor: 8 },
    Node { name: "urandom", mode: 0o666, major: 1, minor: 9 },
    Node { name: "tty", mode: 0o666, major: 5, minor: 0 },
];

/// Makes the node `name` in the open folder, with exactly these rights whatever the umask. One that is there
/// already and means the same device is fine.
pub fn make_char_node(folder: impl AsFd, name: &str, mode: u32, major: u32, minor: u32) -> Result<()> {
    const WHAT: &str = "create the device";
    let mode = Mode::from_raw_mode(mode);
    let device = makedev(major, minor);
    match rustix::fs::mknodat(folder.as_fd(), name, FileType::CharacterDevice, mode, device) {
        Err(Errno::EXIST) => {
            let stat = rustix::fs::statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).on(WHAT, name)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || stat.st_rdev != device {
                return Err(SysError::new(WHAT, name, Errno::EXIST).because("there is another file"));
            }
        }
        other => other.on(WHAT, name)?,
    }
    rustix::fs::chmodat(folder, name, mode, AtFlags::empty()).on("set the access rights of", name)
}

/// Makes all `nodes` in `folder`.
pub fn populate_dev(folder: &Path, nodes: &[Node<'_>]) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(folder, flags, Mode::empty()).on("open", folder)?;
    nodes.iter().try_for_each(|node| make_char_node(&fd, node.name, node.mode, node.major, node.minor))
}

/// Makes the usual links: `fd`, `stdin`, `stdout`, `stderr` and `ptmx` (to `pts/ptmx`).
pub fn link_dev(folder: &Path) -> Result<()> {
    let links = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    ];
    for (target, name) in links {
        let path = folder.join(name);
        match rustix::fs::symlink(target, &path) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(SysError::new("link", path, errno)),
        }
    }
    Ok(())
}
