//! Waiting for file descriptors, with a deadline that interruptions do not extend.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::error::{Context, Result};

/// Waits until one of `fds` can be read or was hung up; `true` at the place of each that can. All `false`:
/// the time is over. Without a timeout it waits for ever.
pub fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<Vec<bool>> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        match rustix::event::poll(&mut polled, left.as_ref()) {
            Err(Errno::INTR) => {}
            other => {
                other.on("wait for", format!("{} file descriptors", fds.len()))?;
                return Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect());
            }
        }
    }
}

/// Waits until `fd` can be read or was hung up; `false` when the time is over.
pub fn wait_for(fd: impl AsFd, timeout: Option<Duration>) -> Result<bool> {
    Ok(wait_readable(&[fd.as_fd()], timeout)? == [true])
}
