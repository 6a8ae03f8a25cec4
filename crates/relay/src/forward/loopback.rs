//! From an address of the host, as distributions see it, to what listens at the host's loopback.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::sockopt::ip_original_dst;
use sampan_model::gateway::{Duty, HostLoopback};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{join, reset, serve_each};

/// Forwards each connection to the port of the loopback that its client asked for, if that `duty` allows it, until the
/// future is dropped. The packet filter has led them all to `listener`, and knows where they wanted to go.
pub async fn serve_loopback(listener: TcpListener, duty: watch::Receiver<Duty>) {
    serve_each(listener, |client| {
        let allowed = duty.borrow().loopback.clone();
        async move {
            // Who came by itself, without the packet filter, wanted nothing that can be known.
            let Ok(wanted) = wanted(&client) else { return reset(&client) };
            match connect(wanted.port(), &allowed).await {
                Ok(server) => join(&client, &server).await,
                Err(_) => reset(&client),
            }
        }
    })
    .await;
}

/// Where `client` wanted to go before the packet filter led it here.
pub(crate) fn wanted(client: &TcpStream) -> io::Result<SocketAddr> {
    let wanted = SocketAddr::V4(ip_original_dst(client)?);
    if wanted == client.local_addr()? {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(wanted)
}

/// A connection to a port of the host's loopback, if that is allowed.
pub(crate) async fn connect(port: u16, allowed: &HostLoopback) -> io::Result<TcpStream> {
    if !allowed.allows(port) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(server) => Ok(server),
        Err(_) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await,
    }
}

#[cfg(test)]
mod tests {
    use sampan_model::network::Subnet;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn both_loopbacks_are_tried_and_what_is_not_allowed_is_not() {
        let four = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let six = TcpListener::bind("[::1]:0").await.unwrap();
        for listener in [&four, &six] {
            let port = listener.local_addr().unwrap().port();
            assert!(connect(port, &HostLoopback::All).await.is_ok());
            assert!(connect(port, &HostLoopback::Ports(vec![port])).await.is_ok());
            for refused in [HostLoopback::Off, HostLoopback::Ports(vec![port - 1])] {
                let error = connect(port, &refused).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            }
        }
    }

    #[tokio::test]
    async fn who_was_not_led_here_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (_duty, receiver) = watch::channel(Duty::new(Subnet::DEFAULT));
        let task = tokio::spawn(serve_loopback(listener, receiver));
        let mut client = TcpStream::connect(at).await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        task.abort();
    }
}
