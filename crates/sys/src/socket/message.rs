//! Messages of any length with descriptors, over a socket that keeps the borders of messages.
//!
//! A packet is bounded by the socket's buffer, a command line is not: what is too long for one packet travels in an
//! anonymous file whose descriptor goes first. That file is sealed (`memfd_create(2)`): whoever sent it can neither change it
//! while it is read, nor hold up whoever reads it, as a file of a file system of its own could.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use super::{recv_fds, send_fds};
use crate::error::{Context, Result, SysError};

/// The longest content that goes in the packet itself, in bytes. Well below the smallest usual socket buffer.
const IN_PACKET: usize = 64 << 10;

/// The longest content of a message, in bytes: twice what the kernel allows for a command line.
pub const MAX_MESSAGE: usize = 4 << 20;

/// First byte of a packet that holds the content.
const INLINE: u8 = b'=';
/// First byte of a packet whose first descriptor is a file with the content.
const IN_FILE: u8 = b'@';

/// What makes a file safe to read.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// A received message.
#[derive(Debug)]
pub struct Message {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its descriptors, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Sends a message.
pub fn send_message(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    if bytes.len() <= IN_PACKET {
        let mut packet = Vec::with_capacity(bytes.len() + 1);
        packet.push(INLINE);
        packet.extend_from_slice(bytes);
        return send_fds(socket, &packet, fds);
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("sampan-message", flags).on("make", "a message")?;
    let mut file = File::from(file);
    file.write_all(bytes).map_err(|error| {
        SysError::new("fill", "a message", Errno::from_io_error(&error).unwrap_or(Errno::IO))
    })?;
    rustix::fs::fcntl_add_seals(&file, SEALS).on("seal", "a message")?;
    let mut all = vec![file.as_fd()];
    all.extend_from_slice(fds);
    send_fds(socket, &[IN_FILE], &all)
}

/// Receives a message; none: the other side has closed. A content longer than [`MAX_MESSAGE`], one in a file that could still
/// change, and anything that is no message is an error (EBADMSG).
pub fn recv_message(socket: impl AsFd) -> Result<Option<Message>> {
    let mut buffer = vec![0; IN_PACKET + 1];
    let received = recv_fds(socket, &mut buffer)?;
    let bad = |why: &str| SysError::new("understand", "a message", Errno::BADMSG).because(why);
    let mut fds = received.fds;
    match buffer[..received.length].split_first() {
        None => Ok(None),
        Some((&INLINE, bytes)) => Ok(Some(Message { bytes: bytes.to_vec(), fds })),
        Some((&IN_FILE, [])) if !fds.is_empty() => {
            let file = File::from(fds.remove(0));
            // Refused (EINVAL) for all that is not in memory: reading it could wait for ever.
            let seals = rustix::fs::fcntl_get_seals(&file).unwrap_or(SealFlags::empty());
            if !seals.contains(SEALS) {
                return Err(bad("its file is not sealed"));
            }
            let length = file.metadata().map_or(u64::MAX, |found| found.len());
            let length = usize::try_from(length).ok().filter(|length| *length <= MAX_MESSAGE);
            let mut bytes = vec![0; length.ok_or_else(|| bad("it is too long"))?];
            // From its beginning, wherever the sender stands in it.
            file.read_exact_at(&mut bytes, 0).map_err(|_| bad("its file cannot be read"))?;
            Ok(Some(Message { bytes, fds }))
        }
        Some(_) => Err(bad("it does not begin as one")),
    }
}

/// As [`recv_message`]; an error (ETIMEDOUT) when none comes within `limit`.
pub fn recv_message_within(socket: impl AsFd, limit: Duration) -> Result<Option<Message>> {
    if crate::poll::wait_for(socket.as_fd(), Some(limit))? {
        recv_message(socket)
    } else {
        Err(SysError::new("receive", "a message", Errno::TIMEDOUT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn short_and_long_messages_arrive_with_their_descriptors() {
        for length in [0, 1, IN_PACKET, IN_PACKET + 1, 1 << 20] {
            let (ours, theirs) = pair();
            let content: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            send_message(&ours, &content, &[ours.as_fd(), theirs.as_fd()]).unwrap();
            let message = recv_message(&theirs).unwrap().unwrap();
            assert_eq!((message.bytes == content, message.fds.len()), (true, 2), "{length}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let (ours, theirs) = pair();
        let (pipe, _writer) = rustix::pipe::pipe().unwrap();
        send_fds(&ours, b"?", &[]).unwrap();
        assert_eq!(recv_message(&theirs).unwrap_err().errno(), Errno::BADMSG);
        send_fds(&ours, &[IN_FILE], &[]).unwrap();
        assert_eq!(recv_message(&theirs).unwrap_err().errno(), Errno::BADMSG);
        // Nobody ever writes into this pipe: reading it would hang.
        send_fds(&ours, &[IN_FILE], &[pipe.as_fd()]).unwrap();
        assert_eq!(recv_message(&theirs).unwrap_err().errno(), Errno::BADMSG);
        drop(ours);
        assert!(recv_message(&theirs).unwrap().is_none());
    }

    #[test]
    fn a_file_that_could_change_is_refused() {
        let (ours, theirs) = pair();
        let folder = tempfile::tempdir().unwrap();
        let on_disk = File::create_new(folder.path().join("message")).unwrap();
        let unsealed = || File::from(rustix::fs::memfd_create("probe", MemfdFlags::ALLOW_SEALING).unwrap());
        let (nothing, all_but_one) = (unsealed(), unsealed());
        rustix::fs::fcntl_add_seals(&all_but_one, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        for file in [on_disk, nothing, all_but_one] {
            send_fds(&ours, &[IN_FILE], &[file.as_fd()]).unwrap();
            let error = recv_message(&theirs).unwrap_err();
            assert_eq!((error.errno(), error.detail.as_str()), (Errno::BADMSG, "its file is not sealed"));
        }
        let long = unsealed();
        long.set_len(MAX_MESSAGE as u64 + 1).unwrap();
        rustix::fs::fcntl_add_seals(&long, SEALS).unwrap();
        send_fds(&ours, &[IN_FILE], &[long.as_fd()]).unwrap();
        assert_eq!(recv_message(&theirs).unwrap_err().detail, "it is too long");
    }

    #[test]
    fn where_the_sender_stands_in_a_file_does_not_matter() {
        use std::io::{Seek, SeekFrom};
        let (ours, theirs) = pair();
        let mut file = File::from(rustix::fs::memfd_create("probe", MemfdFlags::ALLOW_SEALING).unwrap());
        file.write_all(b"all of it").unwrap();
        rustix::fs::fcntl_add_seals(&file, SEALS).unwrap();
        file.seek(SeekFrom::Start(4)).unwrap();
        send_fds(&ours, &[IN_FILE], &[file.as_fd()]).unwrap();
        assert_eq!(recv_message(&theirs).unwrap().unwrap().bytes, b"all of it");
    }
}
