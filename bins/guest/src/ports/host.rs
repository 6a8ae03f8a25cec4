//! The host's network, by a thread that is in it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::mpsc;

use anyhow::Context;
use rustix::io::Errno;
use sampan_model::ports::Protocol;
use sampan_sys::namespace::{self, Namespaces};
use tokio::sync::oneshot;

use super::listen::listen_marked;
use super::owner;

/// What is asked of the thread.
enum Question {
    Listen(Protocol, SocketAddr, oneshot::Sender<Result<OwnedFd, Errno>>),
    Owner(Protocol, SocketAddr, oneshot::Sender<Option<String>>),
}

/// The host.
pub(super) struct Host(mpsc::Sender<Question>);

impl Host {
    /// Sends a thread into `network`, the host's; `processes` is the host's `/proc`. `mark` is put on what listens at all
    /// addresses of IPv4, for rules that lead its clients on.
    pub(super) fn start(network: File, processes: File, mark: Option<u32>) -> anyhow::Result<Self> {
        let (questions, asked) = mpsc::channel();
        let (entered, there) = mpsc::channel();
        // This thread alone changes its network, for good.
        std::thread::Builder::new()
            .name("host".to_owned())
            .spawn(move || {
                let went = namespace::enter(&network, Namespaces::NET);
                let is_there = went.is_ok();
                drop(network);
                if entered.send(went).is_ok() && is_there {
                    for question in asked {
                        answer(question, &processes, mark);
                    }
                }
            })
            .context("cannot start a thread")?;
        there.recv().context("the thread in the host's network ended")??;
        Ok(Self(questions))
    }

    /// A socket that listens on the host.
    pub(super) async fn listen(&self, protocol: Protocol, address: SocketAddr) -> Result<OwnedFd, Errno> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.send(Question::Listen(protocol, address, answer));
        // Nobody answers only when the thread has died.
        answered.await.unwrap_or(Err(Errno::IO))
    }

    /// Who has a port of the host: `nginx (pid 77)`.
    pub(super) async fn owner(&self, protocol: Protocol, address: SocketAddr) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Question::Owner(protocol, address, answer)).ok()?;
        answered.await.ok().flatten()
    }
}

fn answer(question: Question, processes: &File, mark: Option<u32>) {
    // Who asked may have left.
    match question {
        Question::Listen(protocol, address, answer) => {
            let mark = mark.filter(|_| address.ip() == Ipv4Addr::UNSPECIFIED);
            drop(answer.send(listen_marked(protocol, address, mark)));
        }
        Question::Owner(protocol, address, answer) => {
            drop(answer.send(owner::of(processes, protocol, address)));
        }
    }
}
