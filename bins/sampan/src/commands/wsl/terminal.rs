//! The caller's terminal in raw mode: every key goes to the session.

use std::fs::File;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// A terminal in raw mode. It is as it was before when this is dropped, or when the program panics: a release build
/// ends there, without dropping anything.
#[derive(Debug)]
pub(super) struct Raw(Arc<Modes>);

#[derive(Debug)]
struct Modes {
    terminal: File,
    before: Termios,
    raw: Termios,
}

impl Raw {
    /// Puts `terminal` into raw mode.
    pub(super) fn enter(terminal: &File) -> Result<Self, Errno> {
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        let terminal =
            terminal.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let modes = Arc::new(Modes { terminal, before, raw });
        set(&modes.terminal, &modes.raw)?;
        let kept = Arc::clone(&modes);
        // Stays when this is dropped: to restore once more does no harm.
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            kept.restore();
            former(panic);
        }));
        Ok(Self(modes))
    }

    /// Raw mode once more, after somebody else changed it.
    pub(super) fn again(&self) {
        // A terminal that is gone shows when it is read.
        let _ = set(&self.0.terminal, &self.0.raw);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.0.restore();
    }
}

impl Modes {
    fn restore(&self) {
        let _ = set(&self.terminal, &self.before);
    }
}

/// At once: what was typed before is kept.
fn set(terminal: &File, modes: &Termios) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| tcsetattr(terminal, OptionalActions::Now, modes))
}

#[cfg(test)]
mod tests {
    use rustix::termios::LocalModes;

    use super::*;

    #[test]
    fn a_terminal_is_raw_and_then_as_before() {
        let pty = sampan_sys::pty::open().unwrap();
        let terminal = File::from(pty.slave);
        let echo =
            || tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON);
        assert!(echo());
        let raw = Raw::enter(&terminal).unwrap();
        assert!(!echo());
        drop(raw);
        assert!(echo());
    }

    #[test]
    fn so_it_is_after_a_panic() {
        let pty = sampan_sys::pty::open().unwrap();
        let terminal = File::from(pty.slave);
        let copy = terminal.try_clone().unwrap();
        let panicked = std::thread::spawn(move || {
            // As when nothing is dropped: the hook alone does it.
            let raw = std::mem::ManuallyDrop::new(Raw::enter(&copy).unwrap());
            raw.again();
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert!(tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO));
    }
}
