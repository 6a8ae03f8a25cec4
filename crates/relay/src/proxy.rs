//! The Docker API proxy: what stands between a Docker socket and dockerd.
//!
//! Everything passes as it comes, except for paths: a source of a mount is a path in the tree of whoever asks, and
//! dockerd sees that tree in another place. So the bodies of a few requests and answers are read, and patched; all
//! other ones and upgraded connections are byte streams here.

mod again;
mod asker;
pub mod bodies;
mod endpoint;
mod exchange;
mod filters;
mod gather;
mod http2;
mod json;
mod opening;
mod queue;
mod reveal;
mod room;
mod sources;
mod upstream;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

pub use hyper::{Method, StatusCode};

pub use self::asker::{Asker, Denied};
use self::exchange::Exchanges;
use self::opening::{Opening, Rewound};
use self::room::{Place, Room};
pub use self::upstream::Upstream;
use crate::pump;
use crate::quiet::QuietStream;

/// After a connection could not be taken.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// Serves one asker's socket until the future is dropped; connections that are open then go on as long as the runtime
/// does. An asker has up to 2048 connections at once: each of the next ones waits for `upstream.patience`, and is told so
/// then.
pub async fn serve<A: Asker>(listener: UnixListener, upstream: Upstream, asker: A) {
    serve_in(Room::new(room::MOST), listener, upstream, asker).await;
}

async fn serve_in<A: Asker>(room: Room, listener: UnixListener, upstream: Upstream, asker: A) {
    let (room, upstream, asker) = (Arc::new(room), Arc::new(upstream), Arc::new(asker));
    let mut pause = FIRST_PAUSE;
    loop {
        if let Ok((client, _)) = listener.accept().await {
            pause = FIRST_PAUSE;
            if let Some(place) = room.place() {
                tokio::spawn(attend(client, Arc::clone(&upstream), Arc::clone(&asker), place));
                continue;
            }
            // Those who wait, wait side by side; the queue of the socket is for those who find no place to wait either.
            let turn = room.turn().await;
            let (room, upstream, asker) = (Arc::clone(&room), Arc::clone(&upstream), Arc::clone(&asker));
            tokio::spawn(async move {
                let place = room.place_within(upstream.patience).await;
                match place {
                    Some(place) => {
                        drop(turn);
                        attend(client, upstream, asker, place).await;
                    }
                    None => room.turn_away(client).await,
                }
            });
        } else {
            // Out of file descriptors or memory. The connection stays in the queue; without a pause this loop would
            // spin until another one ends.
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

async fn attend<A: Asker>(client: UnixStream, upstream: Arc<Upstream>, asker: Arc<A>, place: Place) {
    queue::deepen(&client);
    let Ok(client) = QuietStream::of(client) else { return };
    let peer = client.peer();
    let Ok((opening, client)) = opening::read(client).await else { return };
    if opening != Opening::Requests
        && let Some(engine) = upstream.connect().await
    {
        if opening == Opening::Http2 {
            http2::refuse(client, engine).await;
        } else {
            let (first, client) = client.into_parts();
            pump::relay_sockets((first, client), (Bytes::new(), engine)).await;
        }
        return;
    }
    tokio::select! {
        () = requests(client, upstream, asker, place) => {}
        // dockerd must hear of that even while it has nothing to say, as in `docker logs --follow`.
        () = peer.gone() => {}
    }
}

async fn requests<A: Asker>(
    client: Rewound<QuietStream>,
    upstream: Arc<Upstream>,
    asker: Arc<A>,
    place: Place,
) {
    let exchanges = Arc::new(Exchanges::new(asker, upstream, place));
    let service = service_fn(move |request| {
        let exchanges = Arc::clone(&exchanges);
        async move { exchanges.answer(request).await }
    });
    // A client that has only finished sending still wants its answer. The date of an answer is dockerd's.
    let connection = http1::Builder::new()
        .preserve_header_case(true)
        .half_close(true)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(client), service);
    let _ = connection.with_upgrades().await; // the client knows what went wrong, or is gone
}
