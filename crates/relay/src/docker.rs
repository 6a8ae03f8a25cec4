//! What is asked of dockerd, and the JSON it answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_model::engine::EngineInfo;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::unix_http::{self, HttpError, StatusCode};

/// Why dockerd did not tell.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// There was no answer at all.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It refused.
    #[error("dockerd on {} answered {path} with status {status}", socket.display())]
    Refused {
        /// Its socket.
        socket: PathBuf,
        /// What was asked for.
        path: &'static str,
        /// The status.
        status: StatusCode,
    },
    /// It answered something that is not what Docker's API promises.
    #[error("cannot understand what dockerd on {} answered to {path}", socket.display())]
    Unexpected {
        /// Its socket.
        socket: PathBuf,
        /// What was asked for.
        path: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Whether dockerd serves its API: `GET /_ping` answers 200.
pub async fn ping(socket: &Path, deadline: Duration) -> Result<(), DockerError> {
    ask(socket, "/_ping", deadline).await.map(drop)
}

/// What the engine says of itself.
pub async fn info(socket: &Path, deadline: Duration) -> Result<EngineInfo, DockerError> {
    let version: Version = ask_json(socket, "/version", deadline).await?;
    let info: Info = ask_json(socket, "/info", deadline).await?;
    Ok(EngineInfo {
        version: version.version,
        api_version: version.api_version,
        containers_running: info.containers_running,
        containers: info.containers,
        images: info.images,
    })
}

/// The same for callers that have no runtime. Not to be called from within one.
pub mod blocking {
    use super::{DockerError, Duration, EngineInfo, Path};

    /// [`super::ping`], waiting.
    pub fn ping(socket: &Path, deadline: Duration) -> Result<(), DockerError> {
        wait(super::ping(socket, deadline))
    }

    /// [`super::info`], waiting.
    pub fn info(socket: &Path, deadline: Duration) -> Result<EngineInfo, DockerError> {
        wait(super::info(socket, deadline))
    }

    fn wait<T>(question: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime needs two file descriptors")
            .block_on(question)
    }
}

/// Part of `GET /version`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
    api_version: String,
}

/// Part of `GET /info`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    containers: u64,
    containers_running: u64,
    images: u64,
}

async fn ask_json<T: DeserializeOwned>(
    socket: &Path,
    path: &'static str,
    deadline: Duration,
) -> Result<T, DockerError> {
    let body = ask(socket, path, deadline).await?;
    serde_json::from_slice(&body).map_err(|source| DockerError::Unexpected {
        socket: socket.into(),
        path,
        source,
    })
}

async fn ask(socket: &Path, path: &'static str, deadline: Duration) -> Result<bytes::Bytes, DockerError> {
    let (status, body) = unix_http::get(socket, path, deadline).await?;
    if status != StatusCode::OK {
        return Err(DockerError::Refused { socket: socket.into(), path, status });
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_26_answers_is_understood() {
        let version =
            r#"{"Platform":{"Name":""},"Version":"26.1.5+dfsg1","ApiVersion":"1.45","MinAPIVersion":"1.24"}"#;
        let version: Version = serde_json::from_str(version).unwrap();
        assert_eq!((&version.version[..], &version.api_version[..]), ("26.1.5+dfsg1", "1.45"));
        let info = r#"{"ID":"x","Containers":3,"ContainersRunning":1,"ContainersPaused":0,"Images":7}"#;
        let info: Info = serde_json::from_str(info).unwrap();
        assert_eq!((info.containers, info.containers_running, info.images), (3, 1, 7));
    }

    #[test]
    fn without_a_socket() {
        let nowhere = Path::new("/nonexistent/docker.sock");
        let second = Duration::from_secs(1);
        let not_listening = |error| matches!(error, DockerError::Http(HttpError::NotListening { .. }));
        assert!(not_listening(blocking::ping(nowhere, second).unwrap_err()));
        assert!(not_listening(blocking::info(nowhere, second).unwrap_err()));
    }
}
