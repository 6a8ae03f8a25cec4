//! What std's `Command` lacks.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The program becomes the leader of a new session without a terminal: signals for the group or the terminal of this
/// process do not reach it.
pub fn in_new_session(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?)) }
}
