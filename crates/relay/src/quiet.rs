//! Unix sockets that hear of room only while they wait for it.
//!
//! The kernel tells of room in the queue of a Unix socket each time that the other side has taken something
//! (`unix_write_space`), whether anybody waits for that or not. A stream of tokio's hears it all: each message wakes the
//! runtime once more, to do nothing, just when the one that has taken it needs the processor.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use sampan_sys::socket::receive;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::UnixStream;

use crate::splice::{self, Socket};

/// A connected Unix socket of the runtime's.
#[derive(Debug)]
pub(crate) struct QuietStream {
    socket: Arc<AsyncFd<OwnedFd>>,
    /// The same one, while room is waited for.
    room: Option<AsyncFd<OwnedFd>>,
}

impl QuietStream {
    /// What was a stream of the runtime's before.
    pub(crate) fn of(stream: UnixStream) -> io::Result<Self> {
        let socket = OwnedFd::from(stream.into_std()?);
        Ok(Self { socket: Arc::new(register(socket, Interest::READABLE)?), room: None })
    }

    /// The other side, to see its end while something else reads from it.
    pub(crate) fn peer(&self) -> Peer {
        Peer(Arc::clone(&self.socket))
    }

    /// Does `give` as soon as there is room for it.
    fn poll_give<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut give: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            if let Some(room) = &self.room {
                let mut there = ready!(room.poll_write_ready(cx))?;
                match give(self.socket.as_fd()) {
                    Err(rustix::io::Errno::AGAIN) => {
                        there.clear_ready();
                        continue;
                    }
                    given => {
                        self.room = None;
                        return Poll::Ready(Ok(given?));
                    }
                }
            }
            match give(self.socket.as_fd()) {
                Err(rustix::io::Errno::AGAIN) => self.room = Some(room_of(self.socket.get_ref())?),
                given => return Poll::Ready(Ok(given?)),
            }
        }
    }
}

/// A descriptor takes part in the runtime once only: this is another one of the same socket.
fn room_of(socket: &OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    register(socket.try_clone()?, Interest::WRITABLE)
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; an owned descriptor stays open for as long as it is registered"
)]
fn register(socket: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, interest)
}

/// Who is at the other end of a stream.
#[derive(Debug)]
pub(crate) struct Peer(Arc<AsyncFd<OwnedFd>>);

impl Peer {
    /// Returns when it has hung up. One that has only finished sending still listens.
    pub(crate) async fn gone(&self) {
        // Room is not told of to this descriptor: what is ready is the end. An error is one of the runtime, which ends.
        let _ = self.0.ready(Interest::WRITABLE).await;
    }
}

impl AsFd for QuietStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Socket for QuietStream {
    async fn ready<R: Send>(
        &self,
        interest: Interest,
        mut work: impl FnMut() -> io::Result<R> + Send,
    ) -> io::Result<R> {
        if !interest.is_writable() {
            return self.socket.async_io(interest, |_| work()).await;
        }
        match work() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        room_of(self.socket.get_ref())?.async_io(interest, |_| work()).await
    }
}

impl AsyncRead for QuietStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut there = ready!(self.socket.poll_read_ready(cx))?;
            let room = into.remaining();
            match receive(self.socket.get_ref(), into) {
                Err(rustix::io::Errno::AGAIN) => there.clear_ready(),
                read => {
                    // Less than asked for is all there is. What comes later is told of anew.
                    if read.is_ok_and(|length| 0 < length && length < room) {
                        there.clear_ready_matching(Ready::READABLE);
                    }
                    return Poll::Ready(Ok(read.map(drop)?));
                }
            }
        }
    }
}

impl AsyncWrite for QuietStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_give(cx, |socket| rustix::io::write(socket, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_give(cx, |socket| rustix::io::writev(socket, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(splice::finish(&*self))
    }
}
