//! Which of Docker's endpoints have paths of the asker's in them.

use std::borrow::Cow;
use std::fmt::Write as _;

use hyper::Method;

/// What a request's body says about paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// `POST /containers/create`.
    Container,
    /// `POST /services/create` and `/services/{id}/update`.
    Service,
    /// `POST /volumes/create`.
    Volume,
}

/// An endpoint, as far as paths are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each answers a question of its own")]
pub(super) struct Endpoint {
    /// Paths in the request.
    pub asks: Option<Body>,
    /// Whether the query may have paths in its filters.
    pub filters: bool,
    /// Whether the answer shows paths.
    pub shows: bool,
    /// Whether containers' sources are opened.
    pub starts: bool,
    /// Whether dockerd takes over the connection, even where the client did not ask for an upgrade (API before 1.22).
    pub hijacks: bool,
}

impl Endpoint {
    /// The endpoint that dockerd finds for a request. Its router decodes the path first, so this does too.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let decoded = percent_decoded(path);
        let segments = segments(&decoded);
        let segments = &segments[..];
        let post = method == Method::POST;
        let asks = match segments {
            _ if !post => None,
            [b"containers", b"create"] => Some(Body::Container),
            [b"services", b"create"] | [b"services", _, b"update"] => Some(Body::Service),
            [b"volumes", b"create"] => Some(Body::Volume),
            _ => None,
        };
        let shows = match segments {
            [b"volumes", b"create"] => post,
            // A container's or volume's name may have slashes in it.
            [b"containers", .., b"json"]
            | [b"volumes", ..]
            | [b"services" | b"tasks"]
            | [b"services" | b"tasks", _]
            | [b"system", b"df"] => !post,
            _ => false,
        };
        let hijacks = post && matches!(segments, [b"containers", .., b"attach"] | [b"exec", .., b"start"]);
        let starts = post && matches!(segments, [b"containers", .., b"start" | b"restart"]);
        let filters = method == Method::GET && matches!(segments, [b"containers", b"json"]);
        Self { asks, filters, shows, starts, hijacks }
    }
}

/// Where to ask what the container is that a request to `path`, which starts it, is about.
pub(super) fn inspection(path: &str) -> String {
    let decoded = percent_decoded(path);
    let segments = segments(&decoded);
    let name = segments.split_last().and_then(|(_, rest)| rest.split_first()).map(|(_, name)| name);
    let name = name.unwrap_or_default().join(&b'/');
    format!("/containers/{}/json", percent_encoded(&name))
}

/// What a path of dockerd's consists of, without the version.
fn segments(decoded: &[u8]) -> Vec<&[u8]> {
    let mut segments = Vec::new();
    for segment in decoded.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    if segments.first().is_some_and(|first| is_version(first)) {
        segments.remove(0);
    }
    segments
}

/// `v1.45` and the like: dockerd's pattern is `v{version:[0-9.]+}`.
fn is_version(segment: &[u8]) -> bool {
    segment.strip_prefix(b"v").is_some_and(|number| {
        !number.is_empty() && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
    })
}

/// Any name as a part of a path.
pub(super) fn percent_encoded(name: &[u8]) -> String {
    name.iter().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            encoded.push(char::from(*byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // a string takes all
        }
        encoded
    })
}

/// A part of a path as it is meant. Escapes that are none are kept.
pub(super) fn percent_decoded(path: &str) -> Cow<'_, [u8]> {
    if !path.contains('%') {
        return Cow::Borrowed(path.as_bytes());
    }
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digit = |offset: usize| {
            bytes
                .get(at + offset)
                .and_then(|byte| char::from(*byte).to_digit(16))
                .and_then(|n| u8::try_from(n).ok())
        };
        if let (b'%', Some(high), Some(low)) = (byte, digit(1), digit(2)) {
            decoded.push(high << 4 | low);
            at += 3;
        } else {
            decoded.push(*byte);
            at += 1;
        }
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str) -> Endpoint {
        Endpoint::of(&Method::POST, path)
    }

    fn get(path: &str) -> Endpoint {
        Endpoint::of(&Method::GET, path)
    }

    #[test]
    fn requests_with_paths() {
        for (path, body) in [
            ("/containers/create", Body::Container),
            ("/v1.45/containers/create", Body::Container),
            ("/v1/volumes/create", Body::Volume),
            ("/services/create", Body::Service),
            ("/v1.30/services/web/update", Body::Service),
            // What dockerd's router makes of these is the same endpoint, or a redirect to it.
            ("/v1.45/containers/%63reate", Body::Container),
            ("/v1.45//containers/create", Body::Container),
            ("/v1.45/containers/x/../create", Body::Container),
            ("/%76%31.45/containers/create/", Body::Container),
        ] {
            assert_eq!(post(path).asks, Some(body), "{path}");
            assert_eq!(get(path).asks, None, "{path}");
        }
        for path in
            ["/v1.45/containers/create/json", "/containers/x/start", "/", "/v/containers/create", "/build"]
        {
            assert_eq!(post(path).asks, None, "{path}");
        }
    }

    #[test]
    fn answers_with_paths() {
        for path in [
            "/v1.45/containers/json",
            "/containers/0a/json",
            "/volumes",
            "/volumes/a%2fb",
            "/v1.45/services",
            "/tasks/x",
            "/system/df",
        ] {
            assert!(get(path).shows, "{path}");
        }
        assert!(post("/volumes/create").shows);
        for path in ["/containers/0a/logs", "/images/json", "/events", "/_ping", "/containers/0a/archive"] {
            assert!(!get(path).shows, "{path}");
        }
    }

    #[test]
    fn connections_that_dockerd_takes_over() {
        for path in ["/v1.21/containers/x/attach", "/exec/0a/start"] {
            assert!(post(path).hijacks, "{path}");
            assert!(!get(path).hijacks, "{path}");
        }
        assert!(!post("/containers/x/start").hijacks);
    }

    #[test]
    fn containers_that_are_started() {
        for (path, asked) in [
            ("/v1.45/containers/web/start", "/containers/web/json"),
            ("/containers//0a/../w%2eb/restart", "/containers/w.b/json"),
            ("/containers/a b%2fc?/start", "/containers/a%20b%2Fc%3F/json"),
        ] {
            assert!(post(path).starts && !get(path).starts, "{path}");
            assert_eq!(inspection(path), asked);
        }
        for path in ["/containers/x/stop", "/exec/x/start", "/containers/start/json"] {
            assert!(!post(path).starts, "{path}");
        }
    }

    #[test]
    fn lists_that_can_be_filtered_by_paths() {
        assert!(get("/v1.45/containers/json").filters);
        for path in ["/containers/x/json", "/volumes", "/images/json"] {
            assert!(!get(path).filters, "{path}");
        }
        assert!(!post("/containers/json").filters);
    }

    #[test]
    fn broken_escapes_are_kept() {
        assert_eq!(&*percent_decoded("/a%zz%4"), b"/a%zz%4");
        assert_eq!(&*percent_decoded("%2F%c3%bc"), "/ü".as_bytes());
    }
}
