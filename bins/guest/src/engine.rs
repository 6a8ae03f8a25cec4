//! `sampan-guest engine`: keeps containerd and dockerd running, and tells on a socket how they are.
//!
//! One loop ([`supervisor`]) owns both processes and decides; everything that can happen is an event of that loop.

mod back_off;
mod control;
mod listener;
mod network;
mod part;
mod process;
mod readable;
mod readiness;
mod record;
mod slot;
mod supervisor;
mod tools;
mod unit_log;

use anyhow::Context;
use tokio::sync::{mpsc, watch};

pub(crate) use listener::{inherited_listener, into_async};
pub(crate) use part::DOCKER_SOCKET;
pub(crate) use record::Record;

/// Runs until SIGTERM; the engine is stopped then. Whoever starts it wants an engine: it begins with starting one.
pub(crate) fn run(_args: &[String]) -> anyhow::Result<()> {
    // First of all, while nothing else has opened descriptors.
    let listener = inherited_listener("SAMPAN_FD_ENGINE")?;
    let network = network::Network::from_environment();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            let listener = into_async(listener)?;
            let (commands, inbox) = mpsc::channel(16);
            let (reports, seen) = watch::channel(supervisor::stopped());
            let supervisor = supervisor::Supervisor::new(network, inbox, reports)?;
            let rotation = tokio::spawn(unit_log::rotate_for_ever());
            tokio::join!(supervisor.run(), control::serve(listener, commands, seen));
            rotation.abort();
            Ok(())
        })
}
