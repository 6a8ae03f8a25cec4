//! Locks between processes that end with their holder.

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

/// Waits for the lock of the calling thread's network namespace: one holder among all processes in it,
/// whatever folders they use, and no file is left.
pub fn netns_lock() -> Result<FileLock> {
    const PATH: &str = "/proc/thread-self/ns/net";
    let fd = rustix::fs::open(PATH, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).on("open", PATH)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&fd, FlockOperation::LockExclusive))
        .on("lock", "the network namespace")?;
    Ok(FileLock { fd })
}
