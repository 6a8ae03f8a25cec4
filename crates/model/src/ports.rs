//! Published ports: what dockerd asks for, where it is listened for, and what is told of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The program in `docker-desktop` that dockerd runs for each published port (`--userland-proxy-path`).
pub const PROXY: &str = "/run/sampan/docker-proxy";

/// Where that program asks for a port, in `docker-desktop`.
pub const SOCKET: &str = "/run/sampan/ports.sock";

/// The word with which the forwarder serves what containers of the network `host` listen at, too.
pub const HOST_NETWORKING: &str = "host-networking";

/// Before the number that the forwarder marks sockets of the host with, for the rules to lead their clients on.
pub const MARK: &str = "mark=";

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The transport.
    pub protocol: Protocol,
    /// Where clients connect; an unspecified address stands for all of its family.
    pub host: SocketAddr,
    /// What answers.
    pub container: SocketAddr,
}

/// Why something is no [`Binding`] that can be served. dockerd shows the sentence to the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// A transport that nothing forwards.
    #[error("ports of {0} are not published by Sampan, only those of tcp and udp")]
    Protocol(String),
    /// Words that do not belong together.
    #[error("the port forwarder does not understand `{0}`")]
    Garbled(String),
    /// The setting forbids it.
    #[error(
        "publishing at {0} is not allowed: portBindingBehavior of settings.json is local-only, so use 127.0.0.1 or ::1"
    )]
    NotLocal(IpAddr),
}

impl Binding {
    /// Reads the command line of Docker's own `docker-proxy` (moby, `cmd/docker-proxy/main_linux.go`): flags of Go, with
    /// one dash or two. Unknown ones are for a newer dockerd; the second result tells whether it hands over a listening
    /// socket (`-use-listen-fd`).
    pub fn from_flags<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<(Self, bool), BindingError> {
        let mut words = words.into_iter().peekable();
        let (mut protocol, mut host, mut container) = ("tcp", ["", ""], ["", ""]);
        let mut hands_over = false;
        while let Some(word) = words.next() {
            let flag = word.trim_start_matches('-');
            let (name, attached) =
                flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            if name == "use-listen-fd" {
                hands_over =
                    attached.is_none_or(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"));
                continue;
            }
            let place = match name {
                "proto" => &mut protocol,
                "host-ip" => &mut host[0],
                "host-port" => &mut host[1],
                "container-ip" => &mut container[0],
                "container-port" => &mut container[1],
                // A value of an unknown flag begins with no dash.
                _ => {
                    let _ = words.next_if(|next| attached.is_none() && !next.starts_with('-'));
                    continue;
                }
            };
            *place = match attached {
                Some(value) => value,
                None => words.next().ok_or_else(|| BindingError::Garbled(word.to_owned()))?,
            };
        }
        Ok((Self::of(protocol, host, container)?, hands_over))
    }

    fn of(protocol: &str, host: [&str; 2], container: [&str; 2]) -> Result<Self, BindingError> {
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => return Err(BindingError::Protocol(other.to_owned())),
        };
        Ok(Self { protocol, host: address(host)?, container: address(container)? })
    }

    /// Where the host listens, by the policy.
    pub fn on_host(&self, policy: PortBinding) -> Result<SocketAddr, BindingError> {
        let asked = self.host.ip();
        let local = match asked {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        let ip = match policy {
            PortBinding::DefaultLocal | PortBinding::LocalOnly if asked.is_unspecified() => local,
            PortBinding::LocalOnly if !asked.is_loopback() => return Err(BindingError::NotLocal(asked)),
            _ => asked,
        };
        Ok(SocketAddr::new(ip, self.host.port()))
    }
}

fn address([ip, port]: [&str; 2]) -> Result<SocketAddr, BindingError> {
    let garbled = || BindingError::Garbled(format!("{ip} {port}"));
    Ok(SocketAddr::new(ip.parse().map_err(|_| garbled())?, port.parse().map_err(|_| garbled())?))
}

/// The line with which a port is asked for: `tcp 0.0.0.0 8080 172.17.0.2 80`.
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, container) = (self.host, self.container);
        write!(f, "{} {} {} {} {}", self.protocol, host.ip(), host.port(), container.ip(), container.port())
    }
}

impl FromStr for Binding {
    type Err = BindingError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = line.split(' ').collect();
        let [protocol, host_ip, host_port, container_ip, container_port] = words[..] else {
            return Err(BindingError::Garbled(line.to_owned()));
        };
        Self::of(protocol, [host_ip, host_port], [container_ip, container_port])
    }
}

/// The setting `portBindingBehavior`: where ports are listened for that are published without a host address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "String")]
pub enum PortBinding {
    /// At all addresses of the host.
    #[default]
    Default,
    /// At the loopback; other addresses can be named.
    DefaultLocal,
    /// At the loopback; other addresses are refused.
    LocalOnly,
}

impl PortBinding {
    /// As it is written in settings and on command lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::DefaultLocal => "default-local",
            Self::LocalOnly => "local-only",
        }
    }

    /// The inverse of [`PortBinding::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Default, Self::DefaultLocal, Self::LocalOnly].into_iter().find(|policy| policy.word() == word)
    }
}

/// A word that is none of the setting's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("portBindingBehavior is `{0}`, and has to be default, default-local or local-only")]
pub struct UnknownPortBinding(String);

impl TryFrom<String> for PortBinding {
    type Error = UnknownPortBinding;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        Self::from_word(&word).ok_or(UnknownPortBinding(word))
    }
}

/// A port that is served, as `GET /v1/ports` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// What was asked for.
    #[serde(flatten)]
    pub binding: Binding,
    /// Where the host listens; none: its address is none of the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_host: Option<SocketAddr>,
    /// Whether distributions reach it at the same address.
    pub inside: bool,
    /// Name of the container, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `GET /v1/ports`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ports {
    /// In the order of their numbers.
    pub ports: Vec<Published>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &str) -> Result<(String, bool), BindingError> {
        Binding::from_flags(words.split_whitespace()).map(|(binding, fd)| (binding.to_string(), fd))
    }

    #[test]
    fn the_flags_of_docker_s_own_proxy_are_read() {
        let usual = "-proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80";
        assert_eq!(flags(usual).unwrap(), ("tcp 0.0.0.0 8080 172.17.0.2 80".into(), false));
        for (words, expected, fd) in [
            (
                "-proto=udp --host-ip=:: -host-port=53 -container-ip fd17::2 --container-port 5353 -use-listen-fd",
                "udp :: 53 fd17::2 5353",
                true,
            ),
            (
                "-new value -proto udp -flag -host-ip ::1 -host-port 1 -container-ip ::2 -container-port 2 -use-listen-fd=false",
                "udp ::1 1 ::2 2",
                false,
            ),
        ] {
            assert_eq!(flags(words).unwrap(), (expected.into(), fd), "{words}");
        }
        let sctp = flags(&usual.replace("tcp", "sctp")).unwrap_err();
        assert!(sctp.to_string().contains("sctp"), "{sctp}");
        for words in [
            "",
            "-proto",
            "-host-ip x -host-port 1 -container-ip ::2 -container-port 2",
            &usual.replace("8080", "808080"),
        ] {
            assert!(matches!(flags(words), Err(BindingError::Garbled(_))), "{words}");
        }
    }

    #[test]
    fn a_request_is_one_line_there_and_back() {
        for line in ["tcp 0.0.0.0 8080 172.17.0.2 80", "udp ::1 53 fd17::2 5353"] {
            assert_eq!(line.parse::<Binding>().unwrap().to_string(), line);
        }
        for line in
            ["", "tcp", "tcp 0.0.0.0 8080 172.17.0.2", "tcp 0.0.0.0 8080 172.17.0.2 80 x", "icmp 1 2 3 4"]
        {
            assert!(line.parse::<Binding>().is_err(), "{line}");
        }
    }

    #[test]
    fn the_policy_says_where_the_host_listens() {
        let on_host = |policy, ip: &str| {
            let binding: Binding = format!("tcp {ip} 80 172.17.0.2 80").parse().unwrap();
            binding.on_host(policy).map(|address| address.ip().to_string()).map_err(|_| ())
        };
        for (policy, results) in [
            (PortBinding::Default, [Ok("0.0.0.0"), Ok("::"), Ok("127.0.0.2"), Ok("198.51.100.2")]),
            (PortBinding::DefaultLocal, [Ok("127.0.0.1"), Ok("::1"), Ok("127.0.0.2"), Ok("198.51.100.2")]),
            (PortBinding::LocalOnly, [Ok("127.0.0.1"), Ok("::1"), Ok("127.0.0.2"), Err(())]),
        ] {
            for (ip, expected) in ["0.0.0.0", "::", "127.0.0.2", "198.51.100.2"].into_iter().zip(results) {
                assert_eq!(on_host(policy, ip), expected.map(str::to_owned), "{policy:?} {ip}");
            }
            assert_eq!(PortBinding::from_word(policy.word()), Some(policy));
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.word());
        }
    }
}
