//! Which descriptors a program inherits.

use std::os::fd::{AsFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::FdFlags;

use crate::error::{Context, Result, SysError, last_errno};

/// One of the three standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// Descriptor 0.
    Input,
    /// Descriptor 1.
    Output,
    /// Descriptor 2.
    Error,
}

/// Closes every descriptor from `first` on except those in `keep`. For a fresh child that is about to execute
/// a program or to wait for ever: owners of the closed descriptors that still live in it must not be used or
/// dropped.
pub fn close_fds_from(first: RawFd, keep: &[RawFd]) -> Result<()> {
    for (from, to) in gaps(first, keep) {
        // SAFETY: closes numbers only, no memory is involved. That their owners are done with is the
        // documented duty of the caller, who is the only thread of a process about to be replaced.
        if unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) } != 0 {
            return Err(SysError::new("close", format!("descriptors {from} to {to}"), last_errno()));
        }
    }
    Ok(())
}

/// The descriptor stays open in an executed program.
pub fn clear_cloexec(fd: impl AsFd) -> Result<()> {
    rustix::io::fcntl_setfd(fd, FdFlags::empty()).on("make inheritable", "a descriptor")
}

/// The descriptor is closed in an executed program.
pub fn set_cloexec(fd: impl AsFd) -> Result<()> {
    rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC).on("make private", "a descriptor")
}

/// Makes a standard stream a copy of `fd`.
pub fn redirect(fd: impl AsFd, to: Standard) -> Result<()> {
    match to {
        Standard::Input => rustix::stdio::dup2_stdin(fd).on("redirect", "standard input"),
        Standard::Output => rustix::stdio::dup2_stdout(fd).on("redirect", "standard output"),
        Standard::Error => rustix::stdio::dup2_stderr(fd).on("redirect", "standard error"),
    }
}

/// All three standard streams become `/dev/null`.
pub fn drop_stdio_to_null() -> Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .on("open", "/dev/null")?;
    for to in [Standard::Input, Standard::Output, Standard::Error] {
        redirect(&null, to)?;
    }
    Ok(())
}

/// The ranges (both ends included) from `first` to the largest number, without those in `keep`.
fn gaps(first: RawFd, keep: &[RawFd]) -> Vec<(u32, u32)> {
    let mut kept: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    kept.sort_unstable();
    kept.dedup();
    let mut from = u32::try_from(first).unwrap_or(0);
    let mut ranges = Vec::new();
    for fd in kept.into_iter().filter(|fd| RawFd::try_from(*fd).is_ok_and(|fd| fd >= first)) {
        if from < fd {
            ranges.push((from, fd - 1));
        }
        from = fd + 1;
    }
    ranges.push((from, u32::MAX));
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_out_what_is_kept() {
        assert_eq!(gaps(3, &[]), [(3, u32::MAX)]);
        assert_eq!(gaps(3, &[5, 3, 4, 9, 5, 1, -1]), [(6, 8), (10, u32::MAX)]);
        assert_eq!(gaps(3, &[7]), [(3, 6), (8, u32::MAX)]);
    }
}
