//! What is asked of dockerd, and the JSON it answers.

use std::net::SocketAddr;
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

/// A port that a container publishes, as dockerd tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// Name of the container.
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Where it is published.
    pub host: SocketAddr,
}

/// The ports that running containers publish.
pub async fn ports(socket: &Path, deadline: Duration) -> Result<Vec<ContainerPort>, DockerError> {
    let containers: Vec<Container> = ask_json(socket, "/containers/json", deadline).await?;
    let ports = |container: Container| {
        let name = container.names.first().map(|name| name.trim_start_matches('/').to_owned());
        let published = |port: Port| {
            let host = SocketAddr::new(port.ip?.parse().ok()?, port.number?);
            Some(ContainerPort { name: name.clone()?, protocol: port.kind, host })
        };
        container.ports.into_iter().filter_map(published).collect::<Vec<_>>()
    };
    Ok(containers.into_iter().flat_map(ports).collect())
}

/// A container in dockerd's own network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostContainer {
    /// Its id, 64 digits.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// The running containers of the network `host`.
pub async fn host_containers(socket: &Path, deadline: Duration) -> Result<Vec<HostContainer>, DockerError> {
    // {"network":["host"]}
    let path = "/containers/json?filters=%7B%22network%22%3A%5B%22host%22%5D%7D";
    let containers: Vec<Container> = ask_json(socket, path, deadline).await?;
    let container = |mut container: Container| {
        let name = container.names.drain(..).next().unwrap_or_default();
        HostContainer { id: container.id, name: name.trim_start_matches('/').to_owned() }
    };
    Ok(containers.into_iter().map(container).collect())
}

/// Hears of containers that start and end.
#[derive(Debug)]
pub struct Comings(unix_http::Stream);

impl Comings {
    /// From now on.
    pub async fn subscribe(socket: &Path, deadline: Duration) -> Result<Self, DockerError> {
        // {"type":["container"],"event":["start","die"]}
        const PATH: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C%22die%22%5D%7D";
        let (status, stream) = unix_http::stream(socket, PATH, deadline).await?;
        if status != StatusCode::OK {
            return Err(DockerError::Refused { socket: socket.into(), path: "/events", status });
        }
        Ok(Self(stream))
    }

    /// Waits until something has happened; false: dockerd has ended.
    pub async fn next(&mut self) -> bool {
        self.0.next().await.is_some()
    }
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

/// Part of an item of `GET /containers/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(default)]
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    ports: Vec<Port>,
}

/// One of its ports; without address and number it is not published.
#[derive(Deserialize)]
struct Port {
    #[serde(rename = "IP")]
    ip: Option<String>,
    #[serde(rename = "PublicPort")]
    number: Option<u16>,
    #[serde(rename = "Type")]
    kind: String,
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
    fn ports_of_a_container_are_told_by_docker_26() {
        let container = r#"{"Names":["/web"],"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
            {"PrivatePort":443,"Type":"tcp"}],"Image":"x"}"#;
        let container: Container = serde_json::from_str(container).unwrap();
        let numbers: Vec<_> = container.ports.iter().map(|port| port.number).collect();
        assert_eq!((&container.names[..], numbers), (&["/web".to_owned()][..], vec![Some(8080), None]));
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
