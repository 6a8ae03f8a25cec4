//! The engine's life cycle: from nothing to a Docker API that answers, and back.

mod ports;
mod start;
mod stop;

pub use start::Started;
pub use stop::DEFAULT_STOP;

use std::sync::Arc;
use std::time::Duration;

use sampan_model::api::{ApiError, ErrorCode, Event, ImageManifest, ResetItem, ResetPlan, Status, Version};
use sampan_model::distro::{DATA, ENGINE, is_internal};
use sampan_model::engine::{EngineReport, EngineRequest, EngineState, Stage};
use sampan_model::instance::Instance;

use crate::clock::monotonic_us;
use crate::error::{Error, Explain};
use crate::platform::{Platform, Sink};
use crate::supervisor::Line;

/// How long a supervisor may take to say how it is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// The engine of an instance.
pub struct Engine {
    instance: Instance,
    platform: Arc<dyn Platform>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// The start of an engine failed in a stage of its supervisor.
#[derive(Debug, thiserror::Error)]
#[error("the engine did not start: {0}")]
pub(crate) struct StartFailed(String, Vec<String>, ErrorCode);

impl Explain for StartFailed {
    fn code(&self) -> ErrorCode {
        self.2
    }
    fn hint(&self) -> Option<String> {
        Some("`sampan logs` has the whole story; `sampan restart` tries again".to_owned())
    }
    fn log(&self) -> Vec<String> {
        self.1.clone()
    }
}

impl Engine {
    /// The engine of `instance`, whose distributions `platform` runs.
    pub fn new(instance: Instance, platform: Arc<dyn Platform>) -> Self {
        Self { instance, platform }
    }

    /// The platform below.
    pub fn platform(&self) -> &dyn Platform {
        &*self.platform
    }

    /// The instance.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// What the engine is doing, asked from its supervisor.
    pub fn report(&self) -> Result<EngineReport, Error> {
        if !self.platform.is_running(ENGINE)? {
            return Ok(EngineReport {
                state: EngineState::Stopped,
                marks: Vec::new(),
                since_us: monotonic_us(),
                restarts: 0,
            });
        }
        let Some(socket) = self.platform.socket(ENGINE, "engine")? else {
            return Err(Error::new(ErrorCode::Failed, "docker-desktop runs without an engine socket", None));
        };
        Ok(Line::open(&socket, &EngineRequest::Watch)?.answer(SIGN_OF_LIFE)?)
    }

    /// `GET /v1/status`, but for what the engine says of itself.
    ///
    /// Never fails: what can't be read is the engine's failure, and the rest is told all the same.
    pub fn status(&self, version: &str) -> Status {
        let failed = |error: Error| EngineReport {
            state: EngineState::Failed {
                cause: sampan_model::engine::Failure {
                    part: "engine".to_owned(),
                    message: error.0.message,
                    log: Vec::new(),
                },
            },
            marks: Vec::new(),
            since_us: monotonic_us(),
            restarts: 0,
        };
        let (distributions, unknown) = match self.platform.distributions() {
            Ok(distributions) => (distributions, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let engine = match (self.report(), unknown) {
            // What runs goes on without the registry; what does not can't be started.
            (Ok(report), Some(error)) if report.state == EngineState::Stopped => failed(error),
            (report, _) => report.unwrap_or_else(failed),
        };
        Status {
            instance: self.instance.name().to_owned(),
            version: version.to_owned(),
            service_pid: std::process::id(),
            engine,
            engine_info: None,
            docker_socket: self.instance.docker_socket(),
            state_dir: self.instance.state().to_owned(),
            distributions,
            disks: self.platform.disks().unwrap_or_default(),
            subnet: self.platform.subnet(),
        }
    }

    /// `GET /v1/version`.
    pub fn version(&self, version: &str) -> Version {
        let manifest = std::fs::read_to_string(self.instance.cli().join("engine-image.json"))
            .ok()
            .and_then(|text| serde_json::from_str::<ImageManifest>(&text).ok());
        let installed = matches!(self.platform.entry(ENGINE), Ok(Some(_)));
        let custom = || ImageManifest { suite: "custom".to_owned(), packages: Vec::new() };
        let engine_image = if installed { Some(manifest.unwrap_or_else(custom)) } else { None };
        Version { version: version.to_owned(), engine_image }
    }

    /// What a reset deletes.
    pub fn reset_plan(&self, all: bool) -> Result<ResetPlan, Error> {
        let mut items = Vec::new();
        let disks = match self.platform.disks() {
            // A damaged registry does not keep anybody from giving all of it up.
            Err(error) if all && error.code() == ErrorCode::State => {
                let (what, path) = ("everything in the state folder", self.instance.state().to_owned());
                let bytes = folder_bytes(&path);
                return Ok(ResetPlan { all, items: vec![ResetItem { what: what.to_owned(), path, bytes }] });
            }
            disks => disks?,
        };
        // Without `all` the user's own distributions stay.
        for disk in disks.into_iter().filter(|disk| all || is_internal(&disk.distribution)) {
            let what = match disk.distribution.as_str() {
                DATA => "all images, containers, volumes and build cache (docker-desktop-data)".to_owned(),
                ENGINE => "the engine's root file system (docker-desktop)".to_owned(),
                name => format!("the distribution {name} with all files in it"),
            };
            items.push(ResetItem { what, path: disk.path, bytes: disk.allocated_bytes });
        }
        if all {
            // Version 1 is a folder, no disk.
            for distribution in self.platform.distributions()?.iter().filter(|one| one.version == 1) {
                if let Some(entry) = self.platform.entry(&distribution.name)? {
                    let what = format!("the distribution {} with all files in it", entry.name);
                    let path = entry.folder(&self.instance);
                    let bytes = folder_bytes(&path);
                    items.push(ResetItem { what, path, bytes });
                }
            }
            for (what, path) in [
                (
                    "the engine image built on this machine",
                    self.platform.cached_image().unwrap_or_else(|| self.instance.cache().join("none")),
                ),
                ("the logs", self.instance.logs()),
                ("the settings", self.instance.settings()),
            ] {
                if path.exists() {
                    let bytes = folder_bytes(&path);
                    items.push(ResetItem { what: what.to_owned(), path, bytes });
                }
            }
        }
        Ok(ResetPlan { all, items })
    }
}

/// What the files below `path` take on the disk. What can't be read counts nothing: it is an estimate for people.
fn folder_bytes(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    let children = std::fs::read_dir(path).into_iter().flatten().flatten();
    let below: u64 = if meta.is_dir() { children.map(|child| folder_bytes(&child.path())).sum() } else { 0 };
    meta.blocks() * 512 + below
}

/// Tells that a stage begins.
fn stage(sink: Sink<'_>, stage: Stage) {
    sink(Event::Stage { stage, at_us: monotonic_us() });
}

/// The state's failure as an error.
fn failure(cause: sampan_model::engine::Failure, code: ErrorCode) -> StartFailed {
    StartFailed(cause.message, cause.log, code)
}

/// An [`ApiError`] of nothing but kind and sentence, for events.
pub(crate) fn plain(error: &Error) -> ApiError {
    error.0.clone()
}
