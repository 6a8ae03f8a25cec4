//! Forking, with new namespaces from the start.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::attributes::is_single_threaded;
use crate::error::{Result, SysError, last_errno};
use crate::namespace::Namespaces;

/// Which side of a fork the caller is.
#[derive(Debug)]
pub enum Forked {
    /// The new process. It leaves by exec or [`super::exit_now`], or it runs destructors that belong to the
    /// parent.
    Child,
    /// The calling process.
    Parent {
        /// Number of the child in the caller's pid namespace.
        pid: i32,
        /// Descriptor of the child (close-on-exec); readable once it has ended.
        pidfd: OwnedFd,
    },
}

/// `CLONE_INTO_CGROUP`, from Linux 5.7 on; it does not fit the type that libc gives such flags.
const INTO_CGROUP: u64 = 1 << 33;

/// Size of `struct clone_args` in its first version, known to every kernel that has clone3: without what follows `tls`.
const FIRST_VERSION: usize = 64;

/// `struct clone_args`.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks into new namespaces; the parent gets SIGCHLD at the child's end.
///
/// Refused (EINVAL) in a process with several threads: the child goes on with Rust code, and a lock that
/// another thread held would stay locked in it for ever. Refused for the cgroup namespace: its root is the
/// cgroup the process is in when the namespace is made, so the child must be moved first and then call
/// [`crate::namespace::unshare`].
pub fn clone_into(namespaces: Namespaces) -> Result<Forked> {
    clone(namespaces, None)
}

/// As [`clone_into`], and the child is in the cgroup of version 2 whose folder is `cgroup` from its birth. Unlike moving
/// a process, this waits for no grace period of the kernel (10 ms and more).
pub fn clone_into_cgroup(namespaces: Namespaces, cgroup: BorrowedFd<'_>) -> Result<Forked> {
    clone(namespaces, Some(cgroup))
}

fn clone(namespaces: Namespaces, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked> {
    const WHAT: &str = "start a process in";
    let object = if namespaces.is_empty() { "the same namespaces" } else { "new namespaces" };
    if namespaces.contains(Namespaces::CGROUP) {
        return Err(SysError::new(WHAT, object, Errno::INVAL)
            .because("a cgroup namespace is made by the child once it is in its cgroup"));
    }
    if !is_single_threaded() {
        return Err(
            SysError::new(WHAT, object, Errno::INVAL).because("the calling process has several threads")
        );
    }
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: u64::from(libc::CLONE_PIDFD.cast_unsigned() | namespaces.bits()),
        pidfd: (&raw mut pidfd).expose_provenance() as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        ..CloneArgs::default()
    };
    let mut size = FIRST_VERSION;
    if let Some(cgroup) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
        size = size_of::<CloneArgs>();
    }
    // SAFETY: a plain fork (no CLONE_VM, no new stack): the child runs on its own copy of this memory. The
    // caller is the only thread, so no lock of the allocator or of std is held by somebody who is missing in
    // the copy. `args`, which is at least `size` bytes long, and `pidfd` outlive the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size) };
    match i32::try_from(pid) {
        Ok(0) => Ok(Forked::Child),
        Ok(pid) if pid > 0 => {
            // SAFETY: clone3 succeeded with CLONE_PIDFD, so it stored a new descriptor that nobody else owns.
            Ok(Forked::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
        }
        _ => Err(SysError::new(WHAT, object, last_errno())),
    }
}

/// Forks in the same namespaces; otherwise as [`clone_into`].
pub fn fork_plain() -> Result<Forked> {
    clone_into(Namespaces::NONE)
}
