//! What takes time: starts, stops, resets. One at a time; whoever asks for the same again joins the one under way.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sampan_backend::Error;
use sampan_model::api::{ErrorCode, Event};
use tokio::sync::watch;

/// Kinds of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Start,
    Stop,
    Restart,
    Shutdown,
    Reset,
}

impl Kind {
    fn doing(self) -> &'static str {
        match self {
            Self::Start => "being started",
            Self::Stop => "being stopped",
            Self::Restart => "being restarted",
            Self::Shutdown => "being shut down",
            Self::Reset => "being reset",
        }
    }
}

/// An operation and everything it has said.
#[derive(Debug)]
pub(crate) struct Operation {
    kind: Kind,
    events: Mutex<Vec<Event>>,
    /// How many events there are, and whether the last one was said.
    told: watch::Sender<(usize, bool)>,
    /// Notified with each event, for those who wait with a thread.
    said: Condvar,
}

impl Operation {
    fn new(kind: Kind) -> Self {
        let (events, told) = (Mutex::new(Vec::new()), watch::Sender::new((0, false)));
        Self { kind, events, told, said: Condvar::new() }
    }

    fn tell(&self, event: Event) {
        let last = is_last(&event);
        let mut events = lock(&self.events);
        events.push(event);
        let count = events.len();
        drop(events);
        self.told.send_replace((count, last));
        self.said.notify_all();
    }

    /// Waits for the last event. Blocks the thread.
    pub(crate) fn wait(&self) -> Event {
        let mut events = lock(&self.events);
        loop {
            match events.last() {
                Some(last) if is_last(last) => return last.clone(),
                _ => events = self.said.wait(events).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn is_over(&self) -> bool {
        self.told.borrow().1
    }
}

/// Hears everything an operation says, from the first event to the last.
#[derive(Debug)]
pub(crate) struct Follower {
    operation: Arc<Operation>,
    told: watch::Receiver<(usize, bool)>,
    next: usize,
}

impl Follower {
    pub(crate) fn of(operation: Arc<Operation>) -> Self {
        let told = operation.told.subscribe();
        Self { operation, told, next: 0 }
    }

    /// The next event; none after the last.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let (count, over) = *self.told.borrow_and_update();
            if self.next < count {
                self.next += 1;
                return lock(&self.operation.events).get(self.next - 1).cloned();
            }
            if over || self.told.changed().await.is_err() {
                return None;
            }
        }
    }
}

/// The slot for the one operation.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Option<Arc<Operation>>>);

impl Slot {
    /// Runs `work` on a thread of its own, or joins the same kind of operation under way. `last` is told the end.
    pub(crate) fn run(
        &self,
        kind: Kind,
        work: impl FnOnce(&(dyn Fn(Event) + Send + Sync)) -> Event + Send + 'static,
    ) -> Result<Arc<Operation>, Error> {
        let mut slot = lock(&self.0);
        if let Some(current) = slot.as_ref().filter(|operation| !operation.is_over()) {
            if current.kind == kind {
                return Ok(Arc::clone(current));
            }
            let message = format!("the engine is {}", current.kind.doing());
            return Err(Error::new(
                ErrorCode::Busy,
                message,
                Some("wait until that is done, then try again"),
            ));
        }
        let operation = Arc::new(Operation::new(kind));
        let own = Arc::clone(&operation);
        // A thread, not a task: the work blocks. Its own: programs it tethers end with the thread that started them.
        std::thread::Builder::new()
            .name(format!("{kind:?}").to_lowercase())
            .spawn(move || {
                // The last word is said even if the work panics: somebody waits for it.
                let caught =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&|event| own.tell(event))));
                own.tell(caught.unwrap_or_else(|_| {
                    Event::Failed {
                        error: Error::new(
                            ErrorCode::Failed,
                            "the service met a condition it does not know",
                            Some("`sampan logs --unit sampand` has the details; please report them"),
                        )
                        .0,
                    }
                }));
            })
            .map_err(|error| {
                Error::new(ErrorCode::Failed, format!("cannot start a thread: {error}"), None)
            })?;
        *slot = Some(Arc::clone(&operation));
        Ok(operation)
    }
}

fn is_last(event: &Event) -> bool {
    matches!(event, Event::Done { .. } | Event::Failed { .. })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> Event {
        Event::Done { message: "x".to_owned(), already: false, marks: Vec::new(), remaining: Vec::new() }
    }

    #[tokio::test]
    async fn the_same_joins_another_is_refused_and_every_follower_hears_all() {
        let slot = Slot::default();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = slot
            .run(Kind::Start, move |tell| {
                tell(Event::Warning { message: "early".to_owned() });
                wait.recv().unwrap();
                done()
            })
            .unwrap();
        let joined = slot.run(Kind::Start, |_| unreachable!("joins")).unwrap();
        assert!(Arc::ptr_eq(&first, &joined));
        assert_eq!(slot.run(Kind::Stop, |_| done()).unwrap_err().code(), ErrorCode::Busy);
        go.send(()).unwrap();
        let mut follower = Follower::of(joined);
        let heard = [follower.next().await, follower.next().await, follower.next().await];
        assert!(matches!(heard, [Some(Event::Warning { .. }), Some(Event::Done { .. }), None]), "{heard:?}");
        assert!(slot.run(Kind::Stop, |_| done()).is_ok());
    }

    #[tokio::test]
    async fn a_panic_is_an_end_too() {
        let slot = Slot::default();
        let operation = slot.run(Kind::Reset, |_| panic!("on purpose")).unwrap();
        assert!(matches!(operation.wait(), Event::Failed { .. }));
        assert!(matches!(Follower::of(operation).next().await, Some(Event::Failed { .. })));
    }
}
