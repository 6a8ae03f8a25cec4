//! `sampan-guest ports POLICY [host-networking] [mark=NUMBER]`: the forwarder of published ports, one for all of them.
//!
//! It lives beside dockerd, so that it ends with the containers and with nothing else. Its threads are in the network that
//! the distributions share, where containers are reached by any network of theirs; one thread is in the host's and makes
//! the sockets there. A port is served for as long as the connection lasts on which it was asked for.

mod host;
mod host_network;
mod listen;
mod owner;
mod table;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::io::Errno;
use sampan_model::ports::{self, Binding, PortBinding, Protocol, Published};
use sampan_relay::forward::{serve_connections, serve_datagrams};
use sampan_sys::process::inherited_fd;
use sampan_sys::socket::{SocketKind, bind_unix_listener, listen, recv_fds};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, UdpSocket, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::host::Host;
use self::listen::listen_at;
use self::table::Table;
use crate::engine::{inherited_listener, into_async};
use crate::{descriptors, verb};

/// Programs that ask for a port at once, as for a range of them.
const BACKLOG: i32 = 4096;
/// The longest request.
const LONGEST: usize = 512;
/// dockerd's program says what it wants when it connects.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a port that is being given back may take, and how often it is looked for.
const RELEASE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);
/// After a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(20);
/// More would not be faster: the work is the kernel's.
const MOST_THREADS: usize = 4;

/// Runs until SIGTERM.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    // First of all, while nothing else has opened descriptors.
    let list = inherited_listener("SAMPAN_FD_PORTS")?;
    let (network, processes) = (inherited("SAMPAN_FD_HOSTNET")?, inherited("SAMPAN_FD_HOSTPROC")?);
    let policy = args.first().map(String::as_str).unwrap_or_default();
    let policy = PortBinding::from_word(policy).with_context(|| format!("there is no policy `{policy}`"))?;
    let host_networking = args.iter().any(|word| word == ports::HOST_NETWORKING);
    let mark = args.iter().find_map(|word| word.strip_prefix(ports::MARK)).map(str::parse).transpose();
    let mark = mark.context("the mark is a number")?;
    descriptors::raise_limit();
    let host = Host::start(network, processes, mark)?;
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(MOST_THREADS));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            let forwarder = Arc::new(Forwarder { host, policy, table: Table::default() });
            let socket = bind_unix_listener(Path::new(ports::SOCKET), SocketKind::Stream, 0o600, None)?;
            listen(&socket, BACKLOG)?;
            let requests = into_async(socket.into())?;
            let list = into_async(list)?;
            let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
            tokio::select! {
                () = serve_requests(requests, &forwarder) => {}
                () = serve_list(list, &forwarder) => {}
                () = host_network::follow(&forwarder), if host_networking => {}
                _ = terminate.recv() => {}
            }
            Ok(())
        })
}

fn inherited(variable: &str) -> anyhow::Result<File> {
    let number = std::env::var(variable).ok().and_then(|text| text.parse().ok());
    let number = number.with_context(|| format!("{variable} does not hold the number of a descriptor"))?;
    Ok(inherited_fd(number)?.into())
}

struct Forwarder {
    host: Host,
    policy: PortBinding,
    table: Table,
}

/// The sockets of a port.
struct Sockets {
    on_host: Option<(SocketAddr, OwnedFd)>,
    inside: Option<OwnedFd>,
}

async fn serve_requests(listener: UnixListener, forwarder: &Arc<Forwarder>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(attend(client, Arc::clone(forwarder)))),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Tells whoever connects what is published, and hangs up.
async fn serve_list(listener: UnixListener, forwarder: &Forwarder) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let rows = serde_json::to_vec(&forwarder.table.rows()).expect("rows are plain data");
        tokio::spawn(async move { timeout(PATIENCE, client.write_all(&rows)).await });
    }
}

/// Serves a port for as long as its connection lasts.
async fn attend(mut client: UnixStream, forwarder: Arc<Forwarder>) {
    let Ok(Ok((line, handed))) = timeout(PATIENCE, request(&client)).await else { return };
    let granted = match line.parse::<Binding>() {
        Ok(binding) => forwarder.publish(binding, handed).await,
        Err(error) => Err(error.to_string()),
    };
    match granted {
        Ok(port) => {
            // Its end is all that it still has to say.
            if client.write_all(b"0\n").await.is_ok() {
                let _ = client.read(&mut [0]).await;
            }
            port.close().await;
        }
        Err(sentence) => {
            verb::log(&format!("{}: {sentence}", line.trim_end()));
            let _ = client.write_all(format!("1\n{sentence}").as_bytes()).await;
        }
    }
}

/// The request, and the socket that came with it.
async fn request(client: &UnixStream) -> io::Result<(String, Option<OwnedFd>)> {
    let (mut line, mut handed) = (Vec::new(), None);
    while !line.ends_with(b"\n") && line.len() < LONGEST {
        let mut piece = [0; LONGEST];
        let read = || recv_fds(client, &mut piece).map_err(|error| io::Error::from(error.errno()));
        let received = client.async_io(Interest::READABLE, read).await?;
        if received.length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(&piece[..received.length]);
        handed = handed.or(received.fds.into_iter().next());
    }
    Ok((String::from_utf8_lossy(&line).trim_end().to_owned(), handed))
}

/// A port that is served.
struct Port {
    forwarder: Arc<Forwarder>,
    row: u64,
    tasks: JoinSet<()>,
}

impl Port {
    /// Ends what is open, then lets others have the port.
    async fn close(mut self) {
        self.tasks.shutdown().await;
        self.forwarder.table.remove(self.row);
    }
}

impl Forwarder {
    /// Serves a port. The error is for the user; dockerd puts words before it and a full stop behind.
    async fn publish(self: &Arc<Self>, binding: Binding, handed: Option<OwnedFd>) -> Result<Port, String> {
        let asked = binding.on_host(self.policy).map_err(|error| error.to_string())?;
        let sockets = self.sockets(binding, asked, handed).await?;
        let mut tasks = JoinSet::new();
        let row = Published {
            binding,
            on_host: sockets.on_host.as_ref().map(|(address, _)| *address),
            inside: sockets.inside.is_some(),
            name: None,
        };
        for socket in sockets.on_host.map(|(_, socket)| socket).into_iter().chain(sockets.inside) {
            serve(binding, socket, &mut tasks)
                .map_err(|error| format!("cannot serve {} {}: {error}", binding.protocol, binding.host))?;
        }
        Ok(Port { forwarder: Arc::clone(self), row: self.table.add(row), tasks })
    }

    /// Serves a port on the host alone: inside the container itself has it.
    async fn publish_outside(self: &Arc<Self>, binding: Binding, name: &str) -> Result<Port, String> {
        let asked = binding.on_host(self.policy).map_err(|error| error.to_string())?;
        let socket = self.on_host(binding.protocol, asked).await?;
        let row = Published {
            binding,
            on_host: socket.is_some().then_some(asked),
            inside: true,
            name: Some(name.to_owned()),
        };
        let mut tasks = JoinSet::new();
        if let Some(socket) = socket {
            serve(binding, socket, &mut tasks)
                .map_err(|error| format!("cannot serve {} {}: {error}", binding.protocol, binding.host))?;
        }
        Ok(Port { forwarder: Arc::clone(self), row: self.table.add(row), tasks })
    }

    async fn sockets(
        &self,
        binding: Binding,
        asked: SocketAddr,
        handed: Option<OwnedFd>,
    ) -> Result<Sockets, String> {
        let protocol = binding.protocol;
        // The host first: that is where it may be taken.
        let on_host = self.on_host(protocol, asked).await?.map(|socket| (asked, socket));
        let inside = match handed {
            Some(socket) => Ok(socket),
            None => self.listen(Side::Inside, protocol, binding.host).await,
        };
        let inside = match inside {
            Ok(socket) => Some(socket),
            Err(error) if is_elsewhere(error) => None,
            Err(Errno::ADDRINUSE) => {
                return Err(format!(
                    "{}: address already in use in the network of the distributions",
                    failed(protocol, binding.host)
                ));
            }
            Err(error) => return Err(format!("{}: {}", failed(protocol, binding.host), words(error))),
        };
        if on_host.is_none() && inside.is_none() && !asked.ip().is_unspecified() {
            return Err(format!("{}: cannot assign requested address", failed(protocol, asked)));
        }
        Ok(Sockets { on_host, inside })
    }

    /// A socket on the host; none: the address is not the host's.
    async fn on_host(&self, protocol: Protocol, asked: SocketAddr) -> Result<Option<OwnedFd>, String> {
        match self.listen(Side::Host, protocol, asked).await {
            Ok(socket) => Ok(Some(socket)),
            Err(error) if is_elsewhere(error) => Ok(None),
            Err(Errno::ADDRINUSE) => {
                let own = self.table.holder(protocol, asked).and_then(|port| port.name);
                let by = match own {
                    Some(name) => format!("by the container {name}"),
                    None => match self.host.owner(protocol, asked).await {
                        Some(owner) => format!("by {owner} on the host"),
                        None => "on the host".to_owned(),
                    },
                };
                Err(format!("{}: address already in use {by}", failed(protocol, asked)))
            }
            Err(error) => Err(format!("{}: {}", failed(protocol, asked), words(error))),
        }
    }

    /// A socket at `address`. Tries again for a while when the port was one of ours just now: dockerd has seen its program
    /// end, and this process may be about to.
    async fn listen(&self, side: Side, protocol: Protocol, address: SocketAddr) -> Result<OwnedFd, Errno> {
        let deadline = Instant::now() + RELEASE;
        loop {
            let result = match side {
                Side::Host => self.host.listen(protocol, address).await,
                Side::Inside => listen_at(protocol, address),
            };
            match result {
                Err(Errno::ADDRINUSE) if self.table.has(protocol, address) && Instant::now() < deadline => {
                    sleep(LOOK).await;
                }
                result => return result,
            }
        }
    }
}

/// Where a socket is made.
#[derive(Debug, Clone, Copy)]
enum Side {
    Host,
    Inside,
}

/// As dockerd's own proxy begins it: `listen tcp4 0.0.0.0:80: bind`.
fn failed(protocol: Protocol, address: SocketAddr) -> String {
    let family = if address.is_ipv4() { 4 } else { 6 };
    format!("listen {protocol}{family} {address}: bind")
}

/// Go's words, which users know, for what the kernel says.
fn words(error: Errno) -> String {
    match error {
        Errno::ACCESS => "permission denied".to_owned(),
        Errno::MFILE | Errno::NFILE => "too many open files".to_owned(),
        error => error.to_string(),
    }
}

/// Whether the address belongs to another network, or the machine knows none of its kind.
fn is_elsewhere(error: Errno) -> bool {
    matches!(error, Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT)
}

fn serve(binding: Binding, socket: OwnedFd, tasks: &mut JoinSet<()>) -> io::Result<()> {
    match binding.protocol {
        Protocol::Tcp => {
            let listener = std::net::TcpListener::from(socket);
            listener.set_nonblocking(true)?;
            tasks.spawn(serve_connections(TcpListener::from_std(listener)?, binding.container));
        }
        Protocol::Udp => {
            let socket = std::net::UdpSocket::from(socket);
            socket.set_nonblocking(true)?;
            tasks.spawn(serve_datagrams(UdpSocket::from_std(socket)?, binding.container));
        }
    }
    Ok(())
}
