//! A distribution to test in: `sampan-guest server` as PID 1 over a small root with the host's programs.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sampan_model::config::distro::WslConf;
use sampan_model::guest::{ControlReply, ControlRequest};
use sampan_model::session::{End, Folder, Program, SessionMessage, SessionSpec};
use sampan_model::wsl::error::Failure;
use sampan_model::wsl::service::Reply;
use sampan_sys::mount::{self, MountFlags, Propagation};
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::process::{self, Forked, Signal, Standard};
use sampan_sys::socket::{self, SocketKind, bind_unix_listener};
use sampan_sys::{device, poll};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::single::need_root;

/// Long enough for anything that will happen at all.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What a distribution is made of, to be changed before it starts.
pub(crate) struct Plan {
    pub(crate) conf: WslConf,
    pub(crate) version: u8,
    pub(crate) idle_timeout_ms: Option<u64>,
    pub(crate) folders: Vec<(&'static str, &'static str)>,
    pub(crate) passwd: String,
    pub(crate) group: String,
    /// Further files: path, text.
    pub(crate) files: Vec<(&'static str, String)>,
    /// A root file system with systemd in it; none: a small root with the host's programs.
    pub(crate) systemd: Option<PathBuf>,
    /// It is the engine's, which has another init.
    pub(crate) engine: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            conf: WslConf::default(),
            version: 2,
            idle_timeout_ms: None,
            folders: Vec::new(),
            passwd: "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/bash\n".to_owned(),
            group: "root:x:0:\ntty:x:5:\nann:x:1000:\n".to_owned(),
            files: Vec::new(),
            systemd: None,
            engine: false,
        }
    }
}

impl Plan {
    /// The verb of its init, and the variable with all that this is told.
    fn word(&self, ready_fd: i32, control_fd: i32, paths_fd: i32) -> (&'static str, String) {
        let guid = "01234567-89ab-4def-8123-456789abcdef";
        if self.engine {
            let sockets = json!([{ "name": "control", "fd": control_fd }]);
            let spec = json!({ "name": "Deb", "guid": guid, "ready_fd": ready_fd, "sockets": sockets,
                               "files": [], "services": [], "unified": false });
            return ("init", format!("SAMPAN_INIT={spec}"));
        }
        let spec = json!({
            "name": "Deb",
            "guid": guid,
            "version": self.version,
            "in_host_network": false,
            "ready_fd": ready_fd,
            "control_fd": control_fd,
            "paths_fd": paths_fd,
            "conf": self.conf,
            "warnings": ["from the boot"],
            "folders": self.folders,
            "idle_timeout_ms": self.idle_timeout_ms,
            "hostname": "box",
        });
        ("server", format!("SAMPAN_SERVER={spec}"))
    }
}

/// A running distribution. Dropped, it is gone.
pub(crate) struct Distro {
    folder: TempDir,
    pidfd: OwnedFd,
    cgroup: Option<PathBuf>,
    /// What the server said when it was ready.
    pub(crate) ready: Value,
}

impl Distro {
    pub(crate) fn start() -> Self {
        Self::of(&Plan::default())
    }

    pub(crate) fn of(plan: &Plan) -> Self {
        need_root();
        let folder = TempDir::new().expect("temp folder");
        let control = bind_unix_listener(&folder.path().join("control"), SocketKind::SeqPacket, 0o600, None);
        let control = control.expect("control socket");
        let paths = bind_unix_listener(&folder.path().join("paths"), SocketKind::SeqPacket, 0o600, None);
        let paths = paths.expect("path socket");
        let log = File::create(folder.path().join("log")).expect("log");
        let program = env!("CARGO_BIN_EXE_sampan-guest");
        let program =
            rustix::fs::open(program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("program");
        let (mut ready, tell) = std::io::pipe().expect("pipe");
        let (mut wait, go) = std::io::pipe().expect("pipe");
        let cgroup = plan.systemd.as_ref().map(|_| new_cgroup(folder.path()));
        let kinds = Namespaces::MOUNT | Namespaces::PID | Namespaces::UTS | Namespaces::IPC;
        let pidfd = match process::clone_into(kinds).expect("clone") {
            Forked::Child => {
                // Whatever becomes of the test.
                process::set_death_signal(Signal::KILL).expect("death signal");
                drop((ready, go));
                let _ = wait.read(&mut [0]);
                let root = folder.path().join("root");
                build(&root, plan);
                let (verb, variable) = plan.word(tell.as_raw_fd(), control.as_raw_fd(), paths.as_raw_fd());
                process::clear_cloexec(&tell).expect("inherit");
                process::clear_cloexec(&control).expect("inherit");
                process::clear_cloexec(&paths).expect("inherit");
                process::drop_stdio_to_null().expect("null");
                process::redirect(&log, Standard::Error).expect("log");
                let error = process::exec_fd(&program, &["sampan-guest", verb], &[variable]);
                panic!("{error}");
            }
            Forked::Parent { pid, pidfd } => {
                if let Some(cgroup) = &cgroup {
                    write(&cgroup.join("cgroup.procs"), &pid.to_string());
                }
                pidfd
            }
        };
        drop((tell, control, paths, log, program, wait, go));
        let mut said = String::new();
        ready.read_to_string(&mut said).expect("ready");
        let mut distro = Self { folder, pidfd, cgroup, ready: Value::Null };
        if plan.engine {
            assert_eq!(said, "ok", "{}", distro.log());
            return distro;
        }
        distro.ready = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said:?}: {}", distro.log()));
        assert_eq!(distro.ready["error"], Value::Null, "{}", distro.log());
        distro
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn connect(&self) -> OwnedFd {
        socket::connect_seqpacket(&self.folder.path().join("control")).expect("connect")
    }

    /// A connection to its path socket.
    pub(crate) fn connect_to_paths(&self) -> OwnedFd {
        socket::connect_seqpacket(&self.folder.path().join("paths")).expect("connect")
    }

    pub(crate) fn ask(&self, request: &ControlRequest) -> ControlReply {
        let control = self.connect();
        send(&control, request, &[]);
        reply(&control).expect("an answer")
    }

    /// Signals PID 1 from outside.
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(process::pidfd_send_signal(&self.pidfd, signal).expect("signal"));
    }

    /// Whether PID 1, and with it everything, ends in time.
    pub(crate) fn ends(&self) -> bool {
        process::wait_exit(&self.pidfd, Some(PATIENCE)).expect("wait")
    }

    /// Runs a session to its end, its input being `input`.
    pub(crate) fn run(&self, spec: &SessionSpec, input: &[u8]) -> Output {
        let mut session = self.open(spec);
        session.input.write_all(input).expect("input");
        session.finish()
    }

    /// A line for root's shell.
    pub(crate) fn sh(&self, line: &str) -> Output {
        self.run(&sh(line), b"")
    }

    /// What a line for root's shell prints.
    pub(crate) fn text(&self, line: &str) -> String {
        let output = self.sh(line);
        assert_eq!((output.end, output.stderr.as_str()), (Some(End::Exited { code: 0 }), ""), "{line}");
        output.stdout_text()
    }

    /// Begins a session with pipes.
    pub(crate) fn open(&self, spec: &SessionSpec) -> Session {
        let (stdin, input) = std::io::pipe().expect("pipe");
        let (stdout, out) = std::io::pipe().expect("pipe");
        let (stderr, err) = std::io::pipe().expect("pipe");
        let connection = self.begin(spec, &[stdin.as_fd(), out.as_fd(), err.as_fd()]);
        Session { input: File::from(OwnedFd::from(input)), stdout, stderr, connection }
    }

    /// Begins a session; the client's connection.
    pub(crate) fn begin(&self, spec: &SessionSpec, streams: &[std::os::fd::BorrowedFd<'_>; 3]) -> OwnedFd {
        let (connection, control) = self.request(spec, streams);
        assert_eq!(reply(&control), Some(ControlReply::Accepted));
        connection
    }

    /// Asks for a session; the client's connection and that to the server.
    pub(crate) fn request(
        &self,
        spec: &SessionSpec,
        streams: &[std::os::fd::BorrowedFd<'_>; 3],
    ) -> (OwnedFd, OwnedFd) {
        let (connection, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("pair");
        // As it comes from a program that waits for many things at once.
        rustix::io::ioctl_fionbio(&theirs, true).expect("non-blocking");
        let control = self.connect();
        let request = ControlRequest::Session { spec: Box::new(spec.clone()) };
        send(&control, &request, &[streams[0], streams[1], streams[2], theirs.as_fd()]);
        (connection, control)
    }
}

impl Drop for Distro {
    fn drop(&mut self) {
        let _ = process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = process::wait_exit(&self.pidfd, Some(PATIENCE));
        process::reap();
        if let Some(cgroup) = &self.cgroup {
            remove_cgroup(cgroup);
        }
    }
}

/// A cgroup of the unified hierarchy that nobody else has.
fn new_cgroup(name_of: &Path) -> PathBuf {
    let table = mount::mountinfo(None).expect("mounts");
    let unified = table.into_iter().find(|mount| mount.fstype == "cgroup2").expect("a unified hierarchy");
    let name = name_of.file_name().expect("a name").to_string_lossy().replace('.', "");
    let cgroup = unified.mount_point.join(format!("sampan-test-{name}"));
    fs::create_dir(&cgroup).expect("cgroup");
    cgroup
}

fn remove_cgroup(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

/// A running session with pipes.
pub(crate) struct Session {
    pub(crate) input: File,
    pub(crate) stdout: std::io::PipeReader,
    pub(crate) stderr: std::io::PipeReader,
    pub(crate) connection: OwnedFd,
}

impl Session {
    /// Closes the input, and reads until the command has ended and nobody holds its pipes.
    pub(crate) fn finish(mut self) -> Output {
        drop(self.input);
        let mut output = Output::default();
        self.stdout.read_to_end(&mut output.stdout).expect("stdout");
        self.stderr.read_to_string(&mut output.stderr).expect("stderr");
        output.follow(&self.connection);
        output
    }

    /// Reads standard output up to and with the line `marker`.
    pub(crate) fn read_until(&mut self, marker: &str) -> String {
        read_until(&mut self.stdout, marker)
    }
}

/// How a session went.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) failure: Option<Failure>,
    pub(crate) end: Option<End>,
}

impl Output {
    pub(crate) fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn code(&self) -> Option<u8> {
        self.end.map(End::code)
    }

    /// Takes in what the session says, to its last word.
    pub(crate) fn follow(&mut self, connection: &OwnedFd) {
        while self.end.is_none() && self.failure.is_none() {
            match hear(connection).0 {
                Reply::Warning { message } => self.warnings.push(message),
                Reply::Failed { failure } => self.failure = Some(failure),
                Reply::Ended { end } => self.end = Some(end),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The next word of a session.
pub(crate) fn hear(connection: &OwnedFd) -> (Reply, Vec<OwnedFd>) {
    loop {
        let message = socket::recv_message_within(connection, PATIENCE);
        let message = message.expect("word").expect("a session says its end");
        let reply = serde_json::from_slice(&message.bytes).expect("reply");
        if reply != Reply::Begun {
            return (reply, message.fds);
        }
    }
}

pub(crate) fn say_signal(connection: &OwnedFd, signal: Signal) {
    let message = SessionMessage::Signal { signal: signal.as_raw() };
    socket::send_message(connection, &serde_json::to_vec(&message).expect("plain data"), &[]).expect("send");
}

pub(crate) fn send(control: &OwnedFd, request: &ControlRequest, fds: &[std::os::fd::BorrowedFd<'_>]) {
    socket::send_message(control, &serde_json::to_vec(request).expect("plain data"), fds).expect("send");
}

/// The answer on a control connection; none: it ended without one.
pub(crate) fn reply(control: &OwnedFd) -> Option<ControlReply> {
    let message = socket::recv_message_within(control, PATIENCE).ok().flatten()?;
    Some(serde_json::from_slice(&message.bytes).expect("reply"))
}

/// Reads bytes until the text `marker` has come.
pub(crate) fn read_until(from: &mut (impl Read + AsFd), marker: &str) -> String {
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(marker) {
        let so_far = String::from_utf8_lossy(&text).into_owned();
        assert!(poll::wait_for(from.as_fd(), Some(PATIENCE)).expect("poll"), "no {marker:?} in {so_far:?}");
        let mut buffer = [0; 4096];
        let length = from.read(&mut buffer).unwrap_or_else(|error| panic!("{error}: {so_far:?}"));
        assert!(length > 0, "no {marker:?} in {so_far:?}");
        text.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Asks again and again until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
    }
}

/// A session of root without anything special.
pub(crate) fn session(program: Program) -> SessionSpec {
    SessionSpec {
        user: None,
        default_uid: 0,
        program,
        folder: Folder::Home,
        environment: Vec::new(),
        terminal: None,
        first_run: false,
    }
}

pub(crate) fn sh(line: &str) -> SessionSpec {
    session(Program::Line { line: line.into(), login: false })
}

pub(crate) fn exec(words: &[&str]) -> SessionSpec {
    session(Program::Exec { words: words.iter().map(|word| (*word).into()).collect() })
}

/// A root of its own, and the file systems of the kernel in it.
fn build(root: &Path, plan: &Plan) {
    mount::set_propagation(Path::new("/"), Propagation::Slave, true).expect("slave");
    fs::create_dir(root).expect("root");
    mount::mount_tmpfs(root, "mode=0755").expect("root");
    let root = match &plan.systemd {
        None => {
            with_programs_of_the_host(root, plan);
            root.to_owned()
        }
        Some(lower) => copy_on_write(lower, root),
    };
    for (path, text) in &plan.files {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a file")).expect("folder");
        write(&path, text);
    }
    mount::pivot_into(&root).expect("new root");
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount::mount_fs("proc", "proc", Path::new("/proc"), quiet, "").expect("proc");
    let dev = device::new_dev(&[], 0).expect("dev");
    mount::attach(&dev, Path::new("/dev")).expect("dev");
    mount::mount_fs(
        "devpts",
        "devpts",
        Path::new("/dev/pts"),
        quiet,
        "newinstance,ptmxmode=0666,mode=0620,gid=5",
    )
    .expect("devpts");
    mount::mount_tmpfs(Path::new("/run"), "mode=0755").expect("run");
    fs::create_dir(Path::new("/run/sampan")).expect("run");
    if plan.systemd.is_some() {
        namespace::unshare(Namespaces::CGROUP).expect("cgroup namespace");
        mount::mount_fs("sysfs", "sysfs", Path::new("/sys"), quiet | MountFlags::RDONLY, "").expect("sys");
        mount::mount_fs("cgroup2", "cgroup2", Path::new("/sys/fs/cgroup"), quiet, "").expect("cgroups");
        mount::set_propagation(Path::new("/"), Propagation::Shared, true).expect("shared");
    }
    namespace::sethostname("box").expect("name");
}

/// The host's programs, read-only, and everything else new.
fn with_programs_of_the_host(root: &Path, plan: &Plan) {
    for folder in ["usr", "etc", "dev", "proc", "run", "tmp", "root", "home/ann", "mnt/host/job"] {
        fs::create_dir_all(root.join(folder)).expect("folder");
    }
    mount::bind(Path::new("/usr"), &root.join("usr"), false).expect("programs");
    mount::remount_bind_ro(&root.join("usr")).expect("read-only");
    for name in ["bin", "sbin", "lib", "lib64"] {
        if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
            symlink(target, root.join(name)).expect("link");
        }
    }
    let mode =
        |path: &str, mode| rustix::fs::chmod(root.join(path), Mode::from_raw_mode(mode)).expect("mode");
    mode("tmp", 0o1777);
    mode("root", 0o700);
    let ann = (Some(rustix::fs::Uid::from_raw(1000)), Some(rustix::fs::Gid::from_raw(1000)));
    rustix::fs::chown(root.join("home/ann"), ann.0, ann.1).expect("owner");
    write(&root.join("etc/passwd"), &plan.passwd);
    write(&root.join("etc/group"), &plan.group);
}

/// The folder `lower`, and what is written to it in the file system at `upper`.
fn copy_on_write(lower: &Path, upper: &Path) -> PathBuf {
    let [changes, work, root] = ["changes", "work", "root"].map(|name| upper.join(name));
    for folder in [&changes, &work, &root] {
        fs::create_dir(folder).expect("folder");
    }
    let layers =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), changes.display(), work.display());
    mount::mount_fs("overlay", "overlay", &root, MountFlags::empty(), &layers).expect("overlay");
    root
}

#[expect(clippy::disallowed_methods, reason = "files of a root that nobody uses yet, and of a cgroup")]
fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("file");
}
