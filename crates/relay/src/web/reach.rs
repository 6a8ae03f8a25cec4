//! The way to a server.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{HOST, PROXY_AUTHORIZATION};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use sampan_model::gateway::{Duty, address_of};
use sampan_model::proxies::ProxyUrl;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Web;
use crate::connection::Connection;
use crate::forward;

/// How long one address of a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a proxy may take to connect: it may have to look for the server, and to ask somebody whether it may.
const PROXY_PATIENCE: Duration = Duration::from_mins(1);

/// Why a server is not reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    #[error("nobody knows the name {0}")]
    Unknown(String),
    #[error("{host} is {address}, which is {why}")]
    Forbidden { host: String, address: IpAddr, why: &'static str },
    #[error("{to} cannot be reached: {source}")]
    Failed { to: String, source: io::Error },
    #[error("the proxy {proxy} refuses to connect to {to}: it answered {status}")]
    Refused { proxy: String, to: String, status: StatusCode },
    #[error("the proxy {proxy} broke off: {source}")]
    Garbled { proxy: String, source: hyper::Error },
}

/// A connection on which requests for a server may be sent, and by which proxy it goes.
pub(super) struct Line {
    pub(super) stream: TcpStream,
    pub(super) proxy: Option<Intercept>,
}

impl Web {
    /// A connection to a server, whatever is spoken on it, and what the server said already. `known`: the address that
    /// whoever asks has for it.
    pub(super) async fn reach(
        &self,
        host: &str,
        port: u16,
        known: Option<IpAddr>,
    ) -> Result<(Bytes, TcpStream), Unreached> {
        let Line { stream, proxy } = self.line("https", host, port, known).await?;
        match proxy {
            None => Ok((Bytes::new(), stream)),
            Some(proxy) => connect_by(&proxy, stream, &authority(host, port)).await,
        }
    }

    /// A connection for requests to a server.
    pub(super) async fn line(
        &self,
        scheme: &str,
        host: &str,
        port: u16,
        known: Option<IpAddr>,
    ) -> Result<Line, Unreached> {
        let duty = self.duty.borrow().clone();
        let Some(proxy) = proxy_for(&duty, scheme, host) else {
            return Ok(Line { stream: self.direct(&duty, host, port, known).await?, proxy: None });
        };
        let uri = proxy.uri();
        let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
        // Where the user says that a proxy is there may be one: at the host's loopback, for example.
        let addresses = self.addresses(host).await?;
        let stream = first_of(&addresses, host, port).await?;
        Ok(Line { stream, proxy: Some(proxy) })
    }

    async fn direct(
        &self,
        duty: &Duty,
        host: &str,
        port: u16,
        known: Option<IpAddr>,
    ) -> Result<TcpStream, Unreached> {
        if address_of(host, duty.subnet).is_some() {
            let to = authority(host, port);
            return forward::connect(port, &duty.loopback)
                .await
                .map_err(|source| Unreached::Failed { to, source });
        }
        let addresses = match known {
            Some(address) => vec![address],
            None => self.addresses(host).await?,
        };
        for &address in &addresses {
            if let Some(why) = forbidden(duty, address, port) {
                return Err(Unreached::Forbidden { host: host.to_owned(), address, why });
            }
        }
        first_of(&addresses, host, port).await
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unreached> {
        if let Ok(address) = bare(host).parse() {
            return Ok(vec![address]);
        }
        let addresses = self.resolvers.lookup(host).await;
        if addresses.is_empty() { Err(Unreached::Unknown(host.to_owned())) } else { Ok(addresses) }
    }
}

/// The proxy by which a server is reached, if any.
fn proxy_for(duty: &Duty, scheme: &str, host: &str) -> Option<Intercept> {
    let proxies = &duty.proxies;
    let is_plain = !host.contains(['.', ':']);
    let is_ours = address_of(host, duty.subnet).is_some() || is_loopback_by_name(host);
    if !proxies.any() || is_ours || is_plain && proxies.exclude.has_plain_names() {
        return None;
    }
    let url = |proxy: &Option<ProxyUrl>| proxy.as_ref().map(ProxyUrl::as_str).unwrap_or_default().to_owned();
    let matcher = Matcher::builder().http(url(&proxies.http)).https(url(&proxies.https));
    let server: Uri = format!("{scheme}://{}/", bracketed(host)).parse().ok()?;
    matcher.no(proxies.exclude.list()).build().intercept(&server)
}

/// Why an address is not to be reached by this way, if it is not.
fn forbidden(duty: &Duty, address: IpAddr, port: u16) -> Option<&'static str> {
    let address = address.to_canonical();
    if is_loopback(address) || address.is_unspecified() {
        return Some("whoever asks; the host is host.docker.internal");
    }
    if matches!(address, IpAddr::V4(address) if duty.subnet.contains(address)) {
        return Some("in the network of whoever asks");
    }
    (is_of_this_host(address) && !duty.loopback.allows(port))
        .then_some("the host, which `hostLoopback` does not allow")
}

/// What means whoever looks it up: a proxy on the host would look for it there (RFC 6761, 6.3).
fn is_loopback_by_name(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || bare(host).parse().is_ok_and(is_loopback)
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Only an address of one's own can be taken.
fn is_of_this_host(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

async fn first_of(addresses: &[IpAddr], host: &str, port: u16) -> Result<TcpStream, Unreached> {
    let mut source = io::Error::from(io::ErrorKind::HostUnreachable);
    for &address in addresses {
        match timeout(PATIENCE, TcpStream::connect((address, port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => source = error,
            Err(_) => source = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(Unreached::Failed { to: authority(host, port), source })
}

/// Asks a proxy for a connection to a server (RFC 9110, 9.3.6); what the server said already, and the connection.
async fn connect_by(proxy: &Intercept, stream: TcpStream, to: &str) -> Result<(Bytes, TcpStream), Unreached> {
    let named = || proxy.uri().authority().map_or_else(String::new, ToString::to_string);
    let garbled = |source| Unreached::Garbled { proxy: named(), source };
    let failed = |kind: io::ErrorKind| Unreached::Failed { to: to.to_owned(), source: kind.into() };
    let mut request = Request::connect(to).header(HOST, to);
    if let Some(credentials) = proxy.basic_auth() {
        request = request.header(PROXY_AUTHORIZATION, credentials);
    }
    let Ok(request) = request.body(Empty::<Bytes>::new()) else {
        return Err(failed(io::ErrorKind::InvalidInput));
    };
    let asked = async {
        let mut connection = Connection::open(stream).await?;
        let mut answer = connection.sender.send_request(request).await?;
        if !answer.status().is_success() {
            return Ok(Err(answer.status()));
        }
        Ok(Ok(hyper::upgrade::on(&mut answer).await?))
    };
    let answer = timeout(PROXY_PATIENCE, asked).await.map_err(|_| failed(io::ErrorKind::TimedOut))?;
    let upgraded = answer.map_err(garbled)?.map_err(|status| Unreached::Refused {
        proxy: named(),
        to: to.to_owned(),
        status,
    })?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().expect("it was opened so");
    Ok((parts.read_buf, parts.io.into_inner()))
}

/// `host:port`, as it is written in requests.
pub(super) fn authority(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use sampan_model::gateway::HostLoopback;
    use sampan_model::network::Subnet;

    use super::*;

    fn duty(http: &str, exclude: &str) -> Duty {
        let mut duty = Duty::new(Subnet::DEFAULT);
        duty.proxies.http = Some(http.parse().unwrap());
        duty.proxies.exclude = exclude.into();
        duty
    }

    #[test]
    fn the_proxy_is_that_of_the_scheme_unless_the_server_is_excluded() {
        let duty = duty("http://me:p%40ss@proxy.test:3128", "intern.test, 10.0.0.0/8;<local>");
        let by = |scheme, host| proxy_for(&duty, scheme, host).map(|proxy| proxy.uri().to_string());
        let proxy = Some("http://proxy.test:3128/".to_owned());
        assert_eq!(by("http", "example.test"), proxy);
        assert_eq!(by("http", "fd00::1"), proxy);
        assert_eq!(by("https", "example.test"), None, "there is none for it");
        for excluded in [
            "intern.test",
            "x.intern.test",
            "10.1.2.3",
            "box",
            "127.0.0.1",
            "[::1]",
            "Localhost.",
            "x.localhost",
            "host.docker.internal",
        ] {
            assert_eq!(by("http", excluded), None, "{excluded}");
        }
        let credentials = proxy_for(&duty, "http", "example.test").unwrap().basic_auth().cloned();
        assert_eq!(credentials.unwrap(), "Basic bWU6cEBzcw==");
    }

    #[test]
    fn the_host_is_reached_as_the_setting_says() {
        let mut duty = Duty::new(Subnet::DEFAULT);
        let is_forbidden =
            |duty: &Duty, address: &str| forbidden(duty, address.parse().unwrap(), 80).is_some();
        for address in
            ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "192.168.65.254"]
        {
            assert!(is_forbidden(&duty, address), "{address}");
        }
        assert!(!is_forbidden(&duty, "192.0.2.1"));
        assert!(
            is_of_this_host("127.0.0.5".parse().unwrap()) && !is_of_this_host("192.0.2.1".parse().unwrap())
        );
        duty.loopback = HostLoopback::Off;
        assert!(!is_forbidden(&duty, "192.0.2.1"));
    }

    #[test]
    fn hosts_are_written_as_in_requests() {
        assert_eq!(authority("a.test", 80), "a.test:80");
        assert_eq!(authority("::1", 80), "[::1]:80");
        assert_eq!(authority("[::1]", 80), "[::1]:80");
    }
}
