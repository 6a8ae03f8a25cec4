//! User namespaces and which ids they have.

use std::fmt::Write;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions};

use super::Namespaces;
use crate::error::{Context, Result};
use crate::process::{Forked, clone_into, exit_now};

/// A range of user and group ids: `count` ids from `inside` on are those from `outside` on in the parent namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// The first one in the namespace.
    pub inside: u32,
    /// The first one outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A user namespace that no process is in, with these user and group ids: for [`crate::mount::idmap_tree`]. Needs a
/// process with one thread, `/proc`, and the right to map ids that are not its own.
pub fn user_namespace(maps: &[IdMap]) -> Result<OwnedFd> {
    const WHAT: &str = "make";
    const NEW: &str = "a user namespace";
    let (wait, go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).on(WHAT, NEW)?;
    match clone_into(Namespaces::USER)? {
        Forked::Child => {
            drop(go);
            // Until the parent has what it came for; there is nothing to do about an error either.
            let _ = rustix::io::read(&wait, &mut [0_u8; 1]);
            exit_now(0)
        }
        Forked::Parent { pid, pidfd } => {
            let path = format!("/proc/{pid}/ns/user");
            let namespace = set_id_maps(pid, maps).and_then(|()| {
                rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).on("open", &path)
            });
            drop(go);
            let pidfd = WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd));
            rustix::io::retry_on_intr(|| rustix::process::waitid(pidfd.clone(), WaitIdOptions::EXITED))
                .on(WHAT, NEW)?;
            namespace
        }
    }
}

/// Gives the user namespace of the process `pid` its user and group ids, the same for both. Once only.
pub fn set_id_maps(pid: i32, maps: &[IdMap]) -> Result<()> {
    let mut text = String::new();
    for IdMap { inside, outside, count } in maps {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{inside} {outside} {count}");
    }
    for name in ["uid_map", "gid_map"] {
        let path = format!("/proc/{pid}/{name}");
        let file =
            rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).on("open", &path)?;
        // In one piece: the kernel takes one write.
        rustix::io::write(&file, text.as_bytes()).on("map ids with", &path)?;
    }
    Ok(())
}
