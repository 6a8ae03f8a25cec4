//! New file systems as detached mounts.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::error::{Context, Result, SysError};

/// Mounts the ext4 file system of `device`, attached nowhere yet: see [`super::attach`]. An option is a name
/// with or without a value. The context is closed on return, for an open one keeps the device for ever.
pub fn new_ext4(device: &Path, options: &[(&str, Option<&str>)], read_only: bool) -> Result<OwnedFd> {
    const WHAT: &str = "mount ext4 from";
    let context = rustix::mount::fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC).on(WHAT, device)?;
    let attributes = if read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
    configure(&context, device, options, read_only)
        .and_then(|()| rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes))
        .map_err(|errno| SysError::new(WHAT, device, errno).because(messages(&context)))
}

fn configure(
    context: &OwnedFd,
    device: &Path,
    options: &[(&str, Option<&str>)],
    read_only: bool,
) -> std::result::Result<(), Errno> {
    rustix::mount::fsconfig_set_string(context, "source", device)?;
    if read_only {
        rustix::mount::fsconfig_set_flag(context, "ro")?;
    }
    for (name, value) in options {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(context, *name, *value)?,
            None => rustix::mount::fsconfig_set_flag(context, *name)?,
        }
    }
    rustix::mount::fsconfig_create(context)
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
