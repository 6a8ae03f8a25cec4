//! The disk of a distribution, opened beside everything else: mounting a large file system takes longer than all other
//! steps of a start together.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, anyhow};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sampan_model::guest::Answer;
use sampan_sys::process::{self, Forked};
use sampan_sys::{loopdev, socket};

use crate::attach;
use crate::verb::{self, Told};

/// An image that is being opened by a process of its own.
pub(super) struct Opening {
    connection: OwnedFd,
    process: OwnedFd,
}

impl Opening {
    /// Begins. The process it makes ends by itself, whatever becomes of this one.
    pub(super) fn begin(image: &Path, read_only: bool) -> anyhow::Result<Self> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .context("cannot make a pair of sockets")?;
        match process::fork_plain()? {
            Forked::Child => {
                drop(ours);
                // With nobody left to tell, the image is closed again by the end of this process.
                let _ = match open(image, read_only) {
                    Ok(tree) => tell(&theirs, &Answer::Done, Some(&tree)),
                    Err(error) => tell(&theirs, &verb::failed(&error), None),
                };
                process::exit_now(0)
            }
            Forked::Parent { pidfd, .. } => Ok(Self { connection: ours, process: pidfd }),
        }
    }

    /// The detached mount, when it is there.
    pub(super) fn finish(self) -> anyhow::Result<OwnedFd> {
        let message = socket::recv_message(&self.connection)?;
        let message = message.context("the process that opens the disk died")?;
        match serde_json::from_slice(&message.bytes).context("the opened disk is not understood")? {
            Answer::Done => message.fds.into_iter().next().context("the opened disk did not come"),
            Answer::Failed { message, busy } => Err(Told { message, busy }.into()),
            other @ Answer::Started { .. } => Err(anyhow!("the opened disk is not understood: {other:?}")),
        }
    }
}

impl Drop for Opening {
    /// Waits for the end of the process, which holds the mount: whoever unmounts or repairs the disk next would be refused.
    fn drop(&mut self) {
        let process = rustix::process::WaitId::PidFd(self.process.as_fd());
        let _ = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(process.clone(), rustix::process::WaitIdOptions::EXITED)
        });
    }
}

/// What a start reads was read by the start before: it is in the host's cache, if it goes through that.
fn open(image: &Path, read_only: bool) -> anyhow::Result<OwnedFd> {
    attach::open_device(loopdev::attach_cached(image)?, read_only)
}

fn tell(connection: &OwnedFd, answer: &Answer, tree: Option<&OwnedFd>) -> sampan_sys::Result<()> {
    let bytes = serde_json::to_vec(answer).expect("an answer is plain data");
    socket::send_message(connection, &bytes, &Vec::from_iter(tree.map(AsFd::as_fd)))
}
