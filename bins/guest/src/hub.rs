//! The hub: one tiny process per instance that holds the mount namespace in which images are attached, and the
//! network namespace that all version 2 distributions share. Nothing is ever mounted in the host's own namespace.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use sampan_model::guest::{Answer, HubRecord, HubSpec};
use sampan_sys::mount::{self, Propagation};
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::process::{self, Forked, ProcessRecord};

use crate::verb;

/// Starts the hub and answers when it stands; the hub itself lives on.
pub(crate) fn run(spec: &HubSpec) -> anyhow::Result<Answer> {
    let (mut ready, mut tell) = std::io::pipe().context("cannot make a pipe")?;
    let (mut wait, mut go) = std::io::pipe().context("cannot make a pipe")?;
    match process::fork_plain()? {
        Forked::Child => {
            drop((ready, go));
            let outcome = verb::wait_for_go(&mut wait).and_then(|()| build(spec));
            let message = outcome.as_ref().err().map_or("ok".to_owned(), verb::chain);
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
            verb::record(&spec.record, &HubRecord { process: process.clone() })?;
            let mut procs = File::options()
                .write(true)
                .open(&spec.cgroup)
                .with_context(|| format!("cannot open {}", spec.cgroup.display()))?;
            procs.write_all(pid.to_string().as_bytes()).context("cannot move the hub into its cgroup")?;
            go.write_all(verb::GO).context("the hub died")?;
            drop(go);
            let mut said = String::new();
            ready.read_to_string(&mut said).context("the hub did not answer")?;
            if said != "ok" {
                bail!("the hub could not be built: {}", if said.is_empty() { "it died" } else { &said });
            }
            Ok(Answer::Started { process })
        }
    }
}

fn build(spec: &HubSpec) -> anyhow::Result<()> {
    process::set_session()?;
    process::set_name(&spec.name)?;
    // While there is a /dev/null to be had: the hub's own root has none.
    process::drop_stdio_to_null()?;
    match &spec.netns_of {
        None => {
            namespace::unshare(Namespaces::MOUNT | Namespaces::NET)?;
            namespace::set_loopback_up()?;
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
    mount::mount_tmpfs(&spec.workdir, "mode=0700")?;
    for folder in ["int", "newroot"] {
        let path = spec.workdir.join(folder);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    // The host's tree is all slave here, so that dropping it reaches nobody else.
    mount::pivot_into(&spec.workdir)?;
    Ok(())
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
