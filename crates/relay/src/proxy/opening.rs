//! How a connection begins, and what follows from it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use hyper::Method;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::endpoint::Endpoint;
use super::http2::PREFACE;

/// By this much it is told from a request.
const HTTP2: &[u8] = PREFACE.first_chunk::<16>().expect("it is longer");

/// Put into the head of a takeover. If dockerd does not take over the connection but answers, a next request on it would
/// be one that nobody but dockerd has looked at.
const ONLY_ONE: &[u8] = b"Connection: close\r\n";

/// The longest head that is waited for; hyper's own limit for a request's head.
const LONGEST_HEAD: usize = 400 * 1024;

/// What a connection is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Requests of HTTP/1.
    Requests,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// A request after which dockerd gives up HTTP.
    Takeover,
}

/// Reads until it is clear what the connection is. What was read is read again from the stream that comes back; in a
/// takeover it says in addition that it is the last request.
pub(super) async fn read<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Opening, Rewound<S>)> {
    let mut read = BytesMut::new();
    let opening = loop {
        let ended = stream.read_buf(&mut read).await? == 0;
        match judge(&read) {
            Some(opening) => break opening,
            None if ended || read.len() >= LONGEST_HEAD => break Opening::Requests,
            None => {}
        }
    };
    let first = match opening {
        Opening::Takeover => as_the_only_one(&read),
        _ => read.freeze(),
    };
    Ok((opening, Rewound::new(first, stream)))
}

/// None: more is needed to tell.
fn judge(read: &[u8]) -> Option<Opening> {
    if read.starts_with(HTTP2) {
        return Some(Opening::Http2);
    }
    if HTTP2.starts_with(read) {
        return None;
    }
    let line_end = memchr::memchr(b'\n', read)?;
    let mut words = read[..line_end].split(|byte| *byte == b' ');
    let (Some(b"POST"), Some(target)) = (words.next(), words.next()) else { return Some(Opening::Requests) };
    let path = target.split(|byte| *byte == b'?').next().unwrap_or(target);
    let hijacks = std::str::from_utf8(path).is_ok_and(|path| Endpoint::of(&Method::POST, path).hijacks);
    if !hijacks {
        return Some(Opening::Requests);
    }
    // dockerd gives up HTTP on these even when nobody asked it to upgrade, and so must whoever is in between.
    let head_end = memchr::memmem::find(read, b"\r\n\r\n")?;
    let upgrades = read[..head_end].split(|byte| *byte == b'\n').any(is_upgrade);
    // A line that continues the one before it would become part of what is put there.
    let continues = matches!(read[line_end + 1], b' ' | b'\t');
    Some(if upgrades || continues { Opening::Requests } else { Opening::Takeover })
}

/// The line comes first: where the head ends, dockerd may see in another way.
fn as_the_only_one(read: &[u8]) -> Bytes {
    let line_end = memchr::memchr(b'\n', read).map_or(read.len(), |at| at + 1);
    let (request, rest) = read.split_at(line_end);
    Bytes::from([request, ONLY_ONE, rest].concat())
}

fn is_upgrade(line: &[u8]) -> bool {
    line.split_at_checked(8).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"upgrade:"))
}

/// A stream whose first bytes are read once more.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    first: Bytes,
    stream: S,
}

impl<S> Rewound<S> {
    /// `stream`, with `first` before it.
    pub(super) fn new(first: Bytes, stream: S) -> Self {
        Self { first, stream }
    }

    /// The bytes that are still to be read once more, and the stream.
    pub(super) fn into_parts(self) -> (Bytes, S) {
        (self.first, self.stream)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let length = self.first.len().min(into.remaining());
        into.put_slice(&self.first[..length]);
        self.first.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opening(sent: &[u8]) -> Opening {
        let (opening, mut rewound) = read(sent).await.unwrap();
        let mut all = Vec::new();
        rewound.read_to_end(&mut all).await.unwrap();
        if opening == Opening::Takeover {
            let text = String::from_utf8_lossy(&all);
            let (first, rest) = text.split_once("\nConnection: close\r").expect("the first header");
            assert_eq!(format!("{first}{rest}").as_bytes(), sent);
            assert!(!first.contains('\n'), "{text}");
        } else {
            assert_eq!(all, sent);
        }
        opening
    }

    #[tokio::test]
    async fn what_connections_are() {
        for (sent, expected) in [
            ("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n", Opening::Requests),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Opening::Http2),
            ("PRI", Opening::Requests),
            ("", Opening::Requests),
            ("\u{0}\u{1}", Opening::Requests),
            ("POST /v1.20/containers/x/attach?stream=1 HTTP/1.1\r\nHost: x\r\n\r\n", Opening::Takeover),
            ("POST /v1.20/containers/x/attach HTTP/1.1\r\nuPgrade: tcp\r\n\r\n", Opening::Requests),
            ("POST /exec/x/start HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", Opening::Takeover),
            ("POST /exec/x/start HTTP/1.1\n\nPOST /containers/create HTTP/1.1\r\n\r\n", Opening::Takeover),
            ("POST /exec/x/start HTTP/1.1\r\n a: b\r\n\r\n", Opening::Requests),
            ("POST /exec/x/start HTTP/1.1\n\ta\r\n\r\n", Opening::Requests),
            ("POST /containers/create HTTP/1.1\r\n\r\n", Opening::Requests),
            ("POST /containers/x/attach HTTP/1.1\r\nHost", Opening::Requests),
        ] {
            assert_eq!(opening(sent.as_bytes()).await, expected, "{sent:?}");
        }
    }

    #[tokio::test]
    async fn it_is_judged_however_it_is_cut_up() {
        let sent = b"POST /exec/x/start HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        for cut in 1..sent.len() {
            let (first, rest) = sent.split_at(cut);
            assert_eq!(read(AsyncReadExt::chain(first, rest)).await.unwrap().0, Opening::Takeover, "{cut}");
        }
    }

    #[tokio::test]
    async fn an_endless_head_is_not_kept() {
        let endless = tokio::io::repeat(b'P');
        assert_eq!(read(endless).await.unwrap().0, Opening::Requests);
    }
}
