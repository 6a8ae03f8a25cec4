//! One direction of a connection: what is little is copied, what is much stays in the kernel.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The piece in which the first bytes are copied. A request and its answer need no pipe.
const PIECE: usize = 16 << 10;
/// From how many bytes on a direction gets a pipe.
const MUCH: u64 = 64 << 10;
/// What a pipe holds, in bytes: measured to be the fastest, with less taking more turns.
const PIPE: usize = 1 << 20;

/// Forwards what `from` sends to `to` until it has no more to say, and passes that on. The error is that of whichever side
/// broke off.
pub(super) async fn one_way(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    if copy(from, to).await? {
        // Without a pipe to be had (every descriptor is taken) it is copied as before.
        match pipe() {
            Ok(pipe) => through(from, to, &pipe).await?,
            Err(_) => while copy(from, to).await? {},
        }
    }
    rustix::net::shutdown(to, rustix::net::Shutdown::Write).or_else(|error| match error {
        // It has gone meanwhile, and needs to be told nothing.
        Errno::NOTCONN => Ok(()),
        error => Err(error.into()),
    })
}

/// Copies the first bytes; whether more may come.
async fn copy(from: &TcpStream, to: &TcpStream) -> io::Result<bool> {
    let mut passed = 0;
    while passed < MUCH {
        from.readable().await?;
        // Made when there is something: a connection that is idle holds none.
        let mut piece = vec![0; PIECE];
        let length = match from.try_read(&mut piece) {
            Ok(0) => return Ok(false),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        write_all(to, &piece[..length]).await?;
        passed += length as u64;
    }
    Ok(true)
}

async fn write_all(to: &TcpStream, mut piece: &[u8]) -> io::Result<()> {
    while !piece.is_empty() {
        to.writable().await?;
        match to.try_write(piece) {
            Ok(written) => piece = &piece[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let pipe = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // Beyond what the user may have of them it stays as it is, and is slower.
    let _ = fcntl_setpipe_size(&pipe.1, PIPE);
    Ok(pipe)
}

/// Forwards through a pipe, without a copy, to the end of what `from` says.
async fn through(from: &TcpStream, to: &TcpStream, (out, into): &(OwnedFd, OwnedFd)) -> io::Result<()> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        let mut held =
            from.async_io(Interest::READABLE, || Ok(splice(from, None, into, None, PIPE, flags)?)).await?;
        if held == 0 {
            return Ok(());
        }
        while held > 0 {
            held -= to.async_io(Interest::WRITABLE, || Ok(splice(out, None, to, None, held, flags)?)).await?;
        }
    }
}
