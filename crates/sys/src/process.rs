//! Processes: making, identifying, watching and ending them, and the attributes of the calling one.

mod attributes;
mod clone;
mod command;
mod descriptors;
mod exec;
mod exit;
mod inherited;
mod record;

pub use attributes::{
    end_after, is_single_threaded, reset_signals, set_child_subreaper, set_death_signal, set_name,
    set_session,
};
pub use clone::{Forked, clone_into, clone_into_cgroup, fork_plain};
pub use command::in_new_session;
pub use descriptors::{Standard, clear_cloexec, close_fds_from, drop_stdio_to_null, redirect, set_cloexec};
pub use exec::{exec, exec_fd};
pub use exit::{ExitKind, exit_now, pidfd_open, pidfd_send_signal, reap, wait_exit};
pub use inherited::inherited_fd;
pub use record::ProcessRecord;
pub use rustix::process::Signal;
