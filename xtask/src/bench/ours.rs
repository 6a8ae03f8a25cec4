//! Our side of a bench: an instance of its own, in the bench's folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::ping;
use super::scratch::Scratch;
use crate::tools;

const INSTANCE: &str = "bench";
/// The first start builds the engine image from packages.
const FIRST_DEADLINE: Duration = Duration::from_mins(15);
const DEADLINE: Duration = Duration::from_mins(1);

/// The instance `bench`. Dropping it removes everything that it made.
#[derive(Debug)]
pub(super) struct OurInstance<'a> {
    program: &'a Path,
    wsl: PathBuf,
    scratch: &'a Scratch,
}

impl<'a> OurInstance<'a> {
    pub(super) fn new(program: &'a Path, scratch: &'a Scratch) -> Self {
        Self { program, wsl: program.with_file_name("wsl"), scratch }
    }

    /// Starts and stops once. Returns the root file system archive that the engine came from.
    pub(super) fn first_start(&self, image: Option<&Path>) -> Result<(PathBuf, Duration)> {
        let mut command = self.command();
        command.arg("start");
        if let Some(image) = image {
            command.arg("--engine-image").arg(image);
        }
        let took = self.start_with(command, FIRST_DEADLINE)?;
        let image = match image {
            Some(image) => image.to_owned(),
            None => cached_image(&state(self.scratch.folder()))?,
        };
        Ok((image, took))
    }

    /// Starts from fully stopped, and stops fully again. Returns the time to the first answer.
    pub(super) fn start(&self) -> Result<Duration> {
        let mut command = self.command();
        command.arg("start");
        self.start_with(command, DEADLINE)
    }

    fn start_with(&self, mut start: Command, deadline: Duration) -> Result<Duration> {
        let socket = run(self.scratch.folder()).join(INSTANCE).join("docker.sock");
        let since = Instant::now();
        let mut starter = start.spawn().with_context(|| format!("cannot start {}", tools::name(&start)))?;
        let took = ping::first_answer(&socket, since, deadline, &mut starter);
        if took.is_err() {
            // What it waits for does not come.
            let _ = starter.kill();
        }
        let status = starter.wait().context("cannot wait for `sampan start`")?;
        let took = took.context("`sampan start`")?;
        if !status.success() {
            bail!("`sampan start` ended with {status}");
        }
        if !tools::succeeds(self.command().arg("stop"))? {
            bail!("`sampan stop` failed");
        }
        Ok(took)
    }

    /// Runs `sampan` with these arguments.
    pub(super) fn sampan(&self, arguments: &[&str]) -> Result<()> {
        succeed(self.command().args(arguments))
    }

    /// Runs `wsl` with these arguments.
    pub(super) fn wsl(&self, arguments: &[&str]) -> Result<()> {
        succeed(self.command().arg("wsl").args(arguments))
    }

    /// The program `wsl`.
    pub(super) fn wsl_program(&self) -> &Path {
        &self.wsl
    }

    /// The words that run the Docker CLI of the engine's image, by the loader it came with.
    pub(super) fn docker_words(&self) -> Result<Vec<PathBuf>> {
        let cli = state(self.scratch.folder()).join(INSTANCE).join("cli");
        let lib = cli.join("lib");
        let entries = fs::read_dir(&lib).with_context(|| format!("cannot list {}", lib.display()))?;
        let is_loader = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"))
        };
        let loader = entries.filter_map(|entry| Some(entry.ok()?.path())).find(is_loader);
        let loader = loader.with_context(|| format!("there is no loader in {}", lib.display()))?;
        let words = ["--argv0".into(), "docker".into(), "--library-path".into(), lib, cli.join("bin/docker")];
        Ok(std::iter::once(loader).chain(words).collect())
    }

    /// The engine's socket as `docker -H` takes it.
    pub(super) fn docker_host(&self) -> String {
        format!("unix://{}", run(self.scratch.folder()).join(INSTANCE).join("docker.sock").display())
    }

    /// `command` on the bench's instance.
    pub(super) fn environment(&self, mut command: Command) -> Command {
        let folder = self.scratch.folder();
        command
            .env("SAMPAN_INSTANCE", INSTANCE)
            .env("SAMPAN_STATE_DIR", state(folder))
            .env("SAMPAN_RUN_DIR", run(folder))
            .env("SAMPAN_WSLCONFIG", folder.join("wslconfig"));
        command
    }

    fn command(&self) -> Command {
        sampan(self.program, self.scratch.folder())
    }
}

impl Drop for OurInstance<'_> {
    fn drop(&mut self) {
        if let Err(error) = reset(self.program, self.scratch.folder()) {
            eprintln!("bench: {error:#}");
        }
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    if !tools::succeeds(command)? {
        bail!("{command:?} failed");
    }
    Ok(())
}

/// Whether a bench in `folder` made an instance.
pub(super) fn exists_in(folder: &Path) -> bool {
    state(folder).join(INSTANCE).exists() || run(folder).join(INSTANCE).exists()
}

/// Removes the instance of a bench in `folder`, running or not.
pub(super) fn reset(program: &Path, folder: &Path) -> Result<()> {
    if !tools::succeeds(sampan(program, folder).args(["reset", "--all", "--yes"]))? {
        bail!("`sampan reset` of the instance {INSTANCE} in {} failed", folder.display());
    }
    Ok(())
}

/// A `sampan` command on the bench's instance. What it prints would hide the figures; `sampan logs` keeps what matters.
fn sampan(program: &Path, folder: &Path) -> Command {
    let mut command = tools::command(program, Path::new("/"));
    command
        .args(["--instance", INSTANCE])
        .env("SAMPAN_STATE_DIR", state(folder))
        .env("SAMPAN_RUN_DIR", run(folder))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    command
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

fn run(folder: &Path) -> PathBuf {
    folder.join("run")
}

/// The engine image that the instance keeps.
fn cached_image(state: &Path) -> Result<PathBuf> {
    let cache = state.join(INSTANCE).join("cache");
    let entries = fs::read_dir(&cache).with_context(|| format!("cannot list {}", cache.display()))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("engine-") && name.ends_with(".tar.zst")
        })
        .with_context(|| format!("there is no engine image in {}", cache.display()))
}
