//! Programs of a user's distribution that are run for it: mount(8), systemctl(1), the shell.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Pid;
use sampan_model::wsl::environment::PATH;
use sampan_sys::process::{self, Signal};

use crate::session::Environment;

/// Runs a program to its end; after `limit` it and its children are killed. It has no terminal to ask anybody
/// anything, and what it says goes to the log. An error unless it succeeds.
pub(crate) fn run(program: &str, args: &[&str], limit: Duration) -> anyhow::Result<()> {
    let (status, _) = finish(program, args, Stdio::null(), limit)?;
    if status.success() { Ok(()) } else { bail!("{program} {} ended with {status}", args.join(" ")) }
}

/// What a program prints, whatever its status is.
pub(crate) fn output(program: &str, args: &[&str], limit: Duration) -> anyhow::Result<String> {
    let (_, mut output) = finish(program, args, Stdio::piped(), limit)?;
    let mut text = String::new();
    if let Some(output) = &mut output {
        output.read_to_string(&mut text).with_context(|| format!("cannot understand {program}"))?;
    }
    Ok(text)
}

/// Starts a line of the distribution's own configuration in a session of its own, and leaves it alone; its
/// process number.
pub(crate) fn start_line(line: &str, environment: &Environment) -> anyhow::Result<i32> {
    let mut command = command("/bin/sh", &["-c", line]);
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    // Its output is nobody's: the log is a file of the host, which a daemon could fill.
    let child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot start /bin/sh")?;
    Ok(child.id().cast_signed())
}

fn finish(
    program: &str,
    args: &[&str],
    stdout: Stdio,
    limit: Duration,
) -> anyhow::Result<(std::process::ExitStatus, Option<std::process::ChildStdout>)> {
    let mut child = command(program, args)
        .stdout(stdout)
        .stderr(log()?)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let output = child.stdout.take();
    let pidfd = process::pidfd_open(child.id().cast_signed())?;
    let ended = process::wait_exit(&pidfd, Some(limit))?;
    if !ended && let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        // It leads a group of its own, in which its helpers are.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    let status = child.wait().with_context(|| format!("cannot wait for {program}"))?;
    if !ended {
        bail!("{program} {} did not end within {} s", args.join(" "), limit.as_secs());
    }
    Ok((status, output))
}

#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env_clear().env("PATH", PATH).env("HOME", "/root").env("LC_ALL", "C");
    command.current_dir("/").stdin(Stdio::null());
    process::in_new_session(&mut command);
    command
}

/// The log is this process's standard error.
fn log() -> anyhow::Result<File> {
    let log = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3).context("cannot copy the log")?;
    Ok(File::from(log))
}
