//! How far an operation is, told no more often than it can be seen.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use sampan_model::wsl::service::Reply;

use super::Asker;

/// Tells of one operation.
pub(super) struct Progress<'a> {
    pub(super) asker: Asker<'a>,
    label: &'static str,
    last: AtomicU16,
}

impl<'a> Progress<'a> {
    /// `label`: what is done.
    pub(super) fn new(asker: Asker<'a>, label: &'static str) -> Self {
        asker.tell(Reply::Progress { label: label.to_owned(), permille: None });
        Self { asker, label, last: AtomicU16::new(u16::MAX) }
    }

    /// `done` of `total` are done. An estimate may be too small, so that it is never all.
    pub(super) fn told(&self, done: u64, total: u64) {
        let permille = u16::try_from(done.saturating_mul(1000) / total.max(1)).unwrap_or(u16::MAX).min(999);
        if self.last.swap(permille, Ordering::Relaxed) != permille {
            self.asker.tell(Reply::Progress { label: self.label.to_owned(), permille: Some(permille) });
        }
    }

    /// The same of a copy; an error when it was called off.
    pub(super) fn copied(&self, done: u64, total: u64) -> io::Result<()> {
        self.told(done, total);
        Ok(self.asker.cancel.check()?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::cancel::Cancel;

    #[test]
    fn the_same_is_not_told_twice() {
        let heard = Mutex::new(Vec::new());
        let tell = |reply| {
            if let Reply::Progress { permille, .. } = reply {
                heard.lock().unwrap().push(permille);
            }
        };
        let cancel = Cancel::default();
        let progress = Progress::new(Asker { tell: &tell, cancel: &cancel }, "Trying");
        for done in [0, 1, 2, 1000, 1001, 5_000_000] {
            progress.told(done, 1_000_000);
        }
        progress.told(1, 0);
        assert_eq!(*heard.lock().unwrap(), [None, Some(0), Some(1), Some(999)]);
    }
}
