//! Sockets that listen, in the network of the calling thread.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use sampan_model::ports::Protocol;
use socket2::SockRef;

/// Clients that may wait to be accepted; the kernel's own limit (`net.core.somaxconn`) is lower on most systems.
const BACKLOG: i32 = 4096;

/// A socket at `address` that does not block.
pub(super) fn listen_at(protocol: Protocol, address: SocketAddr) -> Result<OwnedFd, Errno> {
    listen_marked(protocol, address, None)
}

/// The same, with a mark (`SO_MARK`), which takes `CAP_NET_ADMIN`.
pub(super) fn listen_marked(
    protocol: Protocol,
    address: SocketAddr,
    mark: Option<u32>,
) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if address.is_ipv6() {
        // dockerd asks for both families, one after the other.
        set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // Connections that have just ended keep nobody from listening.
        set_socket_reuseaddr(&socket, true)?;
    }
    if let Some(mark) = mark {
        // First of all: from the first client on.
        SockRef::from(&socket)
            .set_mark(mark)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    }
    bind(&socket, &address)?;
    if protocol == Protocol::Tcp {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn what_is_taken_is_refused_and_families_do_not_meet() {
        let free = |address: &str, protocol| {
            let socket = listen_at(protocol, address.parse().unwrap())?;
            let address = match protocol {
                Protocol::Tcp => TcpListener::from(socket.try_clone().unwrap()).local_addr(),
                Protocol::Udp => UdpSocket::from(socket.try_clone().unwrap()).local_addr(),
            };
            Ok((socket, address.unwrap()))
        };
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let (_held, address) = free("0.0.0.0:0", protocol).unwrap();
            assert_eq!(listen_at(protocol, address).unwrap_err(), Errno::ADDRINUSE);
            let six = SocketAddr::new("::".parse().unwrap(), address.port());
            assert!(listen_at(protocol, six).is_ok());
            let other = SocketAddr::new("192.0.2.1".parse().unwrap(), 0);
            assert_eq!(listen_at(protocol, other).unwrap_err(), Errno::ADDRNOTAVAIL);
            let _: Result<_, Errno> = free("127.0.0.1:0", protocol);
        }
    }
}
