//! Asking the host's resolvers.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::message::{is_answer, is_refusal};
use super::{LONGEST, receive, send};

/// How long one resolver is waited for before the next is asked, too; the first goes on being waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// dockerd's own resolver gives up after 4 s, and containers then hear of a time-out instead of a failure.
const LONGEST_WAIT: Duration = Duration::from_millis(3400);
/// Questions sent for one of a client's: a datagram may be lost.
const ATTEMPTS: usize = 3;

/// The first answer that any of `resolvers` has, with the number of the query; a refusal only when no other has one.
pub(super) async fn ask(resolvers: &[SocketAddr], query: &[u8], by_stream: bool) -> Option<Vec<u8>> {
    let end = Instant::now() + LONGEST_WAIT;
    let mut left = resolvers.iter().copied().cycle().take(ATTEMPTS.max(resolvers.len()));
    let mut asked = JoinSet::new();
    let mut refusal = None;
    loop {
        if let Some(resolver) = left.next() {
            let query = query.to_vec();
            asked.spawn(async move {
                if by_stream {
                    by_connection(resolver, &query).await
                } else {
                    by_datagram(resolver, &query).await
                }
            });
        } else if asked.is_empty() {
            return refusal;
        }
        tokio::select! {
            // Whoever refuses or can't be reached: the next one is asked at once.
            Some(answer) = asked.join_next() => match answer {
                Ok(Ok(answer)) if !is_refusal(&answer) => return Some(answer),
                Ok(Ok(answer)) => refusal = Some(answer),
                _ => {}
            },
            () = sleep_until(end.min(Instant::now() + PATIENCE)) => if Instant::now() >= end {
                return refusal;
            },
        }
    }
}

/// Asks with a port and a number that nobody can guess: others could answer otherwise.
async fn by_datagram(resolver: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    let sent = renumbered(query, number()?);
    socket.send(&sent).await?;
    loop {
        // That nobody listens there is an error, and nothing to read.
        let answer = socket.async_io(Interest::READABLE | Interest::ERROR, || receive_one(&socket)).await?;
        if is_answer(&answer, &sent) {
            return Ok(renumbered(&answer, [query[0], query[1]]));
        }
    }
}

/// The room for the largest datagram is needed for a moment, and not for as long as one waits.
fn receive_one(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(LONGEST);
    recv(socket, spare_capacity(&mut buffer), RecvFlags::DONTWAIT)?;
    buffer.shrink_to_fit();
    Ok(buffer)
}

async fn by_connection(resolver: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    send(&mut stream, query).await?;
    let answer = receive(&mut stream).await?;
    if is_answer(&answer, query) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn renumbered(message: &[u8], number: [u8; 2]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[..2].copy_from_slice(&number);
    message
}

fn number() -> io::Result<[u8; 2]> {
    let mut number = [0; 2];
    rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty())?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_waited_for_where_nobody_listens() {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let asked = tokio::time::timeout(Duration::from_secs(20), by_datagram(free, &[0; 12])).await;
        assert_eq!(asked.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
