//! `sampan-guest init`: PID 1 of a distribution. Reaps, keeps services running, answers on the control
//! socket, and ends everything in order when asked to.

mod service;

use std::io::{PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Resource;
use sampan_model::config::distro::WslConf;
use sampan_model::distro::Guid;
use sampan_model::guest::ServiceSpec;
use sampan_model::wsl::path::SharedFolders;
use sampan_sys::process::{self, ExitKind, Signal, inherited_fd};
use sampan_sys::{poll, signals};
use serde::{Deserialize, Serialize};

use self::service::Services;
use crate::control::Control;
use crate::session::{Distribution, Sessions};
use crate::{pid1, verb};

/// What the launcher tells init, in the environment variable [`InitSpec::VARIABLE`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InitSpec {
    pub(crate) name: String,
    pub(crate) guid: Guid,
    /// Where to write `ok` when ready, or a message.
    pub(crate) ready_fd: i32,
    pub(crate) sockets: Vec<Inherited>,
    /// What else services may name: files of the host's.
    pub(crate) files: Vec<Inherited>,
    pub(crate) services: Vec<ServiceSpec>,
    /// Whether the cgroup view is the unified hierarchy alone.
    pub(crate) unified: bool,
}

impl InitSpec {
    pub(crate) const VARIABLE: &str = "SAMPAN_INIT";
}

/// A descriptor that comes from the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inherited {
    pub(crate) name: String,
    pub(crate) fd: i32,
}

/// How long processes that are no service get between TERM and KILL at a shutdown.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs until a shutdown is complete; the kernel then ends what is left of the namespace.
pub(crate) fn run() -> anyhow::Result<u8> {
    let spec = std::env::var(InitSpec::VARIABLE).context("init is started by `sampan-guest launch`")?;
    let spec: InitSpec = serde_json::from_str(&spec).context("the launcher's word is not understood")?;
    let mut ready = PipeWriter::from(inherited_fd(spec.ready_fd)?);
    match Init::new(spec) {
        Ok(mut init) => {
            ready.write_all(b"ok").context("the launcher is gone")?;
            drop(ready);
            init.serve()?;
            Ok(0)
        }
        Err(error) => {
            let _ = ready.write_all(verb::chain(&error).as_bytes());
            Err(error)
        }
    }
}

struct Init {
    distribution: Distribution,
    sessions: Sessions,
    signals: std::os::fd::OwnedFd,
    control: Control,
    services: Services,
}

impl Init {
    fn new(spec: InitSpec) -> anyhow::Result<Self> {
        raise_file_limit();
        let signals = signals::block_and_fd(&[Signal::CHILD, Signal::TERM, Signal::INT])?;
        if spec.unified {
            leave_the_root_cgroup()?;
        }
        let mut sockets = Vec::new();
        let mut control = None;
        for inherited in spec.sockets {
            let socket = inherited_fd(inherited.fd)?;
            if inherited.name == "control" {
                control = Some(socket);
            } else {
                sampan_sys::socket::listen(&socket, 4096)?;
                sockets.push((inherited.name, socket));
            }
        }
        for inherited in spec.files {
            sockets.push((inherited.name, inherited_fd(inherited.fd)?));
        }
        let control = control.context("the launcher gave no control socket")?;
        Ok(Self {
            distribution: Distribution {
                hostname: spec.name.clone(),
                name: spec.name,
                guid: spec.guid,
                conf: WslConf::default(),
                folders: SharedFolders::default(),
                under_systemd: false,
            },
            sessions: Sessions::default(),
            signals,
            control: Control::new(control)?,
            services: Services::new(spec.services, sockets),
        })
    }

    fn serve(&mut self) -> anyhow::Result<()> {
        loop {
            let next = self.services.start_due(Instant::now());
            let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
            let mut fds: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd()];
            fds.extend(self.control.descriptors());
            let readable = poll::wait_readable(&fds, timeout)?;
            if readable[0] {
                while let Some(signal) = signals::read_signal(&self.signals)? {
                    if signal != Signal::CHILD.as_raw() {
                        return self.shut_down(Duration::from_secs(25));
                    }
                }
            }
            for (pid, exit) in process::reap() {
                self.ended(pid, exit);
            }
            let shutdown = self.control.serve(&readable[1..], &self.distribution, &mut self.sessions);
            if let Some(deadline) = shutdown {
                return self.shut_down(deadline);
            }
        }
    }

    /// Services first, by their own order; then everything else; then, at the deadline, by force.
    fn shut_down(&mut self, limit: Duration) -> anyhow::Result<()> {
        verb::log("shutting down");
        let deadline = Instant::now() + limit;
        self.sessions.hang_up();
        self.services.terminate();
        while self.services.any_running() && Instant::now() < deadline {
            self.wait_for_children(deadline)?;
        }
        if self.services.any_running() {
            verb::log("a service did not end in time: killing it");
        }
        let last = Instant::now() + LAST_WORDS.min(deadline.saturating_duration_since(Instant::now()));
        pid1::signal_all(Signal::TERM);
        while pid1::has_children() && Instant::now() < last {
            self.wait_for_children(last)?;
        }
        pid1::signal_all(Signal::KILL);
        rustix::fs::sync();
        Ok(())
    }

    fn wait_for_children(&mut self, until: Instant) -> anyhow::Result<()> {
        let timeout = until.saturating_duration_since(Instant::now());
        poll::wait_readable(&[self.signals.as_fd()], Some(timeout))?;
        while signals::read_signal(&self.signals)?.is_some() {}
        for (pid, exit) in process::reap() {
            self.ended(pid, exit);
        }
        Ok(())
    }

    fn ended(&mut self, pid: i32, exit: ExitKind) {
        if !self.sessions.ended(pid) {
            self.services.ended(pid, exit, Instant::now());
        }
    }
}

/// Containers take their limit of open files from here. A million is what dockerd's own unit gives them.
fn raise_file_limit() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = Some(limit.maximum.map_or(1 << 20, |most| most.min(1 << 20)));
    // A lower limit is no reason not to start.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}

/// In the unified hierarchy a cgroup with processes can't hand controllers to its children: init and what it
/// starts move into a leaf, and every controller that is there is handed on.
#[expect(
    clippy::disallowed_methods,
    reason = "a cgroup's control files take one write(2) and are no state files"
)]
fn leave_the_root_cgroup() -> anyhow::Result<()> {
    let top = std::path::Path::new("/sys/fs/cgroup");
    let leaf = top.join("init");
    std::fs::create_dir_all(&leaf).context("cannot make the cgroup of init")?;
    std::fs::write(leaf.join("cgroup.procs"), "0").context("cannot join the cgroup of init")?;
    let controllers = std::fs::read_to_string(top.join("cgroup.controllers"))
        .context("cannot read the cgroup's controllers")?;
    for controller in controllers.split_whitespace() {
        std::fs::write(top.join("cgroup.subtree_control"), format!("+{controller}"))
            .with_context(|| format!("cannot hand on the controller {controller}"))?;
    }
    Ok(())
}
