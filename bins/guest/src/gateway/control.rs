//! Another duty for a gateway that serves: what is open by it stays open.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use sampan_model::gateway::Duty;
use sampan_sys::socket::{SocketKind, bind_unix_listener, listen};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// The longest duty, in bytes: lists are written by people.
const LONGEST: u64 = 1 << 20;

/// How long whoever connects may take to say it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Nobody but root comes here: what is told has passwords in it.
pub(super) fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    let socket = bind_unix_listener(path, SocketKind::Stream, 0o600, None)?;
    listen(&socket, 16)?;
    Ok(socket.into())
}

/// Does what it is told, one after the other.
pub(super) async fn serve(listener: tokio::net::UnixListener, duty: watch::Sender<Duty>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = timeout(PATIENCE, obey(stream, &duty)).await; // without an answer it is not done
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn obey(mut stream: UnixStream, duty: &watch::Sender<Duty>) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new((&mut stream).take(LONGEST)).read_line(&mut line).await?;
    let told: Duty = serde_json::from_str(&line)?;
    if told.subnet != duty.borrow().subnet {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    duty.send_replace(told);
    stream.write_all(b"done\n").await
}
