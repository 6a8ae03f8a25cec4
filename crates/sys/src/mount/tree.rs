//! Detached copies of mount trees.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use super::Propagation;
use crate::error::{Context, Result, last_errno};

/// A detached copy of the mount at `path`, with all below if `recursive`. It is a peer of the original; give
/// it another propagation with [`set_tree_propagation`] before it is attached unless that is meant. Nothing
/// is mounted into a copy while it is detached, and it keeps its file systems busy until closed.
pub fn open_tree(path: &Path, recursive: bool) -> Result<OwnedFd> {
    let depth = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | depth;
    rustix::mount::open_tree(CWD, path, flags).on("copy the mounts at", path)
}

/// Sets the propagation of a detached tree, of all its mounts if `recursive`.
pub fn set_tree_propagation(tree: impl AsFd, propagation: Propagation, recursive: bool) -> Result<()> {
    let attributes = MountAttr { propagation: u64::from(propagation.flags().bits()), ..MountAttr::default() };
    set_tree(tree, recursive, &attributes).on("set the propagation of", "a detached mount")
}

/// Shifts the ids of a detached tree, of all its mounts if `recursive`: an id on the disk is an id of `user_namespace`.
/// All or nothing; refused (EINVAL) by file systems and kernels that can't, and (EPERM) for a tree that is shifted already.
pub fn idmap_tree(tree: impl AsFd, user_namespace: impl AsFd, recursive: bool) -> Result<()> {
    let attributes = MountAttr {
        set: libc::MOUNT_ATTR_IDMAP,
        userns_fd: u64::try_from(user_namespace.as_fd().as_raw_fd()).unwrap_or(u64::MAX),
        ..MountAttr::default()
    };
    set_tree(tree, recursive, &attributes).on("shift the ids of", "a detached mount")
}

/// Sets attributes of a detached tree (read-only, nosuid, …), of all its mounts if `recursive`; others stay.
pub fn set_tree_attributes(tree: impl AsFd, attributes: MountAttrFlags, recursive: bool) -> Result<()> {
    let attributes = MountAttr { set: u64::from(attributes.bits()), ..MountAttr::default() };
    set_tree(tree, recursive, &attributes).on("set the attributes of", "a detached mount")
}

/// Takes attributes off a detached tree, of all its mounts if `recursive`; others stay.
pub fn clear_tree_attributes(tree: impl AsFd, attributes: MountAttrFlags, recursive: bool) -> Result<()> {
    let attributes = MountAttr { clear: u64::from(attributes.bits()), ..MountAttr::default() };
    set_tree(tree, recursive, &attributes).on("take attributes off", "a detached mount")
}

/// Attaches a detached mount at the folder or file `target` (a symbolic link is not followed).
pub fn attach(tree: impl AsFd, target: &Path) -> Result<()> {
    let tree: BorrowedFd<'_> = tree.as_fd();
    rustix::mount::move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .on("attach a mount to", target)
}

/// Makes the mount at `target` read-only: this one, not the file system and no mount below.
pub fn remount_bind_ro(target: &Path) -> Result<()> {
    let attributes = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    setattr(libc::AT_FDCWD, target, 0, &attributes).on("make read-only", target)
}

/// Makes the mount at `target` writable again: this one and no mount below.
pub fn remount_bind_rw(target: &Path) -> Result<()> {
    let attributes = MountAttr { clear: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    setattr(libc::AT_FDCWD, target, 0, &attributes).on("make writable", target)
}

/// `struct mount_attr`.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

fn set_tree(tree: impl AsFd, recursive: bool, attributes: &MountAttr) -> std::result::Result<(), Errno> {
    let depth = if recursive { libc::AT_RECURSIVE } else { 0 };
    setattr(tree.as_fd().as_raw_fd(), Path::new(""), libc::AT_EMPTY_PATH | depth, attributes)
}

/// Unlike a remount it leaves the flags it is not told to change (nosuid, nodev, …) as they are.
fn setattr(
    folder: RawFd,
    path: &Path,
    flags: libc::c_int,
    attributes: &MountAttr,
) -> std::result::Result<(), Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    // SAFETY: `path` is a C string and `attributes` a mount_attr of the size given; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            folder,
            path.as_ptr(),
            flags,
            &raw const *attributes,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}
