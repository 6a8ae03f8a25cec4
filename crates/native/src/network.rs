//! The network between the host and the shared network namespace: one veth pair, one nft table of our own, forwarding
//! on two interfaces only, and the gateway, which is where the table leads what is meant for the host. What it changes on the host is written down in the kernel, on the link itself.

mod forwarding;
mod routes;
mod ruleset;

use std::time::Duration;

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::gateway::{Duty, GatewayPorts};
use sampan_model::instance::Instance;
use sampan_model::network::Subnet;
use sampan_sys::{SysError, lock, nftables};
use serde::{Deserialize, Serialize};

use crate::gateway::{self, GatewayError};
use crate::hub::Hub;
use crate::process;
use crate::tools::guest::Guest;
use crate::tools::{Tool, ToolError};

const LIMIT: Duration = Duration::from_secs(20);

/// Why the network could not be set up or taken down.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("the network cannot be set up")]
    Tool(#[from] ToolError),
    #[error("the network cannot be set up")]
    Sys(#[from] SysError),
    #[error("{program} printed what is not understood")]
    Garbled { program: &'static str, source: serde_json::Error },
    #[error("the network {subnet} of the settings is in use on this machine: {by}")]
    Taken { subnet: Subnet, by: String, free: Option<Subnet> },
    #[error("every private network from 192.168.65.0/24 on is in use on this machine")]
    NoneFree,
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error("cannot set forwarding on {link}")]
    Forwarding { link: String, source: std::io::Error },
}

impl Explain for NetworkError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Tool(error) => error.code(),
            Self::Gateway(error) => error.code(),
            Self::Taken { .. } => ErrorCode::Invalid,
            _ => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Tool(error) => {
                error.hint().or_else(|| Some("`sampan check` tests what the network needs".to_owned()))
            }
            Self::Gateway(error) => error.hint(),
            Self::Taken { free: Some(free), .. } => {
                Some(format!("set \"vpnkitCidr\": \"{free}\" in settings.json, or remove the key"))
            }
            Self::Taken { free: None, .. } | Self::NoneFree => {
                Some("set \"vpnkitCidr\" in settings.json to a private /24 network that is free".to_owned())
            }
            _ => None,
        }
    }
}

/// The network that is up, as recorded in the run folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Network {
    pub(crate) subnet: Subnet,
    /// Inode of the namespace at the other end.
    pub(crate) netns: u64,
    /// The link's alias: what forwarding was before. The link dies with the namespace, and the switches stay.
    forwarding: String,
    /// The boot in which that was so.
    boot_id: String,
    /// What the rules were made for; none: there is nothing yet but the link with its address.
    rules: Option<Rules>,
}

/// What the table depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rules {
    /// Where the gateway listens.
    ports: GatewayPorts,
    /// Whether what is said to the web is led there.
    leads_web: bool,
    /// What sockets are marked with whose clients go on to the network, with their own addresses.
    #[serde(default)]
    mark: Option<u32>,
}

/// What the settings want of a network.
pub(crate) struct Wanted {
    /// What its gateway is to do.
    pub(crate) duty: Duty,
    /// Whether containers see the addresses of their clients.
    pub(crate) keeps_clients: bool,
}

impl Wanted {
    fn rules(&self, instance: &Instance, ports: GatewayPorts) -> Rules {
        let proxies = &self.duty.proxies;
        Rules {
            ports,
            leads_web: proxies.transparent && proxies.any(),
            mark: self.keeps_clients.then(|| instance.port_mark()),
        }
    }
}

/// What survives a stop: users write down addresses of the network.
#[derive(Debug, Serialize, Deserialize)]
struct Last {
    subnet: Subnet,
}

impl Network {
    /// The network to the hub's namespace, if it was set up before.
    pub(crate) fn find(instance: &Instance, netns: u64) -> Option<Self> {
        Self::claimed(instance, netns).filter(|network| network.rules.is_some())
    }

    /// The same, also while it is being set up.
    pub(crate) fn claimed(instance: &Instance, netns: u64) -> Option<Self> {
        process::read_record::<Self>(&instance.network_record())
            .filter(|network| network.netns == netns && routes::link_exists(&instance.link()))
    }

    /// Inode of the namespace that a network was set up to last, whether it is still up or not.
    pub(crate) fn recorded(instance: &Instance) -> Option<u64> {
        let record = process::read_record::<Self>(&instance.network_record());
        record.filter(|network| network.boot_id == boot_id()).map(|network| network.netns)
    }

    /// Takes a subnet: whoever is started next can be told its addresses. From whatever an earlier attempt left.
    pub(crate) fn claim(
        instance: &Instance,
        hub: &Hub,
        netns: u64,
        wanted: Option<Subnet>,
    ) -> Result<Self, NetworkError> {
        // Two instances that look for a free network at once would both find the same one.
        let _turn = lock::netns_lock()?;
        if let Some(network) = Self::claimed(instance, netns) {
            return Ok(network);
        }
        let left = forwarding::Plan::parse(&remembered(instance));
        remove(instance)?;
        let host = routes::Host::read()?;
        let last = process::read_record::<Last>(&instance.last_network()).map(|last| last.subnet);
        let subnet = host.choose(wanted, last)?;
        let link = instance.link();
        let forwarding = forwarding::Plan::of(&host, &link, &left);
        batch(
            &[],
            &format!(
                "link add {link} type veth peer name eth0 netns {pid}\n\
                 link set {link} alias \"{alias}\"\n\
                 address add {gateway}/24 dev {link}\n\
                 address add {services}/32 dev {link}\n\
                 link set {link} up\n",
                pid = hub.process.pid,
                alias = forwarding.alias(),
                gateway = subnet.gateway(),
                services = subnet.services(),
            ),
        )?;
        // Written down before it is done: a death in between must not make the change the machine's own.
        let forwarding = forwarding.alias();
        let network = Self { subnet, netns, forwarding, boot_id: boot_id(), rules: None };
        process::write_record(&instance.network_record(), &network)?;
        if last != Some(subnet) {
            process::write_record(&instance.last_network(), &Last { subnet })?;
        }
        Ok(network)
    }

    /// Does the rest for a network that was claimed. The result is what the user should know.
    pub(crate) fn complete(
        mut self,
        instance: &Instance,
        guest: &Guest,
        hub: &Hub,
        wanted: impl FnOnce(Subnet) -> Wanted,
    ) -> Result<Option<String>, NetworkError> {
        let _turn = lock::netns_lock()?;
        if self.rules.is_some() {
            return Ok(None);
        }
        let inside = format!("--net=/proc/{}/ns/net", hub.process.pid);
        batch(
            &[&inside],
            &format!(
                "address replace {}/24 dev eth0\nlink set eth0 up\nroute replace default via {}\n",
                self.subnet.guest(),
                self.subnet.gateway()
            ),
        )?;
        let wanted = wanted(self.subnet);
        let rules = wanted.rules(instance, gateway::ensure(instance, guest, &wanted.duty)?);
        // Closed before it is opened: the rules stand before the first packet may be forwarded.
        let forwarding = forwarding::Plan::parse(&self.forwarding);
        self.load(instance, rules)?;
        forwarding.apply(&instance.link())?;
        // What can't be asked is no reason for a warning.
        let reached = gateway::is_reached(guest, &hub.process, self.subnet).unwrap_or(true);
        Ok((!reached).then(|| {
            format!(
                "a firewall of this host drops what containers and distributions ask it for: they find no names, and no \
                 host.docker.internal. It has to let in what comes by {}: docs/troubleshooting.md says how",
                instance.link()
            )
        }))
    }

    /// Has the gateway and the rules do what is wanted, and puts back what somebody else took away: our table (`nft flush ruleset`), a
    /// forwarding switch, or the gateway.
    pub(crate) fn mend(
        &self,
        instance: &Instance,
        guest: &Guest,
        wanted: impl FnOnce(Subnet) -> Wanted,
    ) -> Result<(), NetworkError> {
        let link = instance.link();
        let wanted = wanted(self.subnet);
        let forwarding = forwarding::Plan::parse(&self.forwarding);
        // The kernel itself is asked: this is on the way of every start, and a program or two take as long as all the rest
        // of it. When it can't say, the rules are loaded once more, which changes nothing.
        let is_loaded = || nftables::has_table(&instance.nft_table()).unwrap_or(false);
        let rules = gateway::instruct(instance, &wanted.duty).map(|ports| wanted.rules(instance, ports));
        if rules.is_some() && rules == self.rules && is_loaded() && forwarding.is_applied(&link) {
            return Ok(());
        }
        let _turn = lock::netns_lock()?;
        let Some(mut network) = Self::find(instance, self.netns) else {
            // It was taken down meanwhile.
            return Ok(());
        };
        let rules = wanted.rules(instance, gateway::ensure(instance, guest, &wanted.duty)?);
        if network.rules != Some(rules) || !is_loaded() {
            network.load(instance, rules)?;
        }
        forwarding.apply(&link)
    }

    /// Loads the rules, and writes down which.
    fn load(&mut self, instance: &Instance, rules: Rules) -> Result<(), NetworkError> {
        let forwarding = forwarding::Plan::parse(&self.forwarding);
        let (table, link) = (instance.nft_table(), instance.link());
        let text = ruleset::text(&table, &link, self.subnet, &forwarding, rules);
        Tool::new("nft", LIMIT)?.args(["-f", "-"]).output_of(&text)?;
        self.rules = Some(rules);
        process::write_record(&instance.network_record(), self)?;
        Ok(())
    }

    /// Takes the network down; that there is none is no failure.
    pub(crate) fn take_down(instance: &Instance) -> Result<(), NetworkError> {
        let _turn = lock::netns_lock()?;
        remove(instance)?;
        let _ = std::fs::remove_file(instance.network_record());
        // Last: without a network nobody starts it again.
        Ok(gateway::stop(instance)?)
    }
}

/// What forwarding was, as the record of this boot says.
fn remembered(instance: &Instance) -> String {
    process::read_record::<Network>(&instance.network_record())
        .filter(|network| network.boot_id == boot_id())
        .map(|network| network.forwarding)
        .unwrap_or_default()
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Puts forwarding back and removes link and table: nothing is forwarded that the rules no longer watch.
fn remove(instance: &Instance) -> Result<(), NetworkError> {
    let link = instance.link();
    let there = routes::link_exists(&link);
    let remembered = remembered(instance);
    if there || !remembered.is_empty() {
        let host = routes::Host::read()?;
        let own = host.siblings.iter().find(|(name, _)| *name == link).map(|(_, alias)| alias.as_str());
        forwarding::Plan::parse(own.unwrap_or(&remembered)).restore(&host, &link)?;
    }
    // After a crash the kernel is taking the dead namespace apart, and the link with it, while this runs.
    if there
        && let Err(error) = batch(&[], &format!("link delete {link}\n"))
        && routes::link_exists(&link)
    {
        return Err(error);
    }
    let table = instance.nft_table();
    // Naming it first makes deleting it right whether it was there or not.
    match Tool::new("nft", LIMIT) {
        Ok(nft) => {
            nft.args(["-f", "-"])
                .output_of(&format!("table inet {table} {{\n}}\ndelete table inet {table}\n"))?;
        }
        // No nft, no table of ours.
        Err(ToolError::Missing { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// A batch for `ip`, in the network namespace that `nsenter` is told to enter, if any.
fn batch(nsenter: &[&str], commands: &str) -> Result<(), NetworkError> {
    let ip = Tool::new("ip", LIMIT)?;
    let tool = if nsenter.is_empty() {
        ip
    } else {
        Tool::new("nsenter", LIMIT)?.args(nsenter).arg("--").arg(ip.path())
    };
    tool.args(["-batch", "-"]).output_of(commands)?;
    Ok(())
}
