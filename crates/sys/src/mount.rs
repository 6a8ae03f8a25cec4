//! Mounts: by path, and as detached trees that are attached later, maybe in another namespace.

mod filesystem;
mod table;
mod tree;

use std::path::Path;

pub use filesystem::{DISK, FsOptions, new_ext4, new_on_device, new_virtual};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::io::Errno;
pub use rustix::mount::{MountAttrFlags, MountFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
pub use table::{MountEntry, mountinfo, mountinfo_at, parse_mountinfo};
pub use tree::{
    attach, clear_tree_attributes, idmap_tree, open_tree, remount_bind_ro, remount_bind_rw,
    set_tree_attributes, set_tree_propagation,
};

use crate::error::{Context, Result};

/// How mounts below a mount travel between its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all. A private copy keeps what its origin unmounts; prefer `Slave` for copies of foreign trees.
    Private,
    /// From the origin only.
    Slave,
    /// Both ways.
    Shared,
}

/// Makes `source` visible at `target`, with the mounts below it if `recursive`.
pub fn bind(source: &Path, target: &Path, recursive: bool) -> Result<()> {
    let bound = if recursive {
        rustix::mount::mount_bind_recursive(source, target)
    } else {
        rustix::mount::mount_bind(source, target)
    };
    bound.on("bind", format!("{} to {}", source.display(), target.display()))
}

/// Mounts a new tmpfs (nosuid), with options such as `mode=755,size=64m`.
pub fn mount_tmpfs(target: &Path, options: &str) -> Result<()> {
    mount_fs("tmpfs", "tmpfs", target, MountFlags::NOSUID, options)
}

/// Mounts a file system, `data` being its own options joined by commas.
pub fn mount_fs(fstype: &str, source: &str, target: &Path, flags: MountFlags, data: &str) -> Result<()> {
    let object = || format!("{fstype} on {}", target.display());
    let data = std::ffi::CString::new(data).map_err(|_| Errno::INVAL).on("mount", object())?;
    rustix::mount::mount(source, target, fstype, flags, data.as_c_str()).on("mount", object())
}

/// Sets the propagation of the mount at `target`, and of all below if `recursive`.
pub fn set_propagation(target: &Path, propagation: Propagation, recursive: bool) -> Result<()> {
    let depth = if recursive { MountPropagationFlags::REC } else { MountPropagationFlags::empty() };
    rustix::mount::mount_change(target, propagation.flags() | depth).on("set the propagation of", target)
}

/// Makes `new_root` (a mount that is not shared) the root of the mount namespace and takes away the old root
/// with everything on it. What of the old root has living peers must be a slave before, or they lose it too.
pub fn pivot_into(new_root: &Path) -> Result<()> {
    const WHAT: &str = "make the root folder of";
    rustix::process::chdir(new_root).on(WHAT, new_root)?;
    // With "." twice the old root ends up on top of the new one, where "." still means the old: no folder is
    // needed.
    rustix::process::pivot_root(".", ".").on(WHAT, new_root)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).on("leave the old root folder for", new_root)?;
    rustix::process::chdir("/").on(WHAT, new_root)
}

/// Unmounts the topmost mount at `path` (a symbolic link is not followed). `detach`: also what is busy, with
/// all mounts below; whether it is really gone is then known only by other means.
pub fn unmount(path: &Path, detach: bool) -> Result<()> {
    let flags = if detach { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    rustix::mount::unmount(path, flags | UnmountFlags::NOFOLLOW).on("unmount", path)
}

/// Whether something is mounted at `path` (a symbolic link is not followed); nothing is where there is no file.
pub fn is_mount_point(path: &Path) -> Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match rustix::fs::statx(CWD, path, flags, StatxFlags::empty()) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno).on("look at", path),
    }
}

impl Propagation {
    fn flags(self) -> MountPropagationFlags {
        match self {
            Self::Private => MountPropagationFlags::PRIVATE,
            Self::Slave => MountPropagationFlags::DOWNSTREAM,
            Self::Shared => MountPropagationFlags::SHARED,
        }
    }
}
