//! One request and its answer.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::asker::{Asker, Denied};
use super::endpoint::{self, Endpoint};
use super::gather::{Gather, Pieces};
use super::opening::Rewound;
use super::room::{Memory, Place};
use super::upstream::Upstream;
use super::{again, filters, reveal, sources};
use crate::connection::Connection;
use crate::pump;
use crate::quiet::QuietStream;

/// The longest request that is read to look for paths, in bytes.
const LONGEST_REQUEST: usize = 8 << 20;
/// The longest answer that is read to show paths, in bytes.
const LONGEST_ANSWER: usize = 32 << 20;
/// The longest answer to a request that failed; one sentence, usually.
const LONGEST_REFUSAL: usize = 1 << 20;

/// As it came, or whole.
type Body = Either<Gather<Incoming>, Full<Pieces>>;

/// The requests of one connection, which come one after the other, and the connection to the engine that they share.
pub(super) struct Exchanges<A> {
    asker: Arc<A>,
    upstream: Arc<Upstream>,
    engine: Mutex<Option<Engine>>,
    place: Place,
}

/// To the engine.
type Engine = Connection<Body>;

impl<A: Asker> Exchanges<A> {
    pub(super) fn new(asker: Arc<A>, upstream: Arc<Upstream>, place: Place) -> Self {
        Self { asker, upstream, engine: Mutex::default(), place }
    }

    /// The answer, whatever happens: what goes wrong is one, too.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let is_head = request.method() == hyper::Method::HEAD;
        Ok(self.exchange(request).await.unwrap_or_else(|denied| refusal(&denied, is_head)))
    }

    async fn exchange(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Denied> {
        let endpoint = Endpoint::of(request.method(), request.uri().path());
        let client = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
        if endpoint.starts {
            self.look_again(&endpoint::inspection(request.uri().path())).await?;
        }
        if endpoint.filters
            && let Some(uri) = filters::translate(request.uri(), &*self.asker).await
        {
            *request.uri_mut() = uri;
        }
        let mut memory = self.place.memory();
        let request = match endpoint.asks {
            Some(kind) => self.translate(kind, request, &mut memory).await?,
            None => request.map(passed),
        };
        let mut answer = self.send(request).await?;
        drop(memory);
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let engine = hyper::upgrade::on(&mut answer);
            let connection = self.engine().take();
            if let Some(client) = client {
                tokio::spawn(relay(client, engine, connection, self.place.clone()));
            }
        }
        self.reveal(endpoint, answer).await
    }

    async fn translate(
        &self,
        kind: endpoint::Body,
        request: Request<Incoming>,
        memory: &mut Memory,
    ) -> Result<Request<Body>, Denied> {
        let (mut head, body) = request.into_parts();
        let body = collect(body, LONGEST_REQUEST, memory).await.map_err(|error| Denied {
            status: match error {
                CollectError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
                CollectError::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
                CollectError::BrokenOff(_) => StatusCode::BAD_REQUEST,
            },
            message: format!("the request {error}"),
        })?;
        let translated = sources::translate(kind, &body, &*self.asker).await?;
        let body = translated.map_or(body, Bytes::from);
        set_length(&mut head.headers, body.len());
        Ok(Request::from_parts(head, whole(body)))
    }

    /// Looks at the sources of the container that `inspection` is about. What dockerd does not say it says itself.
    async fn look_again(&self, inspection: &str) -> Result<(), Denied> {
        let Some(container) = self.inspect(inspection).await? else { return Ok(()) };
        for path in again::of_container(&container) {
            again::look(path, &*self.asker).await?;
        }
        for volume in again::volumes_of(&container) {
            let path = format!("/volumes/{}", endpoint::percent_encoded(volume.as_bytes()));
            let Some(volume) = self.inspect(&path).await? else { continue };
            if let Some(path) = again::of_volume(&volume) {
                again::look(path, &*self.asker).await?;
            }
        }
        Ok(())
    }

    /// dockerd's answer to a question of our own; none: it has no good one.
    async fn inspect(&self, path: &str) -> Result<Option<Value>, Denied> {
        let request = Request::get(path).header(HOST, "docker").body(whole(Bytes::new()));
        let Ok(request) = request else { return Ok(None) };
        let answer = self.send(request).await?;
        if !answer.status().is_success() {
            // Read to its end, so that the connection can go on.
            let _ = collect(answer.into_body(), LONGEST_REFUSAL, &mut self.place.memory()).await;
            return Ok(None);
        }
        let body = collect(answer.into_body(), LONGEST_ANSWER, &mut self.place.memory()).await;
        let body = body.map_err(|error| Denied {
            status: StatusCode::BAD_GATEWAY,
            message: format!("the answer of the Docker engine {error}"),
        })?;
        Ok(serde_json::from_slice(&body).ok())
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, Denied> {
        loop {
            let kept = self.take_engine().await;
            let fresh = kept.is_none();
            let mut engine = match kept {
                Some(engine) => engine,
                None => self.connect().await?,
            };
            match engine.sender.try_send_request(request).await {
                Ok(answer) => {
                    *self.engine() = Some(engine);
                    return Ok(answer);
                }
                // The engine had hung up between two requests, and has seen nothing of this one.
                Err(mut error) if !fresh && error.message().is_some() => {
                    request = error.take_message().expect("just seen");
                }
                Err(error) if error.error().is_user() => {
                    let message = format!("the request broke off: {}", error.error());
                    return Err(Denied { status: StatusCode::BAD_REQUEST, message });
                }
                Err(error) => {
                    let error = error.into_error();
                    let message =
                        format!("the Docker engine gave no answer: {error}; `sampan status` says how it is");
                    return Err(Denied { status: StatusCode::BAD_GATEWAY, message });
                }
            }
        }
    }

    fn engine(&self) -> MutexGuard<'_, Option<Engine>> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection of the request before, if the engine has not hung up.
    async fn take_engine(&self) -> Option<Engine> {
        let mut engine = self.engine().take()?;
        engine.sender.ready().await.ok()?;
        Some(engine)
    }

    async fn connect(&self) -> Result<Engine, Denied> {
        let absent = || Denied { status: StatusCode::SERVICE_UNAVAILABLE, message: self.upstream.absence() };
        let stream = self.upstream.connect().await.ok_or_else(absent)?;
        Engine::open(stream).await.map_err(|_| absent())
    }

    async fn reveal(&self, endpoint: Endpoint, answer: Response<Incoming>) -> Result<Response<Body>, Denied> {
        let failed = answer.status().is_client_error() || answer.status().is_server_error();
        let shows = endpoint.shows && answer.status().is_success();
        if !is_json(answer.headers()) || !(failed || shows) {
            return Ok(answer.map(passed));
        }
        let longest = if failed { LONGEST_REFUSAL } else { LONGEST_ANSWER };
        if answer.body().size_hint().lower() > longest as u64 {
            return Ok(answer.map(passed));
        }
        let (mut head, body) = answer.into_parts();
        let mut memory = self.place.memory();
        let body = collect(body, longest, &mut memory).await.map_err(|error| Denied {
            status: StatusCode::BAD_GATEWAY,
            message: format!("the answer of the Docker engine {error}"),
        })?;
        let patched = if failed {
            reveal::in_refusal(&body, &*self.asker)
        } else {
            reveal::in_answer(&body, &*self.asker)
        };
        let body = patched.map_or(body, Bytes::from);
        set_length(&mut head.headers, body.len());
        Ok(Response::from_parts(head, whole(body)))
    }
}

/// Why a body can't be read whole; the sentence about it begins with what it is.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error("is longer than {} MiB", .0 >> 20)]
    TooLong(usize),
    #[error("is one of too many long ones at once: try again when some have ended")]
    NoMemory,
    #[error("broke off: {0}")]
    BrokenOff(#[from] hyper::Error),
}

/// Reads a whole body.
async fn collect(mut body: Incoming, longest: usize, memory: &mut Memory) -> Result<Bytes, CollectError> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if collected.len() + data.len() > longest {
            return Err(CollectError::TooLong(longest));
        }
        if !memory.take(data.len()) {
            return Err(CollectError::NoMemory);
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

/// The bytes of a connection that both sides have upgraded, until both have ended. It outlives the requests before it,
/// and so does what it came from.
async fn relay(client: OnUpgrade, engine: OnUpgrade, _connection: Option<Engine>, _place: Place) {
    // One that does not come about is closed, which the other side sees.
    if let (Ok(client), Ok(engine)) = tokio::join!(client, engine) {
        relay_upgraded(client, engine).await;
    }
}

/// As sockets, where hyper gives them back; else as the streams that they are.
async fn relay_upgraded(client: Upgraded, engine: Upgraded) {
    let client = match client.downcast::<TokioIo<Rewound<QuietStream>>>() {
        Ok(parts) => (parts.read_buf, parts.io.into_inner().into_parts()),
        Err(client) => {
            pump::relay(TokioIo::new(client), TokioIo::new(engine)).await;
            return;
        }
    };
    let (read, (first, client)) = client;
    let read = Bytes::from([read, first].concat());
    match engine.downcast::<TokioIo<QuietStream>>() {
        Ok(parts) => pump::relay_sockets((read, client), (parts.read_buf, parts.io.into_inner())).await,
        Err(engine) => {
            pump::relay(Rewound::new(read, client), TokioIo::new(engine)).await;
        }
    }
}

fn passed(body: Incoming) -> Body {
    Either::Left(Gather::new(body))
}

fn whole(body: Bytes) -> Body {
    Either::Right(Full::new(body.into()))
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

fn set_length(headers: &mut HeaderMap, length: usize) {
    headers.remove(TRANSFER_ENCODING);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

/// As dockerd refuses.
fn refusal(denied: &Denied, is_head: bool) -> Response<Body> {
    let mut body = serde_json::json!({ "message": denied.message }).to_string();
    body.push('\n');
    let length = body.len();
    // The answer to HEAD is the head.
    let body = if is_head { Bytes::new() } else { Bytes::from(body) };
    let mut answer = Response::new(whole(body));
    *answer.status_mut() = denied.status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    set_length(answer.headers_mut(), length);
    answer
}
