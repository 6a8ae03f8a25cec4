//! The engine's end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::queue;
use crate::quiet::QuietStream;

/// Between two tries to reach the engine.
const FIRST_RETRY: Duration = Duration::from_millis(5);
const LAST_RETRY: Duration = Duration::from_millis(100);

/// Where the connections go.
#[derive(Clone)]
pub struct Upstream {
    /// The engine's socket.
    pub socket: PathBuf,
    /// How long a client waits for an engine that is on its way up.
    pub patience: Duration,
    /// What the engine is doing, for the client whose patience has ended: `starting`, `failed` …
    pub state: Arc<dyn Fn() -> String + Send + Sync>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("socket", &self.socket)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// A connection; none when there is no engine for as long as a client waits.
    pub(super) async fn connect(&self) -> Option<QuietStream> {
        let deadline = Instant::now() + self.patience;
        let mut pause = FIRST_RETRY;
        loop {
            // Any failure may pass: no socket yet, nobody listening yet, a full queue, no file descriptor left.
            if let Ok(engine) = UnixStream::connect(&self.socket).await.and_then(QuietStream::of) {
                queue::deepen(&engine);
                return Some(engine);
            }
            if Instant::now() + pause > deadline {
                return None;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    }

    /// Why there is no connection: one sentence, and what to do.
    pub(super) fn absence(&self) -> String {
        let state = (self.state)();
        format!("the Docker engine is not running (state: {state}): `sampan status` says why")
    }
}
