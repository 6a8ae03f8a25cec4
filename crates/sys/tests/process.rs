//! Processes as the kernel runs them.
#![expect(clippy::disallowed_methods, reason = "tests wait for time to pass and start programs")]

#[path = "support/single.rs"]
mod single;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use sampan_sys::lock::netns_lock;
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::process::{self, ExitKind, Forked, ProcessRecord, Signal, Standard};
use sampan_sys::signals;
use single::{child, in_child, need_root, skip};

fn main() -> ExitCode {
    single::run(&[
        ("child_ends_and_is_reaped", child_ends_and_is_reaped),
        ("pid_namespace_has_a_first_process", pid_namespace_has_a_first_process),
        ("several_threads_refuse_to_clone", several_threads_refuse_to_clone),
        ("cgroup_namespace_is_refused", cgroup_namespace_is_refused),
        ("a_child_is_born_in_a_cgroup", a_child_is_born_in_a_cgroup),
        ("record_forgets_the_dead", record_forgets_the_dead),
        ("signal_reaches_a_pidfd", signal_reaches_a_pidfd),
        ("exec_passes_arguments_and_environment", exec_passes_arguments_and_environment),
        ("exec_by_descriptor", exec_by_descriptor),
        ("exec_failure_names_the_program", exec_failure_names_the_program),
        ("descriptors_are_closed_but_the_kept", descriptors_are_closed_but_the_kept),
        ("signals_are_reset", signals_are_reset),
        ("death_signal_follows_the_parent", death_signal_follows_the_parent),
        ("a_process_ends_after_its_time", a_process_ends_after_its_time),
        ("orphans_come_to_the_subreaper", orphans_come_to_the_subreaper),
        ("hostname_and_name", hostname_and_name),
        ("loopback_comes_up", loopback_comes_up),
        ("netns_lock_is_exclusive", netns_lock_is_exclusive),
        ("namespaces_of_a_process_are_entered", namespaces_of_a_process_are_entered),
    ])
}

fn child_ends_and_is_reaped() {
    assert_eq!(child(Namespaces::NONE, || process::exit_now(7)), ExitKind::Exited(7));
    assert_eq!(process::reap(), []);
}

fn pid_namespace_has_a_first_process() {
    need_root();
    let all = Namespaces::MOUNT | Namespaces::PID | Namespaces::UTS | Namespaces::IPC;
    in_child(all, || assert_eq!(std::process::id(), 1));
}

fn several_threads_refuse_to_clone() {
    assert!(process::is_single_threaded());
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || stopped.recv());
    assert!(!process::is_single_threaded());
    let error = process::fork_plain().expect_err("two threads");
    assert_eq!(error.errno(), Errno::INVAL);
    assert!(error.to_string().contains("several threads"), "{error}");
    drop(stop);
    let _ = thread.join();
    // The kernel takes the thread out of the process a moment after it was joined.
    for _ in 0..1000 {
        if process::is_single_threaded() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the thread never went");
}

fn cgroup_namespace_is_refused() {
    let error = process::clone_into(Namespaces::MOUNT | Namespaces::CGROUP).expect_err("cgroup");
    assert_eq!(error.errno(), Errno::INVAL);
}

fn a_child_is_born_in_a_cgroup() {
    need_root();
    let table = sampan_sys::mount::mountinfo(None).expect("table");
    let Some(unified) = table.iter().find(|entry| entry.fstype == "cgroup2") else {
        skip("needs a unified cgroup hierarchy");
    };
    let name = format!("sampan-birth-{}", std::process::id());
    let path = unified.mount_point.join(&name);
    std::fs::create_dir(&path).expect("cgroup");
    let cgroup = File::open(&path).expect("open");
    let of_child = match process::clone_into_cgroup(Namespaces::UTS, cgroup.as_fd()) {
        Ok(Forked::Child) => {
            let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            process::exit_now(i32::from(!own.lines().any(|line| line.ends_with(&name))))
        }
        Ok(Forked::Parent { pid, pidfd }) => {
            process::wait_exit(&pidfd, Some(Duration::from_secs(10))).map(|_| (pid, process::reap()))
        }
        Err(error) => Err(error),
    };
    std::fs::remove_dir(&path).expect("nobody is left in it");
    let (pid, ended) = of_child.expect("clone");
    assert_eq!(ended, [(pid, ExitKind::Exited(0))]);
    let error = process::clone_into_cgroup(Namespaces::NONE, File::open("/").expect("root").as_fd());
    assert_eq!(error.expect_err("no cgroup").errno(), Errno::BADF);
}

fn record_forgets_the_dead() {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
    match process::fork_plain().expect("fork") {
        Forked::Child => {
            drop(write);
            let _ = File::from(read).read(&mut [0]);
            process::exit_now(0)
        }
        Forked::Parent { pid, pidfd } => {
            let record = ProcessRecord::of(pid).expect("record");
            assert!(record.open().expect("open").is_some());
            assert!(!process::wait_exit(&pidfd, Some(Duration::from_millis(20))).expect("wait"));
            drop(write);
            assert!(process::wait_exit(&pidfd, Some(Duration::from_secs(10))).expect("wait"));
            assert!(record.open().expect("open").is_none(), "a zombie is not running");
            assert_eq!(process::reap(), [(pid, ExitKind::Exited(0))]);
            assert!(record.open().expect("open").is_none());
            assert!(ProcessRecord::of(pid).is_err());
        }
    }
}

fn signal_reaches_a_pidfd() {
    match process::fork_plain().expect("fork") {
        Forked::Child => loop {
            std::thread::sleep(Duration::from_secs(100));
        },
        Forked::Parent { pid, pidfd } => {
            assert!(process::pidfd_send_signal(&pidfd, Signal::TERM).expect("send"));
            assert!(process::wait_exit(&pidfd, Some(Duration::from_secs(10))).expect("wait"));
            assert_eq!(process::reap(), [(pid, ExitKind::Signaled(15))]);
            assert!(!process::pidfd_send_signal(&pidfd, Signal::TERM).expect("send"));
        }
    }
}

/// Runs `body`, which executes a program, in a child; returns how it ended and what it wrote.
fn output_of(body: impl FnOnce()) -> (ExitKind, String) {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
    let kind = child(Namespaces::NONE, || {
        process::drop_stdio_to_null().expect("null");
        process::redirect(&write, Standard::Output).expect("redirect");
        body();
    });
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).expect("read");
    (kind, text)
}

fn exec_passes_arguments_and_environment() {
    let (kind, text) = output_of(|| {
        let argv = ["sh", "-c", "echo $1 $X; exit 3", "sh", "one"];
        let error = process::exec(Path::new("/bin/sh"), &argv, &["X=two"]);
        panic!("{error}");
    });
    assert_eq!((kind, text.as_str()), (ExitKind::Exited(3), "one two\n"));
}

fn exec_by_descriptor() {
    let (kind, text) = output_of(|| {
        let program = rustix::fs::open("/bin/sh", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("sh");
        let error = process::exec_fd(&program, &["sh", "-c", "echo hello"], &[] as &[&OsStr]);
        panic!("{error}");
    });
    assert_eq!((kind, text.as_str()), (ExitKind::Exited(0), "hello\n"));
}

fn exec_failure_names_the_program() {
    let error = process::exec(Path::new("/does/not/exist"), &["x"], &[] as &[&str]);
    assert_eq!((error.errno(), error.to_string().as_str()), (Errno::NOENT, "cannot execute /does/not/exist"));
    assert_eq!(process::exec(Path::new("/bin/sh"), &["a\0b"], &[] as &[&str]).errno(), Errno::INVAL);
}

fn descriptors_are_closed_but_the_kept() {
    let open = || -> OwnedFd { File::open("/dev/null").expect("null").into() };
    in_child(Namespaces::NONE, || {
        let (first, kept, last) = (open(), open(), open());
        let numbers = [first.as_raw_fd(), kept.as_raw_fd(), last.as_raw_fd()];
        process::close_fds_from(3, &[numbers[1]]).expect("close");
        let is_open = |fd: i32| std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok();
        assert_eq!(numbers.map(is_open), [false, true, false]);
        process::clear_cloexec(&kept).expect("inherit");
        process::set_cloexec(kept.as_fd()).expect("private");
        std::mem::forget((first, last));
    });
}

fn signals_are_reset() {
    in_child(Namespaces::NONE, || {
        let fd = signals::block_and_fd(&[Signal::TERM, Signal::CHILD]).expect("block");
        assert_eq!(signals::read_signal(&fd).expect("read"), None);
        let blocked = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("status");
            let line = |key| {
                status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim).map(str::to_owned)
            };
            (line("SigBlk:").expect("mask"), line("SigIgn:").expect("ignored"))
        };
        let (mask, ignored) = blocked();
        assert_eq!(mask, "0000000000014000");
        // Rust ignores SIGPIPE (13); whoever started the test may ignore others.
        assert_ne!(u64::from_str_radix(&ignored, 16).expect("a number") & 0x1000, 0);
        process::reset_signals();
        assert_eq!(blocked(), ("0".repeat(16), "0".repeat(16)));
    });
}

fn death_signal_follows_the_parent() {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
    in_child(Namespaces::NONE, || {
        let (ready, set) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
        if let Forked::Child = process::fork_plain().expect("fork") {
            process::set_death_signal(Signal::KILL).expect("death signal");
            File::from(set).write_all(b"x").expect("write");
            std::thread::sleep(Duration::from_secs(100));
        }
        File::from(ready).read_exact(&mut [0]).expect("read");
    });
    drop(write);
    // The grandchild holds the other end until it is killed.
    assert!(sampan_sys::poll::wait_for(&read, Some(Duration::from_secs(10))).expect("poll"));
}

fn a_process_ends_after_its_time() {
    in_child(Namespaces::NONE, || {
        let Forked::Parent { pidfd, .. } = process::fork_plain().expect("fork") else {
            process::reset_signals();
            process::end_after(1);
            rustix::event::pause();
            process::exit_now(0);
        };
        assert!(process::wait_exit(&pidfd, Some(Duration::from_mins(1))).expect("wait"));
        let ended: Vec<ExitKind> = process::reap().into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(ended, [ExitKind::Signaled(Signal::ALARM.as_raw())]);
    });
}

fn orphans_come_to_the_subreaper() {
    in_child(Namespaces::NONE, || {
        process::set_child_subreaper().expect("subreaper");
        process::set_session().expect("session");
        let (wait, go) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
        let Forked::Parent { pid, pidfd } = process::fork_plain().expect("fork") else {
            if let Forked::Child = process::fork_plain().expect("fork") {
                drop(go);
                let _ = File::from(wait).read(&mut [0]);
                process::exit_now(9);
            }
            process::exit_now(8);
        };
        assert!(process::wait_exit(&pidfd, Some(Duration::from_mins(1))).expect("wait"));
        assert_eq!(process::reap(), [(pid, ExitKind::Exited(8))]);
        // Only now the other one ends, whose parent is gone.
        drop(go);
        let mut orphans = Vec::new();
        while orphans.is_empty() {
            orphans = process::reap();
            std::thread::sleep(Duration::from_millis(5));
        }
        let kinds: Vec<ExitKind> = orphans.into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, [ExitKind::Exited(9)]);
    });
}

fn hostname_and_name() {
    need_root();
    in_child(Namespaces::UTS, || {
        namespace::sethostname("sampan-test").expect("hostname");
        assert_eq!(rustix::system::uname().nodename().to_str(), Ok("sampan-test"));
        process::set_name("a very long name indeed").expect("name");
        assert_eq!(std::fs::read_to_string("/proc/self/comm").expect("comm"), "a very long nam\n");
    });
}

fn loopback_comes_up() {
    need_root();
    let pid = std::process::id().cast_signed();
    let outside = namespace::netns_inode(pid).expect("inode");
    in_child(Namespaces::NONE, || {
        namespace::unshare(Namespaces::NET).expect("unshare");
        assert_ne!(namespace::netns_inode(std::process::id().cast_signed()).expect("inode"), outside);
        let bind = || TcpListener::bind("127.0.0.1:0").and_then(|l| TcpStream::connect(l.local_addr()?));
        assert!(bind().is_err(), "lo is down in a new namespace");
        namespace::set_loopback_up().expect("lo");
        bind().expect("lo is up");
    });
    assert_eq!(namespace::netns_inode(pid).expect("inode"), outside);
}

fn netns_lock_is_exclusive() {
    need_root();
    // In a namespace of its own: other programs on this machine may use the same lock.
    in_child(Namespaces::NONE, || {
        namespace::unshare(Namespaces::NET).expect("unshare");
        let (wait, go) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
        let Forked::Parent { pid, pidfd } = process::fork_plain().expect("fork") else {
            drop(go);
            let _ = File::from(wait).read(&mut [0]);
            process::exit_now(i32::from(netns_lock().is_err()))
        };
        // Taken after the fork: a child that inherits it holds it, too.
        let lock = netns_lock().expect("lock");
        drop(go);
        let is_over = |limit| process::wait_exit(&pidfd, Some(limit)).expect("wait");
        // proc_locks(5): a line with an arrow is a lock that its process waits for.
        let waits = || {
            let locks = std::fs::read_to_string("/proc/locks").expect("locks");
            locks.lines().any(|line| {
                line.contains("->") && line.split_whitespace().any(|word| word == pid.to_string())
            })
        };
        while !waits() {
            assert!(!is_over(Duration::from_millis(5)), "it did not wait for the holder");
        }
        drop(lock);
        assert!(is_over(Duration::from_mins(1)));
        assert_eq!(process::reap(), [(pid, ExitKind::Exited(0))]);
    });
}

fn namespaces_of_a_process_are_entered() {
    need_root();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
    let Forked::Parent { pid, pidfd } =
        process::clone_into(Namespaces::UTS | Namespaces::IPC).expect("clone")
    else {
        let _ = namespace::sethostname("other-side");
        let _ = rustix::io::write(&write, b"x");
        loop {
            std::thread::sleep(Duration::from_secs(100));
        }
    };
    File::from(read).read_exact(&mut [0]).expect("read");
    let ended = child(Namespaces::NONE, || {
        namespace::enter(&pidfd, Namespaces::UTS | Namespaces::IPC).expect("enter");
        assert_eq!(rustix::system::uname().nodename().to_str(), Ok("other-side"));
    });
    let by_file = child(Namespaces::NONE, || {
        let file = File::open(format!("/proc/{pid}/ns/uts")).expect("ns file");
        namespace::enter(&file, Namespaces::UTS).expect("enter");
        assert_eq!(rustix::system::uname().nodename().to_str(), Ok("other-side"));
    });
    let _ = process::pidfd_send_signal(&pidfd, Signal::KILL);
    let _ = process::wait_exit(&pidfd, None);
    process::reap();
    assert_eq!((ended, by_file), (ExitKind::Exited(0), ExitKind::Exited(0)));
}
