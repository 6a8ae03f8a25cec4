//! The caller's terminal shows one of a distribution: bytes go both ways, the size goes in.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::service::Reply;
use sampan_sys::signals::Signal;

use super::caller::Caller;
use super::console::Console;
use super::conversation::{Conversation, ENDING, Signals, show};
use super::halt::Halt;
use super::terminal::Raw;

/// How long a terminal whose other side nobody has open is left alone. It may be opened again: login(1) hangs up and
/// goes on, and the kernel has no event for that.
const HUNG_UP: Duration = Duration::from_millis(20);
/// What is read at once.
const CHUNK: usize = 16 << 10;
/// The most that the kernel keeps of a terminal's output, and more. What comes after it was written after the end.
const REST: usize = 256 << 10;

/// Copies until the session's last word; none: its side of the connection is gone.
pub(super) fn run(
    conversation: &Conversation,
    caller: &Caller,
    console: &mut Console,
    master: OwnedFd,
) -> Result<Option<Reply>, Halt> {
    let watched = [ENDING.as_slice(), &[Signal::WINCH, Signal::CONT]].concat();
    let signals = Signals::block(&watched)?;
    let raw = Raw::enter(&caller.stdin).map_err(|errno| Halt::from(failed("use the terminal", errno)))?;
    rustix::io::ioctl_fionbio(&master, true).map_err(|errno| failed("use the session's terminal", errno))?;
    let mut screen = Screen { caller, master, typed: Vec::new(), quiet_until: None };
    // It may have changed since the request.
    screen.resize();
    loop {
        let ready = screen.wait(conversation, &signals)?;
        while let Some(signal) = signals.take()? {
            if signal == Signal::WINCH.as_raw() {
                screen.resize();
            } else if signal == Signal::CONT.as_raw() {
                // Whoever stopped this program has the terminal as it was before.
                raw.again();
                screen.resize();
            } else {
                return Err(Halt::Signal(signal));
            }
        }
        if ready.typed && !screen.read_keys() {
            return Err(Halt::Signal(Signal::HUP.as_raw()));
        }
        if ready.master {
            screen.write_keys();
            screen.draw(CHUNK)?;
        }
        if ready.conversation {
            let Some((reply, _)) = conversation.next()? else {
                screen.draw(REST)?;
                return Ok(None);
            };
            if let Some(last) = show(reply, console)? {
                screen.draw(REST)?;
                return Ok(Some(last));
            }
        }
    }
}

struct Screen<'a> {
    caller: &'a Caller,
    master: OwnedFd,
    /// Typed, and not yet taken by the session.
    typed: Vec<u8>,
    /// Until then the master is not looked at.
    quiet_until: Option<Instant>,
}

struct Ready {
    conversation: bool,
    typed: bool,
    master: bool,
}

impl Screen<'_> {
    /// Waits until there is something to do.
    fn wait(&mut self, conversation: &Conversation, signals: &Signals) -> Result<Ready, Failure> {
        let left = self.quiet_until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.filter(|left| !left.is_zero());
        if left.is_none() {
            self.quiet_until = None;
        }
        // Flags that are empty still report a hang-up, so what is not wanted is left out.
        let mut fds = vec![
            PollFd::from_borrowed_fd(conversation.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        let keys = self.typed.is_empty().then(|| {
            fds.push(PollFd::new(&self.caller.stdin, PollFlags::IN));
            fds.len() - 1
        });
        let master = self.quiet_until.is_none().then(|| {
            let writes = if self.typed.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            fds.push(PollFd::new(&self.master, PollFlags::IN | writes));
            fds.len() - 1
        });
        let left = left.map(|left| Timespec::try_from(left).expect("20 ms fit"));
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("wait for the terminal", errno)),
        }
        let ready = |index: usize| !fds[index].revents().is_empty();
        Ok(Ready {
            conversation: ready(0),
            typed: keys.is_some_and(ready),
            master: master.is_some_and(ready),
        })
    }

    /// Takes what was typed. False: the caller's terminal is gone.
    fn read_keys(&mut self) -> bool {
        let mut buffer = [0; CHUNK];
        match rustix::io::read(&self.caller.stdin, &mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.typed.extend_from_slice(&buffer[..length]);
                self.write_keys();
                true
            }
            Err(errno) => matches!(errno, Errno::INTR | Errno::AGAIN),
        }
    }

    /// Hands over what was typed, as far as the session takes it.
    fn write_keys(&mut self) {
        while !self.typed.is_empty() {
            match rustix::io::write(&self.master, &self.typed) {
                Ok(length) => drop(self.typed.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => return self.rest(),
            }
        }
    }

    /// Shows what is there of the session's output, up to about `limit` bytes.
    fn draw(&mut self, limit: usize) -> Result<(), Halt> {
        let mut buffer = [0; CHUNK];
        let mut shown = 0;
        while shown < limit {
            match rustix::io::read(&self.master, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(length) => {
                    write_all(&self.caller.stdout, &buffer[..length])?;
                    shown += length;
                }
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.rest();
                    break;
                }
            }
        }
        Ok(())
    }

    fn rest(&mut self) {
        self.quiet_until = Some(Instant::now() + HUNG_UP);
    }

    /// Gives the session's terminal the size of the caller's. The kernel tells the programs in it.
    fn resize(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(&self.caller.stdout) {
            let _ = rustix::termios::tcsetwinsize(&self.master, size);
        }
    }
}

/// Writes all of `bytes`. The description of a terminal is shared: somebody else may have made it non-blocking.
pub(super) fn write_all(terminal: &File, mut bytes: &[u8]) -> Result<(), Halt> {
    while !bytes.is_empty() {
        match rustix::io::write(terminal, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // Its own end wakes this up as well.
                let _ = poll(&mut [PollFd::new(terminal, PollFlags::OUT)], None);
            }
            Err(_) => return Err(Halt::Signal(Signal::HUP.as_raw())),
        }
    }
    Ok(())
}

fn failed(what: &str, errno: Errno) -> Failure {
    Failure::new(Code::Fail).with_message(format!("This program can't {what}: {errno}."))
}
