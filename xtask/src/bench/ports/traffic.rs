//! What goes over a port: a server in the container, and clients.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What clients and server hand to the kernel at once.
const PIECE: usize = 256 << 10;
/// Length of a message that is sent back, in bytes.
const MESSAGE: usize = 64;
/// Datagrams that are on their way at once.
const WINDOW: usize = 32;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A kind of traffic. What is counted is bytes, connections, or messages that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Clients send, over so many connections.
    Send(usize),
    /// Clients receive.
    Receive(usize),
    /// So many clients make connections, one after the other, with a short question and answer.
    Connections(usize),
    /// One message after the other, back and forth.
    Messages,
    /// The same as datagrams, some at once.
    Datagrams,
}

impl Load {
    pub(super) const ALL: [Self; 7] = [
        Self::Send(1),
        Self::Send(16),
        Self::Receive(1),
        Self::Receive(16),
        Self::Connections(8),
        Self::Messages,
        Self::Datagrams,
    ];

    pub(super) fn is_udp(self) -> bool {
        self == Self::Datagrams
    }

    /// What is measured.
    pub(super) fn name(self) -> String {
        match self {
            Self::Send(streams) => format!("sending, {streams} streams"),
            Self::Receive(streams) => format!("receiving, {streams} streams"),
            Self::Connections(clients) => format!("short connections, {clients} clients"),
            Self::Messages => format!("{MESSAGE} bytes back and forth, one after the other"),
            Self::Datagrams => format!("datagrams of {MESSAGE} bytes back and forth, {WINDOW} at once"),
        }
    }

    /// One of what is counted, for a column.
    pub(super) fn unit(self) -> (&'static str, f64) {
        match self {
            Self::Send(_) | Self::Receive(_) => ("GB/s", 1e9),
            Self::Connections(_) => ("connections/s", 1.0),
            Self::Messages | Self::Datagrams => ("round trips/s", 1.0),
        }
    }

    /// Makes this traffic for `spell` from the network `network` (none: this process's) to `to`. Returns how much per second.
    pub(super) fn run(self, network: Option<&Path>, to: SocketAddr, spell: Duration) -> Result<f64> {
        let clients = match self {
            Self::Send(clients) | Self::Receive(clients) | Self::Connections(clients) => clients,
            Self::Messages | Self::Datagrams => 1,
        };
        let since = Instant::now();
        let mut counted: u64 = 0;
        thread::scope(|scope| -> Result<()> {
            let client = || -> Result<u64> {
                if let Some(network) = network {
                    enter(&File::open(network)?)?;
                }
                Ok(self.client(to, Instant::now() + spell)?)
            };
            let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            for thread in threads {
                counted += thread.join().map_err(|_| anyhow!("a client panicked"))??;
            }
            Ok(())
        })
        .with_context(|| format!("{} to {to}", self.name()))?;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        Ok(counted as f64 / since.elapsed().as_secs_f64())
    }

    fn client(self, to: SocketAddr, until: Instant) -> io::Result<u64> {
        let mut counted = 0;
        let mut piece = vec![0; PIECE];
        match self {
            Self::Send(_) => {
                let mut stream = connect(to, b'S')?;
                while Instant::now() < until {
                    counted += stream.write(&piece)?;
                }
            }
            Self::Receive(_) => {
                let mut stream = connect(to, b'R')?;
                while Instant::now() < until {
                    counted += stream.read(&mut piece)?;
                }
            }
            Self::Connections(_) => {
                while Instant::now() < until {
                    let mut stream = connect(to, b'C')?;
                    stream.read_to_end(&mut Vec::new())?;
                    counted += 1;
                }
            }
            Self::Messages => {
                let mut stream = connect(to, b'M')?;
                stream.set_nodelay(true)?;
                while Instant::now() < until {
                    stream.write_all(&piece[..MESSAGE])?;
                    stream.read_exact(&mut piece[..MESSAGE])?;
                    counted += 1;
                }
            }
            Self::Datagrams => {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                socket.connect(to)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                for _ in 0..WINDOW {
                    socket.send(&piece[..MESSAGE])?;
                }
                while Instant::now() < until {
                    socket.recv(&mut piece)?;
                    socket.send(&piece[..MESSAGE])?;
                    counted += 1;
                }
            }
        }
        Ok(counted as u64)
    }
}

fn connect(to: SocketAddr, kind: u8) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[kind])?;
    Ok(stream)
}

/// Brings the calling thread, and nothing else, into a network namespace.
pub(super) fn enter(network: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// A server of all of these, for as long as this process lives.
#[derive(Debug)]
pub(super) struct Server;

impl Server {
    pub(super) fn start(network: File, port: u16) -> Result<Self> {
        let bind = move || -> io::Result<_> {
            enter(&network)?;
            Ok((TcpListener::bind(("0.0.0.0", port))?, UdpSocket::bind(("0.0.0.0", port))?))
        };
        let sockets = thread::spawn(bind).join().map_err(|_| anyhow!("the server panicked"))?;
        let (listener, datagrams) = sockets.context("cannot listen in the container")?;
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                // A client that leaves is no failure of the server's.
                thread::spawn(move || drop(serve(stream)));
            }
        });
        thread::spawn(move || {
            let mut buffer = [0; MESSAGE];
            while let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
                let _ = datagrams.send_to(&buffer[..length], from);
            }
        });
        Ok(Self)
    }
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    let mut piece = vec![0; PIECE];
    match kind[0] {
        b'S' => while stream.read(&mut piece)? > 0 {},
        b'R' => loop {
            stream.write_all(&piece)?;
        },
        b'M' => {
            stream.set_nodelay(true)?;
            loop {
                stream.read_exact(&mut piece[..MESSAGE])?;
                stream.write_all(&piece[..MESSAGE])?;
            }
        }
        _ => {
            stream.write_all(&piece[..MESSAGE])?;
            stream.shutdown(Shutdown::Write)?;
        }
    }
    Ok(())
}
