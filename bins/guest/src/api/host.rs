//! The host as an asker.

use std::io;
use std::path::Path;
use std::time::Duration;

use sampan_model::views::{self, VIEWS};
use sampan_relay::proxy::{Asker, Denied, StatusCode};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::tree::{self, Place};
use crate::engine;

/// How long the host's file systems may take to say where a path leads.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where clients look for the Docker socket.
const DOCKER_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];

/// What is the same to everybody on this kernel, or the engine's own by what dockerd itself says of it.
const ENGINES_OWN: [&str; 5] = ["/proc", "/sys", "/dev", "/lib/modules", "/var/lib/docker"];

/// Sees the folders that the host shares, at their own paths.
pub(super) struct Host;

impl Asker for Host {
    async fn translate(&self, path: &str) -> Result<String, Denied> {
        let asked = tree::clean(Path::new(path));
        if DOCKER_SOCKETS.iter().any(|socket| asked == Path::new(socket)) {
            return Ok(engine::DOCKER_SOCKET.to_owned());
        }
        if ENGINES_OWN.iter().any(|own| asked.starts_with(own)) {
            return Ok(asked.to_string_lossy().into_owned());
        }
        let found = spawn_blocking(move || tree::find(&Path::new(VIEWS).join(views::HOST), &asked));
        let found = match timeout(PATIENCE, found).await {
            Ok(found) => found.unwrap_or_else(|_| Err(io::Error::other("the search broke off"))),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        match found {
            Ok(Place { path: real, on_root: false }) => match real.to_str() {
                Some(real) => Ok(views::seen(views::HOST, real)),
                None => {
                    Err(denied(StatusCode::BAD_REQUEST, format!("{path} leads to a name that is not UTF-8")))
                }
            },
            // Above all shared folders, or beside them.
            Ok(Place { on_root: true, .. }) => Err(not_shared(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_shared(path)),
            Err(error) => Err(denied(StatusCode::BAD_REQUEST, format!("cannot look for {path}: {error}"))),
        }
    }

    fn reveal(&self, path: &str) -> Option<String> {
        views::shown(views::HOST, path).map(str::to_owned)
    }
}

fn not_shared(path: &str) -> Denied {
    // The words that Docker Desktop's users look for.
    let message = format!(
        "mounts denied: the path {path} is not shared from the host and is not known to Docker; add its folder to \
         `filesharingDirectories` in settings.json, then `sampan stop` and `sampan start`"
    );
    denied(StatusCode::FORBIDDEN, message)
}

fn denied(status: StatusCode, message: String) -> Denied {
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
