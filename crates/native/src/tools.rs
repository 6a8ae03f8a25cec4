//! Outside programs: the only place that starts them, each with a deadline, `LC_ALL=C` and its standard error kept.

pub(crate) mod guest;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_sys::process;

use crate::cancel::{Cancel, Cancelled};

/// Programs of the system live here although some root shells don't say so in PATH.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// How much of a program's standard error an error shows.
const STDERR_LINES: usize = 20;

/// Why an outside program did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    #[error("{program} is not installed")]
    Missing { program: String },
    #[error("{program} cannot be started")]
    Start { program: String, source: std::io::Error },
    #[error("{program} failed ({status}): {}", stderr_text(stderr))]
    Failed { program: String, status: ExitStatus, stderr: Vec<String> },
    #[error("{program} did not end within {} s and was stopped", limit.as_secs())]
    Deadline { program: String, limit: Duration },
    #[error("cannot talk to {program}")]
    Talk { program: String, source: std::io::Error },
    #[error("{program} was stopped")]
    Cancelled { program: String, source: Cancelled },
}

fn stderr_text(lines: &[String]) -> String {
    if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("; ") }
}

impl ToolError {
    /// Whether a full disk made the program fail.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            Self::Failed { status, stderr, .. } => {
                status.code() == Some(guest::NO_ROOM)
                    || stderr.iter().any(|line| line.contains("No space left on device"))
            }
            Self::Start { source, .. } | Self::Talk { source, .. } => {
                source.kind() == std::io::ErrorKind::StorageFull
            }
            Self::Missing { .. } | Self::Deadline { .. } | Self::Cancelled { .. } => false,
        }
    }

    fn package(program: &str) -> Option<&'static str> {
        Some(match program {
            "mke2fs" | "e2fsck" | "resize2fs" => "e2fsprogs",
            "cp" | "rm" => "coreutils",
            "curl" => "curl",
            "qemu-img" => "qemu-utils",
            "nft" => "nftables",
            "ip" => "iproute2",
            "nsenter" => "util-linux",
            "mmdebstrap" => "mmdebstrap",
            "tar" => "tar",
            "zstd" => "zstd",
            "xz" => "xz-utils",
            "gzip" => "gzip",
            "bzip2" => "bzip2",
            _ => return None,
        })
    }
}

impl Explain for ToolError {
    fn code(&self) -> ErrorCode {
        match self {
            _ if self.is_disk_full() => ErrorCode::DiskFull,
            Self::Missing { .. } => ErrorCode::Prerequisite,
            Self::Deadline { .. } => ErrorCode::Timeout,
            _ => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { program } => {
                let package = Self::package(program)?;
                Some(format!("apt-get install --no-install-recommends {package}"))
            }
            _ if self.is_disk_full() => Some("free some space on the disk of the state folder".to_owned()),
            _ => None,
        }
    }
}

/// An outside program about to be started.
#[derive(Debug)]
pub(crate) struct Tool {
    program: String,
    path: PathBuf,
    command: Command,
    limit: Duration,
    cancel: Cancel,
}

impl Tool {
    /// `program`, found in PATH or in the system's folders.
    pub(crate) fn new(program: &str, limit: Duration) -> Result<Self, ToolError> {
        let path = find(program).ok_or_else(|| ToolError::Missing { program: program.to_owned() })?;
        Ok(Self::at(program, path, limit))
    }

    /// The program at `path`, called `program` in messages.
    #[expect(clippy::disallowed_methods, reason = "this is the module that may")]
    pub(crate) fn at(program: &str, path: PathBuf, limit: Duration) -> Self {
        let mut command = Command::new(&path);
        command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { program: program.to_owned(), path, command, limit, cancel: Cancel::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// It is stopped when nobody waits for it any more.
    pub(crate) fn stopped_by(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// Standard error goes to a file instead of into errors, for what lives on after this call.
    pub(crate) fn log_to(mut self, log: std::fs::File) -> Self {
        self.command.stderr(log);
        self
    }

    /// Standard input is this file.
    pub(crate) fn input_from(mut self, file: std::fs::File) -> Self {
        self.command.stdin(file);
        self
    }

    /// Standard output is this file; what running it returns is empty then.
    pub(crate) fn output_to(mut self, file: std::fs::File) -> Self {
        self.command.stdout(file);
        self
    }

    /// Runs to the end; standard output.
    pub(crate) fn output(self) -> Result<String, ToolError> {
        self.run(None, |_| {})
    }

    /// Runs to the end with `text` as standard input; standard output.
    pub(crate) fn output_of(self, text: &str) -> Result<String, ToolError> {
        let bytes = text.as_bytes().to_vec();
        self.run(Some(Box::new(std::io::Cursor::new(bytes))), |_| {})
    }

    /// Runs to the end; `input` is standard input, each line of standard error is also told to `line`.
    pub(crate) fn run(
        mut self,
        input: Option<Box<dyn Read + Send>>,
        line: impl Fn(&str) + Sync,
    ) -> Result<String, ToolError> {
        if input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        self.cancel.check().map_err(|source| self.cancelled(source))?;
        let mut child = self
            .command
            .spawn()
            .map_err(|source| ToolError::Start { program: self.program.clone(), source })?;
        let outcome = self.attend(&mut child, input, &line);
        if !matches!(outcome, Ok((_, _, _))) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let (status, stdout, stderr) = outcome?;
        if status.success() {
            Ok(stdout)
        } else {
            Err(ToolError::Failed { program: self.program, status, stderr })
        }
    }

    fn cancelled(&self, source: Cancelled) -> ToolError {
        ToolError::Cancelled { program: self.program.clone(), source }
    }

    /// Feeds, listens and waits, each on a thread of its own, so that no full pipe can hold up another.
    fn attend(
        &self,
        child: &mut Child,
        input: Option<Box<dyn Read + Send>>,
        line: &(impl Fn(&str) + Sync),
    ) -> Result<(ExitStatus, String, Vec<String>), ToolError> {
        let talk = |source| ToolError::Talk { program: self.program.clone(), source };
        let started = Instant::now();
        let pidfd = process::pidfd_open(i32::try_from(child.id()).unwrap_or(0))
            .map_err(|error| talk(error.errno().into()))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        std::thread::scope(|scope| {
            let feeder = input.zip(stdin).map(|(mut input, mut stdin)| {
                scope.spawn(move || match std::io::copy(&mut input, &mut stdin) {
                    // The program did not want all of it: its status tells why.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                    other => other.map(|_| ()).and_then(|()| stdin.flush()),
                })
            });
            let listener = scope.spawn(move || {
                let mut text = Vec::new();
                stdout.map_or(Ok(0), |mut out| out.read_to_end(&mut text)).map(|_| text)
            });
            let errors = scope.spawn(move || last_lines(stderr, line));
            let left = self.limit.saturating_sub(started.elapsed());
            let ended = self.cancel.wait_for(&pidfd, Some(left));
            let ended = ended.map_err(|error| talk(error.errno().into()))?;
            if ended != Ok(true) {
                let _ = child.kill();
            }
            let status = child.wait().map_err(talk)?;
            let stderr = errors.join().unwrap_or_default();
            let stdout = listener.join().unwrap_or_else(|_| Ok(Vec::new())).map_err(talk)?;
            let fed = feeder.map_or(Ok(()), |feeder| feeder.join().unwrap_or(Ok(())));
            if !ended.map_err(|source| self.cancelled(source))? {
                return Err(ToolError::Deadline { program: self.program.clone(), limit: self.limit });
            }
            if status.success() {
                fed.map_err(talk)?;
            }
            Ok((status, String::from_utf8_lossy(&stdout).into_owned(), stderr))
        })
    }
}

/// Where a program is, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok())
}

/// As [`find`], for a program that is to run confined, where only the system's own folders are: a link in a folder of the
/// user's is followed to there.
pub(crate) fn find_confined(program: &str) -> Option<PathBuf> {
    let found = find(program)?;
    let of_the_system = ["/usr", "/bin", "/sbin"].iter().any(|folder| found.starts_with(folder));
    if of_the_system { Some(found) } else { std::fs::canonicalize(found).ok() }
}

fn last_lines(stderr: Option<impl Read>, line: &impl Fn(&str)) -> Vec<String> {
    let Some(stderr) = stderr else { return Vec::new() };
    let mut kept = VecDeque::new();
    let mut reader = BufReader::new(stderr);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        bytes.clear();
        if text.is_empty() {
            continue;
        }
        line(&text);
        if kept.len() == STDERR_LINES {
            kept.pop_front();
        }
        kept.push_back(text);
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn input_output_and_status() {
        assert_eq!(Tool::new("cat", LONG).unwrap().output_of("through").unwrap(), "through");
        let failed = Tool::new("sh", LONG).unwrap().args(["-c", "echo why >&2; exit 3"]).output();
        assert!(matches!(&failed, Err(ToolError::Failed { stderr, .. }) if stderr == &["why"]), "{failed:?}");
        assert!(matches!(Tool::new("no-such-program", LONG), Err(ToolError::Missing { .. })));
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let hung = Tool::new("sleep", Duration::from_millis(50)).unwrap().arg("1000").output();
        assert!(matches!(hung, Err(ToolError::Deadline { .. })), "{hung:?}");
    }

    #[test]
    fn a_program_that_nobody_waits_for_is_ended_or_not_even_started() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let cancel = Cancel::by(ours.as_fd()).unwrap();
        let sleep = || Tool::new("sleep", LONG).unwrap().arg("1000").stopped_by(&cancel);
        std::thread::scope(|scope| {
            let hung = scope.spawn(|| sleep().output());
            drop(theirs);
            let hung = hung.join().unwrap();
            assert!(matches!(hung, Err(ToolError::Cancelled { .. })), "{hung:?}");
        });
        let nothing = Tool::at("it", PathBuf::from("/no/such/program"), LONG).stopped_by(&cancel).output();
        assert!(matches!(nothing, Err(ToolError::Cancelled { .. })), "{nothing:?}");
    }

    #[test]
    fn a_full_disk_is_recognised() {
        let full =
            Tool::new("sh", LONG).unwrap().args(["-c", "echo 'x: No space left on device' >&2; exit 1"]);
        assert_eq!(full.output().unwrap_err().code(), ErrorCode::DiskFull);
    }
}
