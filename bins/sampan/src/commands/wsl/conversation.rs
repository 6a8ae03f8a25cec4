//! A request to the service and its replies, as they come: plain blocking calls, since a session has to begin at once.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use sampan_model::session::SessionMessage;
use sampan_model::words::Word;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::service::{Call, Reply, Request};
use sampan_sys::process::{pidfd_open, wait_exit};
use sampan_sys::signals::{Signal, block_and_fd, read_signal, unblock};
use sampan_sys::socket::peer_cred;
use sampan_sys::{Errno, SysError, poll, socket};

use super::console::Console;
use super::halt::Halt;

/// The signals that end a program.
pub(super) const ENDING: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::QUIT, Signal::HUP];

/// How long a service that is being killed may take to be gone.
const CLOSING: Duration = Duration::from_secs(1);

/// A request that was sent.
#[derive(Debug)]
pub(super) struct Conversation {
    connection: OwnedFd,
    /// The process that serves.
    service: Option<OwnedFd>,
    heard: Cell<bool>,
}

impl Conversation {
    /// Sends `request` with its descriptors. `state` is the state folder that is meant.
    pub(super) fn begin(
        connection: OwnedFd,
        state: Word,
        request: Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Self, Failure> {
        let call = serde_json::to_vec(&Call { state, request }).map_err(|error| garbled(&error))?;
        if call.len() > socket::MAX_MESSAGE {
            return Err(Failure::new(Code::InvalidArg).with_message("The command line is too long."));
        }
        match socket::send_message(&connection, &call, fds) {
            // The other side is gone, which is heard when it is listened to.
            Err(error) if matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => {}
            sent => sent.map_err(|error| broken(&error))?,
        }
        let service = peer(&connection);
        Ok(Self { connection, service, heard: Cell::new(false) })
    }

    /// Whether the service has said anything.
    pub(super) fn was_heard(&self) -> bool {
        self.heard.get()
    }

    /// Whether the service, which is not heard any more, is gone too. One that was killed closes its sockets one after the
    /// other: whoever comes meanwhile may still find one of them open.
    pub(super) fn outlived_service(&self) -> bool {
        self.service.as_ref().is_none_or(|service| wait_exit(service, Some(CLOSING)).unwrap_or(true))
    }

    /// Waits for the next reply, with its descriptor if it has one; none: the other side is gone.
    pub(super) fn next(&self) -> Result<Option<(Reply, Option<OwnedFd>)>, Failure> {
        let message = match socket::recv_message(&self.connection) {
            // Closed with something of ours unread: gone all the same.
            Err(error) if error.errno() == Errno::CONNRESET => None,
            other => other.map_err(|error| broken(&error))?,
        };
        let Some(message) = message else { return Ok(None) };
        self.heard.set(true);
        let reply = serde_json::from_slice(&message.bytes).map_err(|error| garbled(&error))?;
        Ok(Some((reply, message.fds.into_iter().next())))
    }

    /// Passes a signal on to the command of a session. False: the one before was not even looked at, so nobody there
    /// takes signals.
    pub(super) fn pass_on(&self, signal: i32) -> bool {
        let message =
            serde_json::to_vec(&SessionMessage::Signal { signal }).expect("a number is always JSON");
        socket::is_read(&self.connection).unwrap_or(false)
            && socket::send_message(&self.connection, &message, &[]).is_ok()
    }

    /// Shows replies until the last one, which it gives; none: the other side was gone before. A signal that would end the
    /// program, of `signals`, calls the request off, and is the end when the service has cleared up; the second one is at
    /// once.
    pub(super) fn finish(&self, signals: &Signals, console: &mut Console) -> Result<Option<Reply>, Halt> {
        loop {
            if signals.wait_for(self)? {
                let Some((reply, _)) = self.next()? else { return Ok(None) };
                if let Some(last) = show(reply, console)? {
                    return Ok(Some(last));
                }
            } else if let Some(signal) = signals.take()? {
                return Err(self.call_off(signal, signals, console)?);
            }
        }
    }

    /// Says no more, which calls off what can be called off, and listens to the end of it.
    fn call_off(&self, signal: i32, signals: &Signals, console: &mut Console) -> Result<Halt, Halt> {
        if shutdown(&self.connection, Shutdown::Write).is_err() {
            // The service is gone.
            return Ok(Halt::Signal(signal));
        }
        loop {
            if signals.wait_for(self)? {
                let Some((reply, _)) = self.next()? else { return Ok(Halt::Signal(signal)) };
                match show(reply, console) {
                    Ok(None) => {}
                    Ok(Some(_)) => return Ok(Halt::TooLate(signal)),
                    Err(Halt::Failure(failure)) if failure.code == Code::Abort => {
                        return Ok(Halt::Signal(signal));
                    }
                    Err(halt) => return Err(halt),
                }
            } else if signals.take()?.is_some() {
                console.note("wsl: The service finishes what it has begun; 'wsl --list --verbose' shows it.");
                return Ok(Halt::Signal(signal));
            }
        }
    }
}

impl AsFd for Conversation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// The process that serves a connection.
pub(super) fn peer(connection: &OwnedFd) -> Option<OwnedFd> {
    pidfd_open(peer_cred(connection).ok()?.pid).ok()
}

/// Whether a request that may have been carried out already can be made once more: it only asks, or it asks for a state
/// and not for a step.
pub(super) fn is_repeatable(request: &Request) -> bool {
    matches!(
        request,
        Request::List
            | Request::Status
            | Request::Online
            | Request::SetDefault { .. }
            | Request::SetDefaultVersion { .. }
            | Request::SetPrivileged { .. }
            | Request::Integration(_)
            | Request::Terminate { .. }
            | Request::Shutdown { .. }
    )
}

/// Shows a reply that is no last one; a last one is given back, as the failure that it says if it is one.
pub(super) fn show(reply: Reply, console: &mut Console) -> Result<Option<Reply>, Halt> {
    match reply {
        Reply::Line { text } => console.print(&format!("{text}\n"))?,
        Reply::Progress { label, permille } => console.progress(&label, permille),
        Reply::Warning { message } => console.warn(&message),
        Reply::Failed { failure } => return Err(failure.into()),
        last => {
            console.end_progress();
            return Ok(Some(last));
        }
    }
    Ok(None)
}

/// Signals that are read instead of acting by themselves, for as long as this lives.
#[derive(Debug)]
pub(super) struct Signals {
    fd: OwnedFd,
    set: Vec<Signal>,
}

impl Signals {
    /// Takes over `set`. Programs that are started meanwhile inherit this: there must be none.
    pub(super) fn block(set: &[Signal]) -> Result<Self, Failure> {
        let fd = block_and_fd(set).map_err(|error| own(&error))?;
        Ok(Self { fd, set: set.to_vec() })
    }

    /// The next one that has come.
    pub(super) fn take(&self) -> Result<Option<i32>, Failure> {
        read_signal(&self.fd).map_err(|error| own(&error))
    }

    /// Waits for a signal or until `other` can be read: whether it can.
    pub(super) fn wait_for(&self, other: impl AsFd) -> Result<bool, Failure> {
        let ready =
            poll::wait_readable(&[self.fd.as_fd(), other.as_fd()], None).map_err(|error| own(&error))?;
        Ok(ready[1])
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // What came too late is not to act on a command that is done.
        while matches!(read_signal(&self.fd), Ok(Some(_))) {}
        let _ = unblock(&self.set);
    }
}

/// The last word was none that answers the request.
pub(super) fn unexpected() -> Failure {
    service(Code::Unexpected, "The service's answer can't be understood.")
        .hint("`sampan` and `sampand` must be of the same version")
}

/// The service died over a request that may have been begun.
pub(super) fn unfinished() -> Failure {
    service(Code::Unexpected, "The service ended before the work was done.")
        .hint("see `sampan logs --unit sampand`, then try again")
}

fn garbled(error: &serde_json::Error) -> Failure {
    let message = format!("The service can't be understood: {error}.");
    service(Code::Unexpected, &message).hint("`sampan` and `sampand` must be of the same version")
}

fn broken(error: &SysError) -> Failure {
    let message = format!("The connection to the service broke: {error}: {}.", error.errno());
    service(Code::Unexpected, &message).hint("see `sampan logs --unit sampand`, then try again")
}

fn service(code: Code, message: &str) -> Failure {
    Failure::new(code).with_message(message).in_context(Context::Service)
}

fn own(error: &SysError) -> Failure {
    Failure::new(Code::Fail).with_message(format!("{error}: {}.", error.errno()))
}
