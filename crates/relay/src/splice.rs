//! One direction between two sockets: what is little is copied, what is much stays in the kernel.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The piece in which the first bytes are copied. A request and its answer need no pipe.
const PIECE: usize = 16 << 10;
/// From how many bytes on a direction gets a pipe.
const MUCH: usize = 64 << 10;
/// What a pipe holds, in bytes: measured to be the fastest, with less taking more turns.
const PIPE: usize = 1 << 20;

/// A connected socket of the runtime's.
pub(crate) trait Socket: AsFd + Sync {
    /// Does `work` when the socket is ready for it, and again while it would block.
    fn ready<R: Send>(
        &self,
        interest: Interest,
        work: impl FnMut() -> io::Result<R> + Send,
    ) -> impl Future<Output = io::Result<R>> + Send;
}

impl Socket for TcpStream {
    async fn ready<R: Send>(
        &self,
        interest: Interest,
        work: impl FnMut() -> io::Result<R> + Send,
    ) -> io::Result<R> {
        self.async_io(interest, work).await
    }
}

/// Forwards what `from` sends to `to` until it has no more to say, and passes that on. The error is that of whichever side
/// broke off.
pub(crate) async fn one_way(from: &impl Socket, to: &impl Socket) -> io::Result<()> {
    if copy(from, to).await? {
        // Without a pipe to be had (every descriptor is taken) it is copied as before.
        match pipe() {
            Ok(pipe) => through(from, to, &pipe).await?,
            Err(_) => while copy(from, to).await? {},
        }
    }
    finish(to)
}

/// Tells `to` that nothing more comes.
pub(crate) fn finish(to: &impl Socket) -> io::Result<()> {
    rustix::net::shutdown(to, Shutdown::Write).or_else(|error| match error {
        // It has gone meanwhile, and needs to be told nothing.
        Errno::NOTCONN => Ok(()),
        error => Err(error.into()),
    })
}

/// Sends all of `piece`.
pub(crate) async fn send_all(to: &impl Socket, mut piece: &[u8]) -> io::Result<()> {
    while !piece.is_empty() {
        let written = to.ready(Interest::WRITABLE, || Ok(rustix::io::write(to, piece)?)).await?;
        piece = &piece[written..];
    }
    Ok(())
}

/// Copies the first bytes; whether more may come.
async fn copy(from: &impl Socket, to: &impl Socket) -> io::Result<bool> {
    let mut passed = 0;
    while passed < MUCH {
        // Made when there is something: a connection that is idle holds none.
        let read = || {
            let mut piece = Vec::with_capacity(PIECE);
            rustix::io::read(from, spare_capacity(&mut piece))?;
            Ok(piece)
        };
        let piece = from.ready(Interest::READABLE, read).await?;
        if piece.is_empty() {
            return Ok(false);
        }
        send_all(to, &piece).await?;
        passed += piece.len();
    }
    Ok(true)
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let pipe = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // Beyond what the user may have of them it stays as it is, and is slower.
    let _ = fcntl_setpipe_size(&pipe.1, PIPE);
    Ok(pipe)
}

/// Forwards through a pipe, without a copy, to the end of what `from` says.
async fn through(from: &impl Socket, to: &impl Socket, (out, into): &(OwnedFd, OwnedFd)) -> io::Result<()> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        let take = || Ok(splice(from, None, into, None, PIPE, flags)?);
        let mut held = from.ready(Interest::READABLE, take).await?;
        if held == 0 {
            return Ok(());
        }
        while held > 0 {
            let give = || Ok(splice(out, None, to, None, held, flags)?);
            held -= to.ready(Interest::WRITABLE, give).await?;
        }
    }
}
