//! `wsl` itself, run against a service made for the test: streams, signals, and a terminal shown on another one.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]
#![expect(clippy::disallowed_methods, reason = "the tests run the program and write files that nobody keeps")]

#[path = "support/instance.rs"]
#[expect(dead_code, reason = "some of it is for the tests of the other commands")]
mod instance;
#[path = "wsl/terminals.rs"]
mod terminals;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Signal;
use sampan_model::session::{End, SessionMessage, SessionSpec};
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::service::{Call, Install, Reply, Request};
use sampan_sys::socket::{SocketKind, accept, bind_unix_listener, listen, recv_message, send_message};

use self::instance::{Instance, Running, finish, has_root, is_root, start, stderr, stdout};

/// Longer than anything takes here, on however slow a machine.
const LONG: Duration = Duration::from_mins(2);

/// A service that does `talk` with the first request.
fn serve<T: Send + 'static>(
    instance: &Instance,
    talk: impl FnOnce(&OwnedFd, Request, Vec<OwnedFd>) -> T + Send + 'static,
) -> JoinHandle<T> {
    let path = instance.path("run/t/distros.sock");
    // A former one may still have its listener in a child of another thread that has not yet called `execve`.
    let _ = fs::remove_file(&path);
    let listener = bind_unix_listener(&path, SocketKind::SeqPacket, 0o600, None).unwrap();
    listen(&listener, 8).unwrap();
    let state = instance.path("state/t");
    std::thread::spawn(move || {
        let socket = accept(&listener).unwrap();
        let message = recv_message(&socket).unwrap().unwrap();
        let call: Call = serde_json::from_slice(&message.bytes).unwrap();
        assert_eq!(call.state.as_path(), state);
        talk(&socket, call.request, message.fds)
    })
}

fn say(socket: &OwnedFd, reply: &Reply, fds: &[BorrowedFd<'_>]) {
    send_message(socket, &serde_json::to_vec(reply).unwrap(), fds).unwrap();
}

fn ended(code: u8) -> Reply {
    Reply::Ended { end: End::Exited { code } }
}

fn spec(request: Request) -> SessionSpec {
    match request {
        Request::Session { spec, .. } => *spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn wsl_is_chosen_by_name() {
    let instance = Instance::new();
    let service = serve(&instance, |socket, request, _| {
        let distribution = |name: &str, default| {
            let guid = sampan_model::distro::Guid::NIL;
            let state = sampan_model::distro::DistroState::Running;
            sampan_model::api::Distribution { name: name.to_owned(), guid, state, version: 2, default }
        };
        let distributions =
            vec![distribution("docker-desktop", false), distribution("docker-desktop-data", true)];
        say(socket, &Reply::Distributions { distributions }, &[]);
        request
    });
    let output = finish(&mut instance.wsl(&["-l", "-v"]));
    assert_eq!(
        stdout(&output),
        "  NAME                   STATE           VERSION\n\
         * docker-desktop-data    Running         2\n  docker-desktop         Running         2\n"
    );
    assert_eq!(service.join().unwrap(), Request::List);
    let output = finish(&mut instance.wsl(&["--bogus"]));
    assert_eq!(output.status.code(), Some(255));
    assert!(output.stderr.is_empty());
}

#[test]
fn streams_are_the_caller_s_own_and_the_exit_code_comes_back() {
    let instance = Instance::new();
    let service = serve(&instance, |socket, _, fds| {
        let [input, output, errors] = fds.try_into().unwrap();
        let mut text = String::new();
        File::from(input).read_to_string(&mut text).unwrap();
        File::from(output).write_all(text.to_uppercase().as_bytes()).unwrap();
        File::from(errors).write_all(b"err\n").unwrap();
        say(socket, &ended(7), &[]);
    });
    let mut command = instance.command(&["wsl", "-e", "tr", "a-z", "A-Z"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(&mut command);
    child.stdin.take().unwrap().write_all(b"typed").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("TYPED", "err\n"));
    assert_eq!(output.status.code(), Some(7));
    service.join().unwrap();
}

#[test]
fn signals_travel_to_the_command() {
    for signal in [Signal::INT, Signal::TERM, Signal::QUIT, Signal::HUP] {
        let instance = Instance::new();
        let (ready, began) = channel();
        let service = serve(&instance, move |socket, _, _| {
            ready.send(()).unwrap();
            let message = recv_message(socket).unwrap().unwrap();
            let message: SessionMessage = serde_json::from_slice(&message.bytes).unwrap();
            let SessionMessage::Signal { signal } = message;
            say(socket, &Reply::Ended { end: End::Killed { signal: signal.try_into().unwrap() } }, &[]);
            signal
        });
        let child = Running::new(quiet(&mut instance.wsl(&["-e", "sleep", "100"])));
        wait_until_it_listens(&began, &child);
        child.signal(signal);
        assert_eq!(child.wait().code(), Some(128 + signal.as_raw()));
        assert_eq!(service.join().unwrap(), signal.as_raw());
    }
}

#[test]
fn a_second_signal_ends_what_nobody_has_taken_the_first_from() {
    let instance = Instance::new();
    let (ready, began) = channel();
    let (over, end) = channel::<()>();
    let service = serve(&instance, move |_socket, _, _| {
        ready.send(()).unwrap();
        // As one that hangs while it starts a distribution.
        let _ = end.recv();
    });
    let child = Running::new(quiet(&mut instance.wsl(&["-e", "sleep", "100"])));
    wait_until_it_listens(&began, &child);
    child.signal(Signal::INT);
    child.signal(Signal::TERM);
    assert!(matches!(child.wait().code(), Some(130 | 143)));
    drop(over);
    service.join().unwrap();
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

/// Waits until the request came and the child reads its signals: they are in its mask of blocked ones then.
fn wait_until_it_listens(began: &Receiver<()>, child: &Running) {
    began.recv().unwrap();
    let term = 1_u64 << (Signal::TERM.as_raw() - 1);
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.0.id())).unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        if u64::from_str_radix(blocked.trim(), 16).unwrap() & term != 0 {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn what_is_interrupted_is_called_off_and_its_end_awaited() {
    let aborted = Reply::Failed { failure: Failure::new(Code::Abort) };
    let failed = Reply::Failed { failure: Failure::new(Code::DiskFull) };
    for (last, code, text) in [
        (Some(aborted), 130, ""),
        (Some(Reply::Done { installed: None }), 130, "It was done before it could be stopped.\n"),
        (Some(failed), 255, "There is not enough space on the disk. \nError code: Wsl/ERROR_DISK_FULL\n"),
        // The service is gone.
        (None, 130, ""),
    ] {
        let instance = Instance::new();
        let (ready, began) = channel();
        let service = serve(&instance, move |socket, _, _| {
            ready.send(()).unwrap();
            let called_off = recv_message(socket).unwrap().is_none();
            if let Some(last) = last {
                say(socket, &last, &[]);
            }
            called_off
        });
        let mut order = instance.wsl(&["--manage", "a", "--move", "/x"]);
        let mut child = Running::new(order.stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut out = child.0.stdout.take().unwrap();
        wait_until_it_listens(&began, &child);
        child.signal(Signal::INT);
        assert!(service.join().unwrap());
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().code(), said.as_str()), (Some(code), text));
    }
}

#[test]
fn a_second_interrupt_waits_for_nothing() {
    let instance = Instance::new();
    let (ready, began) = channel();
    let (over, end) = channel::<()>();
    let service = serve(&instance, move |socket, _, _| {
        ready.send(()).unwrap();
        // The first one has come; what it called off takes its time.
        assert!(recv_message(socket).unwrap().is_none());
        ready.send(()).unwrap();
        let _ = end.recv();
    });
    let child = Running::new(quiet(&mut instance.wsl(&["--terminate", "a"])));
    wait_until_it_listens(&began, &child);
    child.signal(Signal::INT);
    began.recv().unwrap();
    child.signal(Signal::INT);
    assert_eq!(child.wait().code(), Some(130));
    drop(over);
    service.join().unwrap();
}

#[test]
fn an_interrupted_export_leaves_the_former_file_and_nothing_else() {
    let instance = Instance::new();
    let file = instance.path("home/x.tar");
    fs::write(&file, "former").unwrap();
    let (ready, began) = channel();
    let service = serve(&instance, move |socket, _, fds| {
        File::from(fds.into_iter().next().unwrap()).write_all(b"half").unwrap();
        ready.send(()).unwrap();
        recv_message(socket).unwrap().is_none()
    });
    let child = Running::new(
        quiet(&mut instance.wsl(&["--export", "a", "x.tar"])).current_dir(instance.path("home")),
    );
    wait_until_it_listens(&began, &child);
    child.signal(Signal::TERM);
    assert_eq!(child.wait().code(), Some(143));
    assert!(service.join().unwrap(), "the service sees that nobody waits any more");
    assert_eq!(fs::read_to_string(&file).unwrap(), "former");
    assert_eq!(fs::read_dir(instance.path("home")).unwrap().count(), 1);
}

#[test]
fn a_user_without_the_group_is_told_what_to_type() {
    if !has_root("only root can close the socket to another user") {
        return;
    }
    let instance = Instance::new();
    let path = instance.path("run/t/distros.sock");
    let listener = bind_unix_listener(&path, SocketKind::SeqPacket, 0o660, None).unwrap();
    listen(&listener, 1).unwrap();
    let output = finish(instance.wsl(&["-d", "x"]).uid(65534).gid(65534));
    let text = stdout(&output);
    assert!(text.starts_with(&format!("You may not use {}\nTo mend it: ", path.display())), "{text}");
    assert!(text.contains("usermod -aG sampan") && text.ends_with("Wsl/Service/E_ACCESSDENIED\n"), "{text}");
    assert_eq!(output.status.code(), Some(255));
    // A member may: the group that the service gives the socket, tried with one that is there.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    std::os::unix::fs::chown(&path, None, Some(65534)).unwrap();
    let member = std::thread::spawn(move || {
        let socket = accept(&listener).unwrap();
        recv_message(&socket).unwrap().unwrap();
        say(&socket, &ended(0), &[]);
    });
    let output = finish(instance.wsl(&["-d", "x"]).uid(65534).gid(65534));
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    member.join().unwrap();
}

#[test]
fn without_a_service_a_user_is_told_what_to_type() {
    let instance = Instance::new();
    let mut command = instance.wsl(&["-d", "x"]);
    if is_root() {
        command.uid(65534).gid(65534);
    }
    let output = finish(&mut command);
    assert_eq!(
        stdout(&output),
        "Sampan is not running\nTo mend it: type `sudo sampan --instance t wsl -d x`\nError code: Wsl/Service/E_UNEXPECTED\n"
    );
    assert_eq!(output.status.code(), Some(255));
}

#[test]
fn the_service_is_started_for_what_needs_it() {
    if !has_root("only root starts the service") {
        return;
    }
    let instance = Instance::new();
    instance.script(
        "bin/sampand",
        r#"echo '{"error":{"code":"prerequisite","message":"no loop devices","hint":"modprobe loop"}}'; exit 1"#,
    );
    let output = finish(&mut instance.wsl(&["-d", "x"]));
    assert_eq!(
        stdout(&output),
        "No loop devices\nTo mend it: modprobe loop\nError code: Wsl/Service/E_FAIL\n"
    );
    // But not to say that nothing runs.
    instance.script(
        "bin/sampand",
        r#"case "$*" in
*"oneshot status") echo '{"reply":"status","default":"Debian","version":1}';;
*"oneshot list") echo '{"distributions":[]}';;
*) exit 9;;
esac"#,
    );
    let status = finish(&mut instance.wsl(&["--status"]));
    assert_eq!(stdout(&status), "Default Distribution: Debian\nDefault Version: 1\n");
    assert_eq!(finish(&mut instance.wsl(&["-l", "-q"])).status.code(), Some(0));
    let terminate = finish(&mut instance.wsl(&["--terminate", "x"]));
    assert!(stdout(&terminate).ends_with("Error code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND\n"));
}

#[test]
fn freedom_is_given_to_a_distribution_only_with_a_yes() {
    let instance = Instance::new();
    let output = finish(&mut instance.command(&["distro", "set", "Debian", "--privileged"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("type `sampan distro set Debian --privileged --yes`"),
        "{}",
        stderr(&output)
    );
    for (words, privileged, said) in [
        (
            &["--privileged", "--yes"][..],
            true,
            "Root inside Debian is root of this host from its next start on.",
        ),
        (&["--no-privileged"], false, "Root inside Debian is nobody on this host from its next start on."),
        (
            &["--no-privileged", "--format", "json"],
            false,
            "{\n  \"name\": \"Debian\",\n  \"privileged\": false\n}\n",
        ),
    ] {
        let service = serve(&instance, |socket, request, _| {
            say(socket, &Reply::Done { installed: None }, &[]);
            request
        });
        let output = finish(&mut instance.command(&[&["distro", "set", "Debian"], words].concat()));
        assert!(stdout(&output).starts_with(said), "{}{}", stdout(&output), stderr(&output));
        assert_eq!(service.join().unwrap(), Request::SetPrivileged { name: "Debian".to_owned(), privileged });
    }
    for words in
        [&["distro", "set", "Debian"][..], &["distro", "set", "Debian", "--privileged", "--no-privileged"]]
    {
        assert_eq!(finish(&mut instance.command(words)).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn a_distribution_is_made_of_an_image() {
    let instance = Instance::new();
    let docker = instance.path("state/t/cli/bin/docker");
    fs::create_dir_all(docker.parent().unwrap()).unwrap();
    let calls = instance.path("calls");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\ncase $1 in create) echo id-7;; export) echo files of $2;; esac\n",
        calls.display()
    );
    sampan_sys::fs::write_atomic(&docker, script.as_bytes(), 0o755).unwrap();
    let service = serve(&instance, |socket, request, fds| {
        let mut archive = String::new();
        File::from(fds.into_iter().next().unwrap()).read_to_string(&mut archive).unwrap();
        say(socket, &Reply::Done { installed: Some("tools".to_owned()) }, &[]);
        (request, archive)
    });
    let output = finish(&mut instance.command(&["distro", "from-image", "alpine:3", "--name", "tools"]));
    assert_eq!(stdout(&output), "tools is installed. Type `wsl -d tools` for a shell.\n");
    let install = Install {
        name: Some("tools".to_owned()),
        from_file: Some("alpine:3".to_owned()),
        of_container: true,
        ..Install::default()
    };
    let asked = service.join().unwrap();
    assert_eq!(asked, (Request::Install(Box::new(install)), "files of id-7\n".to_owned()));
    let calls = fs::read_to_string(calls).unwrap();
    assert_eq!(calls, "create --pull never alpine:3 /sampan\nexport id-7\nrm id-7\n");
    let service = serve(&instance, |socket, _, _| {
        let failure =
            Failure::new(Code::AlreadyExists).with_message("It is there.").hint("take another name");
        say(socket, &Reply::Failed { failure }, &[]);
    });
    let words = ["--format", "json", "distro", "from-image", "alpine:3", "--name", "tools"];
    let output = finish(&mut instance.command(&words));
    assert_eq!(output.status.code(), Some(2));
    let error: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["error"]["message"], "It is there.");
    assert_eq!(error["error"]["hint"], "take another name");
    service.join().unwrap();
}
