//! `sampan-guest server`: what serves inside a user's distribution: sessions, the control socket, the end.
//!
//! Without systemd it is PID 1 itself; with systemd it is a child of PID 1 in a cgroup of its own, which
//! systemd leaves alone. One process with one thread: each session is a child that has nothing but what
//! belongs to it.

mod idle;
mod paths;
mod startup;
mod systemd;

use std::io::{PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use sampan_model::config::distro::WslConf;
use sampan_model::distro::Guid;
use sampan_model::wsl::path::SharedFolders;
use sampan_sys::process::{self, ExitKind, Signal, inherited_fd};
use sampan_sys::{poll, signals};
use serde::{Deserialize, Serialize};

use self::idle::Idle;
use self::paths::Paths;
use self::systemd::{Systemd, Word};
use crate::control::Control;
use crate::inside::Facts;
use crate::session::{Distribution, Sessions};
use crate::{pid1, verb};

/// What `sampan-guest boot` found out, in the environment variable [`ServerSpec::VARIABLE`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerSpec {
    pub(crate) name: String,
    pub(crate) guid: Guid,
    /// 1 or 2.
    pub(crate) version: u8,
    pub(crate) in_host_network: bool,
    /// Where to write a [`Ready`] when it serves.
    pub(crate) ready_fd: i32,
    /// The control socket, bound, not yet listening.
    pub(crate) control_fd: i32,
    /// The path socket, likewise.
    pub(crate) paths_fd: i32,
    /// What its `wsl.conf` says, with defaults where it says nothing.
    pub(crate) conf: WslConf,
    /// What the user should know of the boot so far.
    pub(crate) warnings: Vec<String>,
    /// Folders of the host: outside, inside.
    pub(crate) folders: Vec<(std::path::PathBuf, std::path::PathBuf)>,
    /// Ends itself after this long without activity; none: never.
    pub(crate) idle_timeout_ms: Option<u64>,
    /// The host name it has.
    pub(crate) hostname: String,
}

impl ServerSpec {
    pub(crate) const VARIABLE: &str = "SAMPAN_SERVER";
}

/// The last word of a boot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
    /// Why it does not serve.
    pub(crate) error: Option<String>,
}

/// How long sessions get between the hang-up and the end by force.
const HANG_UP: Duration = Duration::from_secs(2);
/// How long everything else gets between TERM and KILL.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a shutdown takes at most that nobody set a limit for.
const SHUTDOWN: Duration = Duration::from_secs(25);

/// Runs until a shutdown is complete; the kernel then ends what is left of the namespace.
pub(crate) fn run() -> anyhow::Result<u8> {
    let spec = std::env::var(ServerSpec::VARIABLE).context("the server is started by `sampan-guest boot`")?;
    let spec: ServerSpec = serde_json::from_str(&spec).context("the word of the boot is not understood")?;
    // The name of an executed descriptor would be its number.
    process::set_name("sampan-server")?;
    let mut ready = PipeWriter::from(inherited_fd(spec.ready_fd)?);
    // Before there is another program that could inherit it.
    let control = inherited_fd(spec.control_fd)?;
    let paths = inherited_fd(spec.paths_fd)?;
    let mut warnings = spec.warnings.clone();
    let systemd = if systemd::is_wanted(&spec, &mut warnings) {
        systemd::start(&spec, &mut ready).map(Some)
    } else {
        Ok(None)
    };
    let started = systemd.and_then(|systemd| Server::new(spec, control, paths, systemd, &mut warnings));
    let error = started.as_ref().err().map(verb::chain);
    ready.write_all(&serde_json::to_vec(&Ready { warnings, error })?).context("the launcher is gone")?;
    drop(ready);
    let (server, control) = started?;
    server.serve(control)?;
    Ok(0)
}

struct Server {
    distribution: Distribution,
    /// With it this is not PID 1.
    systemd: Option<Systemd>,
    signals: OwnedFd,
    sessions: Sessions,
    paths: Paths,
    /// Process number of `boot.command`.
    boot_command: Option<i32>,
    idle: Idle,
}

/// Why the server stops serving.
enum Stop {
    /// It was asked to, and has so long.
    Asked(Duration),
    Idle,
    /// systemd powers off.
    Systemd,
}

impl Server {
    /// Does what comes before the first session, and listens.
    fn new(
        spec: ServerSpec,
        control: OwnedFd,
        paths: OwnedFd,
        systemd: Option<Systemd>,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<(Self, Control)> {
        let signals = signals::block_and_fd(&[Signal::CHILD, Signal::TERM, Signal::INT])?;
        let facts =
            Facts { name: spec.name.clone(), version: spec.version, in_host_network: spec.in_host_network };
        startup::install_tools(&facts, warnings);
        let distribution = Distribution {
            name: spec.name,
            guid: spec.guid,
            hostname: spec.hostname,
            conf: spec.conf,
            folders: SharedFolders::new(spec.folders),
            under_systemd: systemd.is_some(),
        };
        let mut paths = Paths::new(paths)?;
        match &systemd {
            // It mounts what /etc/fstab lists by itself.
            Some(systemd) => {
                systemd.wait(&distribution, &mut paths, warnings)?;
                if distribution.conf.boot.protect_binfmt
                    && let Err(error) = systemd::protect_binfmt()
                {
                    verb::log(&format!("binfmt_misc is not protected: {error}"));
                }
            }
            None if distribution.conf.automount.mount_fs_tab => startup::mount_fstab(warnings),
            None => {}
        }
        let boot_command = startup::start_command(&distribution);
        let server = Self {
            distribution,
            systemd,
            signals,
            sessions: Sessions::default(),
            paths,
            boot_command,
            idle: Idle::new(spec.idle_timeout_ms.map(Duration::from_millis)),
        };
        Ok((server, Control::new(control)?))
    }

    fn serve(mut self, mut control: Control) -> anyhow::Result<()> {
        let stop = loop {
            if let Some(stop) = self.turn(&mut control)? {
                break stop;
            }
        };
        // Before anything else: who waits in the socket's queue is told at once, and no request is lost
        // without a word.
        drop(control);
        self.paths.close();
        match stop {
            Stop::Asked(limit) => self.shut_down(limit)?,
            Stop::Idle => {
                verb::log("nothing happens any more");
                self.shut_down(SHUTDOWN)?;
            }
            Stop::Systemd => self.make_way(SHUTDOWN)?,
        }
        Ok(())
    }

    /// Waits for something and does what it asks for.
    fn turn(&mut self, control: &mut Control) -> anyhow::Result<Option<Stop>> {
        let deadline = self.idle.deadline();
        let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let held_by = self.idle.held_by();
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd()];
        fds.extend(held_by);
        fds.extend(self.systemd.as_ref().map(AsFd::as_fd));
        let paths = fds.len();
        fds.extend(self.paths.descriptor());
        let first_client = fds.len();
        fds.extend(control.descriptors());
        let readable = poll::wait_readable(&fds, timeout)?;
        if readable[0] && self.read_signals()? {
            return Ok(Some(Stop::Asked(SHUTDOWN)));
        }
        if self.systemd.as_ref().is_some_and(|systemd| systemd.hear().contains(&Word::Stopping)) {
            return Ok(Some(Stop::Systemd));
        }
        if readable[paths..first_client].contains(&true) {
            self.paths.serve(&self.distribution);
        }
        let before = self.sessions.count();
        let asked = control.serve(&readable[first_client..], &self.distribution, &mut self.sessions);
        if self.sessions.count() != before {
            self.idle.sessions(self.sessions.count());
        }
        if let Some(limit) = asked {
            return Ok(Some(Stop::Asked(limit)));
        }
        // Only when nobody wants anything at this moment.
        let systemd = self.systemd.as_ref();
        let ours = systemd.map_or(vec![1], |systemd| systemd.own_processes().to_vec());
        let over = !readable[first_client..].contains(&true) && self.idle.is_over(&ours, systemd.is_some());
        Ok(over.then_some(Stop::Idle))
    }

    /// Takes signals and ended children in. Whether it is to end.
    fn read_signals(&mut self) -> anyhow::Result<bool> {
        let mut end = false;
        while let Some(signal) = signals::read_signal(&self.signals)? {
            end |= signal != Signal::CHILD.as_raw();
        }
        for (pid, exit) in process::reap() {
            if self.sessions.ended(pid) {
                self.idle.sessions(self.sessions.count());
            }
            self.paths.ended(pid);
            if self.boot_command == Some(pid) {
                self.boot_command = None;
                if exit != ExitKind::Exited(0) {
                    verb::log(&format!("boot.command failed ({exit:?})"));
                }
            }
        }
        Ok(end)
    }

    /// First sessions, then everything else, and what is left by force. With systemd everything else is its
    /// own business.
    fn shut_down(mut self, limit: Duration) -> anyhow::Result<()> {
        verb::log("shutting down");
        if self.systemd.is_some() {
            self.make_way(limit)?;
            systemd::power_off();
            return Ok(());
        }
        let deadline = Instant::now() + limit;
        self.end_sessions(deadline)?;
        pid1::signal_all(Signal::TERM);
        self.wait_while(deadline.min(Instant::now() + LAST_WORDS), |_| pid1::has_children())?;
        pid1::signal_all(Signal::KILL);
        // Its own disk; the rest is the host's.
        if let Ok(root) = std::fs::File::open("/") {
            let _ = rustix::fs::syncfs(&root);
        }
        Ok(())
    }

    fn end_sessions(&mut self, deadline: Instant) -> anyhow::Result<()> {
        self.sessions.hang_up();
        self.wait_while(deadline.min(Instant::now() + HANG_UP), |server| server.sessions.count() > 0)?;
        self.sessions.kill();
        Ok(())
    }

    /// Ends what systemd does not know, or it would wait for that until its own limit of 90 s.
    fn make_way(mut self, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        self.end_sessions(deadline)?;
        let Some(systemd) = self.systemd.take() else { return Ok(()) };
        systemd.signal_left(Signal::TERM);
        self.wait_while(deadline.min(Instant::now() + LAST_WORDS), |_| systemd.has_left())?;
        systemd.signal_left(Signal::KILL);
        systemd.dismiss_watcher();
        Ok(())
    }

    fn wait_while(&mut self, until: Instant, more: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        while more(self) && Instant::now() < until {
            let timeout = until.saturating_duration_since(Instant::now());
            poll::wait_readable(&[self.signals.as_fd()], Some(timeout))?;
            self.read_signals()?;
        }
        Ok(())
    }
}
