//! Black-box tests of the built programs, with a real engine. Each name is a promise.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "what a test says while it runs is read on the terminal")]
#![expect(clippy::print_stdout, reason = "the count of skipped tests belongs to the result")]

mod cases;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use sampan_e2e::case::Case;
use sampan_e2e::{cleanup, shared};

/// Each instance is a whole engine; more of them at once wait for each other.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let trials = cases::all().into_iter().map(Case::into_trial).collect();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    cleanup::on_interrupt();
    if rustix::process::geteuid().is_root() {
        cleanup::sweep();
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let problems = shared::close();
    if conclusion.num_ignored > 0 {
        println!("{} skipped", conclusion.num_ignored);
    }
    if problems.is_empty() {
        return conclusion.exit_code();
    }
    eprintln!("the shared instance did not go as it should:\n{}", problems.join("\n"));
    ExitCode::from(101)
}
