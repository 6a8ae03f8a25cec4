//! An instance of the product that belongs to one test (or to several that do not disturb it).

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sampan_model::api::Status;
use sampan_model::distro::{DATA, ENGINE, Guid};
use sampan_model::document;
use sampan_model::instance::Instance as Place;
use sampan_model::registry::Registry;

use crate::netns::{self, Netns};
use crate::processes::{self, Process};
use crate::tools::{Output, Tool};
use crate::{cleanup, files, images, random, waiting, workspace};

/// How long a start may take that builds the engine image first.
pub const FIRST_START: Duration = Duration::from_mins(20);

/// What tells an instance of a test from everything else on the machine.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The folder of everything but sockets; its name is unique.
    pub root: PathBuf,
    /// The base of the run folder: short, as paths of sockets are; its name is unique.
    pub run_base: PathBuf,
    /// Names and folders, by the product's own rules.
    pub place: Place,
    /// The network namespace it is started in, when that is not the tests' own.
    pub netns: Option<PathBuf>,
    /// The mount namespace it is started in, likewise.
    pub mounts: Option<PathBuf>,
}

impl Identity {
    fn new(machine: Option<&Netns>) -> Self {
        let identity = Self::of_mark(&random::hex(4));
        Self { netns: machine.map(Netns::path), mounts: machine.and_then(Netns::mounts), ..identity }
    }

    /// The identity of the instance whose folder is `folder`, if it is one.
    pub fn of_folder(folder: &Path) -> Option<Self> {
        let mark = folder.file_name()?.to_str()?.strip_prefix("i-")?;
        Some(Self::of_mark(mark))
    }

    fn of_mark(mark: &str) -> Self {
        let root = workspace::scratch().join(format!("i-{mark}"));
        let run_base = PathBuf::from(format!("/tmp/smpn-{mark}"));
        let place = Place::new(&format!("t{mark}"), &root.join("state"), &run_base)
            .expect("names and folders of tests keep the rules");
        Self { root, run_base, place, netns: None, mounts: None }
    }

    /// The base of the state folder.
    pub fn state_base(&self) -> PathBuf {
        self.root.join("state")
    }

    /// The home folder of whoever types the commands.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The folder for temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The program at `path`, run for this instance.
    pub fn tool(&self, path: &Path) -> Tool {
        let mut tool = Tool::new(path)
            .env("SAMPAN_STATE_DIR", self.state_base())
            .env("SAMPAN_RUN_DIR", &self.run_base)
            .env("SAMPAN_INSTANCE", self.place.name())
            .env("SAMPAN_WSLCONFIG", self.home().join(".wslconfig"))
            .env("HOME", self.home())
            .env("TMPDIR", self.temporary())
            // It may lie in the working tree of whoever runs the tests, which is not this instance's.
            .env("GIT_CEILING_DIRECTORIES", &self.root)
            .folder(&self.home());
        for foreign in [
            "DOCKER_HOST",
            "DOCKER_CONTEXT",
            "DOCKER_CONFIG",
            "DOCKER_TLS_VERIFY",
            "BUILDX_BUILDER",
            "DOCKER_BUILDKIT",
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "XDG_STATE_HOME",
            "XDG_CACHE_HOME",
            "XDG_RUNTIME_DIR",
        ] {
            tool = tool.without_env(foreign);
        }
        match &self.netns {
            Some(netns) => tool.under(netns::wrapper(netns, self.mounts.as_deref())),
            None => tool,
        }
    }
}

/// A whole Sampan of a test's own.
#[derive(Debug)]
pub struct Instance {
    identity: Identity,
    path: Option<OsString>,
    busybox: Mutex<bool>,
    closed: AtomicBool,
    // Held, so that the namespace outlives the instance.
    _network: Option<Arc<Netns>>,
}

impl Instance {
    /// An instance of which nothing exists yet.
    #[track_caller]
    pub fn new() -> Self {
        Self::make(None)
    }

    /// The same on a machine of its own.
    #[track_caller]
    pub fn on(machine: &Arc<Netns>) -> Self {
        Self::make(Some(Arc::clone(machine)))
    }

    #[track_caller]
    fn make(network: Option<Arc<Netns>>) -> Self {
        let identity = Identity::new(network.as_deref());
        for folder in
            [identity.state_base(), identity.home(), identity.temporary(), identity.root.join("bin")]
        {
            files::make_folder(&folder);
        }
        files::make_folder(&identity.run_base);
        files::set_mode(&identity.run_base, 0o755);
        cleanup::register(&identity);
        Self {
            identity,
            path: None,
            busybox: Mutex::new(false),
            closed: AtomicBool::new(false),
            _network: network,
        }
    }

    /// An instance whose engine runs.
    #[track_caller]
    pub fn started() -> Self {
        let instance = Self::new();
        instance.start().ok();
        instance
    }

    /// The same on a machine of its own.
    #[track_caller]
    pub fn started_on(machine: &Arc<Netns>) -> Self {
        let instance = Self::on(machine);
        instance.start().ok();
        instance
    }

    /// Its commands find programs only in `path` from now on.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<OsString>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Its identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its name and folders.
    pub fn place(&self) -> &Place {
        &self.identity.place
    }

    /// A folder for files of the test.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let folder = self.identity.root.join("scratch").join(name);
        files::make_folder(&folder);
        folder
    }

    /// The program `sampan` with these arguments.
    pub fn tool(&self, args: &[&str]) -> Tool {
        self.program("sampan", args)
    }

    /// The program `name` with these arguments.
    pub fn program(&self, name: &str, args: &[&str]) -> Tool {
        let tool = self.identity.tool(&workspace::program(name));
        let tool = match &self.path {
            Some(path) => tool.env("PATH", path),
            None => tool,
        };
        tool.args(args)
    }

    /// Runs `sampan`.
    #[track_caller]
    pub fn sampan(&self, args: &[&str]) -> Output {
        self.tool(args).deadline(Duration::from_mins(10)).run()
    }

    /// Runs `wsl`, which is `sampan` under another name.
    #[track_caller]
    pub fn wsl(&self, args: &[&str]) -> Output {
        self.wsl_tool(args).run()
    }

    /// `wsl` with these arguments.
    pub fn wsl_tool(&self, args: &[&str]) -> Tool {
        let link = self.identity.root.join("bin/wsl");
        if fs::symlink_metadata(&link).is_err() {
            // Two tests may do so at once: then the link of the other one is as good.
            let _ = symlink(workspace::program("sampan"), &link);
        }
        self.identity.tool(&link).args(args)
    }

    /// Makes the distribution `name` of the tarball `root`, in a folder of its own, which is returned.
    #[track_caller]
    pub fn import(&self, name: &str, root: &Path, version: u8) -> PathBuf {
        let folder = self.scratch("distributions").join(name);
        let version = version.to_string();
        self.wsl_tool(&["--import", name])
            .arg(&folder)
            .arg(root)
            .args(["--version", &version])
            .deadline(Duration::from_mins(10))
            .run()
            .ok();
        folder
    }

    /// Runs a shell script as root in the distribution `name`.
    #[track_caller]
    pub fn inside(&self, name: &str, script: &str) -> Output {
        self.wsl_tool(&["-d", name, "-u", "root", "--cd", "/", "-e", "/bin/sh", "-c", script]).run()
    }

    /// The state of the distribution `name` in `wsl -l -v`.
    #[track_caller]
    pub fn state_of(&self, name: &str) -> String {
        let listing = self.wsl(&["-l", "-v"]).ok();
        let row =
            listing.lines().map(|line| line.trim_start_matches('*').split_whitespace().collect::<Vec<_>>());
        let row = row.into_iter().find(|row| row.first() == Some(&name));
        row.and_then(|row| row.get(1).map(ToString::to_string))
            .unwrap_or_else(|| panic!("no {name} in {listing}"))
    }

    /// Writes the instance's `.wslconfig`.
    #[track_caller]
    pub fn wslconfig(&self, text: &str) {
        files::write(&self.identity.home().join(".wslconfig"), text);
    }

    /// Runs `sampan docker`.
    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> Output {
        self.docker_tool(args).run()
    }

    /// `sampan docker` with these arguments.
    pub fn docker_tool(&self, args: &[&str]) -> Tool {
        self.tool(&["docker"]).args(args).deadline(Duration::from_mins(5))
    }

    /// `sampan start` with the engine image of this run of the tests.
    #[track_caller]
    pub fn start(&self) -> Output {
        self.start_with(&images::engine())
    }

    /// `sampan start --engine-image IMAGE`.
    #[track_caller]
    pub fn start_with(&self, image: &Path) -> Output {
        self.start_tool(image).run()
    }

    /// The command of [`Instance::start_with`].
    pub fn start_tool(&self, image: &Path) -> Tool {
        self.tool(&["start", "--engine-image"]).arg(image).deadline(FIRST_START)
    }

    /// What `sampan status` says.
    #[track_caller]
    pub fn status(&self) -> Status {
        let output = self.sampan(&["status", "--format", "json"]);
        let Ok(status) = serde_json::from_slice(output.bytes()) else {
            panic!("this is not the status: {output}");
        };
        status
    }

    /// Waits until the engine runs, by the word of `sampan status`.
    #[track_caller]
    pub fn wait_until_running(&self) {
        waiting::until("the engine runs", || self.engine_runs());
    }

    /// Whether the engine runs, by the word of `sampan status`.
    pub fn engine_runs(&self) -> bool {
        let output = self.sampan(&["status", "--format", "json"]);
        let status: Option<Status> = serde_json::from_slice(output.bytes()).ok();
        status.is_some_and(|status| status.engine.state.word() == "running")
    }

    /// The registry.
    #[track_caller]
    pub fn registry(&self) -> Registry {
        let path = self.place().registry();
        let text = String::from_utf8_lossy(&files::read(&path)).into_owned();
        document::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Identity of the storage of `docker-desktop`.
    #[track_caller]
    pub fn engine_guid(&self) -> Guid {
        self.registry().find(ENGINE).map(|entry| entry.guid).expect("docker-desktop is installed")
    }

    /// Identity of the storage of `docker-desktop-data`.
    #[track_caller]
    pub fn data_guid(&self) -> Guid {
        self.registry().find(DATA).map(|entry| entry.guid).expect("docker-desktop-data is installed")
    }

    /// The disk image of the distribution `guid`.
    pub fn disk(&self, guid: &Guid) -> PathBuf {
        self.place().distro(guid).join("ext4.img")
    }

    /// The disk image of the distribution that [`Instance::import`] made as `name`.
    pub fn disk_of(&self, name: &str) -> PathBuf {
        self.scratch("distributions").join(name).join("ext4.img")
    }

    /// The service.
    #[track_caller]
    pub fn service(&self) -> Process {
        let pid = i32::try_from(self.status().service_pid).expect("process numbers are small");
        Process::find(pid).expect("the service that answered runs")
    }

    /// PID 1 of `docker-desktop`.
    #[track_caller]
    pub fn init(&self) -> Process {
        recorded(&self.place().distro_run(&self.engine_guid()).join("record.json"))
    }

    /// The hub.
    #[track_caller]
    pub fn hub(&self) -> Process {
        recorded(&self.place().hub_record())
    }

    /// The process of the engine called `name` (`dockerd`, `containerd`).
    pub fn part(&self, name: &str) -> Option<Process> {
        self.init().descendants().into_iter().find(|process| process.name() == name)
    }

    /// The child of init that was started with the verb `verb` (`engine`, `api`).
    pub fn service_of_init(&self, verb: &str) -> Option<Process> {
        let is_it = |process: &Process| process.command_line().get(1).is_some_and(|word| word == verb);
        self.init().descendants().into_iter().find(is_it)
    }

    /// Every process of the instance.
    pub fn processes(&self) -> Vec<Process> {
        crate::traces::processes(&self.identity).into_iter().map(|(process, _)| process).collect()
    }

    /// A file of the running root file system of `docker-desktop`, as the host can open it.
    #[track_caller]
    pub fn engine_file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init().pid))
    }

    /// Makes sure that the image `e2e/busybox` is there: a shell and the usual small programs.
    #[track_caller]
    pub fn need_busybox(&self) {
        let mut there = self.busybox.lock().unwrap_or_else(PoisonError::into_inner);
        if !*there {
            self.docker_tool(&["import"]).arg(images::busybox()).arg("e2e/busybox").run().ok();
            *there = true;
        }
    }

    /// Starts a container of `e2e/busybox` that runs `script`, and returns its id.
    #[track_caller]
    pub fn container(&self, options: &[&str], script: &str) -> String {
        self.need_busybox();
        self.docker_tool(&["run", "-d"])
            .args(options)
            .args(["e2e/busybox", "/bin/sh", "-c", script])
            .run()
            .ok()
    }

    /// `docker inspect` with a template.
    #[track_caller]
    pub fn inspect(&self, object: &str, template: &str) -> String {
        self.docker(&["inspect", "--format", template, object]).ok()
    }

    /// Takes everything away with the product's own commands and returns what was wrong with that, if anything.
    pub fn close(&self) -> Vec<String> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Vec::new();
        }
        let problems = cleanup::take_away(&self.identity);
        cleanup::unregister(&self.identity);
        problems
    }

    /// The last lines of every log, for whoever reads why a test failed.
    pub fn logs(&self) -> String {
        let tail = |path: &PathBuf| {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(10)..].join("\n");
            format!("--- {}\n{last}\n", path.display())
        };
        files::entries(&self.place().logs()).iter().map(tail).collect()
    }
}

impl Default for Instance {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let failing = std::thread::panicking();
        if failing && !self.closed.load(Ordering::SeqCst) {
            eprintln!("{}", self.logs());
            if std::env::var_os("SAMPAN_TEST_KEEP").is_some() {
                eprintln!("kept: {:?}", self.identity);
                cleanup::unregister(&self.identity);
                return;
            }
        }
        // A second panic while one is under way would end the whole run.
        let problems = catch_unwind(AssertUnwindSafe(|| self.close()))
            .unwrap_or_else(|_| vec!["taking it away went wrong, see above".to_owned()]);
        if problems.is_empty() {
            return;
        }
        let text = format!("instance {} did not go as it should:\n{}", self.place(), problems.join("\n"));
        if failing {
            eprintln!("{text}");
        } else {
            panic!("{text}");
        }
    }
}

/// The process that the JSON file `path` describes.
#[track_caller]
pub fn recorded(path: &Path) -> Process {
    let value = serde_json::from_slice(&files::read(path))
        .unwrap_or_else(|error| panic!("{} is no JSON: {error}", path.display()));
    processes::described_in(&value)
        .unwrap_or_else(|| panic!("{} describes no process (pid, startTime): {value}", path.display()))
}
