//! Descriptors sent over a socket (`SCM_RIGHTS`).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::error::{Context, Result, SysError};

/// The most descriptors one message carries here.
pub const MAX_FDS: usize = 16;

/// A received message.
#[derive(Debug)]
pub struct Received {
    /// How many bytes of the buffer were filled; 0: the other side has closed.
    pub length: usize,
    /// The descriptors, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Sends all of `bytes` (at least one byte, or nothing would carry the descriptors) with up to [`MAX_FDS`]
/// descriptors.
pub fn send_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    const WHAT: &str = "send to";
    const OBJECT: &str = "a socket";
    if bytes.is_empty() || fds.len() > MAX_FDS {
        return Err(SysError::new(WHAT, OBJECT, Errno::INVAL).because(format!(
            "{} bytes with {} descriptors",
            bytes.len(),
            fds.len()
        )));
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)), "the buffer has room for MAX_FDS");
    }
    let mut sent = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket.as_fd(), &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
    })
    .on(WHAT, OBJECT)?;
    // A stream may take less than all; the descriptors went with the first byte.
    while sent < bytes.len() {
        let rest = &bytes[sent..];
        sent += rustix::io::retry_on_intr(|| rustix::net::send(socket.as_fd(), rest, SendFlags::NOSIGNAL))
            .on(WHAT, OBJECT)?;
    }
    Ok(())
}

/// Receives a message (or, of a stream, what is there) with its descriptors. A message or a list of
/// descriptors that does not fit is an error (EMSGSIZE), never cut.
pub fn recv_fds(socket: impl AsFd, buffer: &mut [u8]) -> Result<Received> {
    const WHAT: &str = "receive from";
    const OBJECT: &str = "a socket";
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(
            socket.as_fd(),
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })
    .on(WHAT, OBJECT)?;
    let fds = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds.collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(SysError::new(WHAT, OBJECT, Errno::MSGSIZE));
    }
    Ok(Received { length: message.bytes, fds })
}
