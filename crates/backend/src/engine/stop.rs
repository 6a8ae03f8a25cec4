//! Stopping and resetting.

use std::time::{Duration, Instant};

use sampan_model::api::{ErrorCode, Event};
use sampan_model::distro::ENGINE;
use sampan_model::engine::{EngineRequest, Stage};

use super::{Engine, stage};
use crate::error::Error;
use crate::platform::Sink;
use crate::supervisor::Line;

/// How long containers get by default, as dockerd's own shutdown allows them (10 s), and the daemons on top.
pub const DEFAULT_STOP: Duration = Duration::from_secs(20);

impl Engine {
    /// Stops the engine, then everything of the instance but the service. Goes on after failures and reports all.
    pub fn stop(&self, limit: Duration, sink: Sink<'_>) -> Vec<Error> {
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
        errors.extend(self.platform.shut_down(limit));
        errors
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

    /// Deletes the engine and all its data; with `all` whatever else the instance has, readable or not.
    pub fn reset(&self, all: bool, sink: Sink<'_>) -> Result<(), Error> {
        // Of a damaged registry there is nothing to save here: what runs was stopped by its own records.
        let matters = |error: &Error| !(all && error.code() == ErrorCode::State);
        if let Some(error) = self.stop(DEFAULT_STOP, sink).into_iter().find(matters) {
            return Err(error);
        }
        if all {
            return self.platform.erase();
        }
        self.platform.recover()?;
        for distribution in self.platform.distributions()? {
            self.platform.unregister(&distribution.name)?;
        }
        Ok(())
    }
}
