//! Sockets bound to a path.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Gid, Mode};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags, SocketType};

use super::{address, new_socket};
use crate::error::{Context, Result, SysError};

const WHAT: &str = "create the socket";

/// How a socket carries data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// A stream of bytes.
    Stream,
    /// Messages with borders.
    SeqPacket,
}

/// Binds a socket to `path` with the access rights `mode` and maybe a group. It does not listen yet: the
/// process that calls [`super::listen`] is the one that clients see as their peer. A socket file left over by
/// a process that is gone is replaced (as is one that is bound but does not listen yet); one that answers, or
/// a file of another type, is an error.
pub fn bind_unix_listener(
    path: &Path,
    kind: SocketKind,
    mode: u32,
    owner_gid: Option<u32>,
) -> Result<OwnedFd> {
    let address = address(WHAT, path)?;
    remove_stale(path, &address)?;
    let socket = new_socket(kind.into()).on(WHAT, path)?;
    // The file of a socket starts with the rights of the descriptor, so nobody gets in before they are set;
    // unlike the umask this concerns no other thread.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600)).on(WHAT, path)?;
    rustix::net::bind(&socket, &address).on(WHAT, path)?;
    let gid = owner_gid.map(Gid::from_raw);
    let finished = match gid {
        Some(_) => rustix::fs::chown(path, None, gid),
        None => Ok(()),
    }
    .and_then(|()| rustix::fs::chmod(path, Mode::from_raw_mode(mode)));
    if let Err(errno) = finished {
        let _ = rustix::fs::unlink(path); // the first failure is the one worth telling
        return Err(SysError::new("set the access rights of", path, errno));
    }
    Ok(socket)
}

fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<()> {
    let mode = match rustix::fs::lstat(path) {
        Ok(stat) => stat.st_mode,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(SysError::new(WHAT, path, errno)),
    };
    if FileType::from_raw_mode(mode) != FileType::Socket {
        return Err(SysError::new(WHAT, path, Errno::EXIST).because("there is a file that is no socket"));
    }
    let probe = rustix::net::socket_with(
        rustix::net::AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .on(WHAT, path)?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => match rustix::fs::unlink(path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(SysError::new("remove the stale socket", path, errno)),
        },
        Err(Errno::NOENT) => Ok(()),
        // Connected, queue full (EAGAIN) or of another kind (EPROTOTYPE): somebody is there.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => {
            Err(SysError::new(WHAT, path, Errno::ADDRINUSE).because("another process answers there"))
        }
        Err(errno) => Err(SysError::new(WHAT, path, errno)),
    }
}

impl From<SocketKind> for SocketType {
    fn from(kind: SocketKind) -> Self {
        match kind {
            SocketKind::Stream => Self::STREAM,
            SocketKind::SeqPacket => Self::SEQPACKET,
        }
    }
}
