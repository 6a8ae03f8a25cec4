//! The host's resolvers, as distributions get them.

use std::fs;

/// Text of a `resolv.conf` with the host's resolvers. A stub that listens on the host's loopback can't be reached from there: what
/// the stub itself asks is taken then.
pub(crate) fn resolv_conf() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let usable = |text: &str| -> Vec<String> {
        let server = |line: &str| line.strip_prefix("nameserver").map(str::trim).map(str::to_owned);
        let reachable = |address: &String| !address.starts_with("127.") && address != "::1";
        text.lines().filter_map(server).filter(reachable).collect()
    };
    let mut servers = usable(&read("/etc/resolv.conf"));
    if servers.is_empty() {
        servers = usable(&read("/run/systemd/resolve/resolv.conf"));
    }
    let mut text = "# Written by Sampan at each start, from the resolvers of the host.\n".to_owned();
    for server in servers {
        text.push_str("nameserver ");
        text.push_str(&server);
        text.push('\n');
    }
    text
}
