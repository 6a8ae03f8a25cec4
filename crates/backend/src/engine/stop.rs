//! Stopping and resetting.

use std::time::{Duration, Instant};

use sampan_model::api::{ErrorCode, Event};
use sampan_model::distro::{ENGINE, is_internal};
use sampan_model::engine::{EngineRequest, Stage};

use super::{Engine, stage};
use crate::error::Error;
use crate::platform::{Down, Extent, Sink};
use crate::supervisor::Line;

/// How long containers get by default, as dockerd's own shutdown allows them (10 s), and the daemons on top.
pub const DEFAULT_STOP: Duration = Duration::from_secs(20);

impl Engine {
    /// Stops the engine, then everything else that `extent` says. Goes on after failures and reports all.
    pub fn stop(&self, limit: Duration, extent: Extent, sink: Sink<'_>) -> Down {
        let mut errors = Vec::new();
        match self.take_down(limit, sink) {
            // Without a registry nobody knows which distribution is the engine's; all that run are ended below,
            // in order too.
            Err(error) if error.code() == ErrorCode::State => {
                sink(Event::Warning { message: error.to_string() });
            }
            result => errors.extend(result.err()),
        }
        stage(sink, Stage::TakeDown);
        let mut down = self.platform.shut_down(extent, limit);
        errors.append(&mut down.errors);
        for error in down.warnings.drain(..) {
            sink(Event::Warning { message: error.to_string() });
        }
        Down { errors, ..down }
    }

    /// Ends everything at once, without asking anybody to end.
    pub fn kill(&self, sink: Sink<'_>) -> Down {
        stage(sink, Stage::TakeDown);
        self.platform.shut_down(Extent::Everything, Duration::ZERO)
    }

    /// Stops the engine and its distribution, in order within `limit`, then by force.
    pub(super) fn take_down(&self, limit: Duration, sink: Sink<'_>) -> Result<(), Error> {
        if !self.platform.is_running(ENGINE)? {
            return Ok(());
        }
        stage(sink, Stage::Stop);
        let until = Instant::now() + limit;
        if let Some(socket) = self.platform.socket(ENGINE, "engine")? {
            let deadline_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            let asked = Line::open(&socket, &EngineRequest::Stop { deadline_ms })
                .and_then(|line| line.answer(limit + Duration::from_secs(5)));
            if let Err(error) = asked {
                // A supervisor that can't be reached does not keep the engine running: init ends all it has.
                sink(Event::Warning { message: Error::from(error).0.message });
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        self.platform.terminate(ENGINE, left.max(Duration::from_secs(2)))
    }

    /// Deletes the engine and all its data; with `all` whatever else the instance has, readable or not. The user's
    /// distributions that go on.
    pub fn reset(&self, all: bool, sink: Sink<'_>) -> Result<Vec<String>, Error> {
        // Of a damaged registry there is nothing to save here: what runs was stopped by its own records.
        let matters = |error: &Error| !(all && error.code() == ErrorCode::State);
        let extent = if all { Extent::Everything } else { Extent::Engine };
        let down = self.stop(DEFAULT_STOP, extent, sink);
        if let Some(error) = down.errors.into_iter().find(matters) {
            return Err(error);
        }
        if all {
            if !down.remaining.is_empty() {
                let message = format!("{} is being worked on", down.remaining.join(", "));
                return Err(Error::new(
                    ErrorCode::Busy,
                    message,
                    Some("wait until that is done, then try again"),
                ));
            }
            self.platform.erase()?;
            return Ok(Vec::new());
        }
        self.platform.recover()?;
        for distribution in self.platform.distributions()? {
            if is_internal(&distribution.name) {
                self.platform.unregister(&distribution.name)?;
            }
        }
        for message in self.platform.withdraw() {
            sink(Event::Warning { message });
        }
        Ok(down.remaining)
    }
}
