//! The host as an asker.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_model::views::{self, VIEWS};
use sampan_relay::proxy::{Asker, Denied, StatusCode};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::kernel;
use crate::engine;
use crate::tree::{self, Place};

/// How long the host's file systems may take to say where a path leads.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where clients look for the Docker socket.
const DOCKER_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];

/// The engine's own by what dockerd itself says of it.
const ENGINES_OWN: [&str; 2] = ["/lib/modules", "/var/lib/docker"];

/// Sees the folders that the host shares, at their own paths.
pub(super) struct Host;

impl Asker for Host {
    async fn translate(&self, path: &str) -> Result<String, Denied> {
        let asked = tree::clean(Path::new(path));
        if is_docker_socket(&asked) {
            return Ok(engine::DOCKER_SOCKET.to_owned());
        }
        if let Some(seen) = kernel::seen(&asked, path) {
            return seen;
        }
        if ENGINES_OWN.iter().any(|own| asked.starts_with(own)) {
            return Ok(text(&asked, path)?.to_owned());
        }
        let place = shared(Path::new(VIEWS).join(views::HOST), asked, path).await?;
        Ok(views::seen(views::HOST, text(&place.whole(), path)?))
    }

    fn reveal(&self, path: &str) -> Option<String> {
        views::shown(views::HOST, path).map(str::to_owned)
    }
}

/// Whether clients mean the Docker socket by `path`, a [`tree::clean`] one.
pub(super) fn is_docker_socket(path: &Path) -> bool {
    DOCKER_SOCKETS.iter().any(|socket| path == Path::new(socket))
}

/// Where `asked`, a [`tree::clean`] path of the host, is in a folder that it shares, by the host's `view`. In words it is
/// `named`.
pub(super) async fn shared(view: PathBuf, asked: PathBuf, named: &str) -> Result<Place, Denied> {
    match search(view, asked).await {
        Ok(place) if !place.on_root => Ok(place),
        // Above all shared folders, or beside them.
        Ok(_) => Err(not_shared(named)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_shared(named)),
        Err(error) => Err(not_found(named, &error)),
    }
}

/// [`tree::find`], for as long as file systems may take.
pub(super) async fn search(root: PathBuf, path: PathBuf) -> io::Result<Place> {
    match timeout(PATIENCE, spawn_blocking(move || tree::find(&root, &path))).await {
        Ok(found) => found.unwrap_or_else(|_| Err(io::Error::other("the search broke off"))),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A path that can be written into a request.
pub(super) fn text<'a>(path: &'a Path, named: &str) -> Result<&'a str, Denied> {
    let refused = || denied(StatusCode::BAD_REQUEST, format!("{named} leads to a name that is not UTF-8"));
    path.to_str().ok_or_else(refused)
}

pub(super) fn not_found(named: &str, why: &dyn std::fmt::Display) -> Denied {
    let why = why.to_string();
    // The number is Rust's way to say it twice.
    let why = why.split(" (os error ").next().unwrap_or_default();
    let hint = if why.contains("No such file") { ", or is a link that leads nowhere" } else { "" };
    denied(StatusCode::BAD_REQUEST, format!("cannot look for {named}: {why}{hint}"))
}

fn not_shared(path: &str) -> Denied {
    // The words that Docker Desktop's users look for.
    let message = format!(
        "mounts denied: the path {path} is not shared from the host and is not known to Docker; type \
         `sampan start` in the folder you work in, or add one to `filesharingDirectories` in settings.json first"
    );
    denied(StatusCode::FORBIDDEN, message)
}

pub(super) fn denied(status: StatusCode, message: String) -> Denied {
    Denied { status, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_engine_s_own_is_told_by_the_path_without_detours() {
        for (path, seen) in [
            ("/proc", "/proc"),
            ("/home/../proc/meminfo", "/proc/meminfo"),
            ("/run//./docker.sock", engine::DOCKER_SOCKET),
            ("/var/run/docker.sock", engine::DOCKER_SOCKET),
        ] {
            assert_eq!(Host.translate(path).await.map_err(|denied| denied.message).as_deref(), Ok(seen));
        }
        for path in ["/", "/proc/../etc", "/devices", "/sys/.."] {
            assert_eq!(
                Host.translate(path).await.map_err(|denied| denied.status),
                Err(StatusCode::FORBIDDEN)
            );
        }
    }
}
