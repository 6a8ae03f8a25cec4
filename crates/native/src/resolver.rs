//! `resolv.conf` of distributions.

use std::fs;

use sampan_model::network::Subnet;
use sampan_model::wsl::resolv_conf::ResolvConf;

/// Where the host says which resolvers it has.
const HOST_S: &str = "/etc/resolv.conf";

/// What a distribution in the shared network gets: the gateway, which follows the host, and the host's domains. The
/// address stays the same, because containers keep the file that they were made with. None without a network.
pub(crate) fn by_gateway(subnet: Option<Subnet>) -> ResolvConf {
    let host = of_the_host();
    match subnet {
        Some(subnet) => host.served_by(subnet.gateway()),
        None => ResolvConf::default(),
    }
}

/// What the host itself has, and so a distribution in its network.
pub(crate) fn of_the_host() -> ResolvConf {
    ResolvConf::parse(&fs::read_to_string(HOST_S).unwrap_or_default())
}
