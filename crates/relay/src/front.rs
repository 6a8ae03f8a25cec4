//! The Docker API socket of the host: every connection is relayed to the engine's socket inside.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, Ready};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use crate::pump;

/// How long a refused client may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

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

/// Accepts connections and relays each, until the future is dropped; connections that are open then go on as long as
/// the runtime does.
pub async fn serve(listener: UnixListener, upstream: Upstream) {
    let upstream = Arc::new(upstream);
    let mut pause = FIRST_RETRY;
    loop {
        if let Ok((client, _)) = listener.accept().await {
            pause = FIRST_RETRY;
            tokio::spawn(attend(client, Arc::clone(&upstream)));
        } else {
            // Out of file descriptors or memory. The connection stays in the queue; without a pause this loop would
            // spin until another one ends.
            sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    }
}

async fn attend(client: UnixStream, upstream: Arc<Upstream>) {
    match reach(&client, &upstream).await {
        Reached::Engine(engine) => {
            pump::relay(client, engine).await;
        }
        Reached::Nobody => {
            let state = (upstream.state)();
            drop(upstream);
            // Whether the client waits for the reason is its own affair.
            let _ = timeout(FAREWELL, refuse(client, &state)).await;
        }
        Reached::ClientLeft => {}
    }
}

enum Reached {
    Engine(UnixStream),
    Nobody,
    ClientLeft,
}

async fn reach(client: &UnixStream, upstream: &Upstream) -> Reached {
    let deadline = Instant::now() + upstream.patience;
    let mut pause = FIRST_RETRY;
    loop {
        // Any failure may pass: no socket yet, nobody listening yet, a full queue, no file descriptor left.
        if let Ok(engine) = UnixStream::connect(&upstream.socket).await {
            return Reached::Engine(engine);
        }
        // A client that has only finished sending still wants its answer; one that is gone takes none.
        if client.ready(Interest::WRITABLE).await.is_ok_and(Ready::is_write_closed) {
            return Reached::ClientLeft;
        }
        if Instant::now() + pause > deadline {
            return Reached::Nobody;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_RETRY);
    }
}

/// Answers with the reason and closes so that the client can read it.
async fn refuse(mut client: UnixStream, state: &str) -> io::Result<()> {
    let mut request = vec![0; 16 * 1024];
    let length = client.read(&mut request).await?;
    client.write_all(&refusal(&request[..length], state)).await?;
    client.shutdown().await?;
    // Closing with unread bytes in the queue would fail the client's next write before it has read the answer.
    while client.read(&mut request).await? > 0 {}
    Ok(())
}

fn refusal(request: &[u8], state: &str) -> Vec<u8> {
    let message = format!("the Docker engine is not running (state: {state}): `sampan status` says why");
    let body = serde_json::json!({ "message": message }).to_string();
    let mut answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    // The answer to HEAD is the head.
    if !request.starts_with(b"HEAD ") {
        answer.push_str(&body);
    }
    answer.into_bytes()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    struct Door {
        folder: TempDir,
    }

    impl Door {
        fn open(patience: Duration) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(folder.path().join("front")).unwrap();
            let state = Arc::new(|| "starting".to_owned());
            tokio::spawn(serve(listener, Upstream { socket: folder.path().join("engine"), patience, state }));
            Self { folder }
        }

        async fn client(&self) -> UnixStream {
            UnixStream::connect(self.folder.path().join("front")).await.unwrap()
        }

        fn engine(&self) -> UnixListener {
            UnixListener::bind(self.folder.path().join("engine")).unwrap()
        }
    }

    async fn echo(listener: UnixListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            });
        }
    }

    async fn exchange(mut client: UnixStream, request: &[u8]) -> String {
        client.write_all(request).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_client_waits_for_an_engine_that_comes_up() {
        let door = Door::open(Duration::from_secs(10));
        let client = door.client().await;
        let answer = tokio::spawn(exchange(client, b"hello"));
        sleep(Duration::from_millis(50)).await;
        assert!(!answer.is_finished());
        tokio::spawn(echo(door.engine()));
        assert_eq!(answer.await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn a_stale_socket_counts_as_none() {
        let door = Door::open(Duration::from_millis(20));
        drop(door.engine());
        let answer = exchange(door.client().await, b"GET /info HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_without_engine_is_told_so_in_dockers_way() {
        let door = Door::open(Duration::from_millis(20));
        let answer = exchange(door.client().await, b"GET /info HTTP/1.1\r\n\r\n").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let expected = "the Docker engine is not running (state: starting): `sampan status` says why";
        assert_eq!(body, serde_json::json!({ "message": expected }));
        let head = exchange(door.client().await, b"HEAD /_ping HTTP/1.1\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 503 ") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_client_that_has_left() {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream {
            socket: folder.path().join("engine"),
            patience: Duration::from_hours(1),
            state: Arc::new(|| panic!("nobody is there to be told")),
        };
        let (mut client, attended) = UnixStream::pair().unwrap();
        client.write_all(b"GET /info HTTP/1.1\r\n\r\n").await.unwrap();
        let attending = tokio::spawn(attend(attended, Arc::new(upstream)));
        drop(client);
        timeout(Duration::from_mins(1), attending).await.expect("its patience is not waited for").unwrap();
    }

    #[tokio::test]
    async fn many_clients_at_once() {
        let door = Door::open(Duration::from_secs(10));
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..300 {
            let client = door.client().await;
            clients.spawn(async move {
                let text = format!("client {number}");
                assert_eq!(exchange(client, text.as_bytes()).await, text);
            });
        }
        tokio::spawn(echo(door.engine()));
        clients.join_all().await;
    }
}
