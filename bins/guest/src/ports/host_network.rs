//! Containers in the engine's own network (`--network host`): where they listen, the host is listened for, too.
//!
//! The kernel tells nobody that a socket begins to listen, or to take datagrams. So it is asked, and only while there is such a container: often
//! right after one has started, now and then later.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sampan_model::ports::{Binding, Protocol};
use sampan_relay::docker::{self, Comings, DockerError, HostContainer};
use sampan_sys::socket::{Listening, Transport, listening};
use tokio::time::{Instant, sleep};

use super::{Forwarder, Port};
use crate::engine::DOCKER_SOCKET;
use crate::verb;

/// A server listens soon after its start, and is looked for this often for so long.
const EARLY: Duration = Duration::from_millis(250);
const START: Duration = Duration::from_secs(5);
/// How often later: one that begins to listen while it runs is there within this time.
const LATER: Duration = Duration::from_secs(2);
/// How long dockerd may take to answer, and how long it is left alone when it does not.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Watch {
    /// What is served, by the socket that listens inside; none: it can't be.
    served: HashMap<Listening, Vec<Port>>,
    /// Sockets of UDP that were there the last time. Clients have such, too, for as long as a question takes: one that is there
    /// twice is a server's.
    seen: HashSet<Listening>,
}

/// Serves what such containers listen at, until the future is dropped.
pub(super) async fn follow(forwarder: &Arc<Forwarder>) {
    let mut watch = Watch::default();
    loop {
        // dockerd is being started, or has ended. What is served is so until it is known that it has gone.
        let _: Result<(), DockerError> = follow_dockerd(forwarder, &mut watch).await;
        sleep(PAUSE).await;
    }
}

async fn follow_dockerd(forwarder: &Arc<Forwarder>, watch: &mut Watch) -> Result<(), DockerError> {
    let socket = Path::new(DOCKER_SOCKET);
    let mut comings = Comings::subscribe(socket, PATIENCE).await?;
    loop {
        let containers = docker::host_containers(socket, PATIENCE).await?;
        let since = Instant::now();
        loop {
            watch.align(forwarder, &containers).await;
            let look_again = async {
                if containers.is_empty() {
                    std::future::pending::<()>().await;
                }
                sleep(if since.elapsed() < START { EARLY } else { LATER }).await;
            };
            tokio::select! {
                goes_on = comings.next() => {
                    if !goes_on {
                        return Ok(());
                    }
                    break;
                }
                () = look_again => {}
            }
        }
    }
}

impl Watch {
    /// Brings what is served in line with what listens.
    async fn align(&mut self, forwarder: &Arc<Forwarder>, containers: &[HostContainer]) {
        let all = if containers.is_empty() { Vec::new() } else { listening().unwrap_or_default() };
        let gone: Vec<Listening> = self.served.keys().filter(|one| !all.contains(one)).copied().collect();
        for one in gone {
            for port in self.served.remove(&one).unwrap_or_default() {
                port.close().await;
            }
        }
        let is_settled = |one: &Listening| one.transport == Transport::Tcp || self.seen.contains(one);
        let new: Vec<Listening> =
            all.iter().filter(|one| !self.served.contains_key(one) && is_settled(one)).copied().collect();
        self.seen = all.into_iter().filter(|one| one.transport == Transport::Udp).collect();
        if new.is_empty() {
            return;
        }
        let owners = owners(containers);
        for one in new {
            let name = owners.iter().find(|(_, inodes)| inodes.contains(&one.inode)).map(|(name, _)| *name);
            let mut ports = Vec::new();
            for binding in name.map(|_| bindings(one)).unwrap_or_default() {
                match forwarder.publish_outside(binding, name.unwrap_or_default()).await {
                    Ok(port) => ports.push(port),
                    Err(sentence) => verb::log(&format!("--network host, {binding}: {sentence}")),
                }
            }
            // What is somebody else's, or can't be served, is remembered as well: it is not tried again.
            self.served.insert(one, ports);
        }
    }
}

/// Where a socket is to be reached on the host, and inside. One that is at some address of the network alone is not meant for
/// the host.
fn bindings(one: Listening) -> Vec<Binding> {
    let port = one.address.port();
    let protocol = match one.transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
    };
    let binding = |host: IpAddr, inside: IpAddr| Binding {
        protocol,
        host: SocketAddr::new(host, port),
        container: SocketAddr::new(inside, port),
    };
    let four = binding(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into());
    let six = binding(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into());
    match one.address.ip() {
        ip if ip.is_loopback() => vec![binding(ip, ip)],
        IpAddr::V4(ip) if ip.is_unspecified() => vec![four],
        IpAddr::V6(ip) if ip.is_unspecified() && one.one_family => vec![six],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![four, six],
        _ => Vec::new(),
    }
}

/// The sockets of each container.
fn owners(containers: &[HostContainer]) -> Vec<(&str, HashSet<u32>)> {
    let mut owners: Vec<(&str, HashSet<u32>)> =
        containers.iter().map(|container| (container.name.as_str(), HashSet::new())).collect();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    for process in processes {
        // The cgroup of a container is named after it, whoever manages cgroups.
        let groups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        let owner = containers.iter().position(|container| groups.contains(&container.id));
        if let Some(owner) = owner {
            owners[owner].1.extend(inodes(&process));
        }
    }
    owners
}

/// The sockets of a process; none of one that has just ended.
fn inodes(process: &Path) -> Vec<u32> {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let inode = |link: PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    descriptors.filter_map(|entry| inode(fs::read_link(entry.path()).ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_served_where_it_is_meant() {
        let of = |address: &str, one_family| {
            let (transport, address) = (Transport::Tcp, address.parse().unwrap());
            bindings(Listening { transport, address, one_family, inode: 1 })
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("0.0.0.0:80", true), ["tcp 0.0.0.0 80 127.0.0.1 80"]);
        assert_eq!(of("127.0.0.2:80", true), ["tcp 127.0.0.2 80 127.0.0.2 80"]);
        assert_eq!(of("[::1]:80", true), ["tcp ::1 80 ::1 80"]);
        assert_eq!(of("[::]:80", true), ["tcp :: 80 ::1 80"]);
        assert_eq!(of("[::]:80", false), ["tcp 0.0.0.0 80 127.0.0.1 80", "tcp :: 80 ::1 80"]);
        assert_eq!(of("192.168.65.3:80", true), [] as [&str; 0]);
    }

    #[test]
    fn sockets_of_a_process_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = inodes(Path::new("/proc/self"));
        let address = listener.local_addr().unwrap();
        let found = listening().unwrap().into_iter().find(|one| one.address == address).unwrap();
        assert!(own.contains(&found.inode));
    }
}
