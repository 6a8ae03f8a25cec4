//! Who may use the API: root, and members of the group. The socket's mode says so already; this holds even if
//! somebody opened the socket wider.

use std::fs;

use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use sampan_native::{GROUP, gid_of};
use tokio::net::UnixListener;

use super::failure::Failure;

/// The process at the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(Option<tokio::net::unix::UCred>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok())
    }
}

/// Lets members through and logs what they ask to change.
pub(crate) async fn require_member(
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let Some(peer) = peer.0 else { return Failure::denied().into_response() };
    if !is_member(peer.uid(), peer.gid(), peer.pid()) {
        tracing::warn!(uid = peer.uid(), "refused: no member of the group {GROUP}");
        return Failure::denied().into_response();
    }
    if request.method() == axum::http::Method::POST {
        tracing::info!(uid = peer.uid(), pid = peer.pid(), "{}", request.uri().path());
    }
    next.run(request).await
}

/// Whether a process may use the service.
pub(crate) fn is_member(uid: u32, gid: u32, pid: Option<i32>) -> bool {
    if uid == 0 {
        return true;
    }
    let Some(group) = gid_of(GROUP) else { return false };
    let status = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
    gid == group || status.is_some_and(|status| groups(&status).contains(&group))
}

/// The supplementary groups of a process (proc(5), `/proc/PID/status`).
fn groups(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    line.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn supplementary_groups() {
        assert_eq!(super::groups("Name:\tx\nGroups:\t4 24 998 \nNStgid:\t1\n"), [4, 24, 998]);
        assert!(super::groups("Groups:\t\n").is_empty() && super::groups("").is_empty());
    }
}
