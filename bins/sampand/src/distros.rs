//! `distros.sock`: what `wsl` asks. One request per connection, a thread for each: a session is handed over within a
//! moment, an import takes minutes.

mod client;
mod request;

use std::io::PipeWriter;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sampan_backend::Error;
use sampan_model::api::ErrorCode;
use sampan_model::instance::Instance;
use sampan_native::distros::Distros;
use sampan_sys::{poll, socket};

use self::client::Client;
use crate::serve::{DRAIN, bind, identity};
use crate::service::Service;

/// What every request is answered with.
#[derive(Debug)]
struct Desk {
    instance: Instance,
    distros: Distros,
    service: Arc<Service>,
    /// How many requests are under way.
    under_way: Mutex<usize>,
    ended: Condvar,
}

/// The socket, served.
#[derive(Debug)]
pub(crate) struct Served {
    path: PathBuf,
    own: Option<(u64, u64)>,
    desk: Arc<Desk>,
    /// Accepts until the pipe's end is seen.
    accepting: Option<(PipeWriter, JoinHandle<()>)>,
}

/// Serves the socket until it is closed.
pub(crate) fn serve(instance: &Instance, distros: Distros, service: Arc<Service>) -> Result<Served, Error> {
    let failed =
        |error: std::io::Error| Error::new(ErrorCode::Failed, format!("cannot serve `wsl`: {error}"), None);
    let path = instance.distros_socket();
    let listener = bind(&path, socket::SocketKind::SeqPacket)?;
    let own = identity(&path);
    let (stopped, stop) = std::io::pipe().map_err(failed)?;
    let (under_way, ended) = (Mutex::new(0), Condvar::new());
    let desk = Arc::new(Desk { instance: instance.clone(), distros, service, under_way, ended });
    let thread = std::thread::Builder::new().name("distros".to_owned());
    let accepting = {
        let desk = Arc::clone(&desk);
        thread.spawn(move || accept(&desk, &listener, stopped)).map_err(failed)?
    };
    Ok(Served { path, own, desk, accepting: Some((stop, accepting)) })
}

impl Served {
    /// Accepts nobody any more.
    pub(crate) fn close(&mut self) {
        if let Some((stop, accepting)) = self.accepting.take() {
            drop(stop);
            let _ = accepting.join();
        }
        // After a reset another service may already have come, with a socket of its own.
        if identity(&self.path) == self.own {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Gives what is under way a moment to end.
    pub(crate) fn drain(&self) {
        let under_way = self.desk.under_way();
        drop(self.desk.ended.wait_timeout_while(under_way, DRAIN, |count| *count > 0));
    }
}

/// How long nobody is accepted after that failed.
const PAUSE: Duration = Duration::from_secs(1);

fn accept(desk: &Arc<Desk>, listener: &OwnedFd, stopped: impl AsFd) {
    // Before anybody is served: whoever waits in the queue finds everything in order.
    desk.distros.settle().iter().for_each(|error| tracing::warn!("{error}"));
    loop {
        let readable = match poll::wait_readable(&[listener.as_fd(), stopped.as_fd()], None) {
            Ok(readable) => readable,
            Err(error) => return tracing::error!("distros.sock is not served any more: {error}"),
        };
        if readable[1] {
            return;
        }
        let accepted = socket::accept(listener).and_then(Client::new);
        match accepted {
            Ok(client) => attend(desk, client),
            Err(error) => {
                tracing::warn!("distros.sock: {error}");
                // No descriptor is free: clients that end give theirs back.
                let _ = poll::wait_for(&stopped, Some(PAUSE));
            }
        }
    }
}

/// Answers a client on a thread of its own.
fn attend(desk: &Arc<Desk>, client: Client) {
    let under_way = UnderWay::begin(desk);
    let thread = std::thread::Builder::new().name("wsl".to_owned());
    let spawned = thread.spawn(move || request::answer(&under_way.0, &client));
    if let Err(error) = spawned {
        // The client sees its connection end.
        tracing::error!("cannot start a thread: {error}");
    }
}

/// A request under way, counted for as long as it lives.
struct UnderWay(Arc<Desk>);

impl UnderWay {
    fn begin(desk: &Arc<Desk>) -> Self {
        *desk.under_way() += 1;
        Self(Arc::clone(desk))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *self.0.under_way() -= 1;
        self.0.ended.notify_all();
    }
}

impl Desk {
    fn under_way(&self) -> MutexGuard<'_, usize> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
