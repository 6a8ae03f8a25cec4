//! A session: one command and the process that leads it.
//!
//! The leader is a child of the init, a session leader and child subreaper: programs ask for the session of
//! their parent (`getsid`) and wait for their grandchildren, and both must be inside. It talks to the client,
//! passes signals on, and ends with its command. What the command leaves behind goes to PID 1 and lives on.

mod client;
mod command;
mod first_run;
pub(crate) mod login;
mod program;
mod user_session;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Pid;
use sampan_model::config::distro::WslConf;
use sampan_model::distro::Guid;
use sampan_model::guest::ControlReply;
use sampan_model::session::{SessionMessage, SessionSpec};
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::path::SharedFolders;
use sampan_sys::process::{self, ExitKind, Forked, Signal};
use sampan_sys::pty::{self, Pty};
use sampan_sys::{Errno, poll, signals, socket};

use self::client::Client;
use self::command::Command;
pub(crate) use self::command::Environment;
use self::login::Login;

/// What sessions know of the distribution they are in.
pub(crate) struct Distribution {
    pub(crate) name: String,
    pub(crate) guid: Guid,
    pub(crate) hostname: String,
    pub(crate) conf: WslConf,
    pub(crate) folders: SharedFolders,
    pub(crate) under_systemd: bool,
}

impl Distribution {
    fn umask(&self) -> u32 {
        self.conf.filesystem.umask.cast_unsigned() & 0o777
    }

    /// How long systemd may take for one thing that it does for a session.
    fn unit_limit(&self) -> Duration {
        /// A machine with cold caches takes seconds.
        const LEAST: Duration = Duration::from_secs(10);
        self.conf.boot.init_timeout.duration().unwrap_or(LEAST).max(LEAST)
    }
}

/// The sessions of an init, by the process numbers of their leaders.
#[derive(Default)]
pub(crate) struct Sessions(BTreeSet<i32>);

impl Sessions {
    /// Starts one.
    pub(crate) fn start(&mut self, session: Session, distribution: &Distribution) -> anyhow::Result<()> {
        self.0.insert(session.start(distribution)?);
        Ok(())
    }

    /// A child of the init has ended; whether it was a leader.
    pub(crate) fn ended(&mut self, pid: i32) -> bool {
        self.0.remove(&pid)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Tells all commands that their clients are gone.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Ends all commands by force.
    pub(crate) fn kill(&self) {
        self.signal(Signal::TERM);
    }

    /// What leaders make of it: see [`follow`].
    fn signal(&self, signal: Signal) {
        for leader in self.0.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = rustix::process::kill_process(leader, signal);
        }
    }
}

/// What a session is made of.
pub(crate) struct Session {
    pub(crate) spec: SessionSpec,
    /// Standard input, output, error.
    pub(crate) streams: [OwnedFd; 3],
    pub(crate) client: OwnedFd,
    /// For a first run the connection that the request came on: the leader answers there.
    pub(crate) report: Option<OwnedFd>,
}

impl Session {
    /// Starts the leader; its process number. All else of the session is up to it.
    fn start(self, distribution: &Distribution) -> anyhow::Result<i32> {
        match process::fork_plain()? {
            Forked::Child => {
                // A copy of somebody else's pipe or connection would keep that open for as long as this
                // session lasts.
                let mut keep: Vec<i32> = self.streams.iter().map(AsRawFd::as_raw_fd).collect();
                keep.push(self.client.as_raw_fd());
                keep.extend(self.report.as_ref().map(AsRawFd::as_raw_fd));
                let closed = process::close_fds_from(3, &keep).map_err(anyhow::Error::from);
                if let Some(report) = &self.report {
                    let accepted =
                        serde_json::to_vec(&ControlReply::Accepted).expect("a reply is plain data");
                    let _ = socket::send_message(report, &accepted, &[]);
                }
                let client = Client::new(self.client);
                let command = Command { spec: self.spec, streams: self.streams, report: self.report };
                if let Err(error) = closed.and_then(|()| lead(distribution, command, &client)) {
                    client.failed(&error);
                }
                process::exit_now(0)
            }
            Forked::Parent { pid, .. } => Ok(pid),
        }
    }
}

/// From the leader's start to its end, which is that of its command.
fn lead(distribution: &Distribution, command: Command, client: &Client) -> anyhow::Result<()> {
    process::reset_signals();
    let signals = signals::block_and_fd(&[Signal::CHILD, Signal::HUP, Signal::TERM])?;
    process::set_session()?;
    process::set_child_subreaper()?;
    process::set_name("sampan-session")?;
    // Before anything is made for a user who is not there.
    Login::read().user(&command.spec, None)?;
    let terminal = match command.spec.terminal {
        None => None,
        Some(size) => {
            let pty = pty::open().map_err(|error| match error.errno() {
                Errno::AGAIN | Errno::NOSPC => anyhow::Error::from(Failure::new(Code::TtyLimit)),
                _ => error.into(),
            })?;
            pty::set_size(&pty.master, size.rows, size.columns)?;
            Some(pty)
        }
    };
    let group = match process::fork_plain()? {
        Forked::Child => {
            drop(signals);
            // Only the client keeps the master: its end is the terminal's.
            let slave = terminal.map(|pty| pty.slave);
            // Its end is told by the leader; that the command never began, by the command itself.
            let Err(error) = command.become_program(distribution, slave.as_ref(), client);
            client.failed(&error);
            process::exit_now(1)
        }
        Forked::Parent { pid, .. } => {
            let group = Pid::from_raw(pid).context("a process has a number")?;
            if let Some(Pty { master, .. }) = &terminal {
                client.terminal(master.as_fd());
            } else {
                // The command does the same: whoever comes first, no signal is sent to a group that is not
                // there. Refused once the program runs, when it has been done.
                let _ = rustix::process::setpgid(Some(group), Some(group));
                client.begun();
            }
            group
        }
    };
    // From here on the client has the only copies: the end of its pipes and of its terminal is what the
    // command sees.
    drop((terminal, command));
    let exit = follow(&signals, client, group)?;
    client.ended(exit);
    Ok(())
}

/// Passes on what the client and the server say, until the command has ended.
fn follow(signals: &OwnedFd, client: &Client, group: Pid) -> anyhow::Result<ExitKind> {
    let signal = |signal| {
        // A command in a terminal has no group of its own in its first moment.
        if rustix::process::kill_process_group(group, signal).is_err() {
            let _ = rustix::process::kill_process(group, signal);
        }
    };
    let hang_up = || {
        signal(Signal::HUP);
        // What is stopped takes the signal once it goes on.
        signal(Signal::CONT);
    };
    let mut connected = true;
    loop {
        let fds = [signals.as_fd(), client.as_fd()];
        let readable = poll::wait_readable(if connected { &fds } else { &fds[..1] }, None)?;
        if readable[0] {
            while let Some(number) = signals::read_signal(signals)? {
                match Signal::from_named_raw(number) {
                    // The distribution is about to end; first by a word, then by force.
                    Some(Signal::HUP) => hang_up(),
                    Some(Signal::TERM) => signal(Signal::KILL),
                    _ => {}
                }
            }
            // Before the client is heard: a signal must not reach a group whose number belongs to somebody
            // else by now.
            let ended = process::reap();
            if let Some((_, exit)) = ended.iter().find(|(pid, _)| *pid == group.as_raw_nonzero().get()) {
                return Ok(*exit);
            }
        }
        if readable.get(1) == Some(&true) {
            match client.listen() {
                Some(SessionMessage::Signal { signal: number }) => {
                    if let Some(named) = Signal::from_named_raw(number) {
                        signal(named);
                    }
                }
                None => {
                    connected = false;
                    hang_up();
                }
            }
        }
    }
}
