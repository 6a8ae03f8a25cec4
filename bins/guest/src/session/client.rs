//! The client of a session: what it is told on its own connection.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sampan_model::session::{End, SessionMessage};
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::service::Reply;
use sampan_sys::process::ExitKind;
use sampan_sys::socket;

use crate::verb;

/// The connection of a client. That it is gone is found out by reading, so nothing here fails.
pub(super) struct Client(OwnedFd);

impl Client {
    /// The connection may come from a program that does not block on it; a session may.
    pub(super) fn new(connection: OwnedFd) -> Self {
        let _ = rustix::io::ioctl_fionbio(&connection, false);
        Self(connection)
    }

    /// The command has its streams.
    pub(super) fn begun(&self) {
        self.say(&Reply::Begun, &[]);
    }

    /// The session's terminal.
    pub(super) fn terminal(&self, master: BorrowedFd<'_>) {
        self.say(&Reply::Terminal, &[master]);
    }

    /// Something is not as it should be, and it goes on.
    pub(super) fn warn(&self, message: impl Into<String>) {
        self.say(&Reply::Warning { message: message.into() }, &[]);
    }

    /// The command has ended.
    pub(super) fn ended(&self, exit: ExitKind) {
        let byte = |number| u8::try_from(number).unwrap_or(u8::MAX);
        let end = match exit {
            ExitKind::Exited(code) => End::Exited { code: byte(code) },
            ExitKind::Signaled(signal) => End::Killed { signal: byte(signal) },
        };
        self.say(&Reply::Ended { end }, &[]);
    }

    /// There will be no command.
    pub(super) fn failed(&self, error: &anyhow::Error) {
        let failure = error.downcast_ref::<Failure>().cloned();
        let failure = failure.unwrap_or_else(|| Failure::new(Code::Fail).with_message(verb::chain(error)));
        self.say(&Reply::Failed { failure }, &[]);
    }

    /// What the client says; none: it is gone.
    pub(super) fn listen(&self) -> Option<SessionMessage> {
        let message = socket::recv_message(&self.0).ok()??;
        serde_json::from_slice(&message.bytes).ok()
    }

    fn say(&self, reply: &Reply, fds: &[BorrowedFd<'_>]) {
        let bytes = serde_json::to_vec(reply).expect("a reply is plain data");
        let _ = socket::send_message(&self.0, &bytes, fds);
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
