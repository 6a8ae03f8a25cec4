//! How long to wait before a part that ended is started again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// A part that ran this long is healthy: what ended it is a new story.
const STEADY: Duration = Duration::from_mins(1);

/// Doubles from 100 ms to 10 s.
#[derive(Debug)]
pub(super) struct BackOff {
    next: Duration,
}

impl BackOff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The pause after a part that ran for this long.
    pub(super) fn pause_after(&mut self, ran: Duration) -> Duration {
        if ran >= STEADY {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_limit_and_starts_over_after_a_steady_run() {
        let mut back_off = BackOff::new();
        let pauses: Vec<u128> =
            (0..9).map(|_| back_off.pause_after(Duration::from_secs(1)).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(back_off.pause_after(STEADY), FIRST);
        assert_eq!(back_off.pause_after(Duration::ZERO), FIRST * 2);
    }
}
