//! What the service does, whoever asks for it: starts, stops, resets. One at a time.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use sampan_backend::Error;
use sampan_backend::engine::{DEFAULT_STOP, Engine, Started};
use sampan_backend::platform::{Down, Extent};
use sampan_model::api::{Event, StartRequest};
use tokio::sync::watch;

use crate::operation::{Kind, Operation, Slot};
use crate::serve::DRAIN;

/// How long the service may take to close its doors: requests under way have their time, and some more.
const CLOSE: Duration = DRAIN.saturating_mul(2);

/// What all ways in share.
#[derive(Debug)]
pub(crate) struct Service {
    engine: Arc<Engine>,
    slot: Slot,
    /// Set when the service has nothing left to do.
    end: watch::Sender<bool>,
    /// Whether nobody can ask for anything any more.
    closed: Mutex<bool>,
    closing: Condvar,
}

impl Service {
    pub(crate) fn new(engine: Engine) -> Self {
        let (closed, closing) = (Mutex::new(false), Condvar::new());
        Self {
            engine: Arc::new(engine),
            slot: Slot::default(),
            end: watch::Sender::new(false),
            closed,
            closing,
        }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Ready when the service is to end.
    pub(crate) async fn ended(&self) {
        let _ = self.end.subscribe().wait_for(|end| *end).await;
    }

    /// Nobody can ask for anything any more.
    pub(crate) fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.closing.notify_all();
    }

    /// Waits for the end of an operation, and, if the service ends with it, until nobody can reach it any more. Blocks the
    /// thread.
    pub(crate) fn wait(&self, operation: &Operation) -> Event {
        let event = operation.wait();
        if *self.end.borrow() {
            let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.closing.wait_timeout_while(closed, CLOSE, |closed| !*closed));
        }
        event
    }

    pub(crate) fn start(&self, request: StartRequest) -> Result<Arc<Operation>, Error> {
        let engine = Arc::clone(&self.engine);
        self.slot.run(Kind::Start, move |sink| finish_start(engine.start(&request, sink)))
    }

    pub(crate) fn restart(&self, request: StartRequest) -> Result<Arc<Operation>, Error> {
        let engine = Arc::clone(&self.engine);
        self.slot.run(Kind::Restart, move |sink| {
            match engine.stop(DEFAULT_STOP, Extent::Engine, sink).errors.into_iter().next() {
                Some(error) => Event::Failed { error: error.0 },
                None => finish_start(engine.start(&request, sink)),
            }
        })
    }

    /// Stops the engine. The user's distributions go on, and the service with them; without any it ends.
    pub(crate) fn stop(self: &Arc<Self>, limit: Duration) -> Result<Arc<Operation>, Error> {
        let this = Arc::clone(self);
        self.slot.run(Kind::Stop, move |sink| {
            this.finish_stop(this.engine.stop(limit, Extent::Engine, sink), sink)
        })
    }

    /// Stops everything, the user's distributions too; then the service ends. By force: without asking anybody.
    pub(crate) fn shut_down(self: &Arc<Self>, force: bool) -> Result<Arc<Operation>, Error> {
        let this = Arc::clone(self);
        self.slot.run(Kind::Shutdown, move |sink| {
            let down = if force {
                this.engine.kill(sink)
            } else {
                this.engine.stop(DEFAULT_STOP, Extent::Everything, sink)
            };
            this.finish_stop(down, sink)
        })
    }

    pub(crate) fn reset(self: &Arc<Self>, all: bool) -> Result<Arc<Operation>, Error> {
        let this = Arc::clone(self);
        self.slot.run(Kind::Reset, move |sink| match this.engine.reset(all, sink) {
            Ok(remaining) if remaining.is_empty() => {
                this.end.send_replace(true);
                done("everything was deleted", remaining)
            }
            Ok(remaining) => done("the engine and its data were deleted", remaining),
            Err(error) => {
                // Half of it may be gone: what is left is for a service that begins anew.
                if all {
                    this.end.send_replace(true);
                }
                Event::Failed { error: error.0 }
            }
        })
    }

    fn finish_stop(&self, down: Down, sink: &(dyn Fn(Event) + Send + Sync)) -> Event {
        if let Some((first, others)) = down.errors.split_first() {
            for error in others {
                sink(Event::Warning { message: error.to_string() });
            }
            tracing::error!("stop failed: {first}");
            return Event::Failed { error: first.0.clone() };
        }
        if down.remaining.is_empty() {
            self.end.send_replace(true);
            return done("Sampan is stopped", Vec::new());
        }
        let names = down.remaining.join(", ");
        let message = format!(
            "The engine is stopped. Still running: {names} (`wsl --terminate NAME` ends one, `wsl --shutdown` everything)"
        );
        done(&message, down.remaining)
    }
}

fn finish_start(result: Result<Started, Error>) -> Event {
    match result {
        Ok(started) => {
            let message =
                if started.already { "Sampan is running already" } else { "Sampan is running" }.to_owned();
            tracing::info!("{message}");
            Event::Done { message, already: started.already, marks: started.marks, remaining: Vec::new() }
        }
        Err(error) => {
            tracing::error!("start failed: {error}");
            Event::Failed { error: error.0 }
        }
    }
}

fn done(message: &str, remaining: Vec<String>) -> Event {
    tracing::info!("{message}");
    Event::Done { message: message.to_owned(), already: false, marks: Vec::new(), remaining }
}
