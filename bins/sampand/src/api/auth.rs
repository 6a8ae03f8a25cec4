//! Who may use the API: root, and members of the group. The socket's mode says so already; this holds even if
//! somebody opened the socket wider.

use std::os::fd::AsFd;

use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use sampan_native::{GROUP, gid_of};
use sampan_sys::socket::{PeerCred, peer_cred, peer_groups};
use tokio::net::UnixListener;

use super::failure::Failure;

/// The process at the other end, and whether it may use the service; none: it could not be identified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(Option<(PeerCred, bool)>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let socket = stream.io();
        Self(peer_cred(socket).ok().map(|peer| (peer, is_member(&peer, socket))))
    }
}

/// Lets members through and logs what they ask to change.
pub(crate) async fn require_member(
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let Some((peer, is_member)) = peer.0 else { return Failure::denied().into_response() };
    if !is_member {
        tracing::warn!(uid = peer.uid, "refused: no member of the group {GROUP}");
        return Failure::denied().into_response();
    }
    if request.method() == axum::http::Method::POST {
        tracing::info!(uid = peer.uid, pid = peer.pid, "{}", request.uri().path());
    }
    next.run(request).await
}

/// Whether the process at the other end of `socket` may use the service. What it was when it connected counts: by now its
/// number may be another's.
pub(crate) fn is_member(peer: &PeerCred, socket: impl AsFd) -> bool {
    if peer.uid == 0 {
        return true;
    }
    let Some(group) = gid_of(GROUP) else { return false };
    peer.gid == group || peer_groups(socket).is_ok_and(|groups| groups.contains(&group))
}
