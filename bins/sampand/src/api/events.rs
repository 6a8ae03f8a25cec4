//! Answers that take time: one JSON event per line, as they happen.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use sampan_model::api::Event;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::operation::{Follower, Operation};

/// Everything the operation says. It goes on when the client hangs up.
pub(super) fn stream(operation: Arc<Operation>) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(16);
    tokio::spawn(async move {
        let mut follower = Follower::of(operation);
        while let Some(event) = follower.next().await {
            if sender.send(Ok(line(&event).into())).await.is_err() {
                return;
            }
        }
    });
    answer(Body::from_stream(ReceiverStream::new(receiver)))
}

/// What a short operation said, and that it is done.
pub(super) fn all(told: &[Event], done: &Event) -> Response {
    let lines: Vec<u8> = told.iter().chain([done]).flat_map(line).collect();
    answer(lines.into())
}

fn line(event: &Event) -> Vec<u8> {
    let mut line = serde_json::to_vec(event).expect("an event is plain data");
    line.push(b'\n');
    line
}

fn answer(body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = axum::http::HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
