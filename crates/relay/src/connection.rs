//! An HTTP/1 connection, as its client has it.

use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

/// It ends when this is dropped, unless it was upgraded.
pub(crate) struct Connection<B> {
    pub(crate) sender: SendRequest<B>,
    _task: AbortOnDrop,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<B> Connection<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    pub(crate) async fn open(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> hyper::Result<Self> {
        let handshake = http1::Builder::new().preserve_header_case(true).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await?;
        let task = tokio::spawn(async move {
            let _ = connection.with_upgrades().await; // its error also ends the request, which reports it
        });
        Ok(Self { sender, _task: AbortOnDrop(task) })
    }
}
