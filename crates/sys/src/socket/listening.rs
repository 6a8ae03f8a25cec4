//! Sockets that listen, asked of the kernel (`sock_diag(7)`).
//!
//! Numbers and layouts are those of `linux/netlink.h`, `linux/sock_diag.h` and `linux/inet_diag.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::{Context, Result};

/// What a socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Connections of TCP.
    Tcp,
    /// Datagrams of UDP.
    Udp,
}

/// A TCP socket that listens, or a UDP socket that takes datagrams from everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Listening {
    /// What it takes.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// Whether it is at the address of that family alone; one at `::` may be at all of IPv4, too.
    pub one_family: bool,
    /// The number by which `/proc/PID/fd` names it: `socket:[inode]`.
    pub inode: u32,
}

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;

impl Transport {
    /// `IPPROTO_TCP` with the state `TCP_LISTEN`, as a bit; `IPPROTO_UDP` with `TCP_CLOSE`, which is that of a socket with no
    /// other side.
    fn numbers(self) -> (u8, u32) {
        match self {
            Self::Tcp => (6, 1 << 10),
            Self::Udp => (17, 1 << 7),
        }
    }
}

/// `INET_DIAG_SKV6ONLY`: an attribute of one byte.
const ONE_FAMILY: u16 = 11;

/// Lengths of `struct nlmsghdr`, `struct inet_diag_req_v2` and `struct inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const MESSAGE: usize = 72;

/// All in the calling thread's network namespace, of both transports and families. A kernel that can't be asked about UDP
/// (`udp_diag`) has none of that.
pub fn listening() -> Result<Vec<Listening>> {
    const WHAT: &str = "list";
    const OBJECT: &str = "sockets that listen";
    let flags = SocketFlags::CLOEXEC;
    let kind = Some(netlink::SOCK_DIAG);
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, kind).on(WHAT, OBJECT)?;
    let mut found = Vec::new();
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        dump(&socket, Transport::Tcp, family, &mut found).on(WHAT, OBJECT)?;
        match dump(&socket, Transport::Udp, family, &mut found) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error).on(WHAT, OBJECT),
        }
    }
    Ok(found)
}

fn dump(
    socket: &OwnedFd,
    transport: Transport,
    family: AddressFamily,
    found: &mut Vec<Listening>,
) -> std::result::Result<(), Errno> {
    let question = request(transport, u8::try_from(family.as_raw()).expect("2 and 10"));
    rustix::net::sendto(socket, &question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut buffer = vec![0; 32 << 10];
    loop {
        // The kernel writes the next part when this one is taken: there is nothing to wait for.
        let (length, _) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
        if !understand(&buffer[..length.min(buffer.len())], transport, found)? {
            return Ok(());
        }
    }
}

fn request(transport: Transport, family: u8) -> Vec<u8> {
    let (protocol, states) = transport.numbers();
    let length = u32::try_from(HEADER + REQUEST).expect("72");
    let mut bytes = Vec::new();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    // Number of the question, and who asks: one question at a time needs neither.
    bytes.extend([0; 8]);
    bytes.extend([family, protocol, 0, 0]);
    bytes.extend(states.to_ne_bytes());
    // Of no address in particular.
    bytes.resize(HEADER + REQUEST, 0);
    bytes
}

/// Reads messages; whether more are to come.
fn understand(
    mut messages: &[u8],
    transport: Transport,
    found: &mut Vec<Listening>,
) -> std::result::Result<bool, Errno> {
    while messages.len() >= HEADER {
        let length = u32_at(messages, 0).ok_or(Errno::BADMSG)? as usize;
        let message =
            messages.get(..length).filter(|message| message.len() >= HEADER).ok_or(Errno::BADMSG)?;
        match u16_at(message, 4).ok_or(Errno::BADMSG)? {
            DONE => return Ok(false),
            ERROR => {
                let number = u32_at(message, HEADER).ok_or(Errno::BADMSG)?;
                return Err(Errno::from_raw_os_error(number.cast_signed().wrapping_neg()));
            }
            BY_FAMILY => found.extend(socket(transport, &message[HEADER..])),
            _ => {}
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

/// Family, state, two bytes; then the port and 16 bytes of address, and from byte 68 on the inode.
fn socket(transport: Transport, message: &[u8]) -> Option<Listening> {
    let port = u16::from_be_bytes(*message.get(4..6)?.first_chunk()?);
    let ip: IpAddr = if u16::from(message[0]) == AddressFamily::INET.as_raw() {
        Ipv4Addr::from(*message.get(8..12)?.first_chunk::<4>()?).into()
    } else {
        Ipv6Addr::from(*message.get(8..24)?.first_chunk::<16>()?).into()
    };
    let inode = u32_at(message, MESSAGE - 4)?;
    let mut attributes = message.get(MESSAGE..).unwrap_or_default();
    let mut one_family = ip.is_ipv4();
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        if kind == ONE_FAMILY {
            one_family |= attributes.get(4).is_some_and(|only| *only != 0);
        }
        // A length of nothing would go on for ever.
        let length = usize::from(length).max(4).next_multiple_of(4);
        attributes = attributes.get(length..).unwrap_or_default();
    }
    Some(Listening { transport, address: SocketAddr::new(ip, port), one_family, inode })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..at + 2)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..at + 4)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn those_of_this_process_are_found_until_they_are_closed() {
        for at in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(at).unwrap();
            let address = listener.local_addr().unwrap();
            let inode = rustix::fs::fstat(listener.as_fd()).unwrap().st_ino;
            let of_it = || {
                let all = listening().unwrap();
                all.into_iter().find(|one| one.address == address && u64::from(one.inode) == inode)
            };
            let found = of_it().unwrap();
            // Rust's listeners at `::` are at all of IPv4, too, where the machine does not say otherwise.
            let only = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").unwrap();
            assert_eq!(found.one_family, at != "[::]:0" || only.trim() == "1", "{at}");
            drop(listener);
            assert_eq!(of_it(), None);
        }
    }

    #[test]
    fn a_socket_for_datagrams_is_found_until_it_has_another_side() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let found = || {
            listening()
                .unwrap()
                .into_iter()
                .any(|one| (one.transport, one.address) == (Transport::Udp, address))
        };
        assert!(found());
        socket.connect("127.0.0.1:9").unwrap();
        assert!(!found());
    }

    #[test]
    fn answers_that_are_cut_off_are_refused() {
        assert_eq!(
            understand(&[200, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Transport::Tcp, &mut Vec::new()),
            Err(Errno::BADMSG)
        );
        assert_eq!(understand(&[], Transport::Tcp, &mut Vec::new()), Ok(true));
        assert_eq!(socket(Transport::Tcp, &[2; 20]), None);
    }
}
