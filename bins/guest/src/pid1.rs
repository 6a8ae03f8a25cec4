//! What every PID 1 does alike.

use rustix::process::{Pid, WaitId, WaitIdOptions};
use sampan_sys::process::Signal;

/// Signals everything in this process namespace but PID 1 itself (kill(2), pid -1).
pub(crate) fn signal_all(signal: Signal) {
    // The process group "1" is how -1 is spelled here. Nobody there is no failure.
    let _ = rustix::process::kill_process_group(Pid::INIT, signal);
}

/// Whether a child is left, ended or not.
pub(crate) fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(rustix::process::waitid(WaitId::All, options), Err(sampan_sys::Errno::CHILD))
}
