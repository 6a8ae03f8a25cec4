//! The control socket: one packet per request and per answer. Only root of the host can reach it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use sampan_model::distro::Guid;
use sampan_model::guest::{ControlReply, ControlRequest};
use sampan_sys::socket;

use crate::verb;

/// More clients than this at once are not ours: the oldest is let go.
const MAX_CLIENTS: usize = 32;

pub(super) struct Control {
    listener: OwnedFd,
    clients: Vec<OwnedFd>,
    name: String,
    guid: Guid,
}

impl Control {
    /// Begins to listen: here, so that a client sees this process as its peer and not the launcher.
    pub(super) fn new(listener: OwnedFd, name: String, guid: Guid) -> anyhow::Result<Self> {
        socket::listen(&listener, 64)?;
        Ok(Self { listener, clients: Vec::new(), name, guid })
    }

    /// What to wait for: the listener, then the clients.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.clients.iter().map(AsFd::as_fd))
    }

    /// Serves what is readable, in the order of [`Control::descriptors`]. Some: shut down within this time.
    pub(super) fn serve(&mut self, readable: &[bool]) -> Option<Duration> {
        let mut shutdown = None;
        let mut index = 0;
        self.clients.retain(|client| {
            index += 1;
            !readable.get(index).copied().unwrap_or(false)
                || answer(client, &self.name, self.guid, &mut shutdown)
        });
        if readable.first().copied().unwrap_or(false) {
            match socket::accept(&self.listener) {
                Ok(client) => {
                    // A client that does not read must never hold up PID 1.
                    if rustix::io::ioctl_fionbio(&client, true).is_err() {
                        return shutdown;
                    }
                    if self.clients.len() == MAX_CLIENTS {
                        self.clients.remove(0);
                    }
                    self.clients.push(client);
                }
                Err(error) => verb::log(&format!("control socket: {error}")),
            }
        }
        shutdown
    }
}

/// Answers one request; false when the client is done.
fn answer(client: &OwnedFd, name: &str, guid: Guid, shutdown: &mut Option<Duration>) -> bool {
    let mut buffer = [0; 4096];
    let received = match socket::recv_fds(client, &mut buffer) {
        Ok(received) if received.length > 0 => received,
        Ok(_) | Err(_) => return false,
    };
    let reply = match serde_json::from_slice(&buffer[..received.length]) {
        Ok(ControlRequest::Hello) => ControlReply::Hello { name: name.to_owned(), guid },
        Ok(ControlRequest::Shutdown { deadline_ms }) => {
            *shutdown = Some(Duration::from_millis(deadline_ms));
            ControlReply::ShuttingDown
        }
        Err(error) => ControlReply::Refused { message: error.to_string() },
    };
    let bytes = serde_json::to_vec(&reply).expect("a reply is plain data");
    socket::send_fds(client, &bytes, &[]).is_ok()
}
