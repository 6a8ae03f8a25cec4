//! The service's API over its unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use sampan_model::api::{ApiError, ErrorBody, ErrorCode, Event, STATE_HEADER};
use sampan_model::engine::Mark;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// The longest that an answer may take which is no stream.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// The longest line of a stream. A failure with its log is far below.
const LINE_MAX: usize = 4 << 20;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error("nothing answers at {0}")]
    NotRunning(PathBuf),
    /// The caller may not use the socket.
    #[error("the socket {0} may not be used by this user")]
    Denied(PathBuf),
    /// The socket could not be used.
    #[error("can't use the socket {0}")]
    Socket(PathBuf, #[source] io::Error),
    /// The service refused.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The answer did not come in time.
    #[error("the service did not answer {0} within {secs} s", secs = ANSWER_DEADLINE.as_secs())]
    Timeout(String),
    /// The connection ended in the middle.
    #[error("the connection to the service broke during {0}")]
    Broken(String, #[source] hyper::Error),
    /// The stream ended without a last word.
    #[error("the service ended before {0} was done")]
    Unfinished(String),
    /// The answer is not what this program knows.
    #[error("the service's answer to {0} can't be read; are `sampan` and `sampand` of the same version?")]
    Garbled(String, #[source] serde_json::Error),
}

/// How a long operation ended well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// What was done.
    pub(crate) message: String,
    /// Whether there was nothing to do.
    pub(crate) already: bool,
    /// Where the time went.
    pub(crate) marks: Vec<Mark>,
    /// The distributions that go on after a stop, and the service with them.
    pub(crate) remaining: Vec<String>,
}

/// A service that runs, or at least did when it was found. Each request makes its own connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    socket: PathBuf,
    /// The state folder the caller means; a service of another one refuses.
    state: PathBuf,
}

impl Client {
    /// Finds out whether a service listens at `socket`.
    pub(crate) async fn connect(socket: &Path, state: &Path) -> Result<Self, ClientError> {
        let client = Self { socket: socket.to_owned(), state: state.to_owned() };
        client.stream().await?;
        Ok(client)
    }

    /// `GET path`.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let request = format!("GET {path}");
        let answer = async {
            let response = self.send(Method::GET, path, Bytes::new(), &request).await?;
            body(response, &request).await
        };
        let bytes = tokio::time::timeout(ANSWER_DEADLINE, answer)
            .await
            .map_err(|_| ClientError::Timeout(request.clone()))??;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Garbled(request, error))
    }

    /// `POST path` whose answer is a stream of [`Event`]s: each is shown to `watch`, the last one is the result.
    pub(crate) async fn post_ndjson<B: Serialize>(
        &self,
        path: &str,
        content: &B,
        mut watch: impl FnMut(&Event),
    ) -> Result<Done, ClientError> {
        let request = format!("POST {path}");
        let content =
            serde_json::to_vec(content).map_err(|error| ClientError::Garbled(request.clone(), error))?;
        let mut response = self.send(Method::POST, path, content.into(), &request).await?;
        let mut lines = Lines::default();
        while let Some(frame) = response.body_mut().frame().await {
            let frame = frame.map_err(|error| ClientError::Broken(request.clone(), error))?;
            let Some(data) = frame.data_ref() else { continue };
            for line in lines.push(data) {
                if let Some(end) = take(&line, &request, &mut watch)? {
                    return Ok(end);
                }
            }
            if lines.pending.len() > LINE_MAX {
                break;
            }
        }
        if let Some(end) = take(&lines.pending, &request, &mut watch)? {
            return Ok(end);
        }
        Err(ClientError::Unfinished(request))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content: Bytes,
        request: &str,
    ) -> Result<Response<Incoming>, ClientError> {
        let broken = |error| ClientError::Broken(request.to_owned(), error);
        let io = TokioIo::new(self.stream().await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(broken)?;
        // Errors of the connection reach the caller through its request.
        tokio::spawn(connection);
        let message = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "sampan")
            .header(STATE_HEADER, self.state.as_os_str().as_encoded_bytes())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(content))
            .expect("paths of the API are valid");
        let response = sender.send_request(message).await.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = body(response, request).await?;
        Err(match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(answer) => answer.error.into(),
            Err(_) => ApiError {
                code: ErrorCode::Failed,
                message: format!("the service answered {request} with {status}"),
                hint: Some("see `sampan logs --unit sampand`".to_owned()),
                log: Vec::new(),
            }
            .into(),
        })
    }

    async fn stream(&self) -> Result<UnixStream, ClientError> {
        UnixStream::connect(&self.socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning(self.socket.clone())
            }
            io::ErrorKind::PermissionDenied => ClientError::Denied(self.socket.clone()),
            _ => ClientError::Socket(self.socket.clone(), error),
        })
    }
}

/// Reads one line of events: the end of the operation, when it is that.
pub(crate) fn take(
    line: &[u8],
    request: &str,
    watch: &mut impl FnMut(&Event),
) -> Result<Option<Done>, ClientError> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let event: Event =
        serde_json::from_slice(line).map_err(|error| ClientError::Garbled(request.to_owned(), error))?;
    watch(&event);
    match event {
        Event::Done { message, already, marks, remaining } => {
            Ok(Some(Done { message, already, marks, remaining }))
        }
        Event::Failed { error } => Err(error.into()),
        Event::Stage { .. } | Event::Progress { .. } | Event::Note { .. } | Event::Warning { .. } => Ok(None),
    }
}

async fn body(response: Response<Incoming>, request: &str) -> Result<Bytes, ClientError> {
    let collected = response
        .into_body()
        .collect()
        .await
        .map_err(|error| ClientError::Broken(request.to_owned(), error))?;
    Ok(collected.to_bytes())
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    fn push(&mut self, data: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                lines.push(std::mem::take(&mut self.pending));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use sampan_model::api::StartRequest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    /// Answers one request with `pieces`, each flushed on its own.
    async fn serve(listener: UnixListener, pieces: Vec<&'static str>) {
        // The first connection is that of `connect`.
        listener.accept().await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    async fn start(pieces: Vec<&'static str>) -> (Result<Done, ClientError>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(serve(listener, pieces));
        let client = Client::connect(&socket, Path::new("/state")).await.unwrap();
        let mut events = 0;
        let result = client.post_ndjson("/v1/start", &StartRequest::default(), |_| events += 1).await;
        server.await.unwrap();
        (result, events)
    }

    const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn events_come_however_the_stream_is_cut() {
        let (result, events) = start(vec![
            HEAD,
            "{\"type\":\"stage\",\"stage\":\"hub\",\"at",
            "Us\":5}\n{\"type\":\"warning\",\"message\":\"w\"}\n{\"type\":\"done\",\"mess",
            "age\":\"ok\",\"already\":true}\n",
        ])
        .await;
        assert_eq!(
            result.unwrap(),
            Done { message: "ok".into(), already: true, marks: vec![], remaining: vec![] }
        );
        assert_eq!(events, 3);
    }

    #[tokio::test]
    async fn a_stream_without_an_end_is_a_failure() {
        let (result, _) = start(vec![HEAD, "{\"type\":\"warning\",\"message\":\"w\"}\n"]).await;
        assert!(matches!(result, Err(ClientError::Unfinished(_))), "{result:?}");
    }

    #[tokio::test]
    async fn a_failure_keeps_its_kind() {
        let (result, _) = start(vec![
            "HTTP/1.1 409 Conflict\r\nconnection: close\r\n\r\n",
            "{\"error\":{\"code\":\"busy\",\"message\":\"m\"}}",
        ])
        .await;
        assert!(
            matches!(result, Err(ClientError::Refused(ApiError { code: ErrorCode::Busy, .. }))),
            "{result:?}"
        );
    }

    #[tokio::test]
    async fn nobody_listens() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        assert!(matches!(
            Client::connect(&socket, Path::new("/state")).await,
            Err(ClientError::NotRunning(_))
        ));
        drop(UnixListener::bind(&socket).unwrap());
        assert!(matches!(
            Client::connect(&socket, Path::new("/state")).await,
            Err(ClientError::NotRunning(_))
        ));
    }
}
