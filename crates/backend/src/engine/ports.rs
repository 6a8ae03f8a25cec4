//! What is published, as the forwarder in the engine's distribution tells it.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_model::api::ErrorCode;
use sampan_model::distro::ENGINE;
use sampan_model::ports::{Ports, Published};

use super::Engine;
use crate::error::{Error, Explain};

/// How long the forwarder may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest answer that is read: every port of every protocol and family.
const LONGEST: u64 = 64 << 20;

/// Why the forwarder did not say what is published.
#[derive(Debug, thiserror::Error)]
enum PortsError {
    #[error("the port forwarder at {path} does not answer")]
    Silent { path: PathBuf, source: std::io::Error },
    #[error("the port forwarder at {path} is not understood")]
    Garbled { path: PathBuf, source: serde_json::Error },
}

impl Explain for PortsError {
    fn code(&self) -> ErrorCode {
        ErrorCode::Failed
    }

    fn hint(&self) -> Option<String> {
        Some("`sampan logs --unit ports` says what it was doing; `sampan restart` starts it anew".to_owned())
    }
}

impl Engine {
    /// What containers publish. Nothing while the engine does not run.
    pub fn ports(&self) -> Result<Ports, Error> {
        let Some(socket) = self.platform.socket(ENGINE, "ports")? else { return Ok(Ports::default()) };
        Ok(Ports { ports: ask(&socket)? })
    }
}

fn ask(socket: &Path) -> Result<Vec<Published>, PortsError> {
    let silent = |source| PortsError::Silent { path: socket.to_owned(), source };
    let stream = UnixStream::connect(socket).map_err(silent)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(silent)?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).map_err(silent)?;
    serde_json::from_slice(&answer).map_err(|source| PortsError::Garbled { path: socket.to_owned(), source })
}
