//! Runs tests in a process with one thread, and parts of them in a child of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use sampan_sys::namespace::Namespaces;
use sampan_sys::process::{
    ExitKind, Forked, Signal, clone_into, exit_now, pidfd_send_signal, reap, wait_exit,
};

/// A named test.
pub(crate) type Test = (&'static str, fn());

/// Runs the tests one after another and reports as libtest does; a filter may be given as the first argument.
#[expect(clippy::print_stdout, reason = "this is the test runner")]
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests.iter().filter(|(name, _)| name.contains(&filter)) {
        let ok = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if ok {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the test may go on; says so if not.
#[expect(clippy::print_stdout, reason = "a skipped test must be seen")]
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

/// Runs `body` in a child in new namespaces; its panic is the failure of the test.
pub(crate) fn in_child(namespaces: Namespaces, body: impl FnOnce()) {
    assert_eq!(child(namespaces, body), ExitKind::Exited(0), "the child failed, see above");
}

/// Runs `body` in a child in new namespaces and returns how it ended: 0, or 101 after a panic.
pub(crate) fn child(namespaces: Namespaces, body: impl FnOnce()) -> ExitKind {
    match clone_into(namespaces).expect("clone") {
        Forked::Child => {
            let ok = catch_unwind(AssertUnwindSafe(body)).is_ok();
            exit_now(if ok { 0 } else { 101 })
        }
        Forked::Parent { pid, pidfd } => {
            if !wait_exit(&pidfd, Some(Duration::from_mins(1))).expect("wait") {
                let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                let _ = wait_exit(&pidfd, None);
            }
            let ended = reap();
            ended.iter().find(|(other, _)| *other == pid).expect("an ended child is reaped").1
        }
    }
}
