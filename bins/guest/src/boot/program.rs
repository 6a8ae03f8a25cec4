//! This program inside: once to be read, for the tools that it is, and once to be executed only.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;
use sampan_sys::lock;
use sampan_sys::mount::{self, MountAttrFlags};

use crate::filesystems::host_folder;

/// The file of this process.
const OWN: &str = "/proc/self/exe";

/// Of the copy: to be executed, and not to be read.
const MODE: u32 = 0o711;

/// Of the mounts of both.
const QUIET: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// The file of this program as a mount of its own, which nobody can write to.
pub(super) fn readable() -> anyhow::Result<OwnedFd> {
    let program = host_folder(Path::new(OWN), false)?;
    mount::set_tree_attributes(&program, QUIET, false)?;
    Ok(program)
}

/// A copy of this program in `folder` that nobody inside can read; made by the first who asks, and the same for all after.
///
/// The memory of a process that executes such a file belongs to the user namespace that could read it, which is the host's
/// (`would_dump` in fs/exec.c): nobody inside can trace the server or the leaders of sessions, look into their memory, or
/// take their descriptors, not even root with `CAP_SYS_PTRACE`. Those lead to the host: the log, the control socket, the
/// streams of all sessions.
pub(super) fn unreadable(folder: &Path) -> anyhow::Result<OwnedFd> {
    let own = File::open(OWN).context("cannot open this program")?;
    let at = folder.join(name(&own.metadata().context("cannot look at this program")?));
    let copy = match host_folder(&at, false) {
        Ok(copy) => copy,
        Err(_) => copy(&own, &at).with_context(|| format!("cannot copy this program to {}", at.display()))?,
    };
    // `/run`, where it is, may be no place for programs.
    mount::clear_tree_attributes(&copy, MountAttrFlags::MOUNT_ATTR_NOEXEC, false)?;
    mount::set_tree_attributes(&copy, QUIET, false)?;
    Ok(copy)
}

/// Of a copy: another one for every program and every state of it.
fn name(program: &Metadata) -> String {
    let (device, inode, size) = (program.dev(), program.ino(), program.size());
    format!("{device:x}-{inode:x}-{size:x}-{:x}.{:x}", program.ctime(), program.ctime_nsec())
}

/// Copies the program `own`, whole or not at all, in the place of copies of older ones.
fn copy(own: &File, to: &Path) -> anyhow::Result<OwnedFd> {
    let folder = to.parent().context("it has no folder")?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let _turn = lock::folder_lock(folder)?;
    if let Ok(copy) = host_folder(to, false) {
        return Ok(copy);
    }
    // Of older programs, or of a launcher that was killed; what executes one keeps it.
    for old in fs::read_dir(folder)? {
        fs::remove_file(old?.path())?;
    }
    let unfinished = folder.join("unfinished");
    let mut copy = File::options().write(true).create_new(true).open(&unfinished)?;
    std::io::copy(&mut own.take(mapped(own).unwrap_or(u64::MAX)), &mut copy)?;
    // Whatever the umask is.
    copy.set_permissions(Permissions::from_mode(MODE))?;
    drop(copy);
    fs::rename(&unfinished, to)?;
    host_folder(to, false)
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
    fn a_copy_is_named_by_its_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let named = |text: &str| {
            sampan_sys::fs::write_atomic(&path, text.as_bytes(), 0o755).unwrap();
            let other = File::open(&path).unwrap();
            (name(&other.metadata().unwrap()), name(&fs::metadata(&path).unwrap()), other)
        };
        let (one, two) = (named("one"), named("two"));
        assert_eq!((&one.0, &two.0), (&one.1, &two.1));
        assert_ne!(one.0, two.0);
    }

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
