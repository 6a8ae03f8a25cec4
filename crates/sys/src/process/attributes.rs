//! Attributes of the calling process.

use std::ffi::CString;
use std::mem::MaybeUninit;

use rustix::process::Signal;

use crate::error::{Context, Result};

const THIS: &str = "this process";

/// Whether the calling process has one thread. Asks the kernel, not `/proc`, which is missing in some
/// namespaces: "unshare the thread group" is refused when there is a group, and is without effect otherwise.
/// A thread counts for a moment after it was joined.
pub fn is_single_threaded() -> bool {
    // SAFETY: CLONE_THREAD unshares nothing; the kernel only checks that there is nothing to unshare.
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

/// The signal this process gets when the thread that made it ends. Nothing is sent when that happened before
/// the call, so compare the parent afterwards; a change of user or group id undoes it.
pub fn set_death_signal(signal: Signal) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(signal)).on("set the death signal of", THIS)
}

/// This process is ended by SIGALRM after `seconds`, also while it waits for a file system that does not answer, if that can
/// be interrupted at all. For a process that does one thing and leaves that signal as it is.
pub fn end_after(seconds: u32) {
    // SAFETY: the call takes a number and touches no memory; the alarm that it may replace is not asked for.
    unsafe { libc::alarm(seconds) };
}

/// Orphans among the descendants become children of this process instead of PID 1.
pub fn set_child_subreaper() -> Result<()> {
    // SAFETY: this prctl takes one integer and touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } == 0 {
        return Ok(());
    }
    Err(crate::error::last_errno()).on("collect orphans in", THIS)
}

/// A new session without a terminal (`setsid`).
pub fn set_session() -> Result<()> {
    rustix::process::setsid().on("start a session for", THIS).map(drop)
}

/// The name shown by `ps`, cut to 15 bytes.
pub fn set_name(name: &str) -> Result<()> {
    let bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(15).collect();
    let name = CString::new(bytes).expect("NUL bytes were taken out");
    rustix::thread::set_name(&name).on("name", THIS)
}

/// Default disposition of every signal and an empty mask: the state a program expects at its start. For a
/// child that is about to execute a program. Rust's ignored SIGPIPE becomes deadly, too.
pub fn reset_signals() {
    const LAST_SIGNAL: libc::c_int = 64;
    // The kernel's sigaction (at most four words), all zero: SIG_DFL, no flags, empty mask.
    let default = [0_u64; 4];
    for number in 1..=LAST_SIGNAL {
        // Not libc's function: it refuses the two signals it uses itself, which may have been inherited as
        // ignored.
        // SAFETY: the kernel reads one sigaction, which is not larger than `default`; SIG_DFL runs no code of
        // this process, the old value is not asked for, and 8 is the size of a kernel signal set. KILL and
        // STOP are refused, rightly.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8_usize,
            );
        }
    }
    let mut empty = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set before it is used; the old mask is not asked for.
    unsafe {
        libc::sigemptyset(empty.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, empty.as_ptr(), std::ptr::null_mut());
    }
}
