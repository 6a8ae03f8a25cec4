//! The instance's nft table. Replaced as a whole, in one transaction; nothing is ever changed in anybody else's.

use sampan_model::gateway::GatewayPorts;
use sampan_model::network::Subnet;
use sampan_model::proxies;

use super::Rules;
use super::forwarding::Plan;

/// The table's text for `nft -f`.
pub(super) fn text(table: &str, link: &str, subnet: Subnet, forwarding: &Plan, rules: Rules) -> String {
    let neighbours = set(&forwarding.opened()).map_or_else(String::new, |opened| {
        format!(
            "    iifname {opened} oifname != \"smpn*\" ct state new drop comment \"forwarding is for Sampan only\"\n"
        )
    });
    // Whoever listens has the mark: without the listener, nothing is led anywhere. Only by links that forward.
    let published = rules.mark.zip(set(&forwarding.uplinks())).map_or_else(String::new, |(mark, uplinks)| {
        format!(
            "    iifname {uplinks} meta nfproto ipv4 fib daddr type local socket mark {mark:#x} dnat ip to {} comment \"published ports\"\n",
            subnet.guest()
        )
    });
    let (gateway, services) = (subnet.gateway(), subnet.services());
    let GatewayPorts { names, services: forwarder, proxy, web } = rules.ports;
    let (asked, ports) = (proxies::PORT, proxies::WEB.map(|port| port.to_string()).join(", "));
    let led = if rules.leads_web {
        format!(
            "    iifname \"{link}\" fib daddr type != local tcp dport {{ {ports} }} dnat ip to {gateway}:{web} comment \"the web, by proxies\"\n"
        )
    } else {
        String::new()
    };
    // The address of the services is redirected and not routed to the loopback: that would need `route_localnet`, which
    // opens all of it the moment that somebody flushes the rules.
    format!(
        r#"table inet {table} {{
}}
delete table inet {table}
table inet {table} {{
  chain prerouting {{
    type nat hook prerouting priority dstnat - 10; policy accept;
    iifname "{link}" ip daddr {gateway} meta l4proto {{ tcp, udp }} th dport 53 dnat ip to {gateway}:{names} comment "names"
    iifname "{link}" ip daddr {gateway} tcp dport {asked} dnat ip to {gateway}:{proxy} comment "the proxy"
    iifname "{link}" ip daddr {{ {gateway}, {services} }} meta l4proto tcp dnat ip to {services}:{forwarder} comment "the host's services"
{led}{published}  }}
  chain input {{
    type filter hook input priority filter - 5; policy accept;
    iifname "lo" accept
    iifname != "{link}" ip daddr {subnet} drop comment "nobody else comes to these addresses"
    iifname != "{link}" accept
    ct state established,related accept
    ct status dnat ip daddr {gateway} meta l4proto {{ tcp, udp }} th dport {names} accept comment "names"
    ct status dnat ip daddr {gateway} tcp dport {{ {proxy}, {web} }} accept comment "the web"
    ct status dnat ip daddr {services} tcp dport {forwarder} accept comment "the host's services"
    icmp type echo-request accept
    ip daddr {{ 127.0.0.0/8, {subnet} }} reject comment "all else of the host at these addresses"
  }}
  chain forward {{
    type filter hook forward priority filter - 5; policy accept;
    iifname "{link}" accept comment "distributions to the world"
    oifname "{link}" ct state established,related accept comment "answers to distributions"
    oifname "{link}" ct status dnat accept comment "published ports"
    oifname "{link}" drop comment "nobody routes into the distributions"
{neighbours}  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {subnet} oifname != "{link}" masquerade comment "distributions leave with the host's address"
  }}
}}
"#
    )
}

/// Links, as a set of nft's; none of none.
fn set(links: &[&str]) -> Option<String> {
    let quoted: Vec<String> = links.iter().map(|link| format!("\"{link}\"")).collect();
    (!quoted.is_empty()).then(|| format!("{{ {} }}", quoted.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_replaced_as_a_whole_and_names_only_itself() {
        let ports = GatewayPorts { names: 4053, services: 4001, proxy: 4002, web: 4003 };
        let links = Plan::parse("sampan eth0=0 wlan0=0 tun0=1");
        let all = |rules| text("sampan_1", "smpn1", Subnet::DEFAULT, &links, rules);
        let plain = all(Rules { ports, leads_web: false, mark: None });
        assert!(!plain.contains("tcp dport { 80, 443 }") && !plain.contains("socket mark"));
        let text = all(Rules { ports, leads_web: true, mark: Some(0x5300_00ab) });
        assert!(text.contains(r#"iifname { "eth0", "wlan0", "tun0" } meta nfproto ipv4 fib daddr type local socket mark 0x530000ab dnat ip to 192.168.65.3"#));
        assert!(text.contains("fib daddr type != local tcp dport { 80, 443 } dnat ip to 192.168.65.1:4003"));
        assert!(text.contains("delete table inet sampan_1\n"));
        assert!(text.contains(r#"iifname { "eth0", "wlan0" } oifname != "smpn*" ct state new drop"#));
        assert_eq!(text.matches("table inet").count(), text.matches("table inet sampan_1").count());
        // nft wants a line end before a closing brace, or it loads nothing at all.
        assert!(
            text.lines()
                .all(|line| !line.contains('}') || line.trim_start().starts_with('}') || line.contains('{'))
        );
    }
}
