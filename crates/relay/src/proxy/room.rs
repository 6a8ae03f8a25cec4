//! How many connections one asker may have: descriptors and memory are of all askers together.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, copy, sink};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Each takes up to three descriptors here, and one in dockerd. The usual limit of a process is half a million.
pub(super) const MOST: usize = 2048;

/// How long one that is turned away may take to read why.
const PARTING: Duration = Duration::from_secs(1);

/// The connections that an asker may have.
pub(super) struct Room {
    most: usize,
    free: Arc<Semaphore>,
}

/// That of one connection, until the last clone is dropped.
#[derive(Clone)]
pub(super) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        Self { most, free: Arc::new(Semaphore::new(most)) }
    }

    /// A place, as soon as there is one; none if that takes longer than `patience`.
    pub(super) async fn place(&self, patience: Duration) -> Option<Place> {
        let permit = timeout(patience, Arc::clone(&self.free).acquire_owned()).await.ok()?;
        permit.ok().map(|permit| Place { _permit: Arc::new(permit) })
    }

    /// Tells the client why it is not served, whatever it has asked.
    pub(super) async fn turn_away(&self, mut client: UnixStream) {
        let message = format!("{} connections to this Docker socket are open: close some of them", self.most);
        let body = serde_json::json!({ "message": message }).to_string();
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let say = async {
            client.write_all(answer.as_bytes()).await?;
            client.shutdown().await?;
            // Hanging up on words that nobody has read may cost their sender the answer.
            copy(&mut client, &mut sink()).await
        };
        let _ = timeout(PARTING, say).await; // it knows, or is gone
    }
}
