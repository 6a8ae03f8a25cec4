//! The disk of a distribution, opened beside everything else: mounting a large file system takes longer than all other
//! steps of a start together.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, anyhow};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sampan_model::guest::Answer;
use sampan_sys::mount::{self, FsOptions};
use sampan_sys::process::{self, Forked};
use sampan_sys::{loopdev, socket};

use crate::attach::{self, OPTIONS};
use crate::verb::{self, Told};

/// ext4 compares what it reads with a list of its own blocks, against damage that would spread. To make the list of a
/// large file system takes a third of the time of mounting it: so it is made while the rest of the start goes on, and no
/// session begins before.
const UNCHECKED: FsOptions<'_> = &[("noblock_validity", None)];
const CHECKED: FsOptions<'_> = &[("block_validity", None)];

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
                let told = open(image, read_only).and_then(|tree| {
                    tell(&theirs, &Answer::Done, Some(&tree))?;
                    if !read_only {
                        mount::reconfigure(&tree, CHECKED)?;
                    }
                    Ok(tell(&theirs, &Answer::Done, None)?)
                });
                if let Err(error) = told {
                    // With nobody left to tell, the image is closed again by the end of this process.
                    let _ = tell(&theirs, &verb::failed(&error), None);
                }
                process::exit_now(0)
            }
            Forked::Parent { pidfd, .. } => Ok(Self { connection: ours, process: pidfd }),
        }
    }

    /// The detached mount, when it is there.
    pub(super) fn tree(&self) -> anyhow::Result<OwnedFd> {
        self.hear()?.into_iter().next().context("the opened disk did not come")
    }

    /// Waits until the file system checks what it reads. To be asked for once, after the mount.
    pub(super) fn checked(&self) -> anyhow::Result<()> {
        self.hear().map(drop)
    }

    fn hear(&self) -> anyhow::Result<Vec<OwnedFd>> {
        let message = socket::recv_message(&self.connection)?;
        let message = message.context("the process that opens the disk died")?;
        match serde_json::from_slice(&message.bytes).context("the opened disk is not understood")? {
            Answer::Done => Ok(message.fds),
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
    let options: Vec<_> = OPTIONS.iter().chain(if read_only { &[] } else { UNCHECKED }).copied().collect();
    attach::open_device(loopdev::attach_cached(image)?, &options, read_only)
}

fn tell(connection: &OwnedFd, answer: &Answer, tree: Option<&OwnedFd>) -> sampan_sys::Result<()> {
    let bytes = serde_json::to_vec(answer).expect("an answer is plain data");
    socket::send_message(connection, &bytes, &Vec::from_iter(tree.map(AsFd::as_fd)))
}
