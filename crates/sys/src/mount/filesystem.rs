//! New file systems as detached mounts.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::error::{Context, Result, SysError};

/// Options of a new file system: a name, with or without a value.
pub type FsOptions<'a> = &'a [(&'a str, Option<&'a str>)];

/// How the disks of distributions are mounted. `discard`: deleted bytes go back to the host at once. `noinit_itable`: no
/// background writer fills a sparse image. `errors`: an image may ask for a panic of the kernel when it is damaged, and
/// anybody may have made it.
pub const DISK: FsOptions<'_> = &[("discard", None), ("noinit_itable", None), ("errors", Some("remount-ro"))];

/// Mounts the ext4 file system of `device`, attached nowhere yet: see [`super::attach`].
pub fn new_ext4(device: &Path, options: FsOptions<'_>, read_only: bool) -> Result<OwnedFd> {
    if !read_only {
        return new_on_device("ext4", device, options, MountAttrFlags::empty());
    }
    let options: Vec<_> = [("ro", None)].into_iter().chain(options.iter().copied()).collect();
    new_on_device("ext4", device, &options, MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// Mounts the file system of `device`, attached nowhere yet: see [`super::attach`]. The context is closed on return, for an
/// open one keeps the device for ever.
pub fn new_on_device(
    fstype: &str,
    device: &Path,
    options: FsOptions<'_>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd> {
    let object = || format!("{fstype} from {}", device.display());
    let context = rustix::mount::fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).on("mount", object())?;
    rustix::mount::fsconfig_set_string(&context, "source", device)
        .and_then(|()| create(&context, options, attributes))
        .map_err(|errno| SysError::new("mount", object(), errno).because(messages(&context)))
}

/// Mounts a file system without a device, e.g. `tmpfs`, attached nowhere yet: see [`super::attach`]. Of one that is there
/// once for all (sysfs, cgroup2) it is another mount, whose `attributes` concern the others not at all.
pub fn new_virtual(fstype: &str, options: FsOptions<'_>, attributes: MountAttrFlags) -> Result<OwnedFd> {
    const WHAT: &str = "mount a new";
    let context = rustix::mount::fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).on(WHAT, fstype)?;
    rustix::mount::fsconfig_set_string(&context, "source", fstype)
        .and_then(|()| create(&context, options, attributes))
        .map_err(|errno| SysError::new(WHAT, fstype, errno).because(messages(&context)))
}

fn create(
    context: &OwnedFd,
    options: FsOptions<'_>,
    attributes: MountAttrFlags,
) -> std::result::Result<OwnedFd, Errno> {
    for (name, value) in options {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(context, *name, *value)?,
            None => rustix::mount::fsconfig_set_flag(context, *name)?,
        }
    }
    rustix::mount::fsconfig_create(context)?;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// What the file system has written into its context, one message per read: `e ext4: Unknown parameter 'x'`.
fn messages(context: &OwnedFd) -> String {
    let fd: BorrowedFd<'_> = std::os::fd::AsFd::as_fd(context);
    let mut lines = Vec::new();
    let mut buffer = [0_u8; 1024];
    while let Ok(length) = rustix::io::read(fd, &mut buffer) {
        if length == 0 {
            break;
        }
        lines.push(without_level(&String::from_utf8_lossy(&buffer[..length])).to_owned());
    }
    lines.join("; ")
}

fn without_level(line: &str) -> &str {
    let line = line.trim();
    ["e ", "w ", "i "].iter().find_map(|level| line.strip_prefix(level)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_of_a_message_is_dropped() {
        assert_eq!(without_level("e ext4: Unknown parameter 'x'\n"), "ext4: Unknown parameter 'x'");
        assert_eq!(without_level("plain"), "plain");
    }
}
