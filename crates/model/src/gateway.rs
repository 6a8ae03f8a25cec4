//! What distributions and containers reach of the host by the addresses of the gateway: names, and services at the host's
//! loopback.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::guest::ProcessId;
use crate::network::Subnet;
use crate::proxies::{self, Proxies};

/// Names of the host's services ([`Subnet::services`]), as in Docker Desktop.
pub const SERVICES: [&str; 2] = ["host.docker.internal", "kubernetes.docker.internal"];

/// Names of the gateway itself ([`Subnet::gateway`]), as in Docker Desktop.
pub const GATEWAY: [&str; 2] = ["gateway.docker.internal", proxies::NAME];

/// Records that names are said not to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HiddenRecords {
    /// None: every answer is passed on as it is.
    #[default]
    None,
    /// Addresses of IPv4 (`A`).
    Ipv4,
    /// Addresses of IPv6 (`AAAA`).
    Ipv6,
}

/// Which ports of the host's loopback are reached as `host.docker.internal`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PortsText", into = "PortsText")]
pub enum HostLoopback {
    /// All.
    #[default]
    All,
    /// None.
    Off,
    /// These.
    Ports(Vec<u16>),
}

/// As it is in `settings.json`: a word, or a list of ports.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum PortsText {
    Word(String),
    Ports(Vec<u16>),
}

/// A value that is no [`HostLoopback`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hostLoopback is `{0}`; it may be \"all\", \"off\" or a list of ports such as [5432, 8080]")]
pub struct HostLoopbackError(String);

impl HostLoopback {
    /// Whether a port of the host's loopback may be reached.
    pub fn allows(&self, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Off => false,
            Self::Ports(ports) => ports.contains(&port),
        }
    }
}

impl fmt::Display for HostLoopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Off => f.write_str("off"),
            Self::Ports(ports) => write!(f, "{ports:?}"),
        }
    }
}

impl TryFrom<PortsText> for HostLoopback {
    type Error = HostLoopbackError;

    fn try_from(text: PortsText) -> Result<Self, HostLoopbackError> {
        match text {
            PortsText::Word(word) if word == "all" => Ok(Self::All),
            PortsText::Word(word) if word == "off" => Ok(Self::Off),
            PortsText::Word(word) => Err(HostLoopbackError(word)),
            PortsText::Ports(ports) => Ok(Self::Ports(ports)),
        }
    }
}

impl From<HostLoopback> for PortsText {
    fn from(value: HostLoopback) -> Self {
        match value {
            HostLoopback::Ports(ports) => Self::Ports(ports),
            other => Self::Word(other.to_string()),
        }
    }
}

/// What a gateway does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Duty {
    /// The instance's network: whoever asks is in it, and the gateway has two addresses of it.
    pub subnet: Subnet,
    /// What is hidden of names.
    pub hidden: HiddenRecords,
    /// What may be reached of the host's loopback.
    pub loopback: HostLoopback,
    /// By which proxies the web is reached.
    pub proxies: Proxies,
}

impl Duty {
    /// What is done in `subnet` without any settings, and without proxies.
    pub fn new(subnet: Subnet) -> Self {
        Self {
            subnet,
            hidden: HiddenRecords::default(),
            loopback: HostLoopback::default(),
            proxies: Proxies::default(),
        }
    }
}

/// The ports at which a gateway listens, all at addresses of its own. Which ones is of no matter to anybody: clients are led
/// there from the usual ones, so that those are left to whoever wants them on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayPorts {
    /// Names, UDP and TCP, at [`Subnet::gateway`].
    pub names: u16,
    /// The host's services, at [`Subnet::services`].
    pub services: u16,
    /// The web for those who ask for it ([`proxies::PORT`]), at [`Subnet::gateway`].
    pub proxy: u16,
    /// The web for those who do not know that they are led there, at [`Subnet::gateway`].
    pub web: u16,
}

/// Input of `sampan-guest gateway`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Where to record the process ([`GatewayRecord`]) before it does anything.
    pub record: PathBuf,
    /// Where it is told of another duty: a [`Duty`] in one line, answered by a line when it is done from then on. Root only.
    pub control: PathBuf,
    /// The `cgroup.procs` of its cgroup.
    pub cgroup: PathBuf,
    /// What it is to do.
    pub duty: Duty,
}

/// Input of `sampan-guest ask-gateway`: is the gateway reached by those it is there for?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskGatewaySpec {
    /// The hub, in whose network it is asked.
    pub hub: ProcessId,
    /// The instance's network.
    pub subnet: Subnet,
}

/// The record of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRecord {
    /// The process.
    pub process: ProcessId,
    /// For which network.
    pub subnet: Subnet,
    /// Where; none: it has not begun yet.
    pub ports: Option<GatewayPorts>,
}

/// The address of one of our names; none: it is somebody else's.
pub fn address_of(name: &str, subnet: Subnet) -> Option<Ipv4Addr> {
    let is = |own: &str| name.eq_ignore_ascii_case(own);
    if SERVICES.into_iter().any(is) {
        return Some(subnet.services());
    }
    GATEWAY.into_iter().any(is).then(|| subnet.gateway())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_known_in_any_case() {
        let subnet = Subnet::DEFAULT;
        assert_eq!(address_of("Host.docker.INTERNAL", subnet), Some(Ipv4Addr::new(192, 168, 65, 254)));
        assert_eq!(address_of("kubernetes.docker.internal", subnet), Some(subnet.services()));
        assert_eq!(address_of("gateway.docker.internal", subnet), Some(Ipv4Addr::new(192, 168, 65, 1)));
        assert_eq!(address_of("docker.internal", subnet), None);
        assert_eq!(address_of("xhost.docker.internal", subnet), None);
    }

    #[test]
    fn ports_are_a_word_or_a_list() {
        let read = |text: &str| serde_json::from_str::<HostLoopback>(text);
        assert_eq!(read("\"all\"").unwrap(), HostLoopback::All);
        let some = read("[80, 5432]").unwrap();
        assert!(some.allows(80) && !some.allows(81) && !read("\"off\"").unwrap().allows(80));
        assert_eq!(serde_json::to_string(&some).unwrap(), "[80,5432]");
        assert!(read("\"some\"").unwrap_err().to_string().contains("\"all\", \"off\" or a list"));
        for bad in ["[70000]", "[\"80\"]", "80", "{}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
