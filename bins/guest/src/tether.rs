//! `sampan-guest tether -- COMMAND…`: a command whose every descendant ends with the asker.
//!
//! The command runs in a process namespace of its own. When `sampand` is killed the kernel kills this process, that
//! kills the namespace's PID 1, and that everything below: a build that nobody waits for leaves no process behind.

use std::path::Path;

use anyhow::bail;
use rustix::mount::MountFlags;
use sampan_sys::mount::{self, Propagation};
use sampan_sys::namespace::Namespaces;
use sampan_sys::process::{self, Forked, Signal};

use crate::{child, verb};

/// Runs the verb; the status is the command's own.
pub(crate) fn run(args: &[String]) -> anyhow::Result<u8> {
    let [dashes, command @ ..] = args else { bail!("usage: tether -- COMMAND…") };
    if dashes != "--" || command.is_empty() {
        bail!("usage: tether -- COMMAND…");
    }
    process::set_death_signal(Signal::KILL)?;
    match process::clone_into(Namespaces::MOUNT | Namespaces::PID)? {
        Forked::Child => {
            let code = first_process(command).unwrap_or_else(|error| {
                verb::log(&format!("sampan-guest: {}", verb::chain(&error)));
                70
            });
            process::exit_now(i32::from(code))
        }
        Forked::Parent { pid, .. } => child::wait(pid),
    }
}

fn first_process(command: &[String]) -> anyhow::Result<u8> {
    process::set_death_signal(Signal::KILL)?;
    mount::set_propagation(Path::new("/"), Propagation::Slave, true)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount::mount_fs("proc", "proc", Path::new("/proc"), flags, "")?;
    child::run(command)
}
