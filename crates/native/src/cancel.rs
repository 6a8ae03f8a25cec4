//! Ending what nobody waits for any more.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use sampan_sys::{SysError, poll};

/// Tells whether somebody still waits for an operation: until the connection of whoever asked for it is hung up. What
/// nobody can call off, as clearing up, has the default.
///
/// It has no state of its own, so there is nobody who has to set it: whoever looks asks the kernel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(Option<Arc<OwnedFd>>);

/// Nobody waits for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was called off")]
pub(crate) struct Cancelled;

impl Cancel {
    /// By the other end of the socket `connection`, when that is closed, or is to send nothing more.
    pub(crate) fn by(connection: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self(Some(Arc::new(connection.try_clone_to_owned()?))))
    }

    /// An error when nobody waits any more.
    pub(crate) fn check(&self) -> Result<(), Cancelled> {
        // A connection that cannot be looked at stops nothing.
        match self.0.as_deref().map(poll::is_hung_up) {
            Some(Ok(true)) => Err(Cancelled),
            _ => Ok(()),
        }
    }

    /// Waits until `fd` can be read; `false`: the time is over. An error inside when nobody waits any more.
    pub(crate) fn wait_for(
        &self,
        fd: impl AsFd,
        timeout: Option<Duration>,
    ) -> Result<Result<bool, Cancelled>, SysError> {
        let Some(connection) = &self.0 else { return poll::wait_for(fd, timeout).map(Ok) };
        Ok(match poll::wait_for_or_hangup(fd, connection, timeout)? {
            (_, true) => Err(Cancelled),
            (ready, false) => Ok(ready),
        })
    }

    /// Reads a file, or a pipe that may have nothing for a long time.
    pub(crate) fn reading<'a>(&'a self, file: &'a File) -> impl Read + 'a {
        Reading { file, cancel: self }
    }
}

impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> Self {
        Self::other(cancelled)
    }
}

/// A file that is read for as long as somebody waits for it.
struct Reading<'a> {
    file: &'a File,
    cancel: &'a Cancel,
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.wait_for(self.file, None).map_err(|error| error.errno())??;
        self.file.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};

    use super::*;

    fn pair() -> (Cancel, OwnedFd) {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        (Cancel::by(ours.as_fd()).unwrap(), theirs)
    }

    #[test]
    fn who_hangs_up_or_has_said_its_last_word_waits_no_longer() {
        let (cancel, theirs) = pair();
        rustix::io::write(&theirs, b"a word").unwrap();
        assert_eq!(cancel.check(), Ok(()), "a word is no hangup");
        drop(theirs);
        assert_eq!(cancel.check(), Err(Cancelled));
        let (cancel, theirs) = pair();
        shutdown(&theirs, Shutdown::Write).unwrap();
        assert_eq!(cancel.check(), Err(Cancelled), "it may still listen");
        assert_eq!(Cancel::default().check(), Ok(()));
    }

    #[test]
    fn a_pipe_with_nothing_in_it_holds_up_nobody() {
        let (cancel, theirs) = pair();
        let (pipe, writer) = io::pipe().unwrap();
        let pipe = File::from(OwnedFd::from(pipe));
        rustix::io::write(&writer, b"ab").unwrap();
        let mut bytes = [0; 2];
        cancel.reading(&pipe).read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"ab");
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| cancel.reading(&pipe).read(&mut [0; 1]));
            drop(theirs);
            reading.join().unwrap().unwrap_err();
        });
        // It is the writer that is still there, not its end that was read.
        drop(writer);
        assert_eq!(Cancel::default().reading(&pipe).read(&mut [0; 1]).unwrap(), 0);
    }
}
