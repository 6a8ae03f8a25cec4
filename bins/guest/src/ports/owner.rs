//! Which process has a port, for the user whose container can't have it.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use sampan_model::ports::Protocol;

/// The state of a TCP socket that listens (`TCP_LISTEN` in `include/net/tcp_states.h`).
const LISTENING: &str = "0A";

/// The process that keeps others from `address` in the network of the calling thread: `nginx (pid 77)`. `processes` is the
/// `/proc` in which it is looked for.
pub(super) fn of(processes: &File, protocol: Protocol, address: SocketAddr) -> Option<String> {
    let sockets = ["", "6"].iter().flat_map(|family| {
        let table =
            fs::read_to_string(format!("/proc/thread-self/net/{protocol}{family}")).unwrap_or_default();
        holders(&table, protocol, address)
    });
    let wanted: Vec<String> = sockets.map(|inode| format!("socket:[{inode}]")).collect();
    let root = PathBuf::from(format!("/proc/self/fd/{}", processes.as_raw_fd()));
    let pids = fs::read_dir(&root)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        let process = root.join(pid.to_string());
        // One that ends meanwhile is not the one.
        let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut links = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        if links.any(|link| wanted.iter().any(|socket| link.as_os_str() == socket.as_str())) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// The inodes of the sockets in a table of the kernel's (`/proc/net/tcp`, proc(5)) that conflict with `address`.
fn holders(table: &str, protocol: Protocol, address: SocketAddr) -> Vec<u64> {
    let conflicts = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let local = parse_address(local)?;
        let meets =
            local.ip() == address.ip() || local.ip().is_unspecified() || address.ip().is_unspecified();
        let listens = protocol == Protocol::Udp || *state == LISTENING;
        (local.port() == address.port() && meets && listens).then(|| inode.parse().ok()).flatten()
    };
    table.lines().skip(1).filter_map(conflicts).collect()
}

/// `0100007F:1F90`: the words of the address in the byte order of the machine.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, piece) in bytes.chunks_exact_mut(4).enumerate() {
                piece.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_is_named() {
        let proc = File::open("/proc").unwrap();
        let own = format!("(pid {})", std::process::id());
        for at in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let listener = std::net::TcpListener::bind(at).unwrap();
            let address = listener.local_addr().unwrap();
            let owner = of(&proc, Protocol::Tcp, address).unwrap();
            assert!(owner.ends_with(&own), "{owner}");
            let all = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            assert!(of(&proc, Protocol::Tcp, all).is_some(), "whoever wants all addresses meets it, too");
            assert_eq!(of(&proc, Protocol::Udp, address), None);
        }
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(of(&proc, Protocol::Udp, socket.local_addr().unwrap()).unwrap().ends_with(&own));
    }

    #[test]
    fn tables_of_the_kernel_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1 x\n\
             1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 78 1 x\n\
             garbage\n";
        let holders = |address: &str| holders(table, Protocol::Tcp, address.parse().unwrap());
        if cfg!(target_endian = "little") {
            assert_eq!(holders("127.0.0.1:8080"), [77]);
            assert_eq!(holders("0.0.0.0:8080"), [77]);
            assert_eq!(holders("127.0.0.2:8080"), [] as [u64; 0]);
            assert_eq!(holders("127.0.0.1:8081"), [] as [u64; 0]);
        }
    }
}
