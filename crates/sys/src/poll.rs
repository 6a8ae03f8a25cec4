//! Waiting for file descriptors, with a deadline that interruptions do not extend.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::error::{Context, Result};

/// Waits until one of `fds` can be read or was hung up; `true` at the place of each that can. All `false`:
/// the time is over. Without a timeout it waits for ever.
pub fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    wait(&mut polled, timeout)
}

/// Waits until `fd` can be read or was hung up, or until the other end of the socket `peer` will send nothing more; whether
/// each of them is so. Both `false`: the time is over.
pub fn wait_for_or_hangup(fd: impl AsFd, peer: impl AsFd, timeout: Option<Duration>) -> Result<(bool, bool)> {
    let mut polled = [PollFd::new(&fd, PollFlags::IN), PollFd::new(&peer, PollFlags::RDHUP)];
    let ready = wait(&mut polled, timeout)?;
    Ok((ready[0], ready[1]))
}

/// Whether the other end of the socket will send nothing more.
pub fn is_hung_up(peer: impl AsFd) -> Result<bool> {
    let mut polled = [PollFd::new(&peer, PollFlags::RDHUP)];
    Ok(wait(&mut polled, Some(Duration::ZERO))? == [true])
}

fn wait(polled: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<Vec<bool>> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        match rustix::event::poll(polled, left.as_ref()) {
            Err(Errno::INTR) => {}
            other => {
                other.on("wait for", format!("{} file descriptors", polled.len()))?;
                return Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect());
            }
        }
    }
}

/// Waits until `fd` can be read or was hung up; `false` when the time is over.
pub fn wait_for(fd: impl AsFd, timeout: Option<Duration>) -> Result<bool> {
    Ok(wait_readable(&[fd.as_fd()], timeout)? == [true])
}
