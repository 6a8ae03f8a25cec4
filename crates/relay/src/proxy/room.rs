//! How much of this process one asker may have: descriptors and memory are of all askers together.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, copy, sink};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Each takes up to three descriptors here, and one in dockerd. The usual limit of a process is half a million.
pub(super) const MOST: usize = 2048;

/// How many of the next ones wait at once for a place, each as long as its patience lasts.
const MOST_WAITING: usize = 256;

/// The bytes of bodies that are read whole, of all connections of an asker.
const MEMORY: usize = 64 << 20;

/// How long one that is turned away may take to read why.
const PARTING: Duration = Duration::from_secs(1);

/// What an asker may have.
pub(super) struct Room {
    most: usize,
    free: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// That of one connection, until the last clone is dropped.
#[derive(Clone)]
pub(super) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
    memory: Arc<Semaphore>,
}

/// Memory that is taken, until it is dropped.
pub(super) struct Memory {
    of: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { most, free: semaphore(most), waiting: semaphore(MOST_WAITING), memory: semaphore(MEMORY) }
    }

    /// A place, if there is one.
    pub(super) fn place(&self) -> Option<Place> {
        Arc::clone(&self.free).try_acquire_owned().ok().map(|permit| self.taken(permit))
    }

    /// The right to wait for a place, as soon as not too many have it.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).acquire_owned().await.ok()
    }

    /// A place, as soon as there is one; none if that takes longer than `patience`.
    pub(super) async fn place_within(&self, patience: Duration) -> Option<Place> {
        let permit = timeout(patience, Arc::clone(&self.free).acquire_owned()).await.ok()?;
        permit.ok().map(|permit| self.taken(permit))
    }

    fn taken(&self, permit: OwnedSemaphorePermit) -> Place {
        Place { _permit: Arc::new(permit), memory: Arc::clone(&self.memory) }
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

impl Place {
    /// Memory for a body; nothing is taken yet.
    pub(super) fn memory(&self) -> Memory {
        Memory { of: Arc::clone(&self.memory), taken: None }
    }
}

impl Memory {
    /// Takes so many bytes more. Whether they are there.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let more = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.of).try_acquire_many_owned(bytes).ok());
        let Some(more) = more else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        true
    }
}
