//! This program inside: once to be read, for the tools that it is, and once to be executed only.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{Mode, OFlags};
use sampan_sys::mount::{self, MountAttrFlags};

use crate::filesystems::host_folder;

/// The file of this process.
const OWN: &str = "/proc/self/exe";

/// The file of this program as a mount of its own, which nobody can write to.
pub(super) fn readable() -> anyhow::Result<OwnedFd> {
    let program = host_folder(Path::new(OWN), false)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    mount::set_tree_attributes(&program, attributes, false)?;
    Ok(program)
}

/// A copy of this program that nobody inside can read. The memory of a process that executes such a file belongs to the user
/// namespace that could read it, which is the host's (`would_dump` in fs/exec.c): nobody inside can trace the server or the
/// leaders of sessions, look into their memory, or take their descriptors, not even root with `CAP_SYS_PTRACE`. Those lead to
/// the host: the log, the control socket, the streams of all sessions.
pub(super) fn unreadable() -> anyhow::Result<OwnedFd> {
    const NAME: &str = "sampan-server";
    const MODE: Mode = Mode::from_raw_mode(0o711);
    let cannot = || "cannot copy this program";
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let folder = mount::new_virtual("tmpfs", &[("mode", Some("0700"))], quiet)?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let own = File::open(OWN).with_context(cannot)?;
    let mut copy = File::from(rustix::fs::openat(&folder, NAME, flags, MODE).with_context(cannot)?);
    let length = mapped(&own).unwrap_or(u64::MAX);
    std::io::copy(&mut own.take(length), &mut copy).with_context(cannot)?;
    // Whatever the umask has left of it.
    rustix::fs::fchmod(&copy, MODE).with_context(cannot)?;
    rustix::fs::openat(&folder, NAME, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).with_context(cannot)
}

/// How much of a 64-bit program of this machine the kernel maps, in bytes: to the end of its last segment (elf(5)). What comes
/// after, for debuggers, is several times as long and would lie in memory.
fn mapped(program: &File) -> Option<u64> {
    const LOAD: u32 = 1;
    let mut header = [0; 64];
    program.read_exact_at(&mut header, 0).ok()?;
    if !header.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let at = u64::from_ne_bytes(*header[32..].first_chunk()?);
    let size = usize::from(u16::from_ne_bytes(*header[54..].first_chunk()?));
    let count = usize::from(u16::from_ne_bytes(*header[56..].first_chunk()?));
    let mut segments = vec![0; size * count];
    program.read_exact_at(&mut segments, at).ok()?;
    let end = |segment: &[u8]| {
        let kind = u32::from_ne_bytes(*segment.first_chunk()?);
        let offset = u64::from_ne_bytes(*segment.get(8..)?.first_chunk()?);
        let length = u64::from_ne_bytes(*segment.get(32..)?.first_chunk()?);
        (kind == LOAD).then(|| offset.saturating_add(length))
    };
    segments.chunks_exact(size.max(1)).filter_map(end).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_of_a_program_is_known() {
        let own = File::open(OWN).unwrap();
        let mapped = mapped(&own).unwrap();
        // A test has symbols, which come last.
        assert!(mapped > 64 && mapped < own.metadata().unwrap().len(), "{mapped}");
        assert_eq!(super::mapped(&File::open("/dev/null").unwrap()), None);
        assert_eq!(super::mapped(&File::open("/proc/self/maps").unwrap()), None);
    }
}
