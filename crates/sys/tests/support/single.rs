//! Runs tests in a process with one thread, and parts of them in a child of it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::time::Duration;

use sampan_sys::namespace::Namespaces;
use sampan_sys::process::{
    ExitKind, Forked, Signal, clone_into, exit_now, pidfd_send_signal, reap, wait_exit,
};

/// A named test.
pub(crate) type Test = (&'static str, fn());

/// Why a test can't run on this machine.
struct Skip(String);

/// Runs the tests one after another and reports as libtest does; a filter may be given as the first argument.
#[expect(clippy::print_stdout, reason = "this is the test runner")]
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    let (chosen, others): (Vec<_>, Vec<_>) = tests.iter().partition(|(name, _)| name.contains(&filter));
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, test) in chosen {
        let thrown = catch_unwind(test).err();
        let skip = thrown.as_ref().and_then(|thrown| thrown.downcast_ref::<Skip>());
        if let Some(Skip(reason)) = skip {
            println!("test {name} ... ignored, {reason}");
            ignored += 1;
        } else if thrown.is_none() {
            println!("test {name} ... ok");
            passed += 1;
        } else {
            println!("test {name} ... FAILED");
            failed += 1;
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    let filtered = others.len();
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; {ignored} ignored; {filtered} filtered out"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends the test, which can't run on this machine: it counts as ignored. Not for the child of a test, whose end says
/// nothing of it.
pub(crate) fn skip(reason: &str) -> ! {
    // Not a panic, which would print a message.
    resume_unwind(Box::new(Skip(reason.to_owned())))
}

/// Skips the test unless root runs it.
pub(crate) fn need_root() {
    if !rustix::process::geteuid().is_root() {
        skip("needs root");
    }
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
