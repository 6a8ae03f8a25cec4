//! HTTP/2 with prior knowledge, in which nobody but dockerd could read what is asked for.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What a client of it sends first (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How an answer begins that is not HTTP/2.
const REFUSAL: &[u8] = b"HTTP/1.";

/// Has an engine without HTTP/2 refuse it in its own words. One that has it (Docker 29 and newer, for gRPC:
/// <https://github.com/moby/moby/pull/50744>) gets no request either: its paths would be those of another tree.
pub(super) async fn refuse<C, E>(mut client: C, mut engine: E)
where
    C: AsyncRead + AsyncWrite + Unpin,
    E: AsyncRead + AsyncWrite + Unpin,
{
    // What the connection begins with is all that the engine sees of it.
    let mut first = Vec::new();
    let length = PREFACE.len() as u64;
    if (&mut client).take(length).read_to_end(&mut first).await.is_err()
        || engine.write_all(&first).await.is_err()
        || engine.shutdown().await.is_err()
    {
        return;
    }
    let mut answer = Vec::new();
    let length = REFUSAL.len() as u64;
    if (&mut engine).take(length).read_to_end(&mut answer).await.is_err() || answer != REFUSAL {
        return;
    }
    // Who does not take the answer has gone.
    if client.write_all(&answer).await.is_ok() {
        let _ = tokio::io::copy(&mut engine, &mut client).await;
    }
    let _ = client.shutdown().await;
}
