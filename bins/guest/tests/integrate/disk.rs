//! A distribution on a disk of its own, attached in a hub, and what is seen in it from outside.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{CWD, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use sampan_model::guest::{Answer, AttachSpec, DetachSpec, IntegrateSpec, Integration};

use crate::machine::Machine;

/// Where it is attached.
const VIEW: &str = "/views/it";

/// What a file or folder is, beside its modification time.
type Seen = BTreeMap<PathBuf, (String, Option<(i64, i64)>)>;

pub(crate) struct Disk {
    machine: Machine,
    image: PathBuf,
    pub(crate) shim: PathBuf,
    is_attached: Cell<bool>,
}

impl Disk {
    /// Makes one of `size` bytes; `fill` makes its files.
    pub(crate) fn new(size: u64, fill: impl FnOnce(&Path)) -> Self {
        let mut machine = Machine::new();
        machine.start_hub();
        let tree = machine.folder().join("tree");
        fs::create_dir(&tree).expect("folder");
        fill(&tree);
        age(&tree);
        let image = machine.folder().join("it.img");
        File::create(&image).and_then(|file| file.set_len(size)).expect("sparse file");
        let mut mke2fs = Command::new("mke2fs");
        mke2fs.args(["-q", "-t", "ext4", "-m", "0", "-d"]).arg(&tree).arg(&image);
        assert!(mke2fs.status().expect("mke2fs").success());
        let shim = machine.folder().join("shim");
        fs::write(&shim, "the program").expect("shim");
        let disk = Self { machine, image, shim, is_attached: Cell::new(false) };
        disk.attach();
        disk
    }

    /// One as they usually are.
    pub(crate) fn usual() -> Self {
        Self::new(64 << 20, usual)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.machine.folder()
    }

    pub(crate) fn hub_pid(&self) -> i32 {
        self.machine.hub_pid()
    }

    pub(crate) fn attach(&self) {
        let (hub, image) = (self.machine.hub(), self.image.clone());
        let spec = AttachSpec { hub, image, at: VIEW.into(), cached: false, read_only: false };
        assert_eq!(self.machine.ask("attach", &spec), Answer::Done);
        self.is_attached.set(true);
    }

    pub(crate) fn detach(&self) {
        let spec = DetachSpec { hub: self.machine.hub(), at: VIEW.into() };
        assert_eq!(self.machine.ask("detach", &spec), Answer::Done);
        self.is_attached.set(false);
    }

    /// A path of the distribution, for this test.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        assert!(self.is_attached.get());
        PathBuf::from(format!("/proc/{}/root{VIEW}/{inside}", self.hub_pid()))
    }

    pub(crate) fn text(&self, inside: &str) -> String {
        fs::read_to_string(self.path(inside)).unwrap_or_else(|error| panic!("{inside}: {error}"))
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder().join("state/journal.json")
    }

    pub(crate) fn spec(&self, task: Integration) -> IntegrateSpec {
        IntegrateSpec {
            hub: self.is_attached.get().then(|| self.machine.hub()),
            at: VIEW.into(),
            image: self.image.clone(),
            journal: self.journal(),
            task,
        }
    }

    pub(crate) fn writing(&self) -> IntegrateSpec {
        self.writing_it(false)
    }

    fn writing_it(&self, anew: bool) -> IntegrateSpec {
        let completion = |path: &str| (PathBuf::from(path), format!("# {path}\n"));
        self.spec(Integration::Write {
            anew,
            shim: self.shim.clone(),
            completions: vec![
                completion("/usr/share/bash-completion/completions/docker"),
                completion("/usr/share/zsh/vendor-completions/_docker"),
                completion("/usr/share/fish/vendor_completions.d/docker.fish"),
            ],
            default_uid: 1000,
        })
    }

    pub(crate) fn write(&self) -> Answer {
        self.machine.ask("integrate", &self.writing())
    }

    /// Writes what is there, too.
    pub(crate) fn repair(&self) -> Answer {
        self.machine.ask("integrate", &self.writing_it(true))
    }

    pub(crate) fn undo(&self) -> Answer {
        self.machine.ask("integrate", &self.spec(Integration::Undo))
    }

    /// Undoes all; nobody has changed anything.
    #[track_caller]
    pub(crate) fn undo_all(&self) {
        assert_eq!(self.undo(), Answer::Undone { kept: Vec::new() });
        assert!(!self.journal().exists());
    }

    /// Begins it.
    pub(crate) fn begin(&self, spec: &IntegrateSpec) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sampan-guest"));
        command.arg("integrate").stdin(self.machine.as_input(spec, "")).stdout(Stdio::null());
        command.spawn().expect("sampan-guest")
    }

    /// Everything in it: kind, mode, owner, attributes, content; and modification times.
    pub(crate) fn listing(&self) -> Seen {
        let mut seen = Seen::new();
        list(&self.path(""), Path::new("/"), &mut seen);
        seen
    }
}

/// What is told when it was not done.
#[track_caller]
pub(crate) fn refused(answer: Answer) -> String {
    let Answer::Failed { message, .. } = answer else { panic!("{answer:?}") };
    message
}

fn list(folder: &Path, inside: &Path, seen: &mut Seen) {
    for entry in fs::read_dir(folder).expect("folder") {
        let entry = entry.expect("entry");
        let (path, name) = (entry.path(), inside.join(entry.file_name()));
        look(&path, name.clone(), seen);
        if entry.file_type().expect("type").is_dir() {
            list(&path, &name, seen);
        }
    }
    if inside == Path::new("/") {
        look(folder, inside.to_owned(), seen);
    }
}

fn look(path: &Path, name: PathBuf, seen: &mut Seen) {
    let meta = fs::symlink_metadata(path).expect("metadata");
    let content = if meta.is_symlink() {
        fs::read_link(path).expect("link").into_os_string().into_encoded_bytes()
    } else if meta.is_file() {
        fs::read(path).expect("file")
    } else {
        Vec::new()
    };
    let mut attributes = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut attributes).expect("attributes");
    let mut names: Vec<&[u8]> = attributes[..length].split(|&byte| byte == 0).collect();
    names.sort_unstable();
    let mut text = format!("{:o} {}:{}", meta.mode(), meta.uid(), meta.gid());
    for name in names.into_iter().filter(|name| !name.is_empty()) {
        let mut value = vec![0; 4096];
        let length =
            rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value).expect("value");
        let _ = write!(text, " {}={}", name.escape_ascii(), value[..length].escape_ascii());
    }
    let _ = write!(text, " {}", content.escape_ascii());
    seen.insert(name, (text, Some((meta.mtime(), meta.mtime_nsec()))));
}

/// What a distribution with some users has.
pub(crate) fn usual(tree: &Path) {
    for folder in
        ["etc", "usr/bin", "usr/share/bash-completion/completions", "usr/share/zsh/vendor-completions"]
    {
        fs::create_dir_all(tree.join(folder)).expect("folder");
    }
    std::os::unix::fs::symlink("usr/bin", tree.join("bin")).expect("link");
    fs::write(tree.join("usr/bin/other"), "other").expect("file");
    let users = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
    fs::write(tree.join("etc/passwd"), users).expect("passwd");
    let group = tree.join("etc/group");
    fs::write(&group, "root:x:0:\nann:x:1000:\nlast:x:999:ann").expect("group");
    fs::set_permissions(&group, fs::Permissions::from_mode(0o640)).expect("mode");
    std::os::unix::fs::chown(&group, Some(3), Some(4)).expect("owner");
    rustix::fs::setxattr(&group, "user.note", b"kept", XattrFlags::empty()).expect("attribute");
    let shadow = tree.join("etc/gshadow");
    fs::write(&shadow, "root:*::\nann:!::\n").expect("gshadow");
    fs::set_permissions(&shadow, fs::Permissions::from_mode(0o600)).expect("mode");
}

/// Nothing in it is new.
fn age(path: &Path) {
    if fs::symlink_metadata(path).expect("metadata").is_dir() {
        for entry in fs::read_dir(path).expect("folder") {
            age(&entry.expect("entry").path());
        }
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 },
    };
    rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).expect("times");
}
