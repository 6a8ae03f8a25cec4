//! Requests and their answers.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, PROXY_AUTHORIZATION, UPGRADE};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::headers::end_hop;
use super::reach::{Line, Unreached, authority};
use super::{HTTP, Web, meet};
use crate::connection::Connection;

/// How long a connection may be kept without a request on it.
const IDLE: Duration = Duration::from_mins(1);

type Body = Either<Incoming, Full<Bytes>>;

/// Why a request is not passed on.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("this is a proxy: ask it for http://HOST/PATH, or to CONNECT to HOST:PORT")]
    NoProxyRequest,
    #[error("the request does not say which server it is for")]
    NoServer,
    #[error("{0}://… is asked for by CONNECT")]
    OtherScheme(String),
    #[error(transparent)]
    Unreached(#[from] Unreached),
    #[error("{to} gave no answer: {source}")]
    NoAnswer { to: String, source: hyper::Error },
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoProxyRequest | Self::NoServer | Self::OtherScheme(_) => StatusCode::BAD_REQUEST,
            Self::Unreached(Unreached::Forbidden { .. }) => StatusCode::FORBIDDEN,
            Self::Unreached(Unreached::Refused { status, .. }) => *status,
            Self::Unreached(_) | Self::NoAnswer { .. } => StatusCode::BAD_GATEWAY,
        }
    }
}

/// A server, as a request names it.
struct Server {
    host: String,
    port: u16,
    /// The address that the client has for it.
    address: Option<IpAddr>,
}

/// The requests of one connection, which come one after the other.
struct Exchanges {
    web: Arc<Web>,
    /// Where the client wanted to go, if it does not know of any proxy.
    led_from: Option<SocketAddr>,
    kept: Mutex<Option<Kept>>,
}

/// A connection on which one request was answered already.
struct Kept {
    to: String,
    connection: Connection<Incoming>,
    credentials: Option<HeaderValue>,
    by_proxy: bool,
}

/// Answers the requests of `client`, who does not know of any proxy if it was led from somewhere.
pub(super) async fn serve(web: Arc<Web>, client: TcpStream, led_from: Option<SocketAddr>) {
    let exchanges = Arc::new(Exchanges { web, led_from, kept: Mutex::default() });
    let service = service_fn(|request| {
        let exchanges = Arc::clone(&exchanges);
        async move { exchanges.answer(request).await }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .preserve_header_case(true)
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .half_close(true)
        .serve_connection(TokioIo::new(client), service)
        .with_upgrades()
        .await; // the client went, or said what is no request, and was told so
}

impl Exchanges {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let answer = if request.method() == Method::CONNECT {
            self.connect(request).await
        } else {
            self.pass_on(request).await
        };
        Ok(answer.unwrap_or_else(|refusal| {
            let mut answer = Response::new(Either::Right(Full::from(format!("sampan: {refusal}\n"))));
            *answer.status_mut() = refusal.status();
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            answer
        }))
    }

    async fn connect(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let to = request.uri().authority().ok_or(Refusal::NoServer)?;
        let port = to.port_u16().ok_or(Refusal::NoServer)?;
        let (answered, server) = self.web.reach(to.host(), port, None).await?;
        let client = hyper::upgrade::on(request);
        tokio::spawn(async move {
            let Ok(client) = client.await else { return };
            let (said, client) = into_parts(client);
            meet((&said, &client), (&answered, &server)).await;
        });
        Ok(Response::new(Either::Right(Full::default())))
    }

    async fn pass_on(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let server = self.server(&request)?;
        let to = authority(&server.host, server.port);
        let mut kept = self.kept.lock().await;
        let mut line = match self.usable(kept.take(), &to).await {
            Some(line) => line,
            None => self.open(&server).await?,
        };
        end_hop(request.headers_mut());
        if let Some(credentials) = &line.credentials {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        let client = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = target(request.uri(), &to, line.by_proxy);
        if let Ok(host) = HeaderValue::from_str(to.strip_suffix(":80").unwrap_or(&to)) {
            // What is asked for counts, whatever else is said (RFC 9112, 3.2.2).
            request.headers_mut().insert(HOST, host);
        }
        let sent = line.connection.sender.send_request(request).await;
        let mut answer = sent.map_err(|source| Refusal::NoAnswer { to: line.to.clone(), source })?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let server = hyper::upgrade::on(&mut answer);
            if let Some(client) = client {
                tokio::spawn(upgrade(client, server, line));
            }
        } else {
            *kept = Some(line);
            end_hop(answer.headers_mut());
        }
        Ok(answer.map(Either::Left))
    }

    /// Which server a request is for: it says so itself, or its `Host` does (RFC 9112, 3.2).
    fn server(&self, request: &Request<Incoming>) -> Result<Server, Refusal> {
        let uri = request.uri();
        match uri.scheme() {
            Some(scheme) if *scheme != Scheme::HTTP => {
                return Err(Refusal::OtherScheme(scheme.to_string()));
            }
            Some(_) => {
                let host = uri.host().ok_or(Refusal::NoServer)?.to_owned();
                return Ok(Server { host, port: uri.port_u16().unwrap_or(HTTP), address: None });
            }
            None => {}
        }
        let wanted = self.led_from.ok_or(Refusal::NoProxyRequest)?;
        let (host, port) = match request.headers().get(HOST) {
            Some(host) => {
                let to: Authority = host.as_bytes().try_into().map_err(|_| Refusal::NoServer)?;
                (to.host().to_owned(), to.port_u16().unwrap_or(HTTP))
            }
            None => (wanted.ip().to_string(), wanted.port()),
        };
        Ok(Server { host, port, address: Some(wanted.ip()) })
    }

    /// What was kept, if it leads to `to` and is still open.
    async fn usable(&self, kept: Option<Kept>, to: &str) -> Option<Kept> {
        let mut kept = kept.filter(|kept| kept.to == to)?;
        kept.connection.sender.ready().await.ok()?;
        Some(kept)
    }

    async fn open(&self, server: &Server) -> Result<Kept, Refusal> {
        let to = authority(&server.host, server.port);
        let Line { stream, proxy } = self.web.line("http", &server.host, server.port, server.address).await?;
        let opened = Connection::open(stream).await;
        let connection = opened.map_err(|source| Refusal::NoAnswer { to: to.clone(), source })?;
        let credentials = proxy.as_ref().and_then(|proxy| proxy.basic_auth().cloned());
        Ok(Kept { to, connection, credentials, by_proxy: proxy.is_some() })
    }
}

/// What is asked for: a proxy is told the server as well.
fn target(uri: &Uri, to: &str, by_proxy: bool) -> Uri {
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    if by_proxy {
        let to = to.strip_suffix(":80").unwrap_or(to);
        Uri::builder().scheme(Scheme::HTTP).authority(to).path_and_query(path).build().unwrap_or_default()
    } else {
        Uri::from(path)
    }
}

async fn upgrade(client: OnUpgrade, server: OnUpgrade, _line: Kept) {
    // One that does not come about is closed, which the other side sees.
    if let (Ok(client), Ok(server)) = tokio::join!(client, server) {
        let ((said, client), (answered, server)) = (into_parts(client), into_parts(server));
        meet((&said, &client), (&answered, &server)).await;
    }
}

fn into_parts(upgraded: Upgraded) -> (Bytes, TcpStream) {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().expect("both ends are TCP");
    (parts.read_buf, parts.io.into_inner())
}
