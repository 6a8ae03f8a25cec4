//! Who uses a Docker socket.

use hyper::StatusCode;

/// Somebody with a Docker socket and a tree of files: the host, or a distribution.
pub trait Asker: Send + Sync + 'static {
    /// The path that dockerd sees, of an absolute one in the asker's own tree. What does not exist has one too, if it
    /// could be made.
    fn translate(&self, path: &str) -> impl Future<Output = Result<String, Denied>> + Send;

    /// The asker's own path of one that dockerd shows; none: it shows nothing of the asker's. What follows the path in
    /// a longer text is kept.
    fn reveal(&self, path: &str) -> Option<String>;
}

/// Why a path can't be given to dockerd. The client sees it as dockerd's own answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// HTTP status, as dockerd would choose it.
    pub status: StatusCode,
    /// One sentence, and what to do.
    pub message: String,
}
