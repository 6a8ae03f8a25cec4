//! A running part: a child of the supervisor, or one of its predecessor's that it adopted.

use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use anyhow::Context;
use sampan_model::guest::ProcessId;
use sampan_sys::process::{self, ProcessRecord, Signal};
use tokio::io::unix::AsyncFd;

use super::part::{PATH, Part};
use super::readable::readable;
use super::tools;
use crate::verb;

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Exit {
    /// With this status.
    Known(ExitStatus),
    /// Only a parent learns the status, and this process had another one.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Known(status) = self else { return f.write_str("ended") };
        match (status.code(), status.signal()) {
            (Some(code), _) => write!(f, "ended with exit status {code}"),
            (None, Some(signal)) => write!(f, "was killed by signal {signal}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

/// A process that is watched. Dropping it leaves the process alone.
#[derive(Debug)]
pub(super) struct Process {
    id: ProcessId,
    pidfd: AsyncFd<OwnedFd>,
    child: Option<Child>,
}

impl Process {
    /// Starts a part, its output at the end of `log`.
    pub(super) fn spawn(part: Part, log: File) -> anyhow::Result<Self> {
        let program = part
            .program()
            .with_context(|| format!("there is no program {part} in the engine image (looked in {PATH})"))?;
        let mut child = tools::start(&program, &part.arguments(), part.environment(), log)
            .with_context(|| format!("cannot execute {}", program.display()))?;
        match identify(&child) {
            Ok((id, pidfd)) => Ok(Self { id, pidfd, child: Some(child) }),
            Err(error) => {
                // Unwatched it must not stay.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Takes over a process that runs already; `None` when it is gone.
    pub(super) fn adopt(id: ProcessId) -> anyhow::Result<Option<Self>> {
        let Some(pidfd) = verb::open_process(&id)? else { return Ok(None) };
        Ok(Some(Self { id, pidfd: watch(pidfd)?, child: None }))
    }

    pub(super) fn id(&self) -> &ProcessId {
        &self.id
    }

    /// Waits for its end. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> Exit {
        if self.pidfd.readable().await.is_err() {
            // Only at the end of the runtime.
            return std::future::pending().await;
        }
        // Ended already, so this only collects the status.
        let status = self.child.as_mut().map(Child::wait);
        status.and_then(Result::ok).map_or(Exit::Unknown, Exit::Known)
    }

    /// Nothing happens when it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = process::pidfd_send_signal(self.pidfd.get_ref(), signal) {
            verb::log(&verb::chain(&error.into()));
        }
    }
}

fn identify(child: &Child) -> anyhow::Result<(ProcessId, AsyncFd<OwnedFd>)> {
    let pid = child.id().cast_signed();
    let id = verb::process_id(ProcessRecord::of(pid)?);
    Ok((id, watch(process::pidfd_open(pid)?)?))
}

fn watch(pidfd: OwnedFd) -> anyhow::Result<AsyncFd<OwnedFd>> {
    readable(pidfd).context("cannot watch a process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        let told = |raw| Exit::Known(ExitStatus::from_raw(raw)).to_string();
        assert_eq!(told(1 << 8), "ended with exit status 1");
        assert_eq!(told(9), "was killed by signal 9");
        assert_eq!(Exit::Unknown.to_string(), "ended");
    }
}
