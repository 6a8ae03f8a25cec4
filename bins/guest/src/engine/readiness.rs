//! The moment from which a part serves.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use sampan_relay::docker;
use sampan_sys::inotify::Watch;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use super::part::Part;
use super::readable::readable;

/// Between bind and listen the file is there and refuses; there is no event for the end of that.
const RETRY: Duration = Duration::from_millis(5);

/// dockerd listens early and answers late: one question is enough, it is answered at the right moment. Should it never
/// be, the supervisor's deadline ends the waiting.
const PATIENCE: Duration = Duration::from_mins(10);

/// Waits until `part` serves; for ever if it never does.
pub(super) async fn ready(part: Part) {
    let socket = part.socket();
    let folder = socket.parent().expect("sockets lie in folders");
    // Without (too many watches in the system) it is looked for every few milliseconds.
    let changes = Changes::in_folder(folder).ok();
    while !serves(part).await {
        match &changes {
            Some(changes) if !socket.exists() => changes.next().await,
            _ => tokio::time::sleep(RETRY).await,
        }
    }
}

async fn serves(part: Part) -> bool {
    let socket: &Path = part.socket();
    match part {
        Part::Containerd => UnixStream::connect(socket).await.is_ok(),
        Part::Dockerd => docker::ping(socket, PATIENCE).await.is_ok(),
    }
}

/// Changes in a folder.
struct Changes {
    watch: Watch,
    readable: AsyncFd<OwnedFd>,
}

impl Changes {
    fn in_folder(folder: &Path) -> io::Result<Self> {
        let watch = Watch::new(folder).map_err(io::Error::other)?;
        let readable = readable(watch.as_fd().try_clone_to_owned()?)?;
        Ok(Self { watch, readable })
    }

    /// Waits for a change since the watch was made or this was called last.
    async fn next(&self) {
        if let Ok(mut ready) = self.readable.readable().await {
            let _ = self.watch.wait(Some(Duration::ZERO)); // takes the events out
            ready.clear_ready();
        }
    }
}
