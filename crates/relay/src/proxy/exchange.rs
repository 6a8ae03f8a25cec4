//! One request and its answer.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::asker::{Asker, Denied};
use super::endpoint::{self, Endpoint};
use super::gather::{Gather, Pieces};
use super::room::Place;
use super::upstream::Upstream;
use super::{reveal, sources};
use crate::pump;

/// The longest request that is read to look for paths, in bytes.
const LONGEST_REQUEST: usize = 16 << 20;
/// The longest answer that is read to show paths, in bytes.
const LONGEST_ANSWER: usize = 128 << 20;
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

/// A connection to the engine; it ends when this is dropped, unless it was upgraded.
struct Engine {
    sender: SendRequest<Body>,
    _connection: AbortOnDrop,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

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
        let request = match endpoint.asks {
            Some(kind) => self.translate(kind, request).await?,
            None => request.map(passed),
        };
        let mut answer = self.send(request).await?;
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
    ) -> Result<Request<Body>, Denied> {
        let (mut head, body) = request.into_parts();
        let body = match Limited::new(body, LONGEST_REQUEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let message = format!("the request is longer than {} MiB", LONGEST_REQUEST >> 20);
                return Err(Denied { status: StatusCode::PAYLOAD_TOO_LARGE, message });
            }
            Err(error) => {
                let message = format!("the request broke off: {error}");
                return Err(Denied { status: StatusCode::BAD_REQUEST, message });
            }
        };
        let translated = sources::translate(kind, &body, &*self.asker).await?;
        let body = translated.map_or(body, Bytes::from);
        set_length(&mut head.headers, body.len());
        Ok(Request::from_parts(head, whole(body)))
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
        let handshake = http1::Builder::new().preserve_header_case(true).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|_| absent())?;
        let connection = tokio::spawn(async move {
            let _ = connection.with_upgrades().await; // its error also ends the request, which reports it
        });
        Ok(Engine { sender, _connection: AbortOnDrop(connection) })
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
        let body = Limited::new(body, longest).collect().await.map_err(|error| Denied {
            status: StatusCode::BAD_GATEWAY,
            message: format!("the answer of the Docker engine broke off: {error}"),
        })?;
        let body = body.to_bytes();
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

/// The bytes of a connection that both sides have upgraded, until both have ended. It outlives the requests before it,
/// and so does what it came from.
async fn relay(client: OnUpgrade, engine: OnUpgrade, _connection: Option<Engine>, _place: Place) {
    // One that does not come about is closed, which the other side sees.
    if let (Ok(client), Ok(engine)) = tokio::join!(client, engine) {
        pump::relay(TokioIo::<Upgraded>::new(client), TokioIo::<Upgraded>::new(engine)).await;
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
