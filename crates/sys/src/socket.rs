//! Unix sockets: listeners at a path, passing of descriptors, the identity of the other side. And datagrams that say where
//! they arrived, and which sockets listen.

mod datagram;
mod listener;
mod listening;
mod message;
mod queue;
mod receive;
mod rights;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

pub use datagram::{Arrival, receive_datagram, send_datagram, tell_destinations};
pub use listener::{SocketKind, bind_unix_listener};
pub use listening::{Listening, Transport, listening};
pub use message::{MAX_MESSAGE, Message, recv_message, recv_message_within, send_message};
pub use queue::is_read;
pub use receive::receive;
pub use rights::{MAX_FDS, Received, recv_fds, send_fds};
use rustix::io::Errno;
use rustix::net::sockopt::Timeout;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::error::{Context, Result, SysError, last_errno};

/// Who is on the other side of a connection. For the side that connected it is the process that called
/// `listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCred {
    /// Process number in the caller's namespace; 0 when the process is not in it.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Starts to accept connections.
pub fn listen(socket: impl AsFd, backlog: i32) -> Result<()> {
    rustix::net::listen(socket, backlog).on("listen on", "a socket")
}

/// Waits for a connection; the result is close-on-exec.
pub fn accept(socket: impl AsFd) -> Result<OwnedFd> {
    loop {
        match rustix::net::accept_with(socket.as_fd(), SocketFlags::CLOEXEC) {
            // The connection was given up before it was accepted: there is a next one.
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            other => return other.on("accept a connection on", "a socket"),
        }
    }
}

/// Connects to a socket that keeps the borders of messages.
pub fn connect_seqpacket(path: &Path) -> Result<OwnedFd> {
    connect(path, None)
}

/// As [`connect_seqpacket`]; an error (EAGAIN) when the listener's queue stays full for `limit`, as it does when the
/// listener hangs. Sending waits no longer than that either.
pub fn connect_seqpacket_within(path: &Path, limit: Duration) -> Result<OwnedFd> {
    connect(path, Some(limit))
}

fn connect(path: &Path, limit: Option<Duration>) -> Result<OwnedFd> {
    const WHAT: &str = "connect to";
    let address = address(WHAT, path)?;
    let socket = new_socket(SocketType::SEQPACKET).on(WHAT, path)?;
    if limit.is_some() {
        rustix::net::sockopt::set_socket_timeout(&socket, Timeout::Send, limit).on(WHAT, path)?;
    }
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address)).on(WHAT, path)?;
    Ok(socket)
}

/// The process on the other side of a connection, as it was when the connection was made.
pub fn peer_cred(socket: impl AsFd) -> Result<PeerCred> {
    // Not rustix's: its process number cannot be 0, which the kernel gives for a peer outside of the pid
    // namespace.
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).expect("12 bytes");
    // SAFETY: SO_PEERCRED writes at most `length` bytes, the size of `cred`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(SysError::new("identify the peer of", "a socket", last_errno()));
    }
    Ok(PeerCred { pid: cred.pid, uid: cred.uid, gid: cred.gid })
}

/// The supplementary groups of the process on the other side of a connection, as they were when the connection was made
/// (`SO_PEERGROUPS`, socket(7), Linux 4.13). They stay true when the process ends and its number is given to another.
pub fn peer_groups(socket: impl AsFd) -> Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 32];
    loop {
        let bytes = groups.len() * size_of::<libc::gid_t>();
        // The kernel knows no process with more than 65536 of them.
        let mut length = libc::socklen_t::try_from(bytes).expect("the kernel's own length");
        // SAFETY: SO_PEERGROUPS writes at most `length` bytes, the size of what `groups` holds.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        // The length of all of them, also where they did not fit.
        let count = usize::try_from(length).expect("a length") / size_of::<libc::gid_t>();
        match last_errno() {
            _ if result == 0 => {
                groups.truncate(count);
                return Ok(groups);
            }
            Errno::RANGE if count > groups.len() => groups.resize(count, 0),
            errno => return Err(SysError::new("identify the groups of the peer of", "a socket", errno)),
        }
    }
}

fn new_socket(kind: SocketType) -> std::result::Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
}

fn address(what: &'static str, path: &Path) -> Result<SocketAddrUnix> {
    const LONGEST: usize = 107;
    let length = path.as_os_str().len();
    if length > LONGEST {
        return Err(SysError::new(what, path, Errno::NAMETOOLONG)
            .because(format!("the path of a socket has at most {LONGEST} bytes, this one {length}")));
    }
    SocketAddrUnix::new(path).on(what, path)
}
