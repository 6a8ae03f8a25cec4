//! The hub: one tiny process per instance that holds the mount namespace in which images are attached, and the
//! network namespace that all version 2 distributions share. Nothing is ever mounted in the host's own namespace.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, bail};
use sampan_model::guest::{Answer, HubRecord, HubSpec, ProcessId};
use sampan_model::views;
use sampan_sys::mount::{self, MountFlags, Propagation};
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::process::{self, Forked, ProcessRecord};

use crate::{share, verb};

/// The trees that the engine sees: the disks of the users' distributions, and the host's folders.
pub(crate) const VIEWS: &str = "views";
/// What all distributions see as `/mnt/wsl`.
pub(crate) const WSL: &str = "wsl";

/// What a hub that stands says first; a line for each warning follows.
const READY: &str = "ok";

/// Starts the hub and answers when it stands; the hub itself lives on.
pub(crate) fn run(spec: &HubSpec) -> anyhow::Result<Answer> {
    let (ready, mut tell) = std::io::pipe().context("cannot make a pipe")?;
    let (mut wait, go) = std::io::pipe().context("cannot make a pipe")?;
    match process::fork_plain()? {
        Forked::Child => {
            drop((ready, go));
            let outcome = verb::wait_for_go(&mut wait).and_then(|()| build(spec));
            let message = match &outcome {
                Ok(warnings) => [&[READY.to_owned()], &warnings[..]].concat().join("\n"),
                Err(error) => verb::chain(error),
            };
            let told = tell.write_all(message.as_bytes());
            if outcome.is_err() || told.is_err() {
                process::exit_now(1);
            }
            stay()
        }
        Forked::Parent { pid, .. } => {
            drop((tell, wait));
            let process = verb::process_id(ProcessRecord::of(pid)?);
            // Recorded before it does anything: whoever dies in between, nothing runs that nobody can find.
            verb::record(&spec.record, &HubRecord { process: process.clone(), mirrored: spec.mirrored })?;
            let mut procs = File::options()
                .write(true)
                .open(&spec.cgroup)
                .with_context(|| format!("cannot open {}", spec.cgroup.display()))?;
            procs.write_all(pid.to_string().as_bytes()).context("cannot move the hub into its cgroup")?;
            let said = verb::let_go(go, ready)?;
            let mut lines = said.lines();
            if lines.next() != Some(READY) {
                bail!("the hub could not be built: {}", if said.is_empty() { "it died" } else { &said });
            }
            Ok(Answer::Started { process, warnings: lines.map(str::to_owned).collect() })
        }
    }
}

/// Builds the hub's world; the answer are warnings.
fn build(spec: &HubSpec) -> anyhow::Result<Vec<String>> {
    process::set_session()?;
    process::set_name(&spec.name)?;
    // While there is a /dev/null to be had: the hub's own root has none.
    process::drop_stdio_to_null()?;
    let living = spec.views_of.as_ref().map(living_views).transpose()?.flatten();
    match &spec.netns_of {
        None => {
            namespace::unshare(Namespaces::MOUNT | Namespaces::NET)?;
            namespace::set_loopback_up()?;
            open_network_to_user_namespaces();
        }
        Some(process) => {
            let pidfd = verb::open_process(process)?
                .context("the process whose network was to be taken over is gone")?;
            namespace::enter(&pidfd, Namespaces::NET)?;
            namespace::unshare(Namespaces::MOUNT)?;
        }
    }
    // Slave, never private: a private copy would pin whatever the host unmounts later.
    mount::set_propagation(Path::new("/"), Propagation::Slave, true)?;
    // Before anything is mounted here: the work folder may be in one of them.
    let shared = living.is_none().then(|| share::take(&spec.folders));
    mount::mount_tmpfs(&spec.workdir, "mode=0700")?;
    for folder in ["int", "newroot", VIEWS, WSL] {
        let path = spec.workdir.join(folder);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    // Shared, so that whoever has a copy sees what is mounted in it later. The root itself stays private: pivot_root and
    // the targets of moves need that.
    for folder in [VIEWS, WSL] {
        let path = spec.workdir.join(folder);
        if folder == VIEWS
            && let Some(views) = &living
        {
            mount::attach(views, &path)?;
            mount::remount_bind_rw(&path)?;
            continue;
        }
        mount::mount_fs("tmpfs", "tmpfs", &path, MountFlags::NOSUID | MountFlags::NODEV, "mode=0755")?;
        mount::set_propagation(&path, Propagation::Shared, false)?;
    }
    let warnings = match shared {
        None => Vec::new(),
        Some(shared) => shared.show(&spec.workdir.join(VIEWS).join(views::HOST))?,
    };
    // The host's tree is all slave here, so that dropping it reaches nobody else.
    mount::pivot_into(&spec.workdir)?;
    Ok(warnings)
}

/// A copy of the views that an engine sees which outlived its hub. It is a peer: what is mounted in it arrives in that
/// engine, whose views are nobody's slaves any more. None: the engine is gone.
fn living_views(engine: &ProcessId) -> anyhow::Result<Option<OwnedFd>> {
    let Some(engine) = verb::open_process(engine)? else { return Ok(None) };
    let home = File::open("/proc/self/ns/mnt").context("cannot open the own mount namespace")?;
    namespace::enter(&engine, Namespaces::MOUNT)?;
    let views = mount::open_tree(Path::new(views::VIEWS), true);
    namespace::enter(&home, Namespaces::MOUNT)?;
    Ok(Some(views?))
}

/// Root of a user namespace has no rights in this network: without these it could neither serve port 80 nor ping.
#[expect(clippy::disallowed_methods, reason = "a sysctl takes one write(2) and is no state file")]
fn open_network_to_user_namespaces() {
    for (name, value) in [("ip_unprivileged_port_start", "0"), ("ping_group_range", "0 2147483647")] {
        // Where it can't be written (no IPv4, or the machine is a container itself) all else works.
        let _ = fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
    }
}

/// Holds the namespaces until it is killed. No descriptor, no memory worth speaking of.
fn stay() -> ! {
    process::reset_signals();
    if process::close_fds_from(3, &[]).is_err() {
        process::exit_now(1);
    }
    loop {
        rustix::event::pause();
    }
}
