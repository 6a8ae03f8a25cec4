//! Waiting for a change in a folder or of a file.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::error::{Context, Result, SysError};
use crate::poll;

/// A watched folder or file. Look at it after the watch is made and after each change: what happened is not
/// told.
#[derive(Debug)]
pub struct Watch {
    fd: OwnedFd,
}

impl Watch {
    /// Watches a folder (its entries, not what is deeper) or a file.
    pub fn new(path: &Path) -> Result<Self> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let fd = rustix::fs::inotify::init(flags).on("watch", path)?;
        let watch = Self { fd };
        watch.add(path)?;
        Ok(watch)
    }

    /// Watches one more.
    pub fn add(&self, path: &Path) -> Result<()> {
        let events = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVE_SELF;
        rustix::fs::inotify::add_watch(&self.fd, path, events).on("watch", path)?;
        Ok(())
    }

    /// Waits for a change since the watch was made or the last call; `false` when the time is over.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        let changed = poll::wait_for(&self.fd, timeout)?;
        let mut events = [MaybeUninit::<u8>::uninit(); 4096];
        loop {
            match rustix::io::read(&self.fd, &mut events) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(changed),
                Err(errno) => return Err(SysError::new("read", "watched changes", errno)),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
