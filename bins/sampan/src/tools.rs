//! Outside programs: the one place where they are started.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use sampan_model::api::{ErrorBody, ErrorCode};
use sampan_model::docker_cli;
use sampan_model::instance::Instance;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::exit::{Kind, Problem};

/// Where an installed `sampand` is when it is not beside `sampan`.
const INSTALLED_SERVICE: &str = "/usr/libexec/sampan/sampand";
/// How long a short job of the service's program or of docker's may take.
const JOB_DEADLINE: Duration = Duration::from_mins(2);

/// The command line for a program of the Docker CLI, run with the libraries it came with.
///
/// `host` is the engine it talks to; without, the user's own docker context counts.
pub(crate) fn docker(
    instance: &Instance,
    program: docker_cli::Program,
    host: Option<&Path>,
) -> Result<Command, Problem> {
    let cli = instance.cli();
    let path = program.path(&cli);
    if let Err(error) = fs::metadata(&path) {
        return Err(match error.kind() {
            std::io::ErrorKind::PermissionDenied => crate::access::denied(&format!("{}", path.display())),
            _ => Problem::not_running("the engine is not installed yet").hint("type `sampan start`"),
        });
    }
    let libraries = fs::read_dir(docker_cli::libraries(&cli)).into_iter().flatten().flatten();
    let loader = docker_cli::loader(libraries.map(|entry| entry.file_name()));
    let execution = docker_cli::execution(&cli, loader.as_deref(), program);
    let mut command = new(&execution.file);
    command.arg0(&execution.words[0]).args(&execution.words[1..]);
    command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    if let Some(host) = host {
        command.env("DOCKER_HOST", format!("unix://{}", host.display()));
    }
    Ok(command)
}

/// The files of an image of the engine, on their way out as an archive.
#[derive(Debug)]
pub(crate) struct Export<'a> {
    instance: &'a Instance,
    container: String,
    child: Child,
    archive: ChildStdout,
}

impl<'a> Export<'a> {
    /// Begins to write `image` as an archive: of a container that is made of it and never runs.
    pub(crate) fn begin(instance: &'a Instance, image: &str) -> Result<Self, Problem> {
        let socket = instance.docker_socket();
        let mut create = docker(instance, docker_cli::Program::Docker, Some(&socket))?;
        // An image may name no program; a container has to.
        create.args(["create", "--pull", "never", image, "/sampan"]);
        let created = crate::commands::wait(output(create))?;
        if !created.status.success() {
            return Err(told(&created.stdout, &created.stderr, "docker create")
                .hint("`sampan docker images` lists the images there are"));
        }
        let container = String::from_utf8_lossy(&created.stdout).trim().to_owned();
        let mut export = docker(instance, docker_cli::Program::Docker, Some(&socket))?;
        export.args(["export", &container]).stdin(Stdio::null()).stdout(Stdio::piped());
        let failed = |error: std::io::Error| Problem::failed(format!("can't run docker export: {error}"));
        let mut child = export.spawn().map_err(failed)?;
        let archive = child.stdout.take().ok_or_else(|| Problem::failed("docker export has no output"))?;
        Ok(Self { instance, container, child, archive })
    }

    /// Where the archive can be read.
    pub(crate) fn archive(&self) -> BorrowedFd<'_> {
        self.archive.as_fd()
    }

    /// Takes the container away; an error when the archive is not whole.
    pub(crate) fn end(mut self) -> Result<(), Problem> {
        // Nobody reads any more: an export that is not done ends.
        drop(self.archive);
        let status = self.child.wait();
        let socket = self.instance.docker_socket();
        let mut remove = docker(self.instance, docker_cli::Program::Docker, Some(&socket))?;
        remove.args(["rm", &self.container]);
        let removed = crate::commands::wait(output(remove))?;
        match status {
            Ok(status) if status.success() && removed.status.success() => Ok(()),
            Ok(status) if status.success() => Err(told(&removed.stdout, &removed.stderr, "docker rm")),
            Ok(status) => Err(Problem::failed(format!("docker export ended with {status}"))),
            Err(error) => Err(Problem::failed(format!("can't wait for docker export: {error}"))),
        }
    }
}

/// Becomes `command`. Returns only when that is impossible.
pub(crate) fn exec(mut command: Command) -> Problem {
    let error = command.exec();
    Problem::failed(format!("can't run {}: {error}", command.get_program().display()))
}

/// Runs `command` to its end and keeps what it printed.
pub(crate) async fn output(command: Command) -> Result<Output, Problem> {
    let name = Path::new(command.get_program()).display().to_string();
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(JOB_DEADLINE, command.output()).await.map_err(|_| {
        let message = format!("{name} did not end within {} s", JOB_DEADLINE.as_secs());
        Problem::new(Kind::Api(ErrorCode::Timeout), message)
    })?;
    output.map_err(|error| Problem::failed(format!("can't run {name}: {error}")))
}

/// Starts the service of `instance` in a session of its own; returns when its API answers.
pub(crate) async fn service_detached(instance: &Instance) -> Result<(), Problem> {
    let output = output(sampand(instance, ["--detach"])?).await?;
    if output.status.success() { Ok(()) } else { Err(told(&output.stdout, &output.stderr, "sampand")) }
}

/// Starts the service of `instance` as a unit of systemd; returns when systemd calls it started.
pub(crate) async fn service_by_systemd(instance: &Instance) -> Result<(), Problem> {
    let unit = format!("sampand@{instance}.service");
    let mut command = new("systemctl");
    command.args(["start", &unit]);
    let output = output(command).await?;
    if output.status.success() {
        return Ok(());
    }
    Err(told(&output.stdout, &output.stderr, &format!("systemctl start {unit}"))
        .hint(format!("see `systemctl status {unit}` and `sampan logs --unit sampand`")))
}

/// Runs a job of the service's program without the service, and gives the JSON it prints.
pub(crate) async fn oneshot(instance: &Instance, job: &[&str]) -> Result<Vec<u8>, Problem> {
    let output = output(sampand(instance, ["oneshot"].iter().chain(job))?).await?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(told(&output.stdout, &output.stderr, &format!("sampand oneshot {}", job.join(" "))))
}

/// Like [`oneshot`], for a job that takes time and prints lines as it goes; `line` says when it has seen the end.
pub(crate) async fn oneshot_lines<T>(
    instance: &Instance,
    job: &[&str],
    mut line: impl FnMut(&[u8]) -> Result<Option<T>, Problem>,
) -> Result<T, Problem> {
    let what = format!("sampand oneshot {}", job.join(" "));
    let failed = |error: std::io::Error| Problem::failed(format!("can't run {what}: {error}"));
    let mut command = tokio::process::Command::from(sampand(instance, ["oneshot"].iter().chain(job))?);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let errors = tokio::spawn(async move {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            // What could be read is all that can be shown.
            let _ = stderr.read_to_end(&mut text).await;
        }
        text
    });
    let mut end = None;
    if let Some(stdout) = stdout {
        let mut lines = BufReader::new(stdout).split(b'\n');
        while let Some(text) = lines.next_segment().await.map_err(failed)? {
            end = end.or(line(&text)?);
        }
    }
    child.wait().await.map_err(failed)?;
    match end {
        Some(end) => Ok(end),
        None => Err(told(&[], &errors.await.unwrap_or_default(), &what)),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the tools module")]
fn new(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

fn sampand<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
    instance: &Instance,
    args: I,
) -> Result<Command, Problem> {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name("sampand"));
    let installed = PathBuf::from(INSTALLED_SERVICE);
    let Some(program) = beside.iter().chain([&installed]).find(|path| path.is_file()) else {
        let first = beside.unwrap_or_else(|| PathBuf::from("sampand"));
        let message = format!("the service's program is neither {} nor {INSTALLED_SERVICE}", first.display());
        return Err(Problem::failed(message).hint("install Sampan again: `sampand` belongs beside `sampan`"));
    };
    let mut command = new(program);
    command.arg("--instance").arg(instance.name()).args(args);
    Ok(command)
}

/// What a program of ours that failed says of it: the error it printed as JSON, or else the end of its stderr.
fn told(stdout: &[u8], stderr: &[u8], what: &str) -> Problem {
    let last = stdout.trim_ascii().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Ok(body) = serde_json::from_slice::<ErrorBody>(last) {
        return body.error.into();
    }
    let stderr = String::from_utf8_lossy(stderr);
    let mut lines: Vec<String> = stderr.lines().map(str::to_owned).collect();
    lines.drain(..lines.len().saturating_sub(sampan_model::engine::Failure::LOG_LINES));
    Problem::failed(format!("{what} failed")).log(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_as_the_program_tells_it() {
        let problem = told(b"{\"error\":{\"code\":\"busy\",\"message\":\"m\"}}\n", b"x", "sampand");
        assert_eq!((problem.kind, problem.message.as_str()), (Kind::Api(ErrorCode::Busy), "m"));
        let problem = told(b"", b"one\ntwo\n", "sampand");
        assert_eq!((problem.message.as_str(), problem.log.len()), ("sampand failed", 2));
    }

    #[test]
    fn a_missing_cli_says_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let instance = Instance::new("x", folder.path(), Path::new("/run/sampan")).unwrap();
        let problem = docker(&instance, docker_cli::Program::Docker, None).unwrap_err();
        assert_eq!(problem.kind, Kind::NotRunning);
    }
}
