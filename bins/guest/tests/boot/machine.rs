//! A machine with cgroups, maybe a hub, and distributions made of this test's own program. Dropped, it is gone.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sampan_model::distro::Guid;
use sampan_model::guest::{
    ATTACHED, Answer, AttachSpec, BootRoot, BootSpec, ControlReply, ControlRequest, DistroCgroup, HubSpec,
    IdRange, ProcessId, SharedFolder,
};
use sampan_model::session::{Folder, Program, SessionSpec};
use sampan_sys::mount::{MountEntry, mountinfo};
use sampan_sys::process::{self, ProcessRecord, Signal};
use sampan_sys::socket;
use serde::Serialize;
use tempfile::TempDir;

use crate::probe;
use crate::single::need_root;
use crate::world::{self, Output, PATIENCE, until};

/// The ids of distributions.
pub(crate) const IDS: IdRange = IdRange { base: 2_000_000, count: 65_536 };

pub(crate) struct Machine {
    folder: TempDir,
    /// Name of the cgroup in every hierarchy.
    cgroup: String,
    hub: Option<ProcessId>,
    /// Record and process of what was started.
    running: RefCell<Vec<(PathBuf, ProcessId)>>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        need_root();
        let folder = TempDir::new().expect("temp folder");
        // Root inside is somebody else, and has to get at this program in it.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("mode");
        let name = folder.path().file_name().expect("a name").to_string_lossy().replace('.', "");
        Self { folder, cgroup: format!("sampan-boot-{name}"), hub: None, running: RefCell::default() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn start_hub(&mut self) {
        assert_eq!(self.start_hub_with(Vec::new()), Vec::<String>::new());
    }

    /// Starts the hub with folders of the host; the answer are its warnings.
    pub(crate) fn start_hub_with(&mut self, folders: Vec<SharedFolder>) -> Vec<String> {
        let workdir = self.folder().join("hub");
        fs::create_dir(&workdir).expect("folder");
        let cgroup = hierarchies()[0].mount_point.join(&self.cgroup).join("hub");
        fs::create_dir_all(&cgroup).expect("cgroup");
        fill_cpuset(&cgroup);
        let spec = HubSpec {
            workdir,
            name: "sampan-testhub".to_owned(),
            record: self.folder().join("hub.json"),
            cgroup: cgroup.join("cgroup.procs"),
            folders,
            netns_of: None,
            mirrored: false,
            views_of: None,
        };
        let Answer::Started { process, warnings } = self.ask("hub", &spec) else { panic!("no hub") };
        self.hub = Some(process);
        warnings
    }

    pub(crate) fn hub(&self) -> ProcessId {
        self.hub.clone().expect("a hub")
    }

    pub(crate) fn hub_pid(&self) -> i32 {
        self.hub.as_ref().expect("a hub").pid
    }

    /// Whether something is mounted at `path` in the hub.
    pub(crate) fn hub_has(&self, path: &str) -> bool {
        let mounts = mountinfo(Some(self.hub_pid())).expect("mounts");
        mounts.iter().any(|mount| mount.mount_point == Path::new(path))
    }

    /// The folder of a distribution of version 1, on the host.
    pub(crate) fn tree(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// A new root of version 1.
    pub(crate) fn folder_root(&self, name: &str) -> BootRoot {
        let tree = self.tree(name);
        for folder in ["dev", "etc", "mnt", "proc", "run", "sys", "tmp", "usr/bin"] {
            fs::create_dir_all(tree.join(folder)).expect("folder");
        }
        fs::copy("/proc/self/exe", tree.join("probe")).expect("this program");
        fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/:/probe\n").expect("passwd");
        root_at(&tree)
    }

    /// A new root of version 2.
    pub(crate) fn image_root(&self, name: &str, read_only: bool) -> BootRoot {
        let hub = self.hub();
        self.folder_root(name);
        let image = self.folder().join(format!("{name}.img"));
        File::create(&image).and_then(|file| file.set_len(256 << 20)).expect("sparse file");
        let made =
            Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(self.tree(name)).arg(&image).status();
        assert!(made.expect("mke2fs").success());
        BootRoot::Image { hub, image, at: format!("/views/{name}").into(), read_only }
    }

    /// Writes a file of a root that does not run.
    pub(crate) fn write_inside(&self, root: &BootRoot, path: &str, text: &str) {
        match root {
            BootRoot::Folder { path: tree } => fs::write(tree.join(path), text).expect("write"),
            BootRoot::Image { image, .. } => {
                let from = self.folder().join("to-write");
                fs::write(&from, text).expect("write");
                let request = format!("write {} {path}", from.display());
                let done = Command::new("debugfs").args(["-w", "-R", &request]).arg(image).output();
                assert!(done.expect("debugfs").status.success());
            }
        }
    }

    /// What is needed to start a distribution, its cgroups made.
    pub(crate) fn spec(&self, name: &str, root: BootRoot) -> BootSpec {
        let mut cgroup = DistroCgroup { unified: None, others: Vec::new() };
        for hierarchy in hierarchies() {
            let inner = hierarchy.mount_point.join(&self.cgroup).join(name).join("ns");
            fs::create_dir_all(&inner).expect("cgroup");
            fill_cpuset(&inner);
            if hierarchy.fstype == "cgroup2" {
                cgroup.unified = Some(inner);
            } else {
                cgroup.others.push(inner);
            }
        }
        BootSpec {
            in_host_network: matches!(root, BootRoot::Folder { .. }),
            name: name.to_owned(),
            guid: Guid::from_random([7; 16]),
            record: self.folder().join(format!("{name}.json")),
            root,
            ids: Some(IDS),
            cgroup,
            control: self.folder().join(format!("run-{name}/control.sock")),
            paths: self.folder().join(format!("integration/{name}.paths")),
            programs: self.folder().join("programs"),
            hostname: "box.example".to_owned(),
            resolv_conf: "nameserver 10.0.0.1\n".to_owned(),
            hosts: "127.0.0.1 localhost\n10.1.2.3 db\n".to_owned(),
            folders: Vec::new(),
            integration: None,
            idle_timeout_ms: None,
            safe_mode: false,
            log: self.folder().join(format!("{name}.log")),
        }
    }

    /// Starts a distribution.
    pub(crate) fn boot(&self, spec: &BootSpec) -> Answer {
        let answer = self.ask_on("boot", spec, self.attach(&spec.root));
        if let Answer::Started { process, .. } = &answer {
            self.running.borrow_mut().push((spec.record.clone(), process.clone()));
        }
        answer
    }

    /// Why a distribution does not start whose disk can't be had.
    pub(crate) fn boot_without_disk(&self, spec: &BootSpec) -> String {
        match self.ask("boot", spec) {
            Answer::Failed { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    /// The number of its PID 1 outside.
    pub(crate) fn pid(&self, spec: &BootSpec) -> i32 {
        let running = self.running.borrow();
        running.iter().rev().find(|(record, _)| *record == spec.record).expect("it was started").1.pid
    }

    /// Ends a distribution in order.
    pub(crate) fn stop(&self, spec: &BootSpec) {
        let pidfd = process::pidfd_open(self.pid(spec)).expect("it runs");
        let control = socket::connect_seqpacket(&spec.control).expect("connect");
        world::send(&control, &ControlRequest::Shutdown { deadline_ms: 5000 }, &[]);
        assert_eq!(world::reply(&control), Some(ControlReply::ShuttingDown));
        assert!(process::wait_exit(&pidfd, Some(PATIENCE)).expect("wait"), "it does not end");
    }

    /// A request, and what follows it, as standard input.
    pub(crate) fn as_input(&self, request: &impl Serialize, rest: &str) -> Stdio {
        let mut file = tempfile::tempfile_in(self.folder()).expect("temp file");
        let line = serde_json::to_string(request).expect("plain data");
        write!(file, "{line}\n{rest}").expect("write");
        file.rewind().expect("rewind");
        OwnedFd::from(file).into()
    }

    /// Attaches the disk of a root that has one; what the input goes on with then.
    pub(crate) fn attach(&self, root: &BootRoot) -> &'static str {
        let BootRoot::Image { hub, image, at, read_only } = root else { return "" };
        if !self.hub_has(&at.to_string_lossy()) {
            let (hub, image, at) = (hub.clone(), image.clone(), at.clone());
            let spec = AttachSpec { hub, image, at, cached: true, read_only: *read_only };
            assert_eq!(self.ask("attach", &spec), Answer::Done);
        }
        ATTACHED
    }

    pub(crate) fn ask(&self, verb: &str, request: &impl Serialize) -> Answer {
        self.ask_on(verb, request, "")
    }

    fn ask_on(&self, verb: &str, request: &impl Serialize, rest: &str) -> Answer {
        let program = Command::new(env!("CARGO_BIN_EXE_sampan-guest"))
            .arg(verb)
            .stdin(self.as_input(request, rest))
            .output()
            .expect("sampan-guest");
        let said = String::from_utf8_lossy(&program.stdout).into_owned();
        serde_json::from_str(&said)
            .unwrap_or_else(|_| panic!("{said:?} {}", String::from_utf8_lossy(&program.stderr)))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let running = self.running.get_mut().drain(..).map(|(_, process)| process);
        for ProcessId { pid, start_time, boot_id } in running.chain(self.hub.take()) {
            if let Ok(Some(pidfd)) = (ProcessRecord { pid, start_time, boot_id }).open() {
                let _ = process::pidfd_send_signal(&pidfd, Signal::KILL);
                let _ = process::wait_exit(&pidfd, Some(PATIENCE));
            }
        }
        for hierarchy in hierarchies() {
            let cgroup = hierarchy.mount_point.join(&self.cgroup);
            until("the cgroups are gone", || {
                remove_cgroup(&cgroup);
                !cgroup.exists()
            });
        }
    }
}

/// A root of version 1.
pub(crate) fn root_at(path: &Path) -> BootRoot {
    BootRoot::Folder { path: path.to_owned() }
}

/// Processes in its cgroup.
pub(crate) fn members(spec: &BootSpec) -> Vec<String> {
    let any = spec.cgroup.unified.iter().chain(&spec.cgroup.others).next().expect("a cgroup");
    let procs = fs::read_to_string(any.join("cgroup.procs")).unwrap_or_default();
    procs.lines().map(str::to_owned).collect()
}

/// Runs a probe inside as root; it must succeed.
#[track_caller]
pub(crate) fn run(spec: &BootSpec, name: &str, arguments: &[&str]) {
    if let Err(said) = try_run(spec, name, arguments) {
        panic!("{}: {name} {arguments:?}: {said}", spec.name);
    }
}

/// Runs a probe inside as root; what it said if it failed.
pub(crate) fn try_run(spec: &BootSpec, name: &str, arguments: &[&str]) -> Result<(), String> {
    let words = ["/probe", probe::WORD, name].into_iter().chain(arguments.iter().copied());
    let session = SessionSpec {
        user: None,
        default_uid: 0,
        program: Program::Exec { words: words.map(Into::into).collect() },
        folder: Folder::Inside { path: "/".into() },
        environment: Vec::new(),
        terminal: None,
        first_run: false,
    };
    let (mut said, theirs) = std::io::pipe().expect("pipe");
    let null = File::open("/dev/null").expect("null");
    let (connection, client) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("pair");
    let control = socket::connect_seqpacket(&spec.control).expect("connect");
    let request = ControlRequest::Session { spec: Box::new(session) };
    world::send(&control, &request, &[null.as_fd(), theirs.as_fd(), theirs.as_fd(), client.as_fd()]);
    drop((theirs, client));
    assert_eq!(world::reply(&control), Some(ControlReply::Accepted));
    let mut text = String::new();
    said.read_to_string(&mut text).expect("output");
    let mut output = Output::default();
    output.follow(&connection);
    if output.code() == Some(0) {
        Ok(())
    } else {
        Err(format!("{text}{:?} {:?}", output.end, output.failure))
    }
}

/// The cgroup hierarchies of this machine.
fn hierarchies() -> Vec<MountEntry> {
    let table = mountinfo(None).expect("mounts");
    let found: Vec<MountEntry> = table
        .into_iter()
        .filter(|mount| matches!(mount.fstype.as_str(), "cgroup" | "cgroup2"))
        .filter(|mount| mount.mount_point.starts_with("/sys/fs/cgroup"))
        .collect();
    assert!(!found.is_empty(), "tests of distributions need cgroups");
    found
}

/// A version 1 cpuset without CPUs takes no process; new ones begin empty.
fn fill_cpuset(cgroup: &Path) {
    let Some(parent) = cgroup.parent().filter(|parent| parent.join("cpuset.cpus").exists()) else { return };
    let all = |folder: &Path| fs::read_to_string(folder.join("cpuset.cpus")).unwrap_or_default();
    if all(parent).trim().is_empty() {
        fill_cpuset(parent);
    }
    if cgroup.join("cpuset.cpus").exists() && all(cgroup).trim().is_empty() {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let value = fs::read_to_string(parent.join(file)).expect("cpuset");
            fs::write(cgroup.join(file), value).expect("cpuset");
        }
    }
}

fn remove_cgroup(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}
