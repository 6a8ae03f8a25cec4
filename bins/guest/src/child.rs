//! A command as a child of this process, waited for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::process::{Pid, WaitOptions, WaitStatus};
use sampan_sys::process::{self, Forked, Signal};

use crate::verb;

/// Runs `command` to its end, reaping whatever else ends meanwhile; the result is its status as a shell would say it.
pub(crate) fn run(command: &[String]) -> anyhow::Result<u8> {
    let program = find(&command[0])?;
    match process::fork_plain()? {
        Forked::Child => {
            let _ = process::set_death_signal(Signal::KILL);
            let error = process::exec(&program, command, &environment());
            verb::log(&format!("sampan-guest: {error}"));
            process::exit_now(127)
        }
        Forked::Parent { pid, .. } => wait(pid),
    }
}

/// Waits until the child `pid` has ended, reaping every other one on the way.
pub(crate) fn wait(pid: i32) -> anyhow::Result<u8> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if Pid::as_raw(Some(ended)) == pid => return Ok(code(status)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for the command"),
        }
    }
}

/// This process's environment in the form that exec takes.
pub(crate) fn environment() -> Vec<OsString> {
    std::env::vars_os()
        .map(|(mut key, value)| {
            key.push("=");
            key.push(value);
            key
        })
        .collect()
}

fn code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(255)
}

fn find(program: &str) -> anyhow::Result<PathBuf> {
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_program(file));
    let Some(found) = found else { bail!("{program} is not installed") };
    Ok(found)
}

fn is_program(file: &Path) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
}
