//! Datagrams with the address at which they arrived: a socket that listens at all addresses has to answer from the one that
//! was asked (ip(7) `IP_PKTINFO`, ipv6(7) `IPV6_RECVPKTINFO`).

use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use crate::error::{Result, SysError, last_errno};

/// A datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// How many bytes of the buffer it fills.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The address it was sent to; none unless [`tell_destinations`] was asked.
    pub to: Option<IpAddr>,
}

/// Room for one control message, aligned as the kernel wants it.
#[repr(C)]
union Control {
    _align: libc::cmsghdr,
    bytes: [u8; 64],
}

/// From now on each datagram comes with the address it was sent to.
pub fn tell_destinations(socket: impl AsFd, version_six: bool) -> Result<()> {
    let (level, option) = if version_six {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    };
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).expect("4 bytes");
    // SAFETY: both options take an int, which `on` is, of `length` bytes.
    let result = unsafe {
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, (&raw const on).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(SysError::new("ask for destinations on", "a socket", last_errno())) }
}

/// Receives a datagram; what does not fit into `buffer` is lost. EAGAIN when there is none on a socket that does not block.
pub fn receive_datagram(socket: impl AsFd, buffer: &mut [u8]) -> Result<Arrival> {
    let mut name = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut control = Control { bytes: [0; 64] };
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut message = empty_message();
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>()).expect("128 bytes");
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>();
    // SAFETY: `message` points to a name, one piece and room for control messages, each as long as it says, and all of them
    // outlive the call.
    let received =
        unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let Ok(length) = usize::try_from(received) else {
        return Err(SysError::new("receive from", "a socket", last_errno()));
    };
    // SAFETY: all zeroes is a valid value, and the kernel has written an address over it.
    let name = unsafe { name.assume_init() };
    let Some(from) = read_address(&name) else {
        return Err(SysError::new("receive from", "a socket", rustix::io::Errno::AFNOSUPPORT));
    };
    Ok(Arrival { length, from, to: destination(&message) })
}

/// Sends a datagram, from this address of the host if one is given.
pub fn send_datagram(socket: impl AsFd, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>) -> Result<()> {
    let mut name = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut control = Control { bytes: [0; 64] };
    let mut piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut message = empty_message();
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = write_address(&mut name, to);
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    match from {
        Some(IpAddr::V4(address)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: of_v4(address),
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            attach(&mut message, &mut control, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        Some(IpAddr::V6(address)) => {
            let info = libc::in6_pktinfo { ipi6_addr: of_v6(address), ipi6_ifindex: 0 };
            attach(&mut message, &mut control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
        None => {}
    }
    // SAFETY: `message` points to a name, one piece, which is only read, and the control message that `attach` has written,
    // each as long as it says, and all of them outlive the call.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    if sent >= 0 { Ok(()) } else { Err(SysError::new("send to", to.to_string(), last_errno())) }
}

fn empty_message() -> libc::msghdr {
    // SAFETY: `msghdr` is plain old data with pointers, for which all zeroes means nothing at all.
    unsafe { std::mem::zeroed() }
}

/// Makes `info` the one control message.
fn attach<T: Copy>(message: &mut libc::msghdr, control: &mut Control, level: i32, kind: i32, info: T) {
    let size = u32::try_from(size_of::<T>()).expect("a few bytes");
    message.msg_control = (&raw mut *control).cast();
    // SAFETY: CMSG_SPACE and CMSG_LEN only compute. The room is aligned for a header and, with 64 bytes, longer than a
    // header and the largest `info` (20 bytes); CMSG_FIRSTHDR and CMSG_DATA point into it.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const *message);
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(size) as usize;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(info);
    }
}

/// The address that a received message says it was sent to.
fn destination(message: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the kernel has filled in the control messages and their length; the macros walk within that.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const *message) };
    while !header.is_null() {
        // SAFETY: the macros gave a header within the control messages.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if (level, kind) == (libc::IPPROTO_IP, libc::IP_PKTINFO) {
            // SAFETY: the data of this kind is an `in_pktinfo`, wherever it is aligned.
            let info: libc::in_pktinfo =
                unsafe { libc::CMSG_DATA(header).cast::<libc::in_pktinfo>().read_unaligned() };
            return Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))));
        }
        if (level, kind) == (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
            // SAFETY: the data of this kind is an `in6_pktinfo`, wherever it is aligned.
            let info: libc::in6_pktinfo =
                unsafe { libc::CMSG_DATA(header).cast::<libc::in6_pktinfo>().read_unaligned() };
            return Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
        }
        // SAFETY: as for the first one.
        header = unsafe { libc::CMSG_NXTHDR(&raw const *message, header) };
    }
    None
}

fn read_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is this kind, and the storage is large and aligned enough for each kind.
            let address = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            Some(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Writes an address; its length.
fn write_address(name: &mut MaybeUninit<libc::sockaddr_storage>, address: SocketAddr) -> libc::socklen_t {
    let length = match address {
        SocketAddr::V4(address) => {
            let written = libc::sockaddr_in {
                sin_family: libc::sa_family_t::try_from(libc::AF_INET).expect("a small number"),
                sin_port: address.port().to_be(),
                sin_addr: of_v4(*address.ip()),
                sin_zero: [0; 8],
            };
            // SAFETY: the storage is large and aligned enough for each kind of address.
            unsafe { name.as_mut_ptr().cast::<libc::sockaddr_in>().write(written) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            let written = libc::sockaddr_in6 {
                sin6_family: libc::sa_family_t::try_from(libc::AF_INET6).expect("a small number"),
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: of_v6(*address.ip()),
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: as above.
            unsafe { name.as_mut_ptr().cast::<libc::sockaddr_in6>().write(written) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    libc::socklen_t::try_from(length).expect("28 bytes at most")
}

fn of_v4(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from(address).to_be() }
}

fn of_v6(address: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr { s6_addr: address.octets() }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn an_answer_comes_from_the_address_that_was_asked() {
        for (all, asked) in [("0.0.0.0:0", "127.0.0.7"), ("[::]:0", "::1")] {
            let server = UdpSocket::bind(all).unwrap();
            let asked: IpAddr = asked.parse().unwrap();
            tell_destinations(&server, asked.is_ipv6()).unwrap();
            let at = SocketAddr::new(asked, server.local_addr().unwrap().port());
            let client = UdpSocket::bind(SocketAddr::new(
                if asked.is_ipv6() { asked } else { "127.0.0.1".parse().unwrap() },
                0,
            ))
            .unwrap();
            client.connect(at).unwrap();
            client.send(b"question").unwrap();
            let mut buffer = [0; 64];
            let arrival = receive_datagram(&server, &mut buffer).unwrap();
            assert_eq!(&buffer[..arrival.length], b"question");
            assert_eq!((arrival.from, arrival.to), (client.local_addr().unwrap(), Some(asked)));
            send_datagram(&server, b"answer", arrival.from, arrival.to).unwrap();
            // The client takes nothing from another address.
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"answer");
        }
    }

    #[test]
    fn who_did_not_ask_is_told_no_destination() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        send_datagram(&client, b"", server.local_addr().unwrap(), None).unwrap();
        let arrival = receive_datagram(&server, &mut [0; 4]).unwrap();
        assert_eq!((arrival.length, arrival.to), (0, None));
        server.set_nonblocking(true).unwrap();
        assert_eq!(receive_datagram(&server, &mut [0; 4]).unwrap_err().errno(), rustix::io::Errno::AGAIN);
    }
}
