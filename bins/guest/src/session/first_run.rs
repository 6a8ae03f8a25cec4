//! The first-run command of a distribution (`oobe.command` of `/etc/wsl-distribution.conf`), which usually
//! makes a user.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use sampan_model::config::distribution::{DistributionConf, PATH};
use sampan_model::guest::ControlReply;
use sampan_sys::process::{self, Forked};
use sampan_sys::socket;

use super::command::Environment;
use super::login::read;
use super::program;
use crate::child;

/// Runs the command, if there is one, as root with the session's streams, and reports that it is done: the
/// new default user. If it fails the session ends here, and the next one tries again.
pub(super) fn run(
    environment: &Environment,
    report: Option<&OwnedFd>,
    take_streams: impl Fn() -> sampan_sys::Result<()>,
) -> anyhow::Result<Option<u32>> {
    let conf = DistributionConf::parse(&read(PATH)).config;
    if let Some(command) = &conf.oobe.command
        && shell(command, environment, &take_streams)? != 0
    {
        take_streams()?;
        let _ = writeln!(std::io::stderr(), "OOBE command \"{command}\" failed, exiting");
        process::exit_now(1);
    }
    let default_uid = conf.oobe.default_uid.and_then(|uid| u32::try_from(uid).ok());
    if let Some(report) = report {
        let reply =
            serde_json::to_vec(&ControlReply::FirstRun { default_uid }).expect("a reply is plain data");
        // Whoever asked may be gone. The command is run once more then.
        let _ = socket::send_message(report, &reply, &[]);
    }
    Ok(default_uid)
}

/// Runs `/bin/sh -c` as a child, which leaves the terminal with the caller: its session would end with the
/// child's.
fn shell(
    command: &str,
    environment: &Environment,
    take_streams: impl Fn() -> sampan_sys::Result<()>,
) -> anyhow::Result<u8> {
    match process::fork_plain()? {
        Forked::Child => {
            let words = ["sh", "-c", command];
            if take_streams().is_ok() {
                let _ = process::exec(Path::new("/bin/sh"), &words, &program::variables(environment));
            }
            process::exit_now(127)
        }
        Forked::Parent { pid, .. } => child::wait(pid),
    }
}
