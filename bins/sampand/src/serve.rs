//! The service: lock, socket, API, until it is told to end.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sampan_backend::Error;
use sampan_backend::error::chain;
use sampan_model::api::ErrorCode;
use sampan_model::instance::{Instance, RUN_BASE};
use sampan_native::distros::Distros;
use sampan_native::{GROUP, gid_of};
use sampan_sys::lock::FileLock;
use sampan_sys::process::{Standard, redirect, set_session};
use sampan_sys::socket::{SocketKind, bind_unix_listener, listen};
use tracing::{info, warn};

use crate::oneshot::lock;
use crate::service::Service;
use crate::{api, distros};

/// How long requests under way may take to end after the service was told to.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// How many clients may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Serves the instance; returns when the service is to end.
pub(crate) fn run(instance: &Instance, detached: bool) -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new(ErrorCode::Denied, "the service needs root", Some("sudo sampan start")));
    }
    raise_file_limit();
    if detached {
        set_session().map_err(|error| Error::new(ErrorCode::Failed, chain(&error), None))?;
    }
    let _lock = match lock(instance) {
        Ok(lock) => lock,
        Err(error) if detached && error.code() == ErrorCode::Busy => match wait_for_other(instance, error)? {
            Some(lock) => lock,
            None => return Ok(()),
        },
        Err(error) => return Err(error),
    };
    let (engine, native) = crate::engine(instance.clone(), true)?;
    log_to_stderr();
    native.keep_network(|message| warn!("{message}"));
    let service = Arc::new(Service::new(engine));
    let listener = bind(&instance.api_socket(), SocketKind::Stream)?;
    let own = identity(&instance.api_socket());
    let mut distros = distros::serve(instance, Distros::new(native), Arc::clone(&service))?;
    info!(instance = instance.name(), state = %instance.state().display(), "serving");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    if detached {
        // Ready: whoever started this service reads to the end of standard output.
        let stderr = std::io::stderr();
        redirect(&stderr, Standard::Output)
            .map_err(|error| Error::new(ErrorCode::Failed, chain(&error), None))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorCode::Failed, format!("no runtime: {error}"), None))?;
    let socket = instance.api_socket();
    let served = runtime.block_on(serve(listener, Arc::clone(&service)));
    // After a reset another service may already have come, with a socket of its own.
    if identity(&socket) == own {
        let _ = std::fs::remove_file(socket);
    }
    distros.close();
    // Whoever asked for the end is told now: what is typed next must not meet a service that is going.
    service.close();
    distros.drain();
    runtime.shutdown_timeout(DRAIN);
    // Only when empty: what runs keeps its records there.
    let _ = std::fs::remove_dir(instance.run());
    let _ = std::fs::remove_dir(RUN_BASE);
    served
}

async fn serve(listener: OwnedFd, service: Arc<Service>) -> Result<(), Error> {
    let failed =
        |error: std::io::Error| Error::new(ErrorCode::Failed, format!("cannot serve: {error}"), None);
    let listener = std::os::unix::net::UnixListener::from(listener);
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(failed)?;
    let ending = Arc::clone(&service);
    let shutdown = async move {
        tokio::select! {
            () = ending.ended() => {}
            _ = terminate.recv() => info!("asked to end; what runs goes on"),
            _ = tokio::signal::ctrl_c() => info!("interrupted; what runs goes on"),
        }
    };
    let app = api::router(service).into_make_service_with_connect_info::<api::auth::Peer>();
    let (stopped, drained) = tokio::sync::oneshot::channel::<()>();
    let graceful = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = stopped.send(());
    });
    tokio::select! {
        served = graceful => served.map_err(failed),
        () = async {
            let _ = drained.await;
            tokio::time::sleep(DRAIN).await;
        } => Ok(()),
    }
}

/// Each client takes a descriptor, and the limit is that of whoever typed the command that started the service.
fn raise_file_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    // A lower limit is no reason not to serve.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}

/// Which file is at `path`, if any.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// A socket at `path` that members of the group may use.
pub(crate) fn bind(path: &Path, kind: SocketKind) -> Result<OwnedFd, Error> {
    let failed = |error: &dyn std::error::Error| Error::new(ErrorCode::Failed, chain(error), None);
    let listener = bind_unix_listener(path, kind, 0o660, gid_of(GROUP)).map_err(|error| failed(&error))?;
    listen(&listener, BACKLOG).map_err(|error| failed(&error))?;
    Ok(listener)
}

/// Another service of this instance is coming up, or going. One that comes is as good as this one as soon as its API
/// answers: none. One that goes leaves the lock to this one.
fn wait_for_other(instance: &Instance, busy: Error) -> Result<Option<FileLock>, Error> {
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while std::time::Instant::now() < until {
        if answers(&instance.api_socket()) {
            return Ok(None);
        }
        if let Ok(lock) = lock(instance) {
            return Ok(Some(lock));
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Err(busy)
}

/// Whether somebody answers at `socket`. To be connected is not enough: one that was killed may still have it open.
fn answers(socket: &Path) -> bool {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: sampan\r\nConnection: close\r\n\r\n";
    let Ok(mut connection) = UnixStream::connect(socket) else { return false };
    // Whatever it says, it lives.
    connection.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && connection.write_all(REQUEST).is_ok()
        && connection.read(&mut [0]).is_ok_and(|length| length > 0)
}

/// Few lines, each worth reading. Under systemd the journal has time and colour of its own.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        format.without_time().init();
    } else {
        format.init();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn who_closes_without_a_word_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        assert!(!answers(&socket));
        let listener = UnixListener::bind(&socket).unwrap();
        let serving = std::thread::spawn(move || {
            drop(listener.accept().unwrap());
            let (mut second, _) = listener.accept().unwrap();
            assert!(second.read(&mut [0; 256]).unwrap() > 0);
            second.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
        });
        assert!(!answers(&socket));
        assert!(answers(&socket));
        serving.join().unwrap();
        assert!(!answers(&socket));
    }
}
