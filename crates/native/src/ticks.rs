//! Looking at something again and again while something else is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Does `work`, and `tick` at once and then every `period` meanwhile.
pub(crate) fn during<T>(period: Duration, tick: impl Fn() + Sync, work: impl FnOnce() -> T) -> T {
    /// Ends the ticking, also when the work panics.
    struct End<'a>(&'a AtomicBool, &'a std::thread::Thread);

    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
            self.1.unpark();
        }
    }

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ticker = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                tick();
                std::thread::park_timeout(period);
            }
        });
        let _end = End(&done, ticker.thread());
        work()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn it_ticks_until_the_work_is_done_whatever_becomes_of_it() {
        let ticks = AtomicU32::new(0);
        let tick = || {
            ticks.fetch_add(1, Ordering::Relaxed);
        };
        let wait = || {
            while ticks.load(Ordering::Relaxed) < 3 {
                std::thread::yield_now();
            }
        };
        assert_eq!(
            during(Duration::from_millis(1), tick, || {
                wait();
                7
            }),
            7
        );
        let panicked =
            std::panic::catch_unwind(|| during(Duration::from_hours(1), || {}, || panic!("at work")));
        assert!(panicked.is_err());
    }
}
