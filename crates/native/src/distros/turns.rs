//! Whose turn it is with a distribution: one operation at a time on each.
//!
//! What ends soon (a start, a stop) is waited for; what may take minutes (a conversion, an export) refuses the others,
//! as `wsl` users know it.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sampan_model::distro::{DistroState, Guid};
use sampan_model::wsl::error::{Code, Failure};

/// How long a start or stop by somebody else is waited for. Longer than the longest of them may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// What is being done with a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It is started, stopped, or changed in a moment.
    Briefly,
    /// It is being imported.
    Installing,
    /// It is being removed.
    Uninstalling,
    /// It is changing its version, its place or its size.
    Converting,
    /// It is being written to a file.
    Exporting,
}

impl Doing {
    /// The word of a listing; none: what it is otherwise.
    pub(crate) fn state(self) -> Option<DistroState> {
        match self {
            Self::Briefly => None,
            Self::Installing => Some(DistroState::Installing),
            Self::Uninstalling => Some(DistroState::Uninstalling),
            Self::Converting => Some(DistroState::Converting),
            Self::Exporting => Some(DistroState::Exporting),
        }
    }
}

/// Who has their turn.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<HashMap<Guid, Doing>>,
    ended: Condvar,
}

/// A turn; over when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    guid: Guid,
    shared: Arc<Shared>,
}

impl Turns {
    /// Takes the turn with a distribution: waits for what ends soon, is refused by what does not.
    pub(crate) fn take(&self, guid: Guid, doing: Doing) -> Result<Turn, Failure> {
        self.until_free(&guid)?.insert(guid, doing);
        Ok(Turn { guid, shared: Arc::clone(&self.0) })
    }

    /// Waits until nobody has the turn with a distribution; refused by what does not end soon. Of those who wait, none
    /// holds up another.
    pub(crate) fn wait(&self, guid: &Guid) -> Result<(), Failure> {
        self.until_free(guid).map(drop)
    }

    fn until_free(&self, guid: &Guid) -> Result<MutexGuard<'_, HashMap<Guid, Doing>>, Failure> {
        let until = Instant::now() + PATIENCE;
        let mut taken = self.taken();
        loop {
            match taken.get(guid) {
                None => return Ok(taken),
                Some(Doing::Briefly) if Instant::now() < until => {
                    let left = until.saturating_duration_since(Instant::now());
                    taken = self.0.ended.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(_) => return Err(Failure::new(Code::IllegalStateChange)),
            }
        }
    }

    /// What is being done with a distribution.
    pub(crate) fn doing(&self, guid: &Guid) -> Option<Doing> {
        self.taken().get(guid).copied()
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Guid, Doing>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.guid);
        drop(taken);
        self.shared.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_turn_refuses_and_a_short_one_is_waited_for() {
        let turns = Turns::default();
        let guid = Guid::from_random([1; 16]);
        let export = turns.take(guid, Doing::Exporting).unwrap();
        assert_eq!(turns.doing(&guid), Some(Doing::Exporting));
        assert_eq!(turns.take(guid, Doing::Briefly).unwrap_err().code, Code::IllegalStateChange);
        drop(export);
        assert_eq!(turns.wait(&guid), Ok(()));
        let start = turns.take(guid, Doing::Briefly).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.take(guid, Doing::Briefly).map(drop));
            drop(start);
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(turns.doing(&guid), None);
    }
}
