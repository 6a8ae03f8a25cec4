//! The streams of a session as the distribution gets them. What is left behind in it keeps its streams, so none of them may
//! be a terminal of the caller's that can be read: all that is typed there later could be read inside.
//!
//! With a terminal on both sides the session has one of its own, shown by [`super::screen`]. Otherwise what is typed goes
//! in through a pipe, and a terminal that is written to goes in for writing only.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, isatty};

use super::caller::Caller;

/// How often a terminal is looked at that others read from just now. The kernel has no event for a change of its modes or
/// of the job in its foreground.
const TAKEN: Duration = Duration::from_millis(200);
/// What is read at once.
const CHUNK: usize = 16 << 10;
/// More than a pipe holds. What comes after it was written after the command's end.
const REST: usize = 1 << 20;

/// The streams of one session.
#[derive(Debug)]
pub(super) struct Streams {
    /// Standard input, output, error: what is handed over.
    pub(super) handed: [File; 3],
    /// What is carried to and from the caller's terminal meanwhile.
    pub(super) relay: Relay,
}

impl Streams {
    /// For a session that has a terminal of its own if the caller reads from and writes to one.
    pub(super) fn of(caller: &Caller) -> io::Result<Self> {
        let mut relay = Relay::default();
        let handed = if caller.terminal().is_some() {
            [stand_in(&caller.stdin)?, stand_in(&caller.stdout)?, stand_in(&caller.stderr)?]
        } else {
            [relay.input(&caller.stdin)?, relay.output(&caller.stdout)?, relay.output(&caller.stderr)?]
        };
        Ok(Self { handed, relay })
    }

    /// For a command that reads nothing, and whose output is for somebody else.
    pub(super) fn for_errors(caller: &Caller) -> io::Result<Self> {
        let mut relay = Relay::default();
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let handed = [null.try_clone()?, null, relay.output(&caller.stderr)?];
        Ok(Self { handed, relay })
    }
}

/// `stream`, or in the place of a terminal another one, at which nobody sits: it only says that there the session's own
/// belongs.
fn stand_in(stream: &File) -> io::Result<File> {
    if !isatty(stream) {
        return stream.try_clone();
    }
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    Ok(File::from(rustix::pty::openpt(flags)?))
}

/// `stream` opened anew. Refused for a terminal that belongs to somebody else by now.
fn again(stream: &File, flags: OFlags) -> rustix::io::Result<File> {
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    rustix::fs::open(path, flags | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).map(File::from)
}

/// What goes through this program between a session and the caller's terminal.
#[derive(Debug, Default)]
pub(super) struct Relay {
    keyboard: Option<Keyboard>,
    outputs: Vec<Output>,
}

/// A terminal whose lines go into a pipe.
#[derive(Debug)]
struct Keyboard {
    terminal: File,
    pipe: File,
    /// Typed, and not yet taken by the pipe.
    typed: Vec<u8>,
}

/// A pipe whose bytes go to a terminal.
#[derive(Debug)]
struct Output {
    pipe: File,
    terminal: File,
}

/// Whether it is this program that a terminal's lines are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Ours,
    /// A program in the same pipeline has taken the keys (a pager), or another job is in the foreground.
    Others,
}

impl Relay {
    fn input(&mut self, stream: &File) -> io::Result<File> {
        if !isatty(stream) {
            return stream.try_clone();
        }
        let (handed, pipe) = pipe()?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        // A description of its own does not block when another reader was faster.
        let terminal = again(stream, OFlags::RDONLY | OFlags::NONBLOCK).or_else(|_| stream.try_clone())?;
        self.keyboard = Some(Keyboard { terminal, pipe, typed: Vec::new() });
        Ok(handed)
    }

    fn output(&mut self, stream: &File) -> io::Result<File> {
        if !isatty(stream) {
            return stream.try_clone();
        }
        again(stream, OFlags::WRONLY).or_else(|_| self.carried(stream))
    }

    /// A pipe to `stream`.
    fn carried(&mut self, stream: &File) -> io::Result<File> {
        let (pipe, handed) = pipe()?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        self.outputs.push(Output { pipe, terminal: stream.try_clone()? });
        Ok(handed)
    }

    /// Carries bytes until `one` or `other` can be read; which of them can.
    pub(super) fn wait(&mut self, one: impl AsFd, other: impl AsFd) -> rustix::io::Result<[bool; 2]> {
        loop {
            let ready = self.wait_once([one.as_fd(), other.as_fd()])?;
            if ready.contains(&true) {
                return Ok(ready);
            }
        }
    }

    fn wait_once(&mut self, others: [BorrowedFd<'_>; 2]) -> rustix::io::Result<[bool; 2]> {
        let mut fds = others.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).to_vec();
        fds.extend(self.outputs.iter().map(|output| PollFd::new(&output.pipe, PollFlags::IN)));
        let first_of_keyboard = fds.len();
        let mut pause = None;
        if let Some(keyboard) = &self.keyboard {
            // Without a flag it still reports that nobody reads any more.
            let takes = if keyboard.typed.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            fds.push(PollFd::new(&keyboard.pipe, takes));
            match keyboard.turn() {
                Turn::Ours if keyboard.typed.is_empty() => {
                    fds.push(PollFd::new(&keyboard.terminal, PollFlags::IN));
                }
                Turn::Ours => {}
                Turn::Others => pause = Some(Timespec::try_from(TAKEN).expect("200 ms fit")),
            }
        }
        rustix::io::retry_on_intr(|| poll(&mut fds, pause.as_ref()))?;
        let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        let mut ready_outputs = ready[others.len()..first_of_keyboard].iter();
        self.outputs
            .retain(|output| ready_outputs.next().is_none_or(PollFlags::is_empty) || output.draw(CHUNK));
        let keyboard = &ready[first_of_keyboard..];
        if keyboard.iter().any(|flags| !flags.is_empty()) {
            let gone = keyboard[0].intersects(PollFlags::ERR);
            self.keyboard = self.keyboard.take().filter(|_| !gone).and_then(Keyboard::carry);
        }
        Ok([!ready[0].is_empty(), !ready[1].is_empty()])
    }

    /// Shows what the command wrote before its end.
    pub(super) fn show_rest(&mut self) {
        for output in self.outputs.drain(..) {
            output.draw(REST);
        }
    }
}

impl Keyboard {
    /// A line is for this program while lines are what the terminal gives: a pager or an editor behind the pipe takes
    /// single keys. And it is not for a job in the background.
    fn turn(&self) -> Turn {
        let in_front = rustix::termios::tcgetpgrp(&self.terminal)
            .map_or(true, |foreground| foreground == rustix::process::getpgrp());
        let lines = rustix::termios::tcgetattr(&self.terminal)
            .map_or(true, |modes| modes.local_modes.contains(LocalModes::ICANON));
        if in_front && lines { Turn::Ours } else { Turn::Others }
    }

    /// Reads a line if there is one, and hands over what the pipe takes. None: this was the end.
    fn carry(mut self) -> Option<Self> {
        if self.typed.is_empty() && self.turn() == Turn::Ours {
            let mut buffer = [0; CHUNK];
            match rustix::io::read(&self.terminal, &mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.typed.extend_from_slice(&buffer[..length]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                // In the background by now: SIGTTIN is blocked.
                Err(Errno::IO) if self.turn() == Turn::Others => {}
                Err(_) => return None,
            }
        }
        while !self.typed.is_empty() {
            match rustix::io::write(&self.pipe, &self.typed) {
                Ok(length) => drop(self.typed.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return None,
            }
        }
        Some(self)
    }
}

impl Output {
    /// Shows what is there, up to about `limit` bytes. False: there will be no more.
    fn draw(&self, limit: usize) -> bool {
        let mut buffer = [0; CHUNK];
        let mut shown = 0;
        while shown < limit {
            match rustix::io::read(&self.pipe, &mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    if super::screen::write_all(&self.terminal, &buffer[..length]).is_err() {
                        return false;
                    }
                    shown += length;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return errno == Errno::AGAIN,
            }
        }
        true
    }
}

fn pipe() -> io::Result<(File, File)> {
    let (from, to) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((from.into(), to.into()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    #[test]
    fn what_is_no_terminal_goes_in_as_it_is() {
        let mut file = tempfile::tempfile().unwrap();
        let mut relay = Relay::default();
        relay.output(&file).unwrap().write_all(b"x").unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        relay.input(&file).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(relay.keyboard.is_none() && relay.outputs.is_empty());
    }

    #[test]
    fn a_terminal_goes_in_for_writing_only_or_not_at_all() {
        let pty = sampan_sys::pty::open().unwrap();
        let terminal = File::from(pty.slave);
        let mut relay = Relay::default();
        let input = relay.input(&terminal).unwrap();
        assert!(!isatty(&input));
        let output = relay.output(&terminal).unwrap();
        assert!(isatty(&output));
        assert_eq!(rustix::io::read(&output, &mut [0; 1]).unwrap_err(), Errno::BADF);
        let other = stand_in(&terminal).unwrap();
        assert!(isatty(&other));
        let size = |file: &File| rustix::fs::fstat(file).unwrap().st_rdev;
        assert_ne!(size(&other), size(&terminal));
    }

    #[test]
    fn a_terminal_that_cannot_be_opened_again_is_written_to_through_a_pipe() {
        let pty = sampan_sys::pty::open().unwrap();
        let mut relay = Relay::default();
        let mut handed = relay.carried(&File::from(pty.slave)).unwrap();
        assert!(!isatty(&handed));
        handed.write_all(b"shown\n").unwrap();
        // Somebody else still has it: there is no end to wait for.
        relay.show_rest();
        let mut shown = [0; 16];
        let length = rustix::io::read(&pty.master, &mut shown).unwrap();
        assert_eq!(&shown[..length], b"shown\r\n");
    }
}
