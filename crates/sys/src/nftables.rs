//! The kernel's packet filter, asked without a program: which tables there are, and when something changes.
//!
//! Numbers and layouts are those of `linux/netlink.h`, `linux/netfilter/nfnetlink.h` and
//! `linux/netfilter/nf_tables.h`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::{Context, Result};
use crate::poll;

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE`.
const GET_TABLE: u16 = 10 << 8 | 1;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE`: the answer.
const NEW_TABLE: u16 = 10 << 8;
/// `NLMSG_ERROR`: a negative error number follows the header.
const ERROR: u16 = 2;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NFPROTO_INET`.
const INET: u8 = 1;
/// `NFTA_TABLE_NAME`.
const TABLE_NAME: u16 = 1;

/// The group of `NFNLGRP_NFTABLES` (7) as a bit.
const CHANGES: u32 = 1 << 6;

/// Length of `struct nlmsghdr`.
const HEADER: u32 = 16;

/// Whether the calling thread's network namespace has a table `name` of the family `inet`. Needs `CAP_NET_ADMIN`; an
/// error also when the kernel has no `nf_tables`.
pub fn has_table(name: &str) -> Result<bool> {
    const WHAT: &str = "look for the table";
    let flags = SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER))
            .on(WHAT, name)?;
    let question = question(name).on(WHAT, name)?;
    rustix::net::sendto(&socket, &question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))
        .on(WHAT, name)?;
    let mut answer = [0; 1024];
    // The kernel has answered when it takes the question: there is nothing to wait for.
    let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::DONTWAIT).on(WHAT, name)?;
    understood(&answer[..length.min(answer.len())]).on(WHAT, name)
}

/// Hears of changes of the packet filter, whoever makes them.
#[derive(Debug)]
pub struct Changes(OwnedFd);

impl Changes {
    /// Of the calling thread's network namespace, from now on.
    pub fn subscribe() -> Result<Self> {
        const WHAT: &str = "listen for changes of";
        const OBJECT: &str = "the packet filter";
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = Some(netlink::NETFILTER);
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, kind)
            .on(WHAT, OBJECT)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, CHANGES)).on(WHAT, OBJECT)?;
        Ok(Self(socket))
    }

    /// Waits until something has changed and nothing more has for `quiet`, or changes have gone on for five times that; or
    /// until `process`, a pidfd, has ended, and then for the same time.
    pub fn wait(&self, quiet: Duration, process: Option<&OwnedFd>) -> Result<()> {
        let awaited: Vec<BorrowedFd<'_>> =
            [Some(&self.0), process].into_iter().flatten().map(AsFd::as_fd).collect();
        poll::wait_readable(&awaited, None)?;
        let end = Instant::now() + quiet * 5;
        let mut message = [0; 4096];
        while poll::wait_for(&self.0, Some(quiet))? {
            match rustix::net::recv(&self.0, &mut message[..], RecvFlags::DONTWAIT) {
                // More than the socket holds: that much has changed.
                Ok(_) | Err(Errno::NOBUFS | Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error).on("listen for changes of", "the packet filter"),
            }
            if Instant::now() > end {
                break;
            }
        }
        Ok(())
    }
}

fn question(name: &str) -> std::result::Result<Vec<u8>, Errno> {
    // An attribute: its length, its type, the name with a zero byte, and zeroes up to a multiple of four.
    let attribute = u16::try_from(4 + name.len() + 1).map_err(|_| Errno::NAMETOOLONG)?;
    let padded = attribute.checked_next_multiple_of(4).ok_or(Errno::NAMETOOLONG)?;
    let length = u32::from(padded) + HEADER + 4;
    let mut bytes = Vec::new();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(GET_TABLE.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // Number of the question, and who asks: one question per socket needs neither.
    bytes.extend([0; 8]);
    // `struct nfgenmsg`: family, version, resource.
    bytes.extend([INET, 0, 0, 0]);
    bytes.extend(attribute.to_ne_bytes());
    bytes.extend(TABLE_NAME.to_ne_bytes());
    bytes.extend(name.as_bytes());
    bytes.resize(length as usize, 0);
    Ok(bytes)
}

/// What the answer says. An error message has the number right after its header.
fn understood(answer: &[u8]) -> std::result::Result<bool, Errno> {
    let kind = answer.get(4..6).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
    let body = answer.get(HEADER as usize..).and_then(|body| body.first_chunk());
    let number = body.map(|bytes| i32::from_ne_bytes(*bytes));
    match (kind, number) {
        (Some(NEW_TABLE), _) => Ok(true),
        (Some(ERROR), Some(number)) => match Errno::from_raw_os_error(-number) {
            Errno::NOENT => Ok(false),
            errno => Err(errno),
        },
        _ => Err(Errno::BADMSG),
    }
}
