//! What is still on its way through a socket.

use std::os::fd::{AsFd, AsRawFd};

use crate::error::{Result, SysError, last_errno};

/// Whether the other side has read all that was sent (`SIOCOUTQ`, unix(7)).
pub fn is_read(socket: impl AsFd) -> Result<bool> {
    let mut left: libc::c_int = 0;
    // SAFETY: this ioctl, called TIOCOUTQ for terminals, writes one int.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut left) };
    if result == 0 {
        Ok(left == 0)
    } else {
        Err(SysError::new("look at the queue of", "a socket", last_errno()))
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;
    use crate::socket::{recv_message, send_message};

    #[test]
    fn what_is_sent_counts_until_it_is_read() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        assert!(is_read(&ours).unwrap());
        send_message(&ours, b"x", &[]).unwrap();
        assert!(!is_read(&ours).unwrap());
        recv_message(&theirs).unwrap().unwrap();
        assert!(is_read(&ours).unwrap());
    }
}
