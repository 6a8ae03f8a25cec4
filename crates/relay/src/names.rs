//! A DNS relay: it answers for a few names itself, and passes all else on to the host's resolvers, byte for byte
//! (RFC 1035, RFC 7766).
//!
//! Nothing is cached: the host's own resolver does that, and knows when an answer is stale.

mod lookup;
mod message;
mod resolvers;
mod upstream;

pub use self::resolvers::Resolvers;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sampan_model::gateway::{Duty, HiddenRecords, address_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use self::message::{Kind, Question, Reply};

/// Questions that wait for a resolver at once; more are told that it failed.
const MOST_QUESTIONS: usize = 1024;
/// Connections at once; more wait until one has ended.
const MOST_CONNECTIONS: usize = 256;
/// How long a connection may say nothing (RFC 7766, 6.2.3: a few seconds).
const IDLE: Duration = Duration::from_secs(10);
/// The longest message (RFC 1035, 4.2.2), and room for every datagram.
const LONGEST: usize = 65_535;
/// After something could not be received.
const PAUSE: Duration = Duration::from_millis(20);

/// What answers questions.
#[derive(Debug)]
pub struct Names {
    duty: watch::Receiver<Duty>,
    resolvers: Resolvers,
    questions: Semaphore,
    connections: Arc<Semaphore>,
}

/// What is to be done with a question.
enum Task {
    /// It is answered already.
    Answered(Vec<u8>),
    /// The host's resolvers are to be asked.
    PassOn,
    /// It is no question.
    Ignore,
}

impl Names {
    /// For those in the network of `duty`, which says what they are told.
    pub fn new(duty: watch::Receiver<Duty>, resolvers: Resolvers) -> Arc<Self> {
        Arc::new(Self {
            duty,
            resolvers,
            questions: Semaphore::new(MOST_QUESTIONS),
            connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        })
    }

    /// Answers on both sockets until the future is dropped.
    pub async fn serve(self: Arc<Self>, datagrams: UdpSocket, connections: TcpListener) {
        tokio::join!(self.serve_datagrams(Arc::new(datagrams)), self.serve_connections(connections));
    }

    async fn serve_datagrams(self: &Arc<Self>, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0; LONGEST];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
                // An answer that could not be delivered comes back as an error, too.
                sleep(PAUSE).await;
                continue;
            };
            if !self.is_of_ours(client) {
                continue;
            }
            match self.look(&buffer[..length]) {
                Task::Ignore => {}
                Task::Answered(answer) => drop(socket.send_to(&answer, client).await),
                Task::PassOn => {
                    let (names, socket, query) =
                        (Arc::clone(self), Arc::clone(&socket), buffer[..length].to_vec());
                    tokio::spawn(async move {
                        let answer = names.pass_on(&query, false).await;
                        let _ = socket.send_to(&answer, client).await;
                    });
                }
            }
        }
    }

    async fn serve_connections(self: &Arc<Self>, listener: TcpListener) {
        loop {
            let permit = Arc::clone(&self.connections).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, client)) if self.is_of_ours(client) => {
                    let names = Arc::clone(self);
                    tokio::spawn(async move {
                        let _ = names.talk(stream).await;
                        drop(permit);
                    });
                }
                Ok(_) => {}
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// One question after the other, until the client has no more.
    async fn talk(&self, mut stream: TcpStream) -> io::Result<()> {
        while let Ok(query) = timeout(IDLE, receive(&mut stream)).await {
            let query = query?;
            let answer = match self.look(&query) {
                Task::Ignore => return Ok(()),
                Task::Answered(answer) => answer,
                Task::PassOn => self.pass_on(&query, true).await,
            };
            timeout(IDLE, send(&mut stream, &answer)).await??;
        }
        Ok(())
    }

    fn look(&self, query: &[u8]) -> Task {
        let question = match Question::of_query(query) {
            Ok(Some(question)) => question,
            Ok(None) => return Task::Ignore,
            Err(refused) => return Task::Answered(refused),
        };
        let (subnet, hidden) = {
            let duty = self.duty.borrow();
            (duty.subnet, duty.hidden)
        };
        let own = address_of(&question.name, subnet);
        let hidden = match hidden {
            HiddenRecords::None => false,
            HiddenRecords::Ipv4 => question.kind == Kind::A,
            HiddenRecords::Ipv6 => question.kind == Kind::Aaaa,
        };
        // An empty answer, not "no such name": the name may have addresses of the other kind, which musl looks for in
        // the same breath.
        match own {
            Some(address) if question.kind == Kind::A && !hidden => {
                Task::Answered(question.reply(query, Reply::Address(address)))
            }
            Some(_) => Task::Answered(question.reply(query, Reply::Empty)),
            None if hidden => Task::Answered(question.reply(query, Reply::Empty)),
            None => Task::PassOn,
        }
    }

    /// The answer of the host's resolvers, or that there is none.
    async fn pass_on(&self, query: &[u8], by_stream: bool) -> Vec<u8> {
        let answer = match self.questions.try_acquire() {
            Ok(_permit) => upstream::ask(&self.resolvers.now(), query, by_stream).await,
            Err(_) => None,
        };
        answer.unwrap_or_else(|| match Question::of_query(query) {
            Ok(Some(question)) => question.reply(query, Reply::Failure),
            _ => Vec::new(),
        })
    }

    fn is_of_ours(&self, client: SocketAddr) -> bool {
        match client.ip() {
            IpAddr::V4(address) => self.duty.borrow().subnet.contains(address) || address.is_loopback(),
            IpAddr::V6(_) => false,
        }
    }
}

/// Receives a message with its length before it (RFC 1035, 4.2.2).
async fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    // In one piece: some servers want that (RFC 7766, 8).
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

#[cfg(test)]
mod tests;
