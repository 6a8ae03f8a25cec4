//! A client of `distros.sock`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sampan_model::wsl::service::Reply;
use sampan_sys::SysError;
use sampan_sys::socket::{self, Message, PeerCred};

use crate::api::auth::is_member;

/// How long a client may take to say what it wants.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// How long a client may leave what it is told unread, in seconds. One that is suspended must not hold up others who wait
/// for the same distribution.
const UNREAD: i64 = 5;

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    connection: OwnedFd,
    pub(super) peer: PeerCred,
    /// It does not read, or is gone: it is told nothing any more.
    deaf: AtomicBool,
}

impl Client {
    pub(super) fn new(connection: OwnedFd) -> Result<Self, SysError> {
        let peer = socket::peer_cred(&connection)?;
        Ok(Self { connection, peer, deaf: AtomicBool::new(false) })
    }

    /// Whether it may use the service.
    pub(super) fn is_member(&self) -> bool {
        is_member(&self.peer, &self.connection)
    }

    /// What it wants; none: it is gone.
    pub(super) fn listen(&self) -> Result<Option<Message>, SysError> {
        socket::recv_message_within(&self.connection, FIRST_WORD)
    }

    /// Tells it something. That it is gone or does not listen changes nothing about what it asked for.
    pub(super) fn tell(&self, reply: &Reply) {
        if self.deaf.load(Ordering::Relaxed) {
            return;
        }
        let bytes = serde_json::to_vec(reply).expect("a reply is plain data");
        if !self.has_room() || socket::send_message(&self.connection, &bytes, &[]).is_err() {
            self.deaf.store(true, Ordering::Relaxed);
        }
    }

    /// Waits until the connection takes a message without blocking.
    fn has_room(&self) -> bool {
        let mut polled = [PollFd::new(&self.connection, PollFlags::OUT)];
        let limit = Timespec { tv_sec: UNREAD, tv_nsec: 0 };
        matches!(rustix::io::retry_on_intr(|| poll(&mut polled, Some(&limit))), Ok(1))
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn pair() -> (Client, OwnedFd) {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        (Client::new(ours).unwrap(), theirs)
    }

    #[test]
    fn it_hears_what_it_is_told_and_its_end_is_no_failure() {
        let (client, other) = pair();
        client.tell(&Reply::Line { text: "x".to_owned() });
        let heard = socket::recv_message(&other).unwrap().unwrap();
        assert_eq!(
            serde_json::from_slice::<Reply>(&heard.bytes).unwrap(),
            Reply::Line { text: "x".to_owned() }
        );
        drop(other);
        assert!(client.listen().unwrap().is_none());
        client.tell(&Reply::Done { installed: None });
        assert!(client.deaf.load(Ordering::Relaxed));
    }

    #[test]
    fn root_is_a_member_and_nobody_is_not() {
        let (mut client, _other) = pair();
        assert_eq!(client.peer.uid, rustix::process::geteuid().as_raw());
        for (id, member) in [(0, true), (65_534, false)] {
            client.peer = PeerCred { pid: 0, uid: id, gid: id };
            assert_eq!(client.is_member(), member, "{id}");
        }
    }
}
