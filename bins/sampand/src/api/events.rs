//! Answers that take time: one JSON event per line, as they happen.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::operation::{Follower, Operation};

/// Everything the operation says. It goes on when the client hangs up.
pub(super) fn stream(operation: Arc<Operation>) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(16);
    tokio::spawn(async move {
        let mut follower = Follower::of(operation);
        while let Some(event) = follower.next().await {
            let mut line = serde_json::to_vec(&event).expect("an event is plain data");
            line.push(b'\n');
            if sender.send(Ok(line.into())).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
    let kind = axum::http::HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
