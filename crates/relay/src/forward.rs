//! Forwarders: from published ports to containers, and from the host's address to what listens at its loopback.
//!
//! The runtime's threads are in the network of the containers, so that what they connect from is there; the sockets that
//! clients come to may be from another one. A socket keeps the network in which it was made.

mod datagrams;
mod loopback;

pub use self::datagrams::serve_datagrams;
pub use self::loopback::serve_loopback;
pub(crate) use self::loopback::{connect, wanted};

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::splice;

/// The part of all descriptors that the connections of one listener may be in number. Each takes two, and four more while
/// much goes through it.
const SHARE: usize = 8;

/// After a connection could not be taken.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(200);

/// Forwards connections to `container` until the future is dropped; those that are open then end with it.
pub async fn serve_connections(listener: TcpListener, container: SocketAddr) {
    serve_each(listener, |client| async move {
        match TcpStream::connect(container).await {
            Ok(server) => join(&client, &server).await,
            // As a port looks at which nobody listens.
            Err(_) => reset(&client),
        }
    })
    .await;
}

/// Does with each client what `attend` does, until the future is dropped. There is an end to how many are served at once:
/// one port that is flooded leaves descriptors for all others.
pub(crate) async fn serve_each<F>(listener: TcpListener, attend: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let limit = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
    serve_at_most((limit / SHARE).max(1), listener, attend).await;
}

async fn serve_at_most<F>(most: usize, listener: TcpListener, attend: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut open = tokio::task::JoinSet::new();
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            // Who is one too many waits in the queue of the kernel.
            accepted = listener.accept(), if open.len() < most => if let Ok((client, _)) = accepted {
                pause = FIRST_PAUSE;
                open.spawn(attend(client));
            } else {
                // Out of descriptors or memory: who waits in the queue is served when a connection has ended.
                sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

/// Forwards between two connections until both have said all they had to say.
pub(crate) async fn join(client: &TcpStream, server: &TcpStream) {
    let ready = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    if ready.is_err() {
        return;
    }
    let both = async { tokio::try_join!(splice::one_way(client, server), splice::one_way(server, client)) };
    if both.await.is_err() {
        // One side broke off: so does the other, and no end of data is feigned.
        reset(client);
        reset(server);
    }
}

/// The peer sees the connection broken off when it is closed.
pub(crate) fn reset(stream: &TcpStream) {
    let _: Result<(), io::Error> = set_socket_linger(stream, Some(Duration::ZERO)).map_err(Into::into);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A forwarder to a listener of the test's.
    async fn forwarder() -> (TcpListener, SocketAddr, tokio::task::JoinHandle<()>) {
        let container = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (to, at) = (container.local_addr().unwrap(), front.local_addr().unwrap());
        (container, at, tokio::spawn(serve_connections(front, to)))
    }

    #[tokio::test]
    async fn each_direction_ends_alone() {
        let (container, at, _forwarder) = forwarder().await;
        let mut client = TcpStream::connect(at).await.unwrap();
        let (mut server, _) = container.accept().await.unwrap();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut said = String::new();
        server.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "question");
        server.write_all(b"the answer").await.unwrap();
        drop(server);
        said.clear();
        client.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "the answer");
    }

    #[tokio::test]
    async fn much_arrives_whole_in_both_directions_at_once() {
        const LENGTH: u32 = 8 << 20;
        let (container, at, _forwarder) = forwarder().await;
        let client = TcpStream::connect(at).await.unwrap();
        let (server, _) = container.accept().await.unwrap();
        let pattern = |seed: u32| (0..LENGTH).map(|at| (at / 7 + seed).to_le_bytes()[0]).collect::<Vec<u8>>();
        let talk = |stream: TcpStream, seed: u32| async move {
            let (mut reader, mut writer) = stream.into_split();
            let send = async {
                writer.write_all(&pattern(seed)).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            let receive = reader.read_to_end(&mut received);
            let ((), read) = tokio::join!(send, receive);
            read.unwrap();
            received
        };
        let (at_client, at_server) = tokio::join!(talk(client, 1), talk(server, 2));
        assert!(at_client == pattern(2) && at_server == pattern(1));
    }

    #[tokio::test]
    async fn what_breaks_off_breaks_off_on_the_other_side() {
        let (container, at, _forwarder) = forwarder().await;
        for server_breaks in [true, false] {
            let mut client = TcpStream::connect(at).await.unwrap();
            let (mut server, _) = container.accept().await.unwrap();
            client.write_all(b"x").await.unwrap();
            server.write_all(b"x").await.unwrap();
            client.read_exact(&mut [0]).await.unwrap();
            server.read_exact(&mut [0]).await.unwrap();
            let (broken, mut left) = if server_breaks { (server, client) } else { (client, server) };
            reset(&broken);
            drop(broken);
            let error = left.read(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn a_container_that_does_not_listen_refuses() {
        let (container, at, _forwarder) = forwarder().await;
        drop(container);
        let mut client = TcpStream::connect(at).await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn one_too_many_is_served_when_another_has_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let echo = |mut client: TcpStream| async move {
            let byte = client.read_u8().await.unwrap_or_default();
            let _ = client.write_u8(byte).await;
            let _ = client.read_u8().await;
        };
        let task = tokio::spawn(serve_at_most(1, listener, echo));
        let (mut first, mut second) =
            (TcpStream::connect(at).await.unwrap(), TcpStream::connect(at).await.unwrap());
        second.write_u8(2).await.unwrap();
        first.write_u8(1).await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), 1);
        assert_eq!(second.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        assert_eq!(second.read_u8().await.unwrap(), 2);
        task.abort();
    }

    #[tokio::test]
    async fn what_is_open_ends_with_the_port() {
        let (container, at, forwarder) = forwarder().await;
        let mut client = TcpStream::connect(at).await.unwrap();
        let (_server, _) = container.accept().await.unwrap();
        forwarder.abort();
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
        assert!(TcpStream::connect(at).await.is_err());
    }
}
