//! By which proxies the engine, containers and distributions reach the web.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name by which the engine reaches the web, and whoever else wants to: as in Docker Desktop. It is an address of the
/// gateway, which knows the proxies.
pub const NAME: &str = "http.docker.internal";

/// The port there.
pub const PORT: u16 = 3128;

/// The ports of the web, by which containers go to the proxies without being told of them.
pub const WEB: [u16; 2] = [80, 443];

/// What the engine reaches without: itself, the host, and addresses of private networks, where its registries are that have
/// no name.
pub const ENGINE_S_OWN: &str = "localhost,127.0.0.0/8,::1,host.docker.internal,gateway.docker.internal,\
kubernetes.docker.internal,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,fc00::/7,fe80::/10";

/// Where the proxies are said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyMode {
    /// The machine's own: `/etc/environment`.
    #[default]
    System,
    /// The settings.
    Manual,
    /// There are none.
    None,
}

/// Whether what containers and distributions say on the ports of the web ([`WEB`]) goes by the proxies, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainersProxyMode {
    /// By the same as the engine's.
    #[default]
    Same,
    /// It goes its own way.
    None,
}

/// Where a proxy is: `http://[user[:password]@]host[:port]`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProxyUrl(String);

/// A text that is no [`ProxyUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{said}` is no proxy that can be used: {why}, as in http://proxy.example.com:3128")]
pub struct ProxyUrlError {
    /// The text, without a password that may be in it.
    said: String,
    why: &'static str,
}

impl ProxyUrl {
    /// The URL, with user and password.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProxyUrl {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        let error = |why| ProxyUrlError { said: without_password(text), why };
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(error("it must begin with http://, whatever is reached by it")),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let outside = place.rfind(']').map_or(place, |end| &place[end + 1..]);
        let (host, port) = match outside.rsplit_once(':') {
            Some((_, port)) => (&place[..place.len() - port.len() - 1], Some(port)),
            None => (place, None),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err(error("it needs a host"));
        }
        if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(error("its port must be between 1 and 65535"));
        }
        if !rest.chars().all(|c| c.is_ascii_graphic() && c != '/') {
            return Err(error("other characters than letters, digits and signs must be written as %XX"));
        }
        Ok(Self(format!("http://{rest}")))
    }
}

impl TryFrom<String> for ProxyUrl {
    type Error = ProxyUrlError;

    fn try_from(text: String) -> Result<Self, ProxyUrlError> {
        text.parse()
    }
}

impl From<ProxyUrl> for String {
    fn from(url: ProxyUrl) -> Self {
        url.0
    }
}

/// Without the password, for messages and logs.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let between = if scheme.is_empty() { "" } else { "://" };
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}{between}…@{place}"),
        None => url.to_owned(),
    }
}

/// The proxies that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxies {
    /// For `http://…`.
    pub http: Option<ProxyUrl>,
    /// For `https://…`.
    pub https: Option<ProxyUrl>,
    /// What is reached without: names (with all below them), addresses and networks.
    pub exclude: Exclusions,
    /// Whether containers and distributions are led there without being told.
    pub transparent: bool,
}

impl Proxies {
    /// Whether anything is reached by one.
    pub fn any(&self) -> bool {
        self.http.is_some() || self.https.is_some()
    }
}

/// What is reached without a proxy, as it is written in `NO_PROXY` or in Windows: parts are separated by commas, semicolons
/// or white space.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Exclusions(String);

/// In lists of Windows: every name without a dot.
const PLAIN_NAMES: &str = "<local>";

impl Exclusions {
    /// The list as curl reads `NO_PROXY`: separated by commas, and a name stands for all below it.
    pub fn list(&self) -> String {
        let plain = |part: &'_ str| part.strip_prefix("*.").unwrap_or(part).to_owned();
        let parts: Vec<String> = self.parts().filter(|part| *part != PLAIN_NAMES).map(plain).collect();
        parts.join(",")
    }

    /// Whether names without a dot are excluded.
    pub fn has_plain_names(&self) -> bool {
        self.parts().any(|part| part.eq_ignore_ascii_case(PLAIN_NAMES))
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split(|c: char| ",;".contains(c) || c.is_whitespace()).filter(|part| !part.is_empty())
    }
}

impl From<&str> for Exclusions {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_people_write_them() {
        for (text, url) in [
            ("http://proxy.test:3128", "http://proxy.test:3128"),
            ("http://proxy.test/", "http://proxy.test"),
            ("proxy.test:8080", "http://proxy.test:8080"),
            ("http://me:p%40ss@10.0.0.1:80", "http://me:p%40ss@10.0.0.1:80"),
            ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
            ("http://[fd00::1]", "http://[fd00::1]"),
        ] {
            assert_eq!(text.parse::<ProxyUrl>().map(|url| url.as_str().to_owned()).as_deref(), Ok(url));
        }
        for bad in [
            "",
            "http://",
            "https://proxy.test:443",
            "socks5://proxy.test:1080",
            "http://proxy.test:0",
            "http://proxy.test:port",
            "http://proxy.test:80/path",
            "http://pro xy.test",
            "http://me@",
            "http://pröxy.test",
        ] {
            assert!(bad.parse::<ProxyUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let url: ProxyUrl = "http://me:secret@proxy.test:80".parse().unwrap();
        assert_eq!(url.to_string(), "http://…@proxy.test:80");
        let error = "socks5://me:secret@proxy.test".parse::<ProxyUrl>().unwrap_err().to_string();
        assert!(error.starts_with("`socks5://…@proxy.test`") && !error.contains("secret"), "{error}");
        assert!(!format!("{url:?}").contains("secret"));
    }

    #[test]
    fn exclusions_are_lists_of_unix_and_of_windows() {
        let read = |text: &str| Exclusions::from(text).list();
        assert_eq!(read("a.test, .b.test;*.c.test 10.0.0.0/8"), "a.test,.b.test,c.test,10.0.0.0/8");
        assert_eq!(read("<local>;*.corp"), "corp");
        assert!(Exclusions::from("<local>").has_plain_names());
        assert_eq!(read("*"), "*");
    }
}
