//! The other side of a bench: dockerd alone, started from the same root file system in plain namespaces.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::ping;
use super::scratch::Scratch;
use crate::tools;

const DEADLINE: Duration = Duration::from_mins(1);
const SCRIPT: &str = include_str!("bare.sh");

#[derive(Debug)]
pub(super) struct BareDockerd {
    /// Its data lies in here too, in `/var/lib/docker`.
    root: PathBuf,
    log: PathBuf,
}

impl BareDockerd {
    /// Unpacks the engine's root file system into the bench's folder.
    pub(super) fn unpack(image: &Path, scratch: &Scratch) -> Result<Self> {
        let folder = scratch.folder().join("bare");
        let root = folder.join("root");
        // What the script mounts on, also where the archive lacks it, and the socket's folder.
        for sub in ["proc", "sys", "dev", "run", "tmp", "bench"] {
            let path = root.join(sub);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let mut tar = tools::command("tar", Path::new("/"));
        tar.args([
            "--extract",
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "--exclude=./dev/*",
            "--file",
        ]);
        tar.arg(image).arg("--directory").arg(&root);
        if !tools::succeeds(&mut tar)? {
            bail!("cannot unpack {}", image.display());
        }
        Ok(Self { root, log: folder.join("dockerd.log") })
    }

    /// The folder with the files of the image.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Starts it and stops it again. Returns the time to the first answer.
    pub(super) fn start(&self) -> Result<Duration> {
        let socket = self.root.join("bench/docker.sock");
        let _ = fs::remove_file(&socket);
        let log = File::create(&self.log).with_context(|| format!("cannot make {}", self.log.display()))?;
        let since = Instant::now();
        let mut running = Running(self.command(&log)?.spawn().context("cannot start unshare")?);
        let took = ping::first_answer(&socket, since, DEADLINE, &mut running.0);
        running.stop()?;
        took.with_context(|| format!("the bare dockerd; the end of its log:\n{}", self.end_of_log()))
    }

    /// `setpriv` lets it die with us, `--kill-child` lets all of it die with `unshare`.
    fn command(&self, log: &File) -> Result<Command> {
        let mut command = tools::command("setpriv", Path::new("/"));
        command
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--net", "--ipc", "--uts"])
            .args(["--fork", "--kill-child", "sh", "-c", SCRIPT, "bare"])
            .arg(&self.root)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log.try_clone().context("cannot share the log")?);
        Ok(command)
    }

    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// A started `unshare`, whose only child is dockerd as PID 1 of its namespace. Never left running.
struct Running(Child);

impl Running {
    /// Asks dockerd to end, as a service manager does: a killed one would have to repair its state at the next start,
    /// which would be measured.
    fn stop(mut self) -> Result<()> {
        let pid = self.0.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        if let Some(dockerd) = children.split_whitespace().next() {
            let mut kill = tools::command("sh", Path::new("/"));
            if tools::succeeds(kill.args(["-c", "kill -TERM \"$1\"", "kill", dockerd]))? {
                self.0.wait().context("cannot wait for dockerd")?;
            }
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
