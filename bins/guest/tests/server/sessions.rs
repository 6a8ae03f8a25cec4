//! Commands with pipes: streams, exit codes, signals, and what is left behind.

use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;

use sampan_model::guest::{ControlReply, ControlRequest};
use sampan_model::session::End;
use sampan_model::wsl::service::Reply;
use sampan_sys::process::Signal;

use crate::single::Test;
use crate::world::{Distro, Plan, exec, hear, reply, say_signal, send, sh, until};

pub(crate) const TESTS: &[Test] = &[
    ("hello_says_who_it_is", hello_says_who_it_is),
    ("exit_codes_are_those_of_a_shell", exit_codes_are_those_of_a_shell),
    ("words_arrive_as_they_are", words_arrive_as_they_are),
    ("streams_are_passed_byte_for_byte", streams_are_passed_byte_for_byte),
    ("closing_the_input_leaves_the_output_open", closing_the_input_leaves_the_output_open),
    ("two_sessions_in_a_pipeline", two_sessions_in_a_pipeline),
    ("a_command_has_its_own_descriptors_only", a_command_has_its_own_descriptors_only),
    ("signals_reach_the_whole_group", signals_reach_the_whole_group),
    ("a_lost_client_is_a_hang_up", a_lost_client_is_a_hang_up),
    ("the_parent_leads_the_session_and_takes_orphans", the_parent_leads_the_session_and_takes_orphans),
    ("a_background_job_delays_nothing", a_background_job_delays_nothing),
    ("a_daemon_outlives_its_session", a_daemon_outlives_its_session),
    ("two_hundred_sessions_at_once", two_hundred_sessions_at_once),
    ("bad_requests_are_refused", bad_requests_are_refused),
];

fn hello_says_who_it_is() {
    let distro = Distro::start();
    let guid = "01234567-89ab-4def-8123-456789abcdef".parse().expect("guid");
    assert_eq!(distro.ask(&ControlRequest::Hello), ControlReply::Hello { name: "Deb".to_owned(), guid });
    assert_eq!(distro.ready["warnings"][0], "from the boot");
}

fn exit_codes_are_those_of_a_shell() {
    let distro = Distro::of(&Plan {
        files: vec![
            ("/etc/plain", "x".to_owned()),
            ("/srv/script", "echo from a script without a first line\n".to_owned()),
            ("/srv/broken", "#!/no/such/interpreter\n".to_owned()),
        ],
        ..Plan::default()
    });
    distro.text("chmod 755 /srv/script /srv/broken");
    for (spec, code, stderr) in [
        (exec(&["true"]), 0, ""),
        (exec(&["false"]), 1, ""),
        (sh("exit 7"), 7, ""),
        (sh("kill -9 $$"), 137, ""),
        (exec(&["no-such-program", "x"]), 127, "wsl: no-such-program: command not found\n"),
        (exec(&["/no/such"]), 127, "wsl: /no/such: command not found\n"),
        (exec(&[""]), 127, "wsl: : command not found\n"),
        (exec(&["/etc/plain"]), 126, "wsl: /etc/plain: Permission denied\n"),
        (exec(&["/etc"]), 126, "wsl: /etc: Permission denied\n"),
        (exec(&["/srv/broken"]), 126, "wsl: /srv/broken: its interpreter was not found\n"),
        (exec(&["/srv/script"]), 0, ""),
    ] {
        let output = distro.run(&spec, b"");
        assert_eq!((output.code(), output.stderr.as_str()), (Some(code), stderr), "{spec:?}");
    }
    assert_eq!(distro.sh("kill -9 $$").end, Some(End::Killed { signal: 9 }));
}

fn words_arrive_as_they_are() {
    let distro = Distro::start();
    let print = |words: &[&str]| {
        let output = distro.run(&exec(words), b"");
        assert_eq!(output.code(), Some(0));
        output.stdout_text()
    };
    assert_eq!(print(&["printf", "%s|", "a b", "", "$HOME", "\"'\\"]), "a b||$HOME|\"'\\|");
    // Longer than a packet.
    let long = "x".repeat(120 << 10);
    assert_eq!(print(&["printf", "%s", &long]), long);
    assert_eq!(distro.sh(&format!("/bin/true {}", "x".repeat(100 << 10))).code(), Some(0));
    let mut bytes = exec(&["printf", "%s"]);
    let word = std::os::unix::ffi::OsStringExt::from_vec(b"\xff\x01".to_vec());
    let sampan_model::session::Program::Exec { words } = &mut bytes.program else { unreachable!() };
    words.push(<std::ffi::OsString as Into<_>>::into(word));
    assert_eq!(distro.run(&bytes, b"").stdout, b"\xff\x01");
}

fn streams_are_passed_byte_for_byte() {
    let distro = Distro::start();
    let every: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    assert_eq!(distro.run(&exec(&["cat"]), &every).stdout, every);
    // A file goes as it is, with its position.
    let mut file = tempfile::tempfile().expect("file");
    file.write_all(&every.repeat(100)).expect("write");
    file.seek(std::io::SeekFrom::Start(50_000)).expect("seek");
    let (mut stdout, out) = std::io::pipe().expect("pipe");
    let connection = distro.begin(&exec(&["cat"]), &[file.as_fd(), out.as_fd(), out.as_fd()]);
    drop(out);
    let mut copy = Vec::new();
    stdout.read_to_end(&mut copy).expect("read");
    assert!(copy == every.repeat(99), "{} bytes", copy.len());
    assert_eq!(hear(&connection).0, Reply::Ended { end: End::Exited { code: 0 } });
}

fn closing_the_input_leaves_the_output_open() {
    let distro = Distro::start();
    let mut session = distro.open(&sh("cat; echo after the end"));
    session.input.write_all(b"before\n").expect("input");
    assert_eq!(session.read_until("before\n"), "before\n");
    let output = session.finish();
    assert_eq!((output.code(), output.stdout_text().as_str()), (Some(0), "after the end\n"));
    // And the other way: who does not read ends the writer.
    let mut session = distro.open(&exec(&["yes"]));
    session.read_until("y\n");
    drop(session.stdout);
    assert_eq!(hear(&session.connection).0, Reply::Ended { end: End::Killed { signal: 13 } });
}

fn two_sessions_in_a_pipeline() {
    let distro = Distro::start();
    let (between, into) = std::io::pipe().expect("pipe");
    let (mut stdout, out) = std::io::pipe().expect("pipe");
    let null = std::fs::File::open("/dev/null").expect("null");
    let first = distro.begin(&sh("head -c 3000000 /dev/zero"), &[null.as_fd(), into.as_fd(), out.as_fd()]);
    let second = distro.begin(&sh("wc -c"), &[between.as_fd(), out.as_fd(), out.as_fd()]);
    drop((into, between, out));
    let mut text = String::new();
    stdout.read_to_string(&mut text).expect("read");
    assert_eq!(text, "3000000\n");
    for connection in [first, second] {
        assert_eq!(hear(&connection).0, Reply::Ended { end: End::Exited { code: 0 } });
    }
}

fn a_command_has_its_own_descriptors_only() {
    let distro = Distro::start();
    // Others, before and beside it.
    let others: Vec<_> = (0..5).map(|_| distro.open(&exec(&["sleep", "1000"]))).collect();
    let idle: Vec<_> = (0..5).map(|_| distro.connect()).collect();
    let count = "ls /proc/self/fd | wc -l; ls -l /proc/$PPID/fd | grep -c socket; ls -l /proc/$PPID/fd | grep -c pipe";
    // 0, 1, 2 and the folder that ls reads; of the leader the client's connection alone.
    assert_eq!(distro.sh(count).stdout_text(), "4\n1\n0\n");
    assert_eq!(
        distro.text("ulimit -Sn > /dev/null; ls /proc/1/fd | wc -l").trim().parse::<usize>().map(|n| n < 20),
        Ok(true)
    );
    drop((others, idle));
}

fn signals_reach_the_whole_group() {
    let distro = Distro::start();
    let mut session =
        distro.open(&sh("trap 'kill $!; echo caught; exit 3' INT; echo ready; sleep 1000 & wait"));
    session.read_until("ready\n");
    say_signal(&session.connection, Signal::INT);
    session.read_until("caught\n");
    assert_eq!(hear(&session.connection).0, Reply::Ended { end: End::Exited { code: 3 } });
    let session = distro.open(&exec(&["sleep", "1000"]));
    say_signal(&session.connection, Signal::TERM);
    assert_eq!(session.finish().end, Some(End::Killed { signal: 15 }));
    // With children of the same group.
    let mut session = distro.open(&sh("sleep 1000 | sleep 1000; :"));
    session.input.flush().expect("flush");
    let sleeping = || distro.text("pgrep -c sleep || true").trim().to_owned();
    until("both run", || sleeping() == "2");
    say_signal(&session.connection, Signal::KILL);
    assert_eq!(session.finish().end, Some(End::Killed { signal: 9 }));
    until("none is left", || sleeping() == "0");
}

fn a_lost_client_is_a_hang_up() {
    let distro = Distro::start();
    let mut session =
        distro.open(&sh("trap 'echo gone > /tmp/mark; exit' HUP; echo ready; sleep 1000 & wait"));
    session.read_until("ready\n");
    drop(session);
    until("it heard", || distro.text("cat /tmp/mark 2>/dev/null || true") == "gone\n");
    // One that is stopped hears of it, too.
    let mut session = distro.open(&sh("echo $$; kill -STOP $$"));
    let pid = session.read_until("\n");
    let stat = || distro.text(&format!("cat /proc/{}/stat 2>/dev/null || true", pid.trim()));
    until("it is stopped", || stat().contains(") T "));
    drop(session);
    until("it is gone", || stat().is_empty());
}

fn the_parent_leads_the_session_and_takes_orphans() {
    let distro = Distro::start();
    // Session of the command, its parent, group and process: pid, ppid, pgrp, sid are fields 1, 4, 5, 6.
    let stat = distro.run(&exec(&["cat", "/proc/self/stat"]), b"").stdout_text();
    let fields: Vec<&str> = stat.split(' ').collect();
    assert_eq!((fields[4], fields[5]), (fields[0], fields[3]), "{stat}");
    assert_ne!(fields[3], "1");
    let orphan = "(sleep 1000 & echo $!) > /tmp/pid; read pid < /tmp/pid; \
                  cut -d ' ' -f 4 /proc/$pid/stat; kill $pid; echo $PPID";
    let parents = distro.text(orphan);
    let parents: Vec<&str> = parents.lines().collect();
    assert_eq!(parents[0], parents[1]);
}

fn a_background_job_delays_nothing() {
    let distro = Distro::start();
    // It still holds all three pipes.
    let session = distro.open(&sh("sleep 1000 & echo $!"));
    assert_eq!(hear(&session.connection).0, Reply::Ended { end: End::Exited { code: 0 } });
    until("it runs on", || distro.text("pgrep -c sleep || true").trim() == "1");
}

fn a_daemon_outlives_its_session() {
    let distro = Distro::start();
    distro.text("setsid sleep 1000 > /dev/null 2>&1 < /dev/null & echo $! > /tmp/pid");
    let parent = "read pid < /tmp/pid; cut -d ' ' -f 4 /proc/$pid/stat";
    until("it is a child of PID 1", || distro.text(parent) == "1\n");
}

fn two_hundred_sessions_at_once() {
    let distro = Distro::start();
    let mut sessions: Vec<_> =
        (0..200).map(|number| distro.open(&sh(&format!("read x; echo $x; exit {}", number % 100)))).collect();
    // All of them run now.
    for session in &mut sessions {
        session.input.write_all(b"go\n").expect("input");
    }
    for (number, session) in sessions.into_iter().enumerate() {
        let output = session.finish();
        assert_eq!((output.code(), output.stdout_text().as_str()), (u8::try_from(number % 100).ok(), "go\n"));
    }
    // None is left, not even as a zombie. Not counted: PID 1, and leader, shell, ls and wc of the count
    // itself.
    let count = || distro.text("ls -d /proc/[0-9]* | wc -l").trim().parse::<usize>().expect("a number");
    until("they are gone", || count() <= 5);
}

fn bad_requests_are_refused() {
    let distro = Distro::start();
    let control = distro.connect();
    sampan_sys::socket::send_message(&control, b"{\"op\":\"nonsense\"}", &[]).expect("send");
    assert!(matches!(reply(&control), Some(ControlReply::Refused { .. })));
    // The same connection goes on.
    let request = ControlRequest::Session { spec: Box::new(exec(&["true"])) };
    send(&control, &request, &[control.as_fd()]);
    let Some(ControlReply::Refused { message }) = reply(&control) else { panic!("refused") };
    assert_eq!(message, "a session comes with 4 descriptors, not with 1");
    let garbage = distro.connect();
    sampan_sys::socket::send_fds(&garbage, b"?", &[]).expect("send");
    assert_eq!(reply(&garbage), None);
    assert_eq!(distro.sh("exit 3").code(), Some(3));
}
