//! Our side of a bench: an instance of its own, in the bench's folder.

use std::fs;
use std::io::Write as _;
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
pub(crate) struct OurInstance<'a> {
    program: &'a Path,
    wsl: PathBuf,
    scratch: &'a Scratch,
}

impl<'a> OurInstance<'a> {
    pub(crate) fn new(program: &'a Path, scratch: &'a Scratch) -> Self {
        Self { program, wsl: program.with_file_name("wsl"), scratch }
    }

    /// The same instance, run by the programs beside `program`.
    pub(super) fn by(&self, program: &'a Path) -> Self {
        Self::new(program, self.scratch)
    }

    /// The program `sampan`.
    pub(super) fn program(&self) -> &'a Path {
        self.program
    }

    /// Starts and stops once. Returns the root file system archive that the engine came from.
    pub(crate) fn first_start(&self, image: Option<&Path>) -> Result<(PathBuf, Duration)> {
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
        let socket = self.socket();
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
    pub(crate) fn sampan(&self, arguments: &[&str]) -> Result<()> {
        succeed(self.command().args(arguments))
    }

    /// The engine's address in its network.
    pub(super) fn engine_address(&self) -> Result<String> {
        let status: serde_json::Value = serde_json::from_str(&self.output(&["--format", "json", "status"])?)?;
        let subnet = status["subnet"].as_str().context("the engine has no network")?;
        Ok(subnet.replace(".0/24", ".3"))
    }

    /// Runs `docker` with these arguments. Returns what it printed.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Result<String> {
        self.output(&[&["docker"], arguments].concat())
    }

    fn output(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command();
        command.args(arguments).stdout(std::process::Stdio::piped());
        let output = command.output().with_context(|| format!("cannot start {}", tools::name(&command)))?;
        if !output.status.success() {
            bail!("{command:?} failed");
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Does `work` while the engine runs and has the image `bench`, made of the root file system in `archive`.
    pub(super) fn with_image(
        &self,
        archive: &Path,
        scratch: &Path,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let unpacked = scratch.join("bench.tar");
        let script = "zstd -q -d -f \"$0\" -o \"$1\" 2>/dev/null || cp \"$0\" \"$1\"";
        let mut unpack = tools::command("sh", Path::new("/"));
        if !tools::succeeds(unpack.args(["-c", script]).arg(archive).arg(&unpacked))? {
            bail!("cannot unpack {}", archive.display());
        }
        self.sampan(&["start"])?;
        self.docker(&["import", &unpacked.display().to_string(), "bench"])?;
        fs::remove_file(&unpacked).context("cannot remove the unpacked image")?;
        let result = work();
        self.docker(&["system", "prune", "-a", "-f"])?;
        self.sampan(&["stop"])?;
        result
    }

    /// Runs `wsl` with these arguments.
    pub(crate) fn wsl(&self, arguments: &[&str]) -> Result<()> {
        succeed(self.command().arg("wsl").args(arguments))
    }

    /// The program `wsl`.
    pub(crate) fn wsl_program(&self) -> &Path {
        &self.wsl
    }

    /// The words that run the Docker CLI of the engine's image, by the loader it came with.
    pub(crate) fn docker_words(&self) -> Result<Vec<PathBuf>> {
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
        format!("unix://{}", self.socket().display())
    }

    /// Shares folders of the host with containers and distributions, from the next start on.
    pub(crate) fn share(&self, folders: &[&str]) -> Result<()> {
        self.configure(&serde_json::json!({ "schemaVersion": 1, "filesharingDirectories": folders }))
    }

    /// Gives it these settings, from the next start on.
    pub(super) fn configure(&self, settings: &serde_json::Value) -> Result<()> {
        let path = state(self.scratch.folder()).join(INSTANCE).join("settings.json");
        let write = || fs::File::create(&path)?.write_all(settings.to_string().as_bytes());
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// The engine's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        run(self.scratch.folder()).join(INSTANCE).join("docker.sock")
    }

    /// dockerd's own socket, as the host can open it while the engine runs.
    pub(crate) fn bare_socket(&self) -> Result<PathBuf> {
        Ok(socket_in(self.engine_pid()?))
    }

    /// PID 1 of the distribution that the engine runs in, as the host numbers it.
    pub(super) fn engine_pid(&self) -> Result<u32> {
        let distros = run(self.scratch.folder()).join(INSTANCE).join("distros");
        let entries = fs::read_dir(&distros).with_context(|| format!("cannot list {}", distros.display()))?;
        let recorded = |entry: fs::DirEntry| -> Option<u32> {
            let record: serde_json::Value =
                serde_json::from_slice(&fs::read(entry.path().join("record.json")).ok()?).ok()?;
            u32::try_from(pid(&record)?).ok()
        };
        let mut pids = entries.filter_map(|entry| recorded(entry.ok()?));
        pids.find(|pid| socket_in(*pid).exists()).context("no process of the engine is on record")
    }

    /// A file in the bench's folder.
    pub(super) fn scratch_file(&self, name: &str) -> PathBuf {
        self.scratch.folder().join(name)
    }

    /// `command` on the bench's instance.
    pub(crate) fn environment(&self, mut command: Command) -> Command {
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

fn socket_in(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root/run/docker.sock"))
}

fn succeed(command: &mut Command) -> Result<()> {
    if !tools::succeeds(command)? {
        bail!("{command:?} failed");
    }
    Ok(())
}

/// The first process that a record speaks of.
fn pid(record: &serde_json::Value) -> Option<i64> {
    let members = || record.as_object().into_iter().flat_map(|object| object.values());
    record["pid"].as_i64().or_else(|| members().find_map(pid))
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
