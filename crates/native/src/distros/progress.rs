//! How far an operation is, told no more often than it can be seen.

use std::sync::atomic::{AtomicU16, Ordering};

use sampan_model::wsl::service::Reply;

use super::Tell;

/// Tells of one operation.
pub(super) struct Progress<'a> {
    tell: Tell<'a>,
    label: &'static str,
    last: AtomicU16,
}

impl<'a> Progress<'a> {
    /// `label`: what is done.
    pub(super) fn new(tell: Tell<'a>, label: &'static str) -> Self {
        tell(Reply::Progress { label: label.to_owned(), permille: None });
        Self { tell, label, last: AtomicU16::new(u16::MAX) }
    }

    /// `done` of `total` are done. An estimate may be too small, so that it is never all.
    pub(super) fn told(&self, done: u64, total: u64) {
        let permille = u16::try_from(done.saturating_mul(1000) / total.max(1)).unwrap_or(u16::MAX).min(999);
        if self.last.swap(permille, Ordering::Relaxed) != permille {
            (self.tell)(Reply::Progress { label: self.label.to_owned(), permille: Some(permille) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_same_is_not_told_twice() {
        let heard = Mutex::new(Vec::new());
        let tell = |reply| {
            if let Reply::Progress { permille, .. } = reply {
                heard.lock().unwrap().push(permille);
            }
        };
        let progress = Progress::new(&tell, "Trying");
        for done in [0, 1, 2, 1000, 1001, 5_000_000] {
            progress.told(done, 1_000_000);
        }
        progress.told(1, 0);
        assert_eq!(*heard.lock().unwrap(), [None, Some(0), Some(1), Some(999)]);
    }
}
