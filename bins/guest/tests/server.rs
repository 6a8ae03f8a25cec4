//! `sampan-guest server` as PID 1 of a process namespace of its own: what it promises to the service and to
//! users.
#![forbid(unsafe_code)]

#[path = "server/life.rs"]
mod life;
#[path = "server/paths.rs"]
mod paths;
#[path = "server/sessions.rs"]
mod sessions;
#[path = "../../../crates/sys/tests/support/single.rs"]
#[expect(dead_code, reason = "some of it is for tests that need no server")]
mod single;
#[path = "server/systemd.rs"]
mod systemd;
#[path = "server/terminals.rs"]
mod terminals;
#[path = "server/users.rs"]
mod users;
#[path = "server/world.rs"]
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests: Vec<single::Test> =
        [sessions::TESTS, terminals::TESTS, users::TESTS, life::TESTS, paths::TESTS, systemd::TESTS].concat();
    let code = single::run(&tests);
    systemd::close();
    code
}
