//! Waiting for something to become true. Deadlines are long: they end a hang, they judge nothing.

use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long anything that has no deadline of its own may take.
pub const LONG: Duration = Duration::from_mins(3);

/// Waits until `condition` holds.
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(LONG, condition), "waited {} s in vain until {what}", LONG.as_secs());
}

/// Waits until `look` finds something, and returns it.
#[track_caller]
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    until(what, || {
        found = look();
        found.is_some()
    });
    found.expect("the wait ends only when it was found")
}

/// Whether `condition` comes to hold within `deadline`.
pub fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        // What is waited for lies in /proc, /sys or behind a command: none of these can be subscribed to.
        let_pass(Duration::from_millis(50));
    }
}

/// Lets time pass. For tests whose input is a moment, and for nothing else.
pub fn let_pass(time: Duration) {
    let (sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(time);
    drop(sender);
}
