//! The control socket of an init: who listens, who is connected, and what is asked. Only root of the host can
//! reach it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use sampan_model::guest::{ControlReply, ControlRequest};
use sampan_model::session::SessionSpec;
use sampan_sys::socket::{self, Message};

use crate::session::{Distribution, Session, Sessions};
use crate::{integration, verb};

/// With this many clients connected, further ones wait until one of them is done: none that asks something is
/// let go.
const MAX_CLIENTS: usize = 512;

/// The socket and its clients.
pub(crate) struct Control {
    listener: OwnedFd,
    clients: Vec<OwnedFd>,
}

impl Control {
    /// Begins to listen: here, so that a client sees this process as its peer and not the launcher.
    pub(crate) fn new(listener: OwnedFd) -> anyhow::Result<Self> {
        socket::listen(&listener, 4096)?;
        Ok(Self { listener, clients: Vec::new() })
    }

    /// What to wait for: the clients, then the listener while there is room for one more.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let room = self.clients.len() < MAX_CLIENTS;
        self.clients.iter().map(AsFd::as_fd).chain(room.then(|| self.listener.as_fd()))
    }

    /// Serves what is readable, in the order of [`Control::descriptors`]. Some: shut down within this time.
    pub(crate) fn serve(
        &mut self,
        readable: &[bool],
        distribution: &Distribution,
        sessions: &mut Sessions,
    ) -> Option<Duration> {
        let mut shutdown = None;
        let mut readable = readable.iter().copied();
        self.clients.retain(|client| {
            !readable.next().unwrap_or(false) || answer(client, distribution, sessions, &mut shutdown)
        });
        if readable.next() == Some(true) {
            match socket::accept(&self.listener) {
                // A client that does not read must never hold up this process.
                Ok(client) if rustix::io::ioctl_fionbio(&client, true).is_ok() => self.clients.push(client),
                Ok(_) => {}
                Err(error) => verb::log(&format!("control socket: {error}")),
            }
        }
        shutdown
    }
}

/// Answers one request; false when the client is done.
fn answer(
    client: &OwnedFd,
    distribution: &Distribution,
    sessions: &mut Sessions,
    shutdown: &mut Option<Duration>,
) -> bool {
    let Ok(Some(message)) = socket::recv_message(client) else { return false };
    let reply = match serde_json::from_slice(&message.bytes) {
        Ok(ControlRequest::Hello) => {
            ControlReply::Hello { name: distribution.name.clone(), guid: distribution.guid }
        }
        Ok(ControlRequest::Shutdown { deadline_ms }) => {
            *shutdown = Some(Duration::from_millis(deadline_ms));
            ControlReply::ShuttingDown
        }
        Ok(ControlRequest::Integrate { on }) => ControlReply::Integrated { warnings: integration::link(on) },
        Ok(ControlRequest::Session { spec }) => {
            let first_run = spec.first_run;
            match session(*spec, message, client).and_then(|session| sessions.start(session, distribution)) {
                // The leader has the connection, and answers on it.
                Ok(()) if first_run => return false,
                Ok(()) => ControlReply::Accepted,
                Err(error) => ControlReply::Refused { message: verb::chain(&error) },
            }
        }
        Err(error) => ControlReply::Refused { message: error.to_string() },
    };
    let bytes = serde_json::to_vec(&reply).expect("a reply is plain data");
    socket::send_message(client, &bytes, &[]).is_ok()
}

fn session(spec: SessionSpec, message: Message, control: &OwnedFd) -> anyhow::Result<Session> {
    let count = message.fds.len();
    let [input, output, error, client] = <[OwnedFd; 4]>::try_from(message.fds)
        .map_err(|_| anyhow::anyhow!("a session comes with 4 descriptors, not with {count}"))?;
    let report = spec.first_run.then(|| control.try_clone()).transpose()?;
    Ok(Session { spec, streams: [input, output, error], client, report })
}
