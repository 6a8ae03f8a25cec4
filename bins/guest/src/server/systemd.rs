//! systemd as PID 1, and the server beside it.
//!
//! PID 1 forks the server before it becomes `/sbin/init`. The server has a cgroup of its own, which systemd
//! leaves alone, and hears from systemd over the socket that service managers of containers have for this
//! (`NOTIFY_SOCKET`, see `sd_notify(3)` and <https://systemd.io/CONTAINER_INTERFACE>).

use std::fs;
use std::io::{PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::fs::Access;
use rustix::process::Pid;
use sampan_model::wsl::environment::PATH;
use sampan_sys::process::{self, Forked, Signal};
use sampan_sys::{mount, poll, signals};

use super::paths::Paths;
use super::{Ready, ServerSpec};
use crate::session::Distribution;
use crate::{child, tools, verb};

const INIT: &str = "/sbin/init";
const UNITS: &str = "/run/systemd/system";
const NOTIFY: &str = "/run/host/notify";
/// The server's own cgroup, and that of all that sessions leave behind.
const CGROUP: &str = "/sys/fs/cgroup/sampan";

/// Units that would wait for what never comes, fail, or hide what is on the disk: the network is there before
/// systemd is, there is no console, and `/tmp` is a folder that others look into.
const MASKED: [&str; 4] = [
    "systemd-networkd-wait-online.service",
    "NetworkManager-wait-online.service",
    "console-getty.service",
    "tmp.mount",
];
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
const BINFMT_STATUS: &str = "/proc/sys/fs/binfmt_misc/status";
/// What a user namespace may not mount. They are all that fails in one.
const MASKED_WITH_OWN_USERS: [&str; 2] = ["sys-kernel-debug.mount", "sys-kernel-tracing.mount"];

/// The shortest time that systemd gets to start: on a machine with cold caches it takes seconds.
const SHORTEST_START: Duration = Duration::from_secs(10);
/// How often systemd is asked that does not say by itself when it has started.
const ASK: Duration = Duration::from_secs(1);

/// The systemd beside this server.
pub(super) struct Systemd {
    notify: UnixDatagram,
    /// Process number of the watcher.
    watcher: i32,
}

/// Whether the distribution wants systemd, and can have it.
pub(super) fn is_wanted(spec: &ServerSpec, warnings: &mut Vec<String>) -> bool {
    if !spec.conf.boot.systemd {
        return false;
    }
    if spec.version != 2 {
        warnings.push(format!(
            "systemd needs version 2: boot.systemd of /etc/wsl.conf has no effect. \
             See 'wsl --set-version {} 2'.",
            spec.name
        ));
        return false;
    }
    if rustix::fs::access(INIT, Access::EXEC_OK).is_err() {
        warnings.push(format!("{INIT} is not there: boot.systemd of /etc/wsl.conf has no effect."));
        return false;
    }
    true
}

/// Called as PID 1: returns in the server, a child of it, while PID 1 becomes systemd. `ready` is told if it
/// can't.
pub(super) fn start(spec: &ServerSpec, ready: &mut PipeWriter) -> anyhow::Result<Systemd> {
    anyhow::ensure!(std::process::id() == 1, "systemd has to be PID 1");
    write_units(spec)?;
    let (mut wait, mut go) = std::io::pipe().context("cannot make a pipe")?;
    match process::fork_plain()? {
        Forked::Child => {
            drop(wait);
            let systemd = Systemd::stand_by()?;
            go.write_all(verb::GO).context("PID 1 is gone")?;
            Ok(systemd)
        }
        Forked::Parent { pid, .. } => {
            drop(go);
            if verb::wait_for_go(&mut wait).is_ok() {
                let error = Some(verb::chain(&become_init(spec)));
                let word = serde_json::to_vec(&Ready { warnings: Vec::new(), error }).expect("plain data");
                let _ = ready.write_all(&word);
            } else {
                // The server has failed, and says why; with PID 1 it would be gone before that.
                let _ = child::wait(pid);
            }
            process::exit_now(1)
        }
    }
}

fn become_init(spec: &ServerSpec) -> anyhow::Error {
    if let Err(error) = process::drop_stdio_to_null() {
        return error.into();
    }
    process::reset_signals();
    let environment = [
        format!("PATH={PATH}"),
        // Any word that systemd does not know: it keeps away from the machine then.
        "container=sampan".to_owned(),
        format!("container_uuid={}", spec.guid),
        format!("NOTIFY_SOCKET={NOTIFY}"),
    ];
    process::exec(Path::new(INIT), &[INIT], &environment).into()
}

impl Systemd {
    /// Brings the server into its place, before systemd looks around.
    fn stand_by() -> anyhow::Result<Self> {
        process::set_session()?;
        // Without the unified hierarchy systemd takes it for a service of its own kind, which does no harm
        // until the end.
        if let Err(error) = join_cgroup() {
            verb::log(&format!("no cgroup for the server: {error}"));
        }
        let folder = Path::new(NOTIFY).parent().expect("a file in a folder");
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let notify =
            UnixDatagram::bind(NOTIFY).with_context(|| format!("cannot make the socket {NOTIFY}"))?;
        notify.set_nonblocking(true).context("cannot prepare the socket")?;
        Ok(Self { notify, watcher: watch()? })
    }

    /// Waits until systemd has started; a warning if it takes too long. What services ask for meanwhile is answered.
    pub(super) fn wait(
        &self,
        distribution: &Distribution,
        paths: &mut Paths,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let configured = distribution.conf.boot.init_timeout.duration();
        if configured == Some(Duration::ZERO) {
            return Ok(());
        }
        let limit = configured.map(|limit| limit.max(SHORTEST_START));
        let deadline = limit.map(|limit| Instant::now() + limit);
        while deadline.is_none_or(|deadline| Instant::now() < deadline) {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            for (pid, _) in process::reap() {
                paths.ended(pid);
            }
            let fds: Vec<_> = std::iter::once(self.notify.as_fd()).chain(paths.descriptor()).collect();
            let readable = poll::wait_readable(&fds, Some(left.unwrap_or(ASK).min(ASK)))?;
            if readable[0] && self.hear().contains(&Word::Ready) {
                return Ok(());
            }
            if readable[1..].contains(&true) {
                paths.serve(distribution);
            }
            if readable.contains(&true) {
                continue;
            }
            // Old ones do not say it, and answer only once they have come so far.
            let state = tools::output("systemctl", &["is-system-running"], SHORTEST_START);
            if state.is_ok_and(|state| ["running", "degraded"].contains(&state.trim())) {
                return Ok(());
            }
        }
        let seconds = limit.unwrap_or_default().as_secs();
        warnings.push(format!(
            "systemd did not finish its start within {seconds} s. \
             'systemctl list-jobs' says what it waits for."
        ));
        Ok(())
    }

    /// What systemd says. Readable: see [`AsFd`].
    pub(super) fn hear(&self) -> Vec<Word> {
        let mut words = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length) = self.notify.recv(&mut buffer) {
            words.extend(understand(&String::from_utf8_lossy(&buffer[..length])));
        }
        words
    }

    /// The processes that are there for systemd's sake.
    pub(super) fn own_processes(&self) -> [i32; 3] {
        [1, std::process::id().cast_signed(), self.watcher]
    }

    /// Nobody is to be alarmed by the end of this process from now on.
    pub(super) fn dismiss_watcher(&self) {
        if let Some(watcher) = Pid::from_raw(self.watcher) {
            let _ = rustix::process::kill_process(watcher, Signal::KILL);
        }
    }

    /// Signals what sessions have left behind. Other processes are systemd's.
    pub(super) fn signal_left(&self, signal: Signal) {
        for pid in self.left() {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Whether sessions have left anything behind.
    pub(super) fn has_left(&self) -> bool {
        !self.left().is_empty()
    }

    fn left(&self) -> Vec<Pid> {
        let members = fs::read_to_string(Path::new(CGROUP).join("cgroup.procs")).unwrap_or_default();
        let pids = members.lines().filter_map(|line| line.parse().ok());
        pids.filter(|pid| !self.own_processes().contains(pid)).filter_map(Pid::from_raw).collect()
    }
}

impl AsFd for Systemd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notify.as_fd()
    }
}

/// A word of systemd's that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It has started, maybe with units that failed.
    Ready,
    /// It is about to power off or to reboot.
    Stopping,
}

fn understand(message: &str) -> Vec<Word> {
    let word = |line: &str| match line {
        "READY=1" => Some(Word::Ready),
        // Which of them comes depends on its version.
        "STOPPING=1" | "X_SYSTEMD_UNIT_ACTIVE=shutdown.target" => Some(Word::Stopping),
        _ => None,
    };
    message.lines().filter_map(word).collect()
}

/// Asks systemd to power off: SIGRTMIN+4, see systemd(1). SIGTERM would have it execute itself anew.
pub(super) fn power_off() {
    if let Some(signal) = signals::real_time(4) {
        let _ = rustix::process::kill_process(Pid::INIT, signal);
    }
}

/// Starts the watcher: a distribution without its server could not be reached any more, so it powers off.
fn watch() -> anyhow::Result<i32> {
    let server = process::pidfd_open(std::process::id().cast_signed())?;
    match process::fork_plain()? {
        Forked::Child => {
            let _ = process::close_fds_from(3, &[server.as_raw_fd()]);
            let _ = process::set_name("sampan-watcher");
            process::reset_signals();
            if process::wait_exit(&server, None).is_ok() {
                power_off();
            }
            process::exit_now(0)
        }
        Forked::Parent { pid, .. } => Ok(pid),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a cgroup's control files take one write(2) and are no state files"
)]
fn join_cgroup() -> std::io::Result<()> {
    fs::create_dir_all(CGROUP)?;
    fs::write(Path::new(CGROUP).join("cgroup.procs"), "0")
}

/// What systemd is told about this distribution: in `/run`, never in the user's `/etc`.
fn write_units(spec: &ServerSpec) -> anyhow::Result<()> {
    let make = |folder: &Path| {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
    };
    make(Path::new(UNITS))?;
    let own_users = has_own_users();
    for unit in MASKED.iter().chain(MASKED_WITH_OWN_USERS.iter().filter(|_| own_users)) {
        let link = Path::new(UNITS).join(unit);
        symlink("/dev/null", &link).with_context(|| format!("cannot link {}", link.display()))?;
    }
    // What is mounted in the folder that distributions share must stay when one of them powers off, and the cover of
    // binfmt_misc until the very end.
    let shared = unit_of(&Path::new(&spec.conf.automount.root).join("wsl"));
    let mut kept = vec![format!("{shared}.mount"), format!("{shared}-.mount")];
    if spec.conf.boot.protect_binfmt {
        kept.extend([BINFMT, BINFMT_STATUS].map(|path| format!("{}.mount", unit_of(Path::new(path)))));
    }
    for unit in kept {
        let folder = Path::new(UNITS).join(format!("{unit}.d"));
        make(&folder)?;
        sampan_sys::fs::write_atomic(
            &folder.join("10-keep.conf"),
            b"[Unit]\nDefaultDependencies=no\n",
            0o644,
        )?;
    }
    Ok(())
}

/// Covers the status of `binfmt_misc`, where the distribution has mounted that: systemd empties it when it powers off,
/// and it may be everybody's. Called when systemd has started, which mounts it.
pub(super) fn protect_binfmt() -> sampan_sys::Result<()> {
    let status = Path::new(BINFMT_STATUS);
    if !status.exists() {
        return Ok(());
    }
    let shadow = Path::new("/run/sampan/binfmt-status");
    sampan_sys::fs::write_atomic(shadow, b"enabled\n", 0o444)?;
    mount::bind(shadow, status, false)?;
    mount::remount_bind_ro(status)
}

/// Whether this is a user namespace of its own.
fn has_own_users() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().ne(["0", "0", "4294967295"])
}

/// The name that units of a path have, without its ending (systemd.unit(5), "string escaping").
fn unit_of(path: &Path) -> String {
    let parts: Vec<&[u8]> =
        path.as_os_str().as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let path = parts.join(&b'/');
    let letter = |(index, byte): (usize, &u8)| match byte {
        b'/' => "-".to_owned(),
        b'.' if index == 0 => "\\x2e".to_owned(),
        b':' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(*byte).to_string(),
        other => format!("\\x{other:02x}"),
    };
    path.iter().enumerate().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_after_paths() {
        for (path, unit) in
            [("/mnt/wsl", "mnt-wsl"), ("/mnt//wsl/", "mnt-wsl"), ("/.a-b/c d", "\\x2ea\\x2db-c\\x20d")]
        {
            assert_eq!(unit_of(Path::new(path)), unit);
        }
    }

    #[test]
    fn only_two_words_matter() {
        assert_eq!(understand("READY=1\nSTATUS=Startup finished.\n"), [Word::Ready]);
        assert_eq!(understand("X_SYSTEMD_UNIT_ACTIVE=basic.target\nREADY=0"), []);
        assert_eq!(understand("STATUS=x\nSTOPPING=1"), [Word::Stopping]);
    }
}
