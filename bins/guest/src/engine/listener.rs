//! Listening sockets that were bound outside and inherited by number.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use anyhow::Context;

/// Clients that may wait to be accepted; the kernel's own limit (`net.core.somaxconn`) is lower on most systems.
const BACKLOG: i32 = 4096;

/// The socket whose number is in this variable.
pub(crate) fn inherited_listener(variable: &str) -> anyhow::Result<UnixListener> {
    let number = std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("{variable} does not hold the number of a listening socket"))?;
    let socket: OwnedFd = sampan_sys::process::inherited_fd(number)?;
    // Once more when it listens already, which loses nobody who waits: clients see the process that did this last.
    sampan_sys::socket::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// For the runtime. To be called within it.
pub(crate) fn into_async(listener: UnixListener) -> anyhow::Result<tokio::net::UnixListener> {
    listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::UnixListener::from_std(listener))
        .context("cannot serve the inherited socket")
}
