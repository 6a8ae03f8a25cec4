//! UDP: each client has a socket of its own towards the container, so that answers find their way back.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sampan_sys::SysError;
use sampan_sys::socket::{receive_datagram, send_datagram, tell_destinations};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

/// How long a client that was not answered yet is remembered after its last word, and one that was: as long as connection
/// tracking does it (`nf_conntrack_udp_timeout`, `nf_conntrack_udp_timeout_stream`).
const UNANSWERED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_mins(3);

/// How many clients a port remembers. The one that was silent longest makes room for the next.
const MOST: usize = 1024;

/// The longest datagram there is.
const LONGEST: usize = 65_535;

/// Who asked, and which of the host's addresses.
type Client = (SocketAddr, Option<IpAddr>);

/// Forwards datagrams to `container`, and its answers back, until the future is dropped.
pub async fn serve_datagrams(socket: UdpSocket, container: SocketAddr) {
    let Ok(local) = socket.local_addr() else { return };
    // At one address answers come from there in any case.
    let is_wild = local.ip().is_unspecified() && tell_destinations(&socket, local.is_ipv6()).is_ok();
    let front = Arc::new(Front { socket, is_wild });
    let flows = Flows::default();
    let mut answers = JoinSet::new();
    // One for all clients.
    let mut buffer = vec![0; LONGEST];
    loop {
        while answers.try_join_next().is_some() {}
        // An error is of a datagram before, which did not reach its client.
        let Ok((length, client)) = front.receive(&mut buffer).await else { continue };
        // Out of descriptors: lost, as datagrams may be.
        let Ok(socket) = flows.socket_of(client, &front, container, &mut answers).await else { continue };
        // An error is about the datagram before, which nobody there took, and keeps this one from being sent.
        if socket.send(&buffer[..length]).await.is_err() {
            let _ = socket.send(&buffer[..length]).await;
        }
    }
}

/// The socket that clients talk to.
struct Front {
    socket: UdpSocket,
    is_wild: bool,
}

impl Front {
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Client)> {
        if !self.is_wild {
            let (length, from) = self.socket.recv_from(buffer).await?;
            return Ok((length, (from, None)));
        }
        let read = || receive_datagram(&self.socket, buffer).map_err(|error| kernel_s(&error));
        let arrival = self.socket.async_io(Interest::READABLE, read).await?;
        Ok((arrival.length, (arrival.from, arrival.to)))
    }

    async fn send(&self, bytes: &[u8], (to, from): Client) -> io::Result<()> {
        let write = || send_datagram(&self.socket, bytes, to, from).map_err(|error| kernel_s(&error));
        self.socket.async_io(Interest::WRITABLE, write).await
    }
}

/// What is remembered of a client.
struct Flow {
    socket: Arc<UdpSocket>,
    /// Whether it has said something since that was looked at last.
    spoke: Arc<AtomicBool>,
    since: Instant,
    task: AbortHandle,
}

#[derive(Clone, Default)]
struct Flows(Arc<Mutex<HashMap<Client, Flow>>>);

impl Flows {
    fn lock(&self) -> MutexGuard<'_, HashMap<Client, Flow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket that a client has towards the container, made when there is none.
    async fn socket_of(
        &self,
        client: Client,
        front: &Arc<Front>,
        container: SocketAddr,
        answers: &mut JoinSet<()>,
    ) -> io::Result<Arc<UdpSocket>> {
        if let Some(flow) = self.lock().get(&client) {
            flow.spoke.store(true, Ordering::Relaxed);
            return Ok(Arc::clone(&flow.socket));
        }
        let (socket, spoke) = (Arc::new(towards(container).await?), Arc::new(AtomicBool::new(true)));
        self.make_room();
        let (flow_s, own) = (Arc::clone(&socket), Arc::clone(&spoke));
        let task = answers.spawn(answer(Arc::clone(front), self.clone(), client, flow_s, own));
        let flow = Flow { socket: Arc::clone(&socket), spoke, since: Instant::now(), task };
        self.lock().insert(client, flow);
        Ok(socket)
    }

    /// Forgets the oldest of those who are silent, or the oldest of all, when there are too many.
    fn make_room(&self) {
        let mut flows = self.lock();
        if flows.len() < MOST {
            return;
        }
        let oldest = flows.iter().min_by_key(|(_, flow)| (flow.spoke.load(Ordering::Relaxed), flow.since));
        if let Some(client) = oldest.map(|(client, _)| *client)
            && let Some(flow) = flows.remove(&client)
        {
            flow.task.abort();
        }
    }
}

/// A socket in the container's network that talks to it alone.
async fn towards(container: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match container {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(container).await?;
    Ok(socket)
}

/// Passes a container's answers to one client, until both have been silent for long.
async fn answer(
    front: Arc<Front>,
    flows: Flows,
    client: Client,
    container: Arc<UdpSocket>,
    spoke: Arc<AtomicBool>,
) {
    let mut patience = UNANSWERED;
    let mut deadline = Instant::now() + patience;
    loop {
        let readable = timeout_at(deadline, container.readable()).await;
        match readable {
            Ok(_) => {
                // Whoever is silent holds none, and it is not filled with zeroes for every datagram.
                let mut buffer = Vec::with_capacity(LONGEST);
                while container.try_recv_buf(&mut buffer).is_ok() {
                    patience = ANSWERED;
                    let _ = front.send(&buffer, client).await; // who has gone misses nothing
                    buffer.clear();
                }
                // Nothing more, or nobody listens there (ICMP says so): the client may try again.
                tokio::task::yield_now().await;
            }
            Err(_) if spoke.swap(false, Ordering::Relaxed) => {}
            Err(_) => break,
        }
        deadline = Instant::now() + patience;
    }
    flows.lock().remove(&client);
}

fn kernel_s(error: &SysError) -> io::Error {
    error.errno().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port in front of a server that says what it heard, and from whom it heard it.
    async fn port(at: &str) -> SocketAddr {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let container = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = vec![0; LONGEST];
            loop {
                let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                server.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        let front = UdpSocket::bind(at).await.unwrap();
        let address = front.local_addr().unwrap();
        tokio::spawn(serve_datagrams(front, container));
        address
    }

    async fn client(server: SocketAddr) -> UdpSocket {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(server).await.unwrap();
        client
    }

    #[tokio::test]
    async fn each_client_gets_its_own_answers_from_the_address_it_asked() {
        let all = port("0.0.0.0:0").await;
        let one = port("127.0.0.1:0").await;
        for asked in [
            SocketAddr::new([127, 0, 0, 7].into(), all.port()),
            SocketAddr::new([127, 0, 0, 1].into(), all.port()),
            one,
        ] {
            let (first, second) = (client(asked).await, client(asked).await);
            first.send(b"of the first").await.unwrap();
            second.send(b"of the second").await.unwrap();
            let mut buffer = [0; 64];
            for (client, expected) in [(&second, &b"of the second"[..]), (&first, b"of the first")] {
                let length = client.recv(&mut buffer).await.unwrap();
                assert_eq!(&buffer[..length], expected, "{asked}");
            }
        }
    }

    #[tokio::test]
    async fn empty_and_the_longest_datagrams_arrive_whole() {
        let at = port("127.0.0.1:0").await;
        let client = client(at).await;
        for length in [0, 1, 1472, 9000, 65_507] {
            let sent: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[0]).collect();
            client.send(&sent).await.unwrap();
            let mut buffer = vec![0; LONGEST];
            let received = client.recv(&mut buffer).await.unwrap();
            assert!(buffer[..received] == sent, "{length}");
        }
    }

    #[tokio::test]
    async fn a_port_remembers_no_more_clients_than_it_may_and_serves_all() {
        let at = port("127.0.0.1:0").await;
        for number in 0..MOST + 50 {
            let client = client(at).await;
            client.send(&number.to_le_bytes()).await.unwrap();
            let mut buffer = [0; 16];
            let length = client.recv(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], number.to_le_bytes());
        }
    }
}
