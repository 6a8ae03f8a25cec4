//! Sessions: handed over to their distribution, which is started if it does not run.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use sampan_model::distro::{ENGINE, Guid, is_internal};
use sampan_model::guest::{ControlReply, ControlRequest};
use sampan_model::registry::{Entry, Phase};
use sampan_model::session::{Program, SessionSpec};
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::service::Target;
use sampan_sys::{Errno, process, socket};

use super::failure::failure;
use super::turns::Doing;
use super::{Distros, Tell, defaults, guard};
use crate::distro::{Running, control_socket};

/// How long a distribution may take to accept a session. With hundreds at once on a slow machine it is not at once.
const ACCEPT: Duration = Duration::from_secs(15);

/// How long one that ends by itself may take: what its init allows itself, and some more.
const ENDING: Duration = Duration::from_secs(30);

/// How often a distribution is started for one session: each time it may end again before the session has reached it.
const STARTS: u32 = 3;

/// What became of handing a session over.
enum Handed {
    /// It belongs to the distribution. The connection tells of a first run.
    Over(OwnedFd),
    /// Nobody serves there (any more, or yet).
    Gone,
}

/// Whether a stream leads to more than itself: a folder, or a handle of a path.
fn is_way_out(stream: &OwnedFd) -> bool {
    let folder = |mode| FileType::from_raw_mode(mode) == FileType::Directory;
    rustix::fs::fstat(stream).map_or(true, |stat| folder(stat.st_mode))
        || rustix::fs::fcntl_getfl(stream).map_or(true, |flags| flags.contains(OFlags::PATH))
}

impl Distros {
    /// Hands a session over. From then on the distribution answers the client.
    pub(super) fn session(
        &self,
        target: &Target,
        system: bool,
        mut spec: SessionSpec,
        streams: &[OwnedFd],
        client: BorrowedFd<'_>,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        let registry = self.native.store.current().map_err(failure)?;
        let entry = match target {
            // Not the user's default one: there is one system distribution.
            Target::Default if system => registry.find(ENGINE).ok_or_else(guard::engine_stopped)?,
            target => defaults::resolve(&registry, target)?,
        };
        guard::session(&entry.name, system)?;
        if streams.len() != 3 {
            let message = format!("A session comes with 3 streams, not with {}.", streams.len());
            return Err(Failure::new(Code::InvalidArg).with_message(message));
        }
        if streams.iter().any(is_way_out) {
            let message =
                "A folder can't be a standard stream of a session: it would open the host's files to it.";
            return Err(Failure::new(Code::InvalidArg).with_message(message));
        }
        if entry.phase != Phase::Installed {
            return Err(Failure::new(Code::IllegalStateChange));
        }
        spec.default_uid = entry.default_uid;
        spec.first_run = entry.first_run && matches!(spec.program, Program::Shell { .. });
        let first_run = spec.first_run;
        let connection = self.hand_over_started(entry, &spec, streams, client, tell)?;
        if first_run {
            self.follow_first_run(&entry.guid, &connection);
        }
        Ok(())
    }

    /// Hands a session over to a distribution, started before if it does not run; the control connection.
    pub(super) fn hand_over_started(
        &self,
        entry: &Entry,
        spec: &SessionSpec,
        streams: &[OwnedFd],
        client: BorrowedFd<'_>,
        tell: Tell<'_>,
    ) -> Result<OwnedFd, Failure> {
        for _ in 0..=STARTS {
            // Without a turn: what runs takes sessions side by side, and is refused to nobody by another's.
            self.turns.wait(&entry.guid)?;
            if Running::find(&self.native.instance, &entry.guid).map_err(failure)?.is_some()
                && let Handed::Over(connection) = self.hand_over(entry, spec, streams, client)?
            {
                return Ok(connection);
            }
            if is_internal(&entry.name) {
                return Err(guard::engine_stopped());
            }
            let _turn = self.turns.take(entry.guid, Doing::Briefly)?;
            // Whoever had the turn before may have changed or removed it.
            let registry = self.native.store.current().map_err(failure)?;
            self.ensure_running(defaults::resolve(&registry, &Target::Id { id: entry.guid })?, tell)?;
        }
        let message = format!("{} ends as soon as it is started.", entry.name);
        let log = self.native.instance.log(&super::boot::log_of(entry));
        Err(Failure::new(Code::Fail).with_message(message).hint(format!("its log is {}", log.display())))
    }

    /// Starts a distribution unless it runs; waits for the end of one that ends. The caller has its turn.
    fn ensure_running(&self, entry: &Entry, tell: Tell<'_>) -> Result<(), Failure> {
        let instance = &self.native.instance;
        if let Some(running) = Running::find(instance, &entry.guid).map_err(failure)? {
            if running.answers(instance) {
                return Ok(());
            }
            if let Some(pidfd) = running.open().map_err(failure)?
                && !process::wait_exit(&pidfd, Some(ENDING)).unwrap_or(false)
            {
                return Err(hangs(&entry.name));
            }
        }
        self.boot(entry, tell)
    }

    /// Hands a session over to a distribution that runs.
    fn hand_over(
        &self,
        entry: &Entry,
        spec: &SessionSpec,
        streams: &[OwnedFd],
        client: BorrowedFd<'_>,
    ) -> Result<Handed, Failure> {
        if has_hung_up(client) {
            return Err(Failure::new(Code::Fail).with_message("The client has hung up."));
        }
        let path = control_socket(&self.native.instance, &entry.guid);
        let connection = match socket::connect_seqpacket_within(&path, ACCEPT) {
            Ok(connection) => connection,
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::CONNREFUSED) => {
                return Ok(Handed::Gone);
            }
            Err(error) if error.errno() == Errno::AGAIN => return Err(hangs(&entry.name)),
            Err(error) => return Err(unreachable(&entry.name, &error)),
        };
        let ask = |request: &ControlRequest, fds: &[BorrowedFd<'_>]| {
            let bytes = serde_json::to_vec(request).expect("a request is plain data");
            socket::send_message(&connection, &bytes, fds)?;
            socket::recv_message_within(&connection, ACCEPT)
        };
        let request = ControlRequest::Session { spec: Box::new(spec.clone()) };
        let mut fds: Vec<BorrowedFd<'_>> = streams.iter().map(AsFd::as_fd).collect();
        fds.push(client);
        // First a sign of life: the queue of one that hangs would keep the streams, and with them whoever reads to their end.
        let answer = ask(&ControlRequest::Hello, &[])
            .and_then(|hello| if hello.is_some() { ask(&request, &fds) } else { Ok(None) });
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(Handed::Gone),
            Err(error) if matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => return Ok(Handed::Gone),
            Err(error) if error.errno() == Errno::TIMEDOUT => return Err(hangs(&entry.name)),
            Err(error) => return Err(unreachable(&entry.name, &error)),
        };
        match serde_json::from_slice(&answer.bytes) {
            Ok(ControlReply::Accepted) => Ok(Handed::Over(connection)),
            Ok(ControlReply::Refused { message }) => Err(Failure::new(Code::Fail).with_message(message)),
            other => {
                let message = format!("{} answered what is not understood: {other:?}", entry.name);
                Err(Failure::new(Code::Unexpected).with_message(message))
            }
        }
    }

    /// Waits until the first-run command of a session has ended, and writes its success down.
    fn follow_first_run(&self, guid: &Guid, connection: &OwnedFd) {
        // The session ends without a word when the command fails, and the next one tries again.
        let Ok(Some(message)) = socket::recv_message(connection) else { return };
        if let Ok(ControlReply::FirstRun { default_uid }) = serde_json::from_slice(&message.bytes) {
            // A registry that can't be written: the command runs once more, and the next request says why.
            let _ = self.native.store.update(|registry| {
                if let Some(entry) = registry.distributions.iter_mut().find(|entry| entry.guid == *guid) {
                    entry.first_run = false;
                    entry.default_uid = default_uid.unwrap_or(entry.default_uid);
                }
            });
        }
    }
}

fn hangs(name: &str) -> Failure {
    let message = format!("{name} does not answer.");
    let hint = format!("`wsl --terminate {name}` ends it, by force if it must be");
    Failure::new(Code::Timeout).with_message(message).hint(hint)
}

fn unreachable(name: &str, error: &sampan_sys::SysError) -> Failure {
    let why = sampan_backend::error::chain(error);
    Failure::new(Code::Fail).with_message(format!("{name} cannot be reached: {why}"))
}

/// Whether a client is gone: nothing is begun for it then. What it says is for the session.
fn has_hung_up(client: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(client, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
        && polled[0].revents().contains(PollFlags::HUP)
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn a_client_that_speaks_is_there_and_one_that_left_is_not() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        assert!(!has_hung_up(theirs.as_fd()));
        socket::send_message(&ours, b"signal", &[]).unwrap();
        assert!(!has_hung_up(theirs.as_fd()));
        drop(ours);
        assert!(has_hung_up(theirs.as_fd()));
    }
}
