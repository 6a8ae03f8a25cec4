//! Commands in a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use sampan_model::session::{End, Program, SessionSpec, TerminalSize};
use sampan_model::wsl::service::Reply;
use sampan_sys::pty::{self, Pty};

use crate::single::Test;
use crate::world::{Distro, Plan, exec, hear, read_until, session, sh, until};

pub(crate) const TESTS: &[Test] = &[
    ("a_terminal_has_the_size_of_the_clients", a_terminal_has_the_size_of_the_clients),
    ("a_terminal_belongs_to_its_user", a_terminal_belongs_to_its_user),
    ("control_c_interrupts", control_c_interrupts),
    ("jobs_are_controlled", jobs_are_controlled),
    ("all_output_is_there_at_the_end", all_output_is_there_at_the_end),
    ("a_background_job_keeps_no_terminal_session", a_background_job_keeps_no_terminal_session),
    ("a_lost_terminal_is_a_hang_up", a_lost_terminal_is_a_hang_up),
    ("a_redirected_stream_stays_redirected", a_redirected_stream_stays_redirected),
    ("a_first_run_has_the_terminal_and_leaves_it", a_first_run_has_the_terminal_and_leaves_it),
];

const SIZE: TerminalSize = TerminalSize { rows: 31, columns: 77 };

/// A session in a terminal, as a client has it that sits in a terminal itself.
struct Terminal {
    master: File,
    connection: OwnedFd,
    _own: Option<Pty>,
}

impl Terminal {
    fn open(distro: &Distro, spec: SessionSpec) -> Self {
        let own = pty::open().expect("terminal");
        let terminal = Self::over(distro, spec, &[own.slave.as_fd(), own.slave.as_fd(), own.slave.as_fd()]);
        Self { _own: Some(own), ..terminal }
    }

    fn over(distro: &Distro, spec: SessionSpec, streams: &[std::os::fd::BorrowedFd<'_>; 3]) -> Self {
        let connection = distro.begin(&SessionSpec { terminal: Some(SIZE), ..spec }, streams);
        let (reply, mut fds) = hear(&connection);
        assert_eq!((reply, fds.len()), (Reply::Terminal, 1));
        Self { master: File::from(fds.remove(0)), connection, _own: None }
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("typing");
    }

    fn read_until(&mut self, marker: &str) -> String {
        read_until(&mut self.master, marker)
    }

    fn end(&self) -> End {
        match hear(&self.connection).0 {
            Reply::Ended { end } => end,
            other => panic!("{other:?}"),
        }
    }
}

fn a_terminal_has_the_size_of_the_clients() {
    let distro = Distro::start();
    let mut terminal = Terminal::open(&distro, sh("stty size; read x; stty size"));
    terminal.read_until("31 77\r\n");
    pty::set_size(&terminal.master, 41, 99).expect("resize");
    terminal.type_in("\n");
    terminal.read_until("41 99\r\n");
    assert_eq!(terminal.end(), End::Exited { code: 0 });
    // A program that waits for it is told.
    let mut terminal =
        Terminal::open(&distro, sh("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"));
    terminal.read_until("ready\r\n");
    pty::set_size(&terminal.master, 5, 6).expect("resize");
    terminal.read_until("5 6\r\n");
    assert_eq!(terminal.end(), End::Exited { code: 0 });
}

fn a_terminal_belongs_to_its_user() {
    let distro = Distro::start();
    let spec = SessionSpec {
        user: Some("ann".to_owned()),
        ..sh("tty; stat -c '%U %G %a' $(tty); echo > /dev/tty; echo end")
    };
    let mut terminal = Terminal::open(&distro, spec);
    let text = terminal.read_until("end\r\n");
    assert_eq!(text, "/dev/pts/0\r\nann tty 620\r\n\r\nend\r\n");
    // All three streams, and the controlling one.
    let streams = "test -t 0 && test -t 1 && test -t 2 && ps -o tty= -p $$";
    let mut terminal = Terminal::open(&distro, sh(streams));
    terminal.read_until("pts/");
    assert_eq!(terminal.end(), End::Exited { code: 0 });
}

fn control_c_interrupts() {
    let distro = Distro::start();
    let mut terminal = Terminal::open(&distro, sh("echo ready; sleep 1000"));
    terminal.read_until("ready\r\n");
    terminal.type_in("\x03");
    assert_eq!(terminal.end().code(), 130);
    let mut terminal = Terminal::open(&distro, exec(&["cat"]));
    terminal.type_in("x\n\x04");
    terminal.read_until("x\r\nx\r\n");
    assert_eq!(terminal.end(), End::Exited { code: 0 });
}

fn jobs_are_controlled() {
    let distro = Distro::start();
    let mut shell = Terminal::open(&distro, session(Program::Shell { login: true }));
    // The quotes keep the echo of what is typed from being taken for its output.
    shell.type_in("PS1=; echo $0 re''ady\n");
    shell.read_until("-bash ready\r\n");
    shell.type_in("sleep 1000\n");
    shell.read_until("sleep 1000\r\n");
    until("it runs", || distro.text("pgrep -c sleep || true").trim() == "1");
    shell.type_in("\x1a");
    shell.read_until("Stopped");
    shell.type_in("jobs\n");
    shell.read_until("[1]+  Stopped");
    shell.type_in("fg\n");
    shell.read_until("sleep 1000\r\n");
    until("it runs on", || distro.text("cat /proc/$(pgrep sleep)/stat").contains(") S "));
    shell.type_in("\x03");
    shell.type_in("echo code=$?\n");
    shell.read_until("code=130");
    shell.type_in("exit 9\n");
    assert_eq!(shell.end(), End::Exited { code: 9 });
}

fn all_output_is_there_at_the_end() {
    let distro = Distro::start();
    let mut terminal = Terminal::open(&distro, sh("seq 50000"));
    let mut text = terminal.read_until("49999\r\n");
    assert_eq!(terminal.end(), End::Exited { code: 0 });
    let mut rest = Vec::new();
    // Ends with EIO once the last program has let go.
    let _ = terminal.master.read_to_end(&mut rest);
    text.push_str(&String::from_utf8_lossy(&rest));
    assert!(text.ends_with("50000\r\n") && text.lines().count() == 50_000);
}

fn a_background_job_keeps_no_terminal_session() {
    let distro = Distro::start();
    let job = "(trap '' HUP; echo job; exec sleep 1000) & read x; exit 4";
    let mut terminal = Terminal::open(&distro, sh(job));
    terminal.read_until("job\r\n");
    terminal.type_in("\n");
    assert_eq!(terminal.end(), End::Exited { code: 4 });
    until("the job runs on", || distro.text("pgrep -c sleep || true").trim() == "1");
}

fn a_lost_terminal_is_a_hang_up() {
    let distro = Distro::start();
    let mut shell = Terminal::open(&distro, session(Program::Shell { login: true }));
    shell.type_in("sleep 1000\n");
    shell.read_until("sleep 1000");
    until("it runs", || distro.text("pgrep -c sleep || true").trim() == "1");
    drop(shell);
    until("shell and job are gone", || distro.text("pgrep -c 'sleep|bash' || true").trim() == "1");
    // In the moment of its start, too.
    let (connection, control) = {
        let own = pty::open().expect("terminal");
        let spec = SessionSpec { terminal: Some(SIZE), ..session(Program::Shell { login: false }) };
        distro.request(&spec, &[own.slave.as_fd(), own.slave.as_fd(), own.slave.as_fd()])
    };
    drop((connection, control));
    until("nothing is left", || distro.text("pgrep -c bash || true").trim() == "1");
}

fn a_redirected_stream_stays_redirected() {
    let distro = Distro::start();
    let own = pty::open().expect("terminal");
    let (mut stderr, err) = std::io::pipe().expect("pipe");
    let spec = sh("test -t 0 && test -t 1 && ! test -t 2 && echo to the terminal && printf 'bytes\\n' >&2");
    let mut terminal = Terminal::over(&distro, spec, &[own.slave.as_fd(), own.slave.as_fd(), err.as_fd()]);
    drop(err);
    terminal.read_until("to the terminal\r\n");
    assert_eq!(terminal.end(), End::Exited { code: 0 });
    let mut text = String::new();
    stderr.read_to_string(&mut text).expect("read");
    assert_eq!(text, "bytes\n");
}

fn a_first_run_has_the_terminal_and_leaves_it() {
    let conf = "[oobe]\ncommand = \"stty size < /dev/tty; read name; echo hello $name\"\n".to_owned();
    let files = vec![("/etc/wsl-distribution.conf", conf)];
    let distro = Distro::of(&Plan { files, ..Plan::default() });
    let spec = SessionSpec { first_run: true, ..session(Program::Shell { login: false }) };
    let mut terminal = Terminal::open(&distro, spec);
    terminal.read_until("31 77\r\n");
    terminal.type_in("ann\n");
    terminal.read_until("hello ann\r\n");
    terminal.type_in("PS1=; tty; exit 8\n");
    terminal.read_until("/dev/pts/0\r\n");
    assert_eq!(terminal.end(), End::Exited { code: 8 });
}
