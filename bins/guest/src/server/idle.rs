//! When nothing happens any more. Sessions count, and so does every other process: a daemon that a session
//! left behind, a service of systemd.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use sampan_sys::process;

use crate::verb;

/// How long the first session may take to come, however short the limit is.
const FIRST: Duration = Duration::from_secs(30);

/// Units of systemd that are there for others and do nothing of their own; beside these all of its own services.
const INFRASTRUCTURE: [&str; 9] = [
    "init.scope",
    "dbus.service",
    "dbus-broker.service",
    "getty@",
    "serial-getty@",
    "console-getty.service",
    "container-getty@",
    "polkit.service",
    "rsyslog.service",
];

/// What begins as systemd's own services do, and runs somebody's programs.
const OF_USERS: [&str; 2] = ["systemd-nspawn@", "systemd-run-"];

/// Decides when it has been quiet for long enough.
pub(super) struct Idle {
    /// None: it never is.
    limit: Option<Duration>,
    state: State,
}

enum State {
    /// There are sessions.
    Busy,
    /// Nothing since then is known of; this is when to look.
    Quiet { until: Instant },
    /// This process runs.
    Held { by: OwnedFd },
}

impl Idle {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, state: State::Quiet { until: Instant::now() + limit.unwrap_or_default().max(FIRST) } }
    }

    /// A session has begun or ended; there are so many now.
    pub(super) fn sessions(&mut self, count: usize) {
        self.state = if count > 0 { State::Busy } else { self.quiet() };
    }

    /// When [`Idle::is_over`] is to be asked.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Quiet { until } if self.limit.is_some() => Some(until),
            _ => None,
        }
    }

    /// Readable when [`Idle::is_over`] is to be asked: a process that it waited for has ended.
    pub(super) fn held_by(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Held { by } => Some(by.as_fd()),
            _ => None,
        }
    }

    /// Whether it has been quiet for the whole limit. `ours` are the processes that do not count; `systemd`
    /// says whether its own do not either.
    pub(super) fn is_over(&mut self, ours: &[i32], systemd: bool) -> bool {
        match &self.state {
            State::Busy => return false,
            State::Held { by } => {
                if process::wait_exit(by, Some(Duration::ZERO)).unwrap_or(true) {
                    self.state = self.quiet();
                }
            }
            State::Quiet { .. } => {}
        }
        let (State::Quiet { until }, Some(_)) = (&self.state, self.limit) else { return false };
        if *until > Instant::now() {
            return false;
        }
        match somebody(ours, systemd) {
            Ok(Some(by)) => {
                self.state = State::Held { by };
                false
            }
            Ok(None) => true,
            Err(error) => {
                // Better a distribution that stays than one that takes somebody's work with it.
                verb::log(&format!("cannot look for processes: {error}"));
                self.limit = None;
                false
            }
        }
    }

    fn quiet(&self) -> State {
        State::Quiet { until: Instant::now() + self.limit.unwrap_or_default() }
    }
}

/// A process that is a reason to stay.
fn somebody(ours: &[i32], systemd: bool) -> std::io::Result<Option<OwnedFd>> {
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if ours.contains(&pid) {
            continue;
        }
        // First the descriptor, then the questions: what is found out is then about this process or one that
        // has ended.
        let Ok(pidfd) = process::pidfd_open(pid) else { continue };
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let cgroup = read("cgroup").unwrap_or_default();
        let counts = !systemd || !is_infrastructure(&cgroup);
        // One that has ended and waits to be reaped does not count; its descriptor would be readable at once.
        if counts && !process::wait_exit(&pidfd, Some(Duration::ZERO)).unwrap_or(true) {
            return Ok(Some(pidfd));
        }
    }
    Ok(None)
}

/// Whether a process belongs to a unit of systemd that does nothing of its own, by its `/proc/PID/cgroup`:
/// the last unit in the path is the one it runs in.
fn is_infrastructure(cgroup: &str) -> bool {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    let is_unit = |part: &&str| [".service", ".scope"].iter().any(|kind| part.ends_with(kind));
    let unit = path.rsplit('/').find(is_unit).unwrap_or_default();
    let begins = |known: &&str| unit.starts_with(known);
    INFRASTRUCTURE.iter().any(begins) || (unit.starts_with("systemd-") && !OF_USERS.iter().any(begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_something_counts() {
        for (path, infrastructure) in [
            ("/init.scope", true),
            ("/system.slice/systemd-journald.service", true),
            ("/system.slice/dbus.service", true),
            ("/system.slice/dbus-:1.2-org.example@0.service", false),
            ("/machine.slice/systemd-nspawn@web.service/payload", false),
            ("/system.slice/getty-watch.service", false),
            ("/system.slice/system-getty.slice/getty@tty1.service", true),
            ("/system.slice/system-serial\\x2dgetty.slice/serial-getty@hvc0.service", true),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", true),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/dbus.service", true),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/mine.service", false),
            ("/user.slice/user-1000.slice/session-c1.scope", false),
            ("/system.slice/docker.service", false),
            ("/system.slice/nginx.service/worker", false),
            ("/sampan", false),
            ("/", false),
        ] {
            assert_eq!(is_infrastructure(&format!("4:memory:/x\n0::{path}\n")), infrastructure, "{path}");
        }
        assert!(!is_infrastructure(""));
    }

    #[test]
    fn without_a_limit_it_is_never_over() {
        let mut idle = Idle::new(None);
        idle.sessions(0);
        assert!(idle.deadline().is_none() && !idle.is_over(&[], false));
    }

    #[test]
    fn a_process_holds_it() {
        let mut idle = Idle::new(Some(Duration::ZERO));
        assert!(!idle.is_over(&[], false), "the first session has time to come");
        idle.sessions(1);
        assert!(idle.deadline().is_none() && !idle.is_over(&[], false));
        idle.sessions(0);
        // This test runs as a process among others.
        assert!(!idle.is_over(&[], false));
        assert!(idle.held_by().is_some() && idle.deadline().is_none());
    }
}
