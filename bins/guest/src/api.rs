//! `sampan-guest api`: the Docker sockets of the host and of distributions, served from inside.

mod askers;
mod distribution;
mod host;
mod kernel;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sampan_relay::proxy::{self, Upstream};
use tokio::signal::unix::{SignalKind, signal};

use crate::{descriptors, engine};

/// A client that comes while the engine starts is served when it is up; one that starts takes less than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until SIGTERM.
pub(crate) fn run(_args: &[String]) -> anyhow::Result<()> {
    // First of all, while nothing else has opened descriptors.
    let listener = engine::inherited_listener("SAMPAN_FD_DOCKER")?;
    descriptors::raise_limit();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            let listener = engine::into_async(listener)?;
            let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
            let upstream = Upstream {
                socket: PathBuf::from(engine::DOCKER_SOCKET),
                patience: PATIENCE,
                state: Arc::new(engine_state),
            };
            // Whatever becomes of them, the host's socket is served.
            askers::start(upstream.clone());
            tokio::select! {
                () = proxy::serve(listener, upstream, host::Host) => {}
                _ = terminate.recv() => {}
            }
            Ok(())
        })
}

fn engine_state() -> String {
    engine::Record::read().map_or_else(|_| "unknown".to_owned(), |record| record.state.word().to_owned())
}
