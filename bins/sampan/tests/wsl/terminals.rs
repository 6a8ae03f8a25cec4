//! A session's terminal, shown on the caller's.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Termios, tcgetattr, tcgetwinsize};
use sampan_model::session::TerminalSize;
use sampan_model::wsl::service::Reply;
use sampan_sys::pty::{self, Pty};
use sampan_sys::socket::recv_message;

use super::instance::Instance;
use super::{LONG, Running, ended, say, serve, spec};

/// A terminal as a user has it, and `wsl` in it.
struct Desk {
    terminal: Pty,
    before: Termios,
}

impl Desk {
    fn new() -> Self {
        let terminal = pty::open().unwrap();
        pty::set_size(&terminal.master, 41, 99).unwrap();
        let before = tcgetattr(&terminal.slave).unwrap();
        assert!(before.local_modes.contains(LocalModes::ECHO | LocalModes::ICANON));
        Self { terminal, before }
    }

    fn run(&self, command: &mut Command) -> Running {
        let stream = || Stdio::from(self.terminal.slave.try_clone().unwrap());
        Running::new(command.stdin(stream()).stdout(stream()).stderr(stream()))
    }

    fn write(&self, keys: &str) {
        File::from(self.terminal.master.try_clone().unwrap()).write_all(keys.as_bytes()).unwrap();
    }

    /// Reads what is shown until `end` is.
    fn read_until(&self, end: &str) -> String {
        let mut shown = String::new();
        let mut master = File::from(self.terminal.master.try_clone().unwrap());
        let mut buffer = [0; 4096];
        while !shown.contains(end) {
            // A failure, not a test that never ends.
            assert!(sampan_sys::poll::wait_for(&master, Some(LONG)).unwrap(), "no {end:?} in {shown:?}");
            let length = master.read(&mut buffer).unwrap();
            shown.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
        shown
    }

    fn is_raw(&self) -> bool {
        let now = tcgetattr(&self.terminal.slave).unwrap();
        !now.local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    fn is_as_before(&self) -> bool {
        let now = tcgetattr(&self.terminal.slave).unwrap();
        (now.input_modes, now.output_modes, now.local_modes)
            == (self.before.input_modes, self.before.output_modes, self.before.local_modes)
    }
}

fn read_line(terminal: &OwnedFd) -> String {
    let mut line = [0; 256];
    let length = rustix::io::read(terminal, &mut line).unwrap();
    String::from_utf8(line[..length].to_vec()).unwrap()
}

fn write(terminal: &OwnedFd, text: &[u8]) {
    File::from(terminal.try_clone().unwrap()).write_all(text).unwrap();
}

#[test]
fn a_terminal_is_shown_on_the_caller_s() {
    let instance = Instance::new();
    let service = serve(&instance, |socket, request, _| {
        let size = spec(request).terminal;
        assert_eq!(size, Some(TerminalSize { rows: 41, columns: 99 }));
        say(socket, &Reply::Warning { message: "slow".to_owned() }, &[]);
        let inner = pty::open().unwrap();
        say(socket, &Reply::Terminal, &[inner.master.as_fd()]);
        write(&inner.slave, b"ready\n");
        assert_eq!(read_line(&inner.slave), "typed\n");
        assert_eq!(read_line(&inner.slave), "bigger\n");
        let size = tcgetwinsize(&inner.slave).unwrap();
        assert_eq!((size.ws_row, size.ws_col), (50, 120));
        // As login(1) does: for a moment nobody has the terminal open.
        drop(inner.slave);
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&inner.master, flags).unwrap();
        write(&slave, b"back\n");
        assert_eq!(read_line(&slave), "more\n");
        // All of it is shown, although the end is there at once, and a background job still has the terminal.
        write(&slave, "a line of many\n".repeat(5000).as_bytes());
        write(&slave, b"the last\n");
        say(socket, &ended(3), &[]);
        (socket.try_clone().unwrap(), slave)
    });
    let desk = Desk::new();
    let child = desk.run(&mut instance.wsl(&[]));
    let shown = desk.read_until("ready\r\n");
    assert!(shown.starts_with("wsl: slow\r\n"), "{shown:?}");
    assert!(desk.is_raw());
    desk.write("typed\r");
    assert_eq!(desk.read_until("typed\r\n"), "typed\r\n", "the echo is the session's");
    pty::set_size(&desk.terminal.master, 50, 120).unwrap();
    child.signal(Signal::WINCH);
    desk.write("bigger\r");
    desk.read_until("back\r\n");
    desk.write("more\r");
    let many = desk.read_until("the last\r\n");
    assert_eq!(many.matches("a line of many\r\n").count(), 5000);
    assert_eq!(child.wait().code(), Some(3));
    assert!(desk.is_as_before());
    drop(service.join().unwrap());
}

#[test]
fn a_signal_ends_a_session_in_a_terminal_and_leaves_that_as_it_was() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let instance = Instance::new();
        let service = serve(&instance, |socket, _, _| {
            let inner = pty::open().unwrap();
            say(socket, &Reply::Terminal, &[inner.master.as_fd()]);
            write(&inner.slave, b"ready\n");
            // That the client has gone is the command's hang-up.
            recv_message(socket).unwrap().is_none()
        });
        let desk = Desk::new();
        let child = desk.run(&mut instance.wsl(&["-d", "x"]));
        desk.read_until("ready\r\n");
        child.signal(signal);
        assert_eq!(child.wait().code(), Some(128 + signal.as_raw()));
        assert!(desk.is_as_before(), "{signal:?}");
        assert!(service.join().unwrap());
    }
}

#[test]
fn raw_mode_comes_back_after_a_stop() {
    let instance = Instance::new();
    let service = serve(&instance, |socket, _, _| {
        let inner = pty::open().unwrap();
        say(socket, &Reply::Terminal, &[inner.master.as_fd()]);
        write(&inner.slave, b"ready\n");
        assert_eq!(read_line(&inner.slave), "go\n");
        say(socket, &ended(0), &[]);
        socket.try_clone().unwrap()
    });
    let desk = Desk::new();
    let child = desk.run(&mut instance.wsl(&["-d", "x"]));
    desk.read_until("ready\r\n");
    // What a shell does with a job that was stopped: its own modes, then the signal.
    let now = rustix::termios::OptionalActions::Now;
    rustix::termios::tcsetattr(&desk.terminal.slave, now, &desk.before).unwrap();
    child.signal(Signal::CONT);
    while !desk.is_raw() {
        std::thread::yield_now();
    }
    desk.write("go\r");
    assert_eq!(child.wait().code(), Some(0));
    assert!(desk.is_as_before());
    drop(service.join().unwrap());
}

#[test]
fn a_distribution_that_is_stopped_gives_the_terminal_back() {
    let instance = Instance::new();
    let service = serve(&instance, |socket, _, _| {
        let inner = pty::open().unwrap();
        say(socket, &Reply::Terminal, &[inner.master.as_fd()]);
        write(&inner.slave, b"ready\n");
    });
    let desk = Desk::new();
    let child = desk.run(&mut instance.wsl(&["-d", "x"]));
    let shown = desk.read_until("killed.\r\n");
    assert!(shown.starts_with("ready\r\n"), "{shown}");
    assert_eq!(child.wait().code(), Some(255));
    assert!(desk.is_as_before());
    service.join().unwrap();
}

#[test]
fn a_pipe_on_either_side_means_no_terminal() {
    let instance = Instance::new();
    for output_is_piped in [false, true] {
        let service = serve(&instance, |socket, request, fds| {
            let [input, output, _] = fds.try_into().unwrap();
            let terminals = (pty::is_terminal(&input), pty::is_terminal(&output));
            say(socket, &ended(0), &[]);
            (spec(request), terminals)
        });
        let desk = Desk::new();
        let mut command = instance.wsl(&["-d", "x"]);
        command.env("TERM", "vt100").stderr(Stdio::null());
        let stream = Stdio::from(desk.terminal.slave.try_clone().unwrap());
        if output_is_piped {
            command.stdin(stream).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::piped()).stdout(stream);
        }
        assert_eq!(Running::new(&mut command).wait().code(), Some(0));
        let (spec, terminals) = service.join().unwrap();
        // One that could be read inside would be read there by whatever the command leaves behind.
        assert_eq!((spec.terminal, terminals), (None, (false, !output_is_piped)));
        // The program is shown on a terminal all the same, and should know which.
        assert!(spec.environment.iter().any(|variable| {
            variable.name.as_os_str() == "TERM" && variable.value.as_os_str() == "vt100"
        }));
    }
}

/// `wsl -e … | less`: lines go in until the pager takes the keys, and once more when it gives them back.
#[test]
fn lines_go_in_through_a_pipe_and_the_keys_of_a_pager_do_not() {
    let instance = Instance::new();
    let (told, tell) = std::sync::mpsc::channel::<String>();
    let service = serve(&instance, move |socket, _, fds| {
        let [input, ..] = <[OwnedFd; 3]>::try_from(fds).unwrap();
        say(socket, &Reply::Begun, &[]);
        told.send(read_line(&input)).unwrap();
        told.send(read_line(&input)).unwrap();
        // The end of a line that is empty is the end of the input.
        told.send(read_line(&input)).unwrap();
        say(socket, &ended(0), &[]);
    });
    let desk = Desk::new();
    let mut command = instance.wsl(&["-d", "x"]);
    let stream = Stdio::from(desk.terminal.slave.try_clone().unwrap());
    let child = Running::new(command.stdin(stream).stdout(Stdio::piped()).stderr(Stdio::null()));
    let heard = || tell.recv_timeout(LONG).unwrap();
    desk.write("a line\r");
    assert_eq!(heard(), "a line\n");
    let mut keys = desk.before.clone();
    keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    let now = rustix::termios::OptionalActions::Now;
    rustix::termios::tcsetattr(&desk.terminal.slave, now, &keys).unwrap();
    desk.write("q");
    assert!(sampan_sys::poll::wait_for(&desk.terminal.slave, Some(LONG)).unwrap(), "the pager has no key");
    assert_eq!(read_line(&desk.terminal.slave), "q");
    rustix::termios::tcsetattr(&desk.terminal.slave, now, &desk.before).unwrap();
    desk.write("another\r");
    assert_eq!(heard(), "another\n");
    desk.write("\u{4}");
    assert_eq!(heard(), "");
    assert_eq!(child.wait().code(), Some(0));
    service.join().unwrap();
}

/// With a terminal on both sides none of the caller's is handed over, not even for writing.
#[test]
fn the_caller_s_terminal_stays_outside() {
    let instance = Instance::new();
    let service = serve(&instance, |socket, _, fds| {
        let numbers = fds.iter().map(|fd| {
            assert!(pty::is_terminal(fd));
            rustix::fs::fstat(fd).unwrap().st_rdev
        });
        let numbers: Vec<u64> = numbers.collect();
        say(socket, &ended(0), &[]);
        numbers
    });
    let desk = Desk::new();
    assert_eq!(desk.run(&mut instance.wsl(&["-d", "x"])).wait().code(), Some(0));
    let own = rustix::fs::fstat(&desk.terminal.slave).unwrap().st_rdev;
    assert!(!service.join().unwrap().contains(&own));
}
