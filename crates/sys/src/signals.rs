//! Signals as data: blocked, and read from a file descriptor.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
pub use rustix::process::Signal;

use crate::error::{Context, Result, SysError, last_errno};

/// Blocks the signals in the calling thread and returns a descriptor (non-blocking, close-on-exec) they are
/// read from. Call it before any other thread exists: threads inherit the mask of their creator. Undone in a
/// child by [`crate::process::reset_signals`].
pub fn block_and_fd(signals: &[Signal]) -> Result<OwnedFd> {
    let set = set_of(signals);
    // SAFETY: `set` is an initialised signal set; the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    if error != 0 {
        return Err(SysError::new("block", "signals", Errno::from_raw_os_error(error)));
    }
    // SAFETY: `set` is an initialised signal set; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) };
    if fd < 0 {
        return Err(SysError::new("open a descriptor for", "signals", last_errno()));
    }
    // SAFETY: the kernel has just made `fd`, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets the signals through to the calling thread again. One that is pending acts at once.
pub fn unblock(signals: &[Signal]) -> Result<()> {
    let set = set_of(signals);
    // SAFETY: `set` is an initialised signal set; the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
    if error == 0 {
        Ok(())
    } else {
        Err(SysError::new("unblock", "signals", Errno::from_raw_os_error(error)))
    }
}

/// Number of the next pending signal of a descriptor made by [`block_and_fd`]; `None` when there is none.
/// Several pending `SIGCHLD` are one: call [`crate::process::reap`] after it.
pub fn read_signal(fd: impl AsFd) -> Result<Option<i32>> {
    let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::retry_on_intr(|| rustix::io::read(fd.as_fd(), &mut record)) {
        Ok(length) if length == record.len() => {
            // The number is the first field of the record.
            let number = u32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
            Ok(i32::try_from(number).ok())
        }
        Ok(_) => Err(SysError::new("read from", "the signal descriptor", Errno::IO)),
        Err(Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno).on("read from", "the signal descriptor"),
    }
}

/// The real-time signal `SIGRTMIN+n`, counted as libc and systemd do (`SIGRTMIN+4` = 38 asks systemd to power
/// off).
pub fn real_time(n: u8) -> Option<Signal> {
    let number = libc::SIGRTMIN() + i32::from(n);
    // SAFETY: numbers from SIGRTMIN() to SIGRTMAX() are those that libc leaves to programs.
    (number <= libc::SIGRTMAX()).then(|| unsafe { Signal::from_raw_unchecked(number) })
}

fn set_of(signals: &[Signal]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set; sigaddset gets that set and the number of a real signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal.as_raw());
        }
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poweroff_signal_of_systemd() {
        assert_eq!(real_time(4).map(Signal::as_raw), Some(38));
        assert_eq!(real_time(200), None);
    }

    #[test]
    fn a_blocked_signal_is_read_once() {
        let fd = block_and_fd(&[Signal::USR1, Signal::USR2]).unwrap();
        assert_eq!(read_signal(&fd).unwrap(), None);
        // SAFETY: raises a signal that this thread has blocked; no memory is involved.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) };
        assert_eq!(read_signal(&fd).unwrap(), Some(libc::SIGUSR1));
        assert_eq!(read_signal(&fd).unwrap(), None);
    }
}
