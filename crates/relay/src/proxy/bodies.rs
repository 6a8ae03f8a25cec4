//! What the proxy makes of bodies, without a connection around them.

use hyper::Method;

use super::asker::{Asker, Denied};
use super::endpoint::Endpoint;
use super::{reveal, sources};

/// The body that dockerd gets instead of this one; none: the one that came.
///
/// # Errors
/// The asker denies a path in it, or it can't be read in one way only.
pub async fn request<A: Asker>(
    method: &Method,
    path: &str,
    body: &[u8],
    asker: &A,
) -> Result<Option<Vec<u8>>, Denied> {
    match Endpoint::of(method, path).asks {
        Some(kind) => sources::translate(kind, body, asker).await,
        None => Ok(None),
    }
}

/// The body that the asker gets instead of dockerd's answer; none: dockerd's own.
pub fn answer<A: Asker>(body: &[u8], asker: &A) -> Option<Vec<u8>> {
    reveal::in_answer(body, asker)
}

/// The same for the answer to a request that failed.
pub fn refusal<A: Asker>(body: &[u8], asker: &A) -> Option<Vec<u8>> {
    reveal::in_refusal(body, asker)
}
