//! Pseudo-terminals.

use std::os::fd::{AsFd, OwnedFd};

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::error::{Context, Result};

const TERMINAL: &str = "a terminal";

/// Both sides of a terminal, close-on-exec.
#[derive(Debug)]
pub struct Pty {
    /// The side of whoever shows it. When its last copy is closed, the session on the other side gets a
    /// hang-up.
    pub master: OwnedFd,
    /// The side of the programs that run in it.
    pub slave: OwnedFd,
}

/// Opens a new terminal in the `devpts` that `/dev/ptmx` belongs to; the caller's terminal stays its own. An
/// error EAGAIN says that there are as many as there may be.
///
/// The slave is not opened by its path: whatever is mounted on `/dev/pts` by then, both sides belong
/// together.
pub fn open() -> Result<Pty> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).on("open", TERMINAL)?;
    rustix::pty::unlockpt(&master).on("unlock", TERMINAL)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).on("open the other side of", TERMINAL)?;
    Ok(Pty { master, slave })
}

/// Sets the size, in characters. Programs in the foreground get SIGWINCH.
pub fn set_size(terminal: impl AsFd, rows: u16, columns: u16) -> Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).on("set the size of", TERMINAL)
}

/// Makes it the controlling terminal of the caller, a session leader without one.
pub fn take(terminal: impl AsFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(terminal).on("take", TERMINAL)
}

/// Whether it is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_belong_together() {
        let pty = open().unwrap();
        set_size(&pty.master, 7, 9).unwrap();
        let size = rustix::termios::tcgetwinsize(&pty.slave).unwrap();
        assert_eq!((size.ws_row, size.ws_col), (7, 9));
        rustix::io::write(&pty.slave, b"x").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(rustix::io::read(&pty.master, &mut buffer).unwrap(), 1);
        assert!(is_terminal(&pty.master) && is_terminal(&pty.slave));
        let (pipe, _) = rustix::pipe::pipe().unwrap();
        assert!(!is_terminal(pipe));
    }
}
