//! An instance in folders of its own, and how programs are run in it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::RwLock;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Held for writing while a program is written, for reading while one is started: a program that is open for writing,
/// even in the child of another thread that has not yet called `execve`, can't be run (ETXTBSY).
static PROGRAMS: RwLock<()> = RwLock::new(());

/// Starts a program whose output is kept.
pub(crate) fn spawn(command: &mut Command) -> Child {
    start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
}

/// Starts a program.
pub(crate) fn start(command: &mut Command) -> Child {
    let _lock = PROGRAMS.read().unwrap();
    command.spawn().unwrap()
}

/// Runs a program to its end.
pub(crate) fn finish(command: &mut Command) -> Output {
    spawn(command).wait_with_output().unwrap()
}

/// A child that does not outlive the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn new(command: &mut Command) -> Self {
        Self(start(command))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An instance `t` in folders of its own, and a copy of the program, so that other programs can be put beside it.
pub(crate) struct Instance {
    folder: TempDir,
}

impl Instance {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let instance = Self { folder };
        fs::set_permissions(instance.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        for part in ["bin", "home", "state/t/logs", "run/t"] {
            fs::create_dir_all(instance.path(part)).unwrap();
        }
        let _lock = PROGRAMS.write().unwrap();
        fs::copy(env!("CARGO_BIN_EXE_sampan"), instance.path("bin/sampan")).unwrap();
        std::os::unix::fs::symlink("sampan", instance.path("bin/wsl")).unwrap();
        instance
    }

    pub(crate) fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }

    pub(crate) fn log(&self, unit: &str) -> PathBuf {
        self.path("state/t/logs").join(format!("{unit}.log"))
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.called("bin/sampan", words)
    }

    pub(crate) fn wsl(&self, words: &[&str]) -> Command {
        self.called("bin/wsl", words)
    }

    fn called(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.path(program));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("SAMPAN_INSTANCE", "t")
            .env("SAMPAN_STATE_DIR", self.path("state"))
            .env("SAMPAN_RUN_DIR", self.path("run"))
            .stdin(Stdio::null())
            .args(words);
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        finish(&mut self.command(words))
    }

    /// Puts a shell script where a program belongs.
    pub(crate) fn script(&self, at: &str, text: &str) {
        let path = self.path(at);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _lock = PROGRAMS.write().unwrap();
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Whether root runs the test, which is skipped for anyone else because of `reason`. Says so past the harness, which shows what
/// is printed of failed tests only.
pub(crate) fn has_root(reason: &str) -> bool {
    let root = is_root();
    if !root {
        let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    }
    root
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
