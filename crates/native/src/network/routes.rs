//! The host's addresses, routes and links, as `ip -json` tells them.

use std::net::Ipv4Addr;
use std::path::Path;

use sampan_model::network::Subnet;
use serde::Deserialize;

use super::{LIMIT, NetworkError};
use crate::tools::Tool;

/// What of the host's network matters here.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Networks in use: address, prefix length, and what uses them.
    pub(super) used: Vec<(Ipv4Addr, u8, String)>,
    /// Interfaces that carry a default route.
    pub(super) uplinks: Vec<String>,
    /// Links of other instances: name and alias.
    pub(super) siblings: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    ifalias: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<String>,
    prefixlen: Option<u8>,
}

#[derive(Deserialize)]
struct Route {
    dst: String,
    #[serde(default)]
    dev: String,
}

impl Host {
    pub(super) fn read() -> Result<Self, NetworkError> {
        let ask = |args: &[&str]| Tool::new("ip", LIMIT)?.args(args).output();
        Self::of(
            &ask(&["-4", "-json", "address"])?,
            &ask(&["-4", "-json", "route", "show", "table", "main"])?,
            &ask(&["-json", "link"])?,
        )
    }

    fn of(addresses: &str, routes: &str, links: &str) -> Result<Self, NetworkError> {
        fn rows<'a, T: Deserialize<'a>>(text: &'a str) -> Result<Vec<T>, NetworkError> {
            let text = if text.trim().is_empty() { "[]" } else { text };
            serde_json::from_str(text).map_err(|source| NetworkError::Garbled { program: "ip", source })
        }
        let mut host = Self::default();
        for link in rows::<Link>(addresses)? {
            for address in &link.addr_info {
                if let (Some(local), Some(prefix)) = (&address.local, address.prefixlen)
                    && let Ok(local) = local.parse()
                {
                    host.used.push((local, prefix, format!("an address of {}", link.ifname)));
                }
            }
        }
        for route in rows::<Route>(routes)? {
            if route.dst == "default" {
                if !route.dev.is_empty() && !host.uplinks.contains(&route.dev) {
                    host.uplinks.push(route.dev);
                }
                continue;
            }
            let (address, prefix) = route.dst.split_once('/').unwrap_or((&route.dst, "32"));
            if let (Ok(address), Ok(prefix)) = (address.parse(), prefix.parse()) {
                host.used.push((address, prefix, format!("a route through {}", route.dev)));
            }
        }
        for link in rows::<Link>(links)? {
            if link.ifname.starts_with("smpn") {
                host.siblings.push((link.ifname, link.ifalias));
            }
        }
        Ok(host)
    }

    /// The wanted network if it is free; without a wish the one of the last time, or the first free one.
    pub(super) fn choose(
        &self,
        wanted: Option<Subnet>,
        last: Option<Subnet>,
    ) -> Result<Subnet, NetworkError> {
        let first_free = || Subnet::candidates().find(|subnet| self.user_of(*subnet).is_none());
        match wanted {
            None => last
                .filter(|subnet| self.user_of(*subnet).is_none())
                .or_else(first_free)
                .ok_or(NetworkError::NoneFree),
            Some(subnet) => match self.user_of(subnet) {
                None => Ok(subnet),
                Some(by) => Err(NetworkError::Taken { subnet, by: by.to_owned(), free: first_free() }),
            },
        }
    }

    fn user_of(&self, subnet: Subnet) -> Option<&str> {
        let clash = |(address, prefix, _): &&(Ipv4Addr, u8, String)| subnet.overlaps(*address, *prefix);
        self.used.iter().find(clash).map(|(_, _, by)| by.as_str())
    }
}

/// Whether the host has a link of this name.
pub(super) fn link_exists(link: &str) -> bool {
    // Of this thread's network namespace, unlike /sys/class/net, which shows the one it was mounted in.
    Path::new("/proc/sys/net/ipv4/conf").join(link).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: &str = r#"[{"ifname":"eth0","addr_info":[{"local":"192.168.65.9","prefixlen":24}]}]"#;
    const ROUTES: &str = r#"[{"dst":"default","dev":"eth0"},{"dst":"192.168.66.0/23","dev":"tun0"}]"#;
    const LINKS: &str = r#"[{"ifname":"lo"},{"ifname":"smpn01","ifalias":"x"}]"#;

    #[test]
    fn the_first_free_network_is_taken() {
        let host = Host::of(ADDRESSES, ROUTES, LINKS).unwrap();
        assert_eq!(host.uplinks, ["eth0"]);
        assert_eq!(host.siblings, [("smpn01".to_owned(), "x".to_owned())]);
        assert_eq!(host.choose(None, None).unwrap().to_string(), "192.168.68.0/24");
        assert_eq!(host.choose(None, Some(Subnet::DEFAULT)).unwrap().to_string(), "192.168.68.0/24");
        let free = "10.1.2.0/24".parse().unwrap();
        assert_eq!(host.choose(Some(free), None).unwrap(), free);
        assert_eq!(host.choose(None, Some(free)).unwrap(), free);
        let taken = host.choose(Some(Subnet::DEFAULT), None).unwrap_err();
        assert!(taken.to_string().contains("an address of eth0"), "{taken}");
    }

    #[test]
    fn a_host_without_any_network() {
        assert_eq!(Host::of("", "[]", "[]").unwrap().choose(None, None).unwrap(), Subnet::DEFAULT);
    }
}
