//! Namespaces: entering, leaving, and what is set once inside.

mod user;

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

pub use user::{IdMap, set_id_maps, user_namespace};

use crate::error::{Context, Result, SysError, last_errno};

/// A set of kinds of namespaces, joined with `|`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces(u32);

impl Namespaces {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Mount tables.
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS.cast_unsigned());
    /// Process numbers.
    pub const PID: Self = Self(libc::CLONE_NEWPID.cast_unsigned());
    /// Host name.
    pub const UTS: Self = Self(libc::CLONE_NEWUTS.cast_unsigned());
    /// System V IPC, POSIX message queues.
    pub const IPC: Self = Self(libc::CLONE_NEWIPC.cast_unsigned());
    /// Network.
    pub const NET: Self = Self(libc::CLONE_NEWNET.cast_unsigned());
    /// Users, groups and capabilities.
    pub const USER: Self = Self(libc::CLONE_NEWUSER.cast_unsigned());
    /// Root of the cgroup tree.
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP.cast_unsigned());

    /// Whether it holds all kinds of `other`.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it holds no kind.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

impl std::ops::BitOr for Namespaces {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Moves the caller into namespaces: those of a process (`fd` is a pidfd) or the one of a `/proc/PID/ns`
/// file. The mount namespace needs a process with one thread and makes its root the working directory; the
/// pid namespace counts for children only.
pub fn enter(fd: impl AsFd, kinds: Namespaces) -> Result<()> {
    let kinds = ThreadNameSpaceType::from_bits_retain(kinds.bits());
    rustix::thread::move_into_thread_name_spaces(fd.as_fd(), kinds)
        .on("enter", format!("namespaces {kinds:?}"))
}

/// Gives the calling thread a root and a working directory of its own: it may then [`enter`] a mount namespace, while the
/// other threads stay where they are. There is no way back; such a thread ends there.
pub fn part_from_threads() -> Result<()> {
    // SAFETY: descriptors stay shared; what is no longer shared is where paths begin, which no memory depends on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }.on("part", "a thread from the others")
}

/// Moves the caller into new namespaces; a new pid namespace counts for children only.
pub fn unshare(kinds: Namespaces) -> Result<()> {
    let flags = UnshareFlags::from_bits_retain(kinds.bits());
    // SAFETY: `Namespaces` has no way to hold CLONE_FILES, the one flag that takes descriptors from other
    // threads.
    unsafe { rustix::thread::unshare_unsafe(flags) }.on("make", format!("namespaces {flags:?}"))
}

/// Sets the host name of the current UTS namespace.
pub fn sethostname(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes()).on("set the host name to", name)
}

/// The inode number that tells network namespaces apart; changes hands once the namespace is gone.
pub fn netns_inode(pid: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/ns/net");
    Ok(std::fs::metadata(&path).on("identify the network namespace", &path)?.ino())
}

/// Brings up `lo` in the current network namespace, where a new one has it down.
pub fn set_loopback_up() -> Result<()> {
    const WHAT: &str = "bring up";
    const LO: &str = "the network interface lo";
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .on(WHAT, LO)?;
    // SAFETY: `ifreq` is plain old data, for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    let ioctl = |number, request: &mut libc::ifreq| {
        // SAFETY: both requests read and write an `ifreq`, which `request` is.
        match unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw mut *request) } {
            0 => Ok(()),
            _ => Err(SysError::new(WHAT, LO, last_errno())),
        }
    };
    ioctl(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: SIOCGIFFLAGS has filled in this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let up = libc::c_short::try_from(libc::IFF_UP).map_err(|_| SysError::new(WHAT, LO, Errno::INVAL))?;
    request.ifr_ifru.ifru_flags = flags | up;
    ioctl(libc::SIOCSIFFLAGS, &mut request)
}
