//! Subnets and the constant addresses in them.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no usable [`Subnet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a private IPv4 /24 network such as 192.168.65.0/24")]
pub struct SubnetError(String);

/// The private IPv4 /24 between the host and the shared network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet([u8; 3]);

impl Subnet {
    /// Docker Desktop's own subnet, 192.168.65.0/24.
    pub const DEFAULT: Self = Self([192, 168, 65]);

    /// The networks to try, best first, when the user chose none.
    pub fn candidates() -> impl Iterator<Item = Self> {
        (65..=126).chain(128..=254).map(|third| Self([192, 168, third]))
    }

    /// The network's own address.
    pub fn network(self) -> Ipv4Addr {
        self.address(0)
    }

    /// The host's address: gateway of the distributions.
    pub fn gateway(self) -> Ipv4Addr {
        self.address(1)
    }

    /// The address of what listens on the host's loopback (`host.docker.internal`).
    pub fn services(self) -> Ipv4Addr {
        self.address(254)
    }

    /// Whether `address` is of this network.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        self.overlaps(address, 32)
    }

    /// The address of the shared network namespace.
    pub fn guest(self) -> Ipv4Addr {
        self.address(3)
    }

    /// Whether this network and `address/prefix` share an address.
    pub fn overlaps(self, address: Ipv4Addr, prefix: u8) -> bool {
        let bits = u32::from(prefix.min(24));
        let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
        u32::from(self.network()) & mask == u32::from(address) & mask
    }

    fn address(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.0[0], self.0[1], self.0[2], last)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/24", self.network())
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let error = || SubnetError(text.to_owned());
        let address: Ipv4Addr = text.strip_suffix("/24").ok_or_else(error)?.parse().map_err(|_| error())?;
        let [a, b, c, last] = address.octets();
        if last != 0 || !address.is_private() {
            return Err(error());
        }
        Ok(Self([a, b, c]))
    }
}

impl TryFrom<String> for Subnet {
    type Error = SubnetError;
    fn try_from(text: String) -> Result<Self, SubnetError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_overlap() {
        let subnet: Subnet = "192.168.65.0/24".parse().unwrap();
        assert_eq!(subnet, Subnet::DEFAULT);
        for bad in ["192.168.65.0", "192.168.65.1/24", "8.8.8.0/24", "192.168.65.0/16", "x/24"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
        assert!(subnet.overlaps(Ipv4Addr::new(192, 168, 0, 0), 16));
        assert!(subnet.overlaps(Ipv4Addr::new(192, 168, 65, 77), 32));
        assert!(subnet.overlaps(Ipv4Addr::UNSPECIFIED, 0));
        assert!(!subnet.overlaps(Ipv4Addr::new(192, 168, 66, 0), 24));
        assert!(subnet.contains(subnet.services()) && !subnet.contains(Ipv4Addr::new(192, 168, 64, 3)));
    }
}
