//! Talking to the engine supervisor: JSON lines on `engine.sock`.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sampan_model::api::ErrorCode;
use sampan_model::engine::{EngineReport, EngineRequest};

use crate::error::Explain;

/// Why the supervisor gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// Nobody listens, or the line broke.
    #[error("the engine supervisor at {path} does not answer")]
    Line {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It hung up.
    #[error("the engine supervisor at {path} ended")]
    Ended {
        /// Its socket.
        path: PathBuf,
    },
    /// It said something else than a report.
    #[error("the engine supervisor at {path} is not understood")]
    Garbled {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// No word within the deadline.
    #[error("the engine supervisor at {path} said nothing for {} s", waited.as_secs())]
    Silent {
        /// Its socket.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
}

impl Explain for SupervisorError {
    fn code(&self) -> ErrorCode {
        if matches!(self, Self::Silent { .. }) { ErrorCode::Timeout } else { ErrorCode::Failed }
    }

    fn hint(&self) -> Option<String> {
        Some("`sampan logs --unit engine` says what it was doing; `sampan restart` starts it anew".to_owned())
    }
}

/// A conversation with the supervisor.
#[derive(Debug)]
pub struct Line {
    path: PathBuf,
    reader: BufReader<UnixStream>,
    /// What came of a line that a deadline cut in two.
    partial: String,
}

impl Line {
    /// Connects and says what is wanted.
    pub fn open(path: &Path, request: &EngineRequest) -> Result<Self, SupervisorError> {
        let error = |source| SupervisorError::Line { path: path.to_owned(), source };
        let mut stream = UnixStream::connect(path).map_err(error)?;
        let mut line = serde_json::to_string(request).expect("a request is plain data");
        line.push('\n');
        stream.set_write_timeout(Some(Duration::from_secs(5))).map_err(error)?;
        stream.write_all(line.as_bytes()).map_err(error)?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(stream), partial: String::new() })
    }

    /// The next report, or none when `limit` has passed without one.
    pub fn next(&mut self, limit: Duration) -> Result<Option<EngineReport>, SupervisorError> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let error = |source| SupervisorError::Line { path: self.path.clone(), source };
            self.reader.get_ref().set_read_timeout(Some(left)).map_err(error)?;
            match self.reader.read_line(&mut self.partial) {
                Ok(0) => return Err(SupervisorError::Ended { path: self.path.clone() }),
                Ok(_) if self.partial.ends_with('\n') => {
                    let text = std::mem::take(&mut self.partial);
                    return serde_json::from_str(&text)
                        .map(Some)
                        .map_err(|source| SupervisorError::Garbled { path: self.path.clone(), source });
                }
                Ok(_) => return Err(SupervisorError::Ended { path: self.path.clone() }),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(error(e)),
            }
        }
    }

    /// The one report that answers the request.
    pub fn answer(mut self, limit: Duration) -> Result<EngineReport, SupervisorError> {
        let path = self.path.clone();
        self.next(limit)?.ok_or(SupervisorError::Silent { path, waited: limit })
    }
}
