//! Several pieces of work side by side, of which none can hold up the others.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many are worked on at once: more than hang on any machine, and fewer than would be a burden.
const AT_ONCE: usize = 16;

/// Does `work` with each item; the results in order, none for what has not ended within `limit`. That goes on by itself, and
/// what has not begun by then never does.
pub(super) fn within<T, R>(
    limit: Duration,
    items: Vec<T>,
    work: impl Fn(T) -> R + Send + Sync + 'static,
) -> Vec<Option<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let deadline = Instant::now() + limit;
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let workers = items.len().min(AT_ONCE);
    let queue: Arc<Mutex<VecDeque<(usize, T)>>> =
        Arc::new(Mutex::new(items.into_iter().enumerate().collect()));
    let (work, (sender, receiver)) = (Arc::new(work), channel());
    for _ in 0..workers {
        let (queue, work, sender) = (Arc::clone(&queue), Arc::clone(&work), sender.clone());
        let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let thread = std::thread::Builder::new().name("layer".to_owned());
        // Those that there are do the work of one that can't be had.
        let _ = thread.spawn(move || {
            while let Some((place, item)) = next() {
                if sender.send((place, work(item))).is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok((place, result)) => results[place] = Some(result),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                break;
            }
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_done_however_many_there_are() {
        let done = within(Duration::from_mins(1), (0..100).collect(), |number: u32| number * 2);
        assert_eq!(done, (0..100).map(|number| Some(number * 2)).collect::<Vec<_>>());
        assert_eq!(within(Duration::ZERO, Vec::new(), |(): ()| ()), []);
    }

    #[test]
    fn one_that_hangs_holds_up_nobody() {
        let (release, hung) = channel::<()>();
        let hung = Mutex::new(hung);
        let work = move |hangs: bool| {
            if hangs {
                let _ = hung.lock().unwrap_or_else(PoisonError::into_inner).recv();
            }
        };
        let done = within(Duration::from_millis(500), vec![false, true, false], work);
        assert_eq!(done, [Some(()), None, Some(())]);
        drop(release);
    }
}
