//! A small HTTP/1.1 client over unix sockets.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
pub use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// The longest answer that is read.
pub const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// There is no socket, or nobody listens on it.
    #[error("nobody listens on {}", socket.display())]
    NotListening {
        /// The socket.
        socket: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The socket cannot be used: no permission, no more file descriptors …
    #[error("cannot connect to {}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The whole answer did not arrive in time.
    #[error("{} did not answer {path} within {} ms", socket.display(), after.as_millis())]
    Timeout {
        /// The socket.
        socket: PathBuf,
        /// What was asked for.
        path: String,
        /// The time it had.
        after: Duration,
    },
    /// What came is not an HTTP answer, is too long, or broke off.
    #[error("the answer of {} to {path} is no complete HTTP answer", socket.display())]
    BadAnswer {
        /// The socket.
        socket: PathBuf,
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// `GET path`, all of it within `deadline`.
pub async fn get(socket: &Path, path: &str, deadline: Duration) -> Result<(StatusCode, Bytes), HttpError> {
    let timeout = |_| HttpError::Timeout { socket: socket.into(), path: path.into(), after: deadline };
    tokio::time::timeout(deadline, exchange(socket, path)).await.map_err(timeout)?
}

/// An answer that goes on.
#[derive(Debug)]
pub struct Stream {
    body: Incoming,
    _connection: AbortOnDrop,
}

impl Stream {
    /// The next piece; none: it has ended.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Ok(piece) = self.body.frame().await?.ok()?.into_data() {
                return Some(piece);
            }
        }
    }
}

/// `GET path`, whose answer goes on for as long as it is wanted. Only its beginning has to come within `deadline`.
pub async fn stream(
    socket: &Path,
    path: &str,
    deadline: Duration,
) -> Result<(StatusCode, Stream), HttpError> {
    let timeout = |_| HttpError::Timeout { socket: socket.into(), path: path.into(), after: deadline };
    let bad = |source| HttpError::BadAnswer { socket: socket.into(), path: path.into(), source };
    let begun = async { begin(connect(socket).await?, path).await.map_err(bad) };
    tokio::time::timeout(deadline, begun).await.map_err(timeout)?
}

async fn exchange(socket: &Path, path: &str) -> Result<(StatusCode, Bytes), HttpError> {
    let stream = connect(socket).await?;
    let bad = |source| HttpError::BadAnswer { socket: socket.into(), path: path.into(), source };
    request(stream, path).await.map_err(bad)
}

async fn connect(socket: &Path) -> Result<UnixStream, HttpError> {
    UnixStream::connect(socket).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            HttpError::NotListening { socket: socket.into(), source }
        }
        _ => HttpError::Unreachable { socket: socket.into(), source },
    })
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn request(stream: UnixStream, path: &str) -> Result<(StatusCode, Bytes), Broken> {
    let (status, Stream { body, _connection }) = begin(stream, path).await?;
    let body = Limited::new(body, LONGEST_ANSWER).collect().await?;
    Ok((status, body.to_bytes()))
}

async fn begin(stream: UnixStream, path: &str) -> Result<(StatusCode, Stream), Broken> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = AbortOnDrop(tokio::spawn(async move {
        let _ = connection.await; // its error also ends the request, which reports it
    }));
    // The name means nothing on a unix socket, but HTTP/1.1 demands one.
    let request = Request::get(path).header(header::HOST, "localhost").body(Empty::<Bytes>::new())?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok((head.status, Stream { body, _connection: connection }))
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    /// Answers one connection with `answer` and keeps it open if asked to.
    async fn ask(
        answer: &'static [u8],
        stay: bool,
        deadline: Duration,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
            if stay {
                std::future::pending::<()>().await;
            }
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let result = get(&socket, "/_ping", deadline).await;
        if stay {
            server.abort();
        } else {
            assert!(server.await.unwrap().starts_with("GET /_ping HTTP/1.1\r\nhost: localhost\r\n"));
        }
        result
    }

    #[tokio::test]
    async fn status_and_body() {
        let (status, body) =
            ask(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", false, LONG).await.unwrap();
        assert_eq!((status, &body[..]), (StatusCode::NOT_FOUND, &b"no"[..]));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n";
        assert_eq!(&ask(chunked, true, LONG).await.unwrap().1[..], b"OK");
        assert_eq!(
            &ask(b"HTTP/1.1 200 OK\r\n\r\nto the end", false, LONG).await.unwrap().1[..],
            b"to the end"
        );
    }

    #[tokio::test]
    async fn no_socket_and_no_listener() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        assert!(matches!(get(&socket, "/", LONG).await, Err(HttpError::NotListening { .. })));
        drop(UnixListener::bind(&socket).unwrap());
        let error = get(&socket, "/", LONG).await.unwrap_err();
        assert!(matches!(error, HttpError::NotListening { .. }));
        assert_eq!(error.to_string(), format!("nobody listens on {}", socket.display()));
    }

    #[tokio::test]
    async fn silence_and_half_an_answer_time_out() {
        let short = Duration::from_millis(50);
        assert!(matches!(ask(b"", true, short).await, Err(HttpError::Timeout { .. })));
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
        assert!(matches!(ask(half, true, short).await, Err(HttpError::Timeout { .. })));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_said_to_be_none() {
        for answer in [&b""[..], b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"] {
            assert!(matches!(ask(answer, false, LONG).await, Err(HttpError::BadAnswer { .. })), "{answer:?}");
        }
    }
}
