//! What of a message is for the next hop alone (RFC 9110, 7.6.1).

use hyper::HeaderMap;
use hyper::header::{CONNECTION, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE, UPGRADE};

/// Of no standard, and sent all the same.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes what was for this hop. That the connection is to be upgraded is said to the next one as well.
pub(super) fn end_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let upgrades = named.contains(&UPGRADE) && headers.contains_key(UPGRADE);
    for name in named.iter().filter(|name| **name != UPGRADE) {
        headers.remove(name);
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHORIZATION, TE] {
        headers.remove(name);
    }
    if upgrades {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(UPGRADE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_goes_on_is_left() {
        let headers = |list: &[(&'static str, &'static str)]| -> HeaderMap {
            list.iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect()
        };
        let mut some = headers(&[
            ("host", "a.test"),
            ("connection", "close, X-Own"),
            ("x-own", "1"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("upgrade", "h2c"),
        ]);
        end_hop(&mut some);
        assert_eq!(some, headers(&[("host", "a.test")]));
        let mut upgrade = headers(&[("connection", "Upgrade, keep-alive"), ("upgrade", "websocket")]);
        end_hop(&mut upgrade);
        assert_eq!(upgrade, headers(&[("upgrade", "websocket"), ("connection", "upgrade")]));
    }
}
