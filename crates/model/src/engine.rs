//! The engine's states and stages, and what its supervisor says on `engine.sock`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the engine is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum EngineState {
    /// Nothing of it runs.
    Stopped,
    /// It is on its way up.
    Starting {
        /// How far it is.
        stage: Stage,
    },
    /// The Docker API answers.
    Running,
    /// It is going down.
    Stopping,
    /// It could not be brought up, or went down and did not come back.
    Failed {
        /// Why.
        cause: Failure,
    },
}

impl EngineState {
    /// The word that `sampan status` prints (the words of `docker desktop status` where it has one).
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting { .. } => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A step of the way from nothing to an engine that answers, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The service itself.
    Service,
    /// Building the engine image from signed Debian packages.
    Image,
    /// Unpacking the engine image into `docker-desktop`.
    Import,
    /// Making the disk of `docker-desktop-data`.
    Data,
    /// Starting the hub, which holds images and the shared network namespace.
    Hub,
    /// Setting up the network between the host and the distributions.
    Network,
    /// Mounting the disks.
    Disks,
    /// Starting `docker-desktop`.
    Boot,
    /// Waiting for containerd.
    Containerd,
    /// Waiting for dockerd's first answer.
    Dockerd,
    /// Stopping the containers, then the engine.
    Stop,
    /// Taking down disks, network and hub.
    TakeDown,
}

impl Stage {
    /// What is being done, for people.
    pub fn message(self) -> &'static str {
        match self {
            Self::Service => "starting the service",
            Self::Image => "building the engine image from Debian packages",
            Self::Import => "unpacking the engine image into docker-desktop",
            Self::Data => "making the disk of docker-desktop-data",
            Self::Hub => "starting the hub",
            Self::Network => "setting up the network",
            Self::Disks => "mounting the disks",
            Self::Boot => "starting docker-desktop",
            Self::Containerd => "waiting for containerd",
            Self::Dockerd => "waiting for dockerd",
            Self::Stop => "stopping the containers and the engine",
            Self::TakeDown => "taking down disks and network",
        }
    }

    /// The longest this stage may take, in milliseconds.
    ///
    /// Generous: a deadline is there to end a hang with a clear word, not to judge a slow disk.
    pub fn deadline_ms(self) -> u64 {
        match self {
            Self::Image => 30 * 60_000,
            Self::Import => 10 * 60_000,
            Self::Data | Self::Disks | Self::Dockerd | Self::Stop => 120_000,
            Self::Service | Self::Hub | Self::Network | Self::Boot | Self::Containerd | Self::TakeDown => {
                60_000
            }
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// Why the engine is not up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The part that failed: `containerd`, `dockerd`, `docker-desktop` …
    pub part: String,
    /// One sentence.
    pub message: String,
    /// The last lines of that part's log, at most [`Failure::LOG_LINES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl Failure {
    /// How many lines of log a failure carries.
    pub const LOG_LINES: usize = 50;
}

/// A point on the time line of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// What began at this moment.
    pub stage: Stage,
    /// When, in microseconds of `CLOCK_MONOTONIC` (one clock for host and distributions).
    pub at_us: u64,
}

/// What a client asks the supervisor, one JSON line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum EngineRequest {
    /// The state now and every later one, until the client hangs up.
    Watch,
    /// Start what is stopped or failed.
    Start,
    /// Stop the engine; the answer comes when it is down.
    #[serde(rename_all = "camelCase")]
    Stop {
        /// After this time what still runs is killed, in milliseconds.
        deadline_ms: u64,
    },
}

/// What the supervisor answers, one JSON line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineReport {
    /// The state.
    #[serde(flatten)]
    pub state: EngineState,
    /// Where the time of the last start went: [`Stage::Containerd`], [`Stage::Dockerd`].
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// When the state began, in microseconds of `CLOCK_MONOTONIC`.
    pub since_us: u64,
    /// How often a part ended by itself and was started again since the engine was asked to run.
    #[serde(default)]
    pub restarts: u32,
}

/// What the engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineInfo {
    /// dockerd's version.
    pub version: String,
    /// Newest version of the Docker API it speaks.
    pub api_version: String,
    /// Running containers.
    pub containers_running: u64,
    /// All containers.
    pub containers: u64,
    /// Images.
    pub images: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_flat_json() {
        let report = EngineReport {
            state: EngineState::Starting { stage: Stage::Dockerd },
            marks: vec![Mark { stage: Stage::Containerd, at_us: 5 }],
            since_us: 5,
            restarts: 0,
        };
        let text = serde_json::to_string(&report).unwrap();
        assert!(text.starts_with(r#"{"state":"starting","stage":"dockerd""#), "{text}");
        assert_eq!(serde_json::from_str::<EngineReport>(&text).unwrap(), report);
    }

    #[test]
    fn requests_have_short_names() {
        let stop: EngineRequest = serde_json::from_str(r#"{"op":"stop","deadlineMs":5}"#).unwrap();
        assert_eq!(stop, EngineRequest::Stop { deadline_ms: 5 });
    }
}
