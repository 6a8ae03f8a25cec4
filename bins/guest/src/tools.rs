//! Programs of a user's distribution that are run for it: mount(8), systemctl(1), the shell.

use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::Pid;
use sampan_model::wsl::environment::PATH;
use sampan_sys::poll;
use sampan_sys::process::{self, Signal};

use crate::session::Environment;
use crate::verb;

/// The most that one program may say in the log, in bytes: that is a file of the host.
const SAID: usize = 4 << 10;

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
    let (errors, write) = std::io::pipe().context("cannot make a pipe")?;
    let mut child = command(program, args)
        .stdout(stdout)
        .stderr(write)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let output = child.stdout.take();
    let pidfd = process::pidfd_open(child.id().cast_signed())?;
    let (ended, said) = listen(&pidfd, errors, limit)?;
    if !said.is_empty() {
        verb::log(&format!("{program}: {}", said.trim_end()));
    }
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

/// Waits for the end of a process, at most for `limit`: whether it has ended, and the beginning of what it said. The rest is
/// read too, so that nobody waits who says more.
fn listen(process: &OwnedFd, mut errors: PipeReader, limit: Duration) -> anyhow::Result<(bool, String)> {
    let deadline = Instant::now() + limit;
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    let mut open = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let fds = [process.as_fd(), errors.as_fd()];
        let readable = poll::wait_readable(if open { &fds } else { &fds[..1] }, Some(left))?;
        let (ended, heard) = (readable[0], readable.get(1) == Some(&true));
        if heard {
            let length = errors.read(&mut buffer).unwrap_or(0);
            open = length > 0;
            said.extend_from_slice(&buffer[..length.min(SAID - said.len())]);
        }
        // What it leaves behind may go on for ever.
        if left.is_zero() || ended && (!heard || said.len() == SAID) {
            return Ok((ended, String::from_utf8_lossy(&said).into_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_say_is_bounded() {
        let heard = |script: &str, limit| {
            let (errors, write) = std::io::pipe().unwrap();
            let mut child = command("/bin/sh", &["-c", script]).stderr(write).spawn().unwrap();
            let pidfd = process::pidfd_open(child.id().cast_signed()).unwrap();
            let heard = listen(&pidfd, errors, limit).unwrap();
            let group = Pid::from_raw(child.id().cast_signed()).unwrap();
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
            child.wait().unwrap();
            heard
        };
        let long = Duration::from_mins(5);
        assert_eq!(heard("echo one >&2; echo two >&2", long), (true, "one\ntwo\n".to_owned()));
        assert_eq!(heard("exit 3", long), (true, String::new()));
        // More than a pipe holds.
        let (ended, said) = heard("head -c 1000000 /dev/zero >&2", long);
        assert_eq!((ended, said.len()), (true, SAID));
        let (ended, said) = heard("while :; do echo x; done >&2", Duration::from_millis(200));
        assert!(!ended && said.len() <= SAID);
        // One that stays behind with the same standard error.
        assert!(heard("while :; do echo x; done >&2 &", long).0);
    }
}
