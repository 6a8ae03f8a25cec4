//! Files: written whole or not at all, opened inside a root, and the space they take.

mod atomic;
mod reserve;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

pub use atomic::{write_atomic, write_whole};
pub use reserve::{hold_reserve, write_from_reserve};
pub use rustix::fs::OFlags;
use rustix::fs::{FallocateFlags, Mode, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Context, Result, SysError, last_errno};

/// Opens `path` as a process with the root folder `root` would: absolute paths and links stay inside, links
/// of `/proc` that lead anywhere are refused. Close-on-exec is added to `flags`.
pub fn open_in_root(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o644) } else { Mode::empty() };
    let open = || rustix::fs::openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, mode, resolve);
    // EAGAIN: something was renamed meanwhile and the kernel cannot vouch for "inside"; it asks to try again.
    let mut result = open();
    for _ in 0..16 {
        match result {
            Err(Errno::AGAIN | Errno::INTR) => result = open(),
            other => return other.on("open", path),
        }
    }
    result.on("open", path)
}

/// Opens for reading what was seen by [`OFlags::PATH`] to be a regular file, and waits for nobody: while a process has a
/// lease on it (fcntl(2), `F_SETLEASE`) the answer is [`Errno::AGAIN`]. The kernel has told the process then to give it up,
/// for which that has `/proc/sys/fs/lease-break-time` seconds.
pub fn open_seen(seen: impl AsFd) -> std::result::Result<File, Errno> {
    let path = format!("/proc/self/fd/{}", seen.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::io::retry_on_intr(|| rustix::fs::open(&path, flags, Mode::empty())).map(File::from)
}

/// Gives the unused blocks of the file system mounted at `mount` back to its device; returns how many bytes.
pub fn fitrim(mount: &Path) -> Result<u64> {
    /// `struct fstrim_range`.
    #[repr(C)]
    struct Range {
        start: u64,
        length: u64,
        min_length: u64,
    }
    const FITRIM: libc::Ioctl = 0xC018_5879;
    const WHAT: &str = "trim the file system at";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(mount, flags, Mode::empty()).on(WHAT, mount)?;
    let mut range = Range { start: 0, length: u64::MAX, min_length: 0 };
    // SAFETY: the request reads and writes an fstrim_range, which `range` is.
    if unsafe { libc::ioctl(folder.as_raw_fd(), FITRIM, &raw mut range) } != 0 {
        return Err(SysError::new(WHAT, mount, last_errno()));
    }
    Ok(range.length)
}

/// Begins to write all of a file that is not on its disk yet, and waits for nothing: there is less left to be synced at the
/// end.
pub fn begin_write_back(file: impl AsFd) -> Result<()> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the call takes numbers and touches no memory of this process. A length of 0 is that up to the end.
    if unsafe { libc::sync_file_range(fd, 0, 0, libc::SYNC_FILE_RANGE_WRITE) } != 0 {
        return Err(SysError::new("begin to write back", "a file", last_errno()));
    }
    Ok(())
}

/// Bytes that an ordinary user can still write on the file system of `path`.
pub fn free_space(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path).on("ask for the free space at", path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes that a file takes on its file system, holes left out.
pub fn allocated_bytes(path: &Path) -> Result<u64> {
    let stat = rustix::fs::stat(path).on("ask for the size of", path)?;
    Ok(u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512))
}

/// Whether files in `folder` can give back space in their middle, as images with discard do.
pub fn punch_hole_supported(folder: &Path) -> Result<bool> {
    const WHAT: &str = "try hole punching in";
    let file = atomic::TempFile::new(&folder.join("hole"), 0o600)?;
    rustix::io::write(&file, &vec![1; 65536]).on(WHAT, folder)?;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(&file, flags, 0, 65536) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
        Err(errno) => Err(SysError::new(WHAT, folder, errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Sets the lease of this process on a file.
    fn lease(file: &File, kind: libc::c_int) {
        /// Which signal tells of whoever is held up (Linux, `include/uapi/asm-generic/fcntl.h`).
        const F_SETSIG: libc::c_int = 10;
        let fd = file.as_raw_fd();
        // SAFETY: both calls take numbers and touch no memory of this process. SIGURG is ignored where nobody handles it.
        let set = unsafe {
            libc::fcntl(fd, F_SETSIG, libc::SIGURG) == 0 && libc::fcntl(fd, libc::F_SETLEASE, kind) == 0
        };
        assert!(set, "{}", last_errno());
    }

    #[test]
    fn a_file_under_a_lease_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomic(&path, b"text", 0o600).unwrap();
        let seen =
            open_in_root(File::open(folder.path()).unwrap(), Path::new("/file"), OFlags::PATH).unwrap();
        let held = File::options().write(true).open(&path).unwrap();
        lease(&held, libc::F_WRLCK);
        assert_eq!(open_seen(&seen).unwrap_err(), Errno::AGAIN);
        lease(&held, libc::F_UNLCK);
        let mut text = String::new();
        open_seen(&seen).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }
}
