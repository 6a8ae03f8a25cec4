//! Locks between processes that end with their holder.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Context, Result, SysError};

/// A held lock, released on drop. A child that inherits the descriptor without executing a program holds it,
/// too.
#[derive(Debug)]
pub struct FileLock {
    fd: OwnedFd,
}

impl FileLock {
    /// Locks the file at `path`, which is made if missing. `None` when somebody else holds it.
    ///
    /// The holder may remove the file: whoever opened it before that tries again with the new one, so that there is
    /// never more than one holder of the path.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        loop {
            let fd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).on("open the lock", path)?;
            match rustix::io::retry_on_intr(|| {
                rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)
            }) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(SysError::new("lock", path, errno)),
            }
            let held = rustix::fs::fstat(&fd).on("look at the lock", path)?;
            match rustix::fs::stat(path) {
                Ok(there) if (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino) => {
                    return Ok(Some(Self { fd }));
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(SysError::new("look at the lock", path, errno)),
            }
        }
    }
}

impl AsFd for FileLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits for the lock of the folder at `path`: one holder among all processes, and no file is left.
pub fn folder_lock(path: &Path) -> Result<FileLock> {
    wait(path, path)
}

/// Waits for the lock of the calling thread's network namespace: one holder among all processes in it,
/// whatever folders they use, and no file is left.
pub fn netns_lock() -> Result<FileLock> {
    wait(Path::new("/proc/thread-self/ns/net"), "the network namespace")
}

fn wait(path: &Path, what: impl AsRef<OsStr>) -> Result<FileLock> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).on("open", path)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&fd, FlockOperation::LockExclusive)).on("lock", what)?;
    Ok(FileLock { fd })
}
