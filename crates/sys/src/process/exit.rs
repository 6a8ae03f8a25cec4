//! The end of processes.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::error::{Context, Result, SysError};
use crate::poll;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal. For PID 1 of a namespace that called reboot(2): SIGINT = power off, SIGHUP = reboot.
    Signaled(i32),
}

/// Opens a process by number; prefer [`super::ProcessRecord::open`], which knows the process from a later one
/// with the same number.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // rustix's `from_raw` panics on negative numbers, and a record may hold anything.
    let valid = if pid > 0 { Pid::from_raw(pid) } else { None };
    valid
        .ok_or(Errno::SRCH)
        .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()))
        .on("open", format!("process {pid}"))
}

/// Sends a signal; `false` when the process has ended already.
pub fn pidfd_send_signal(pidfd: impl AsFd, signal: Signal) -> Result<bool> {
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(errno) => Err(SysError::new("send", format!("signal {} to a process", signal.as_raw()), errno)),
    }
}

/// Waits for the end of a process, a child or not; `false` when the time is over. PID 1 of a namespace has
/// ended when every process in it has. A child must still be reaped.
pub fn wait_exit(pidfd: impl AsFd, timeout: Option<Duration>) -> Result<bool> {
    poll::wait_for(pidfd, timeout)
}

/// Collects all children that have ended, without waiting.
pub fn reap() -> Vec<(i32, ExitKind)> {
    let mut ended = Vec::new();
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let kind = status.exit_status().map(ExitKind::Exited);
                let kind = kind.or_else(|| status.terminating_signal().map(ExitKind::Signaled));
                ended.extend(kind.map(|kind| (pid.as_raw_nonzero().get(), kind)));
            }
            Err(Errno::INTR) => {}
            // ECHILD: there are no children at all.
            Ok(None) | Err(_) => return ended,
        }
    }
}

/// Ends the calling process at once: no destructors, no exit handlers. The way out of a child made by
/// [`super::clone_into`], whose destructors belong to its parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit runs no code of this process.
    unsafe { libc::_exit(code) }
}
