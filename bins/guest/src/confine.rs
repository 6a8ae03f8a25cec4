//! `sampan-guest confine SPEC -- COMMAND…`: a command that sees the programs of the host and the given trees, and can
//! write nothing but the writable ones of these.
//!
//! Archives and images may be anybody's, and archivers have had their holes. So the command gets a root of its own: a
//! read-only tmpfs with the host's programs, read-only too, and the trees, on which no device can be opened. Whatever
//! path it is made to take, nothing of the host is at its end. It is PID 1 of its own process namespace: the magic links
//! of its `/proc` lead to files of this root alone, and all of it ends with the asker.

mod ahead;

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{ErrorKind, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use sampan_model::guest::{ConfineSpec, ConfinedRoot, ConfinedTree};
use sampan_sys::Errno;
use sampan_sys::mount::{self, MountAttrFlags, Propagation};
use sampan_sys::namespace::Namespaces;
use sampan_sys::process::{self, Forked, Signal, Standard};

use crate::{attach, child, verb};

/// Status for "what was written could not be kept: no room".
const NO_ROOM: u8 = 75;

/// Where programs and their libraries are; what a host does not have is left out.
const PROGRAMS: &[&str] = &[
    "bin",
    "sbin",
    "usr",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "etc/alternatives",
    "etc/ld.so.cache",
    "nix",
    "gnu",
];

/// The new root is mounted here, in a namespace of its own: a folder that every host has.
const STAGE: &str = "/proc";

/// The command's whole environment: nothing of the asker's (`TAR_OPTIONS`, `XZ_OPT`, …) changes what it does.
const ENVIRONMENT: &[&str] =
    &["LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];

/// A command that reads what anybody made gets this much memory: an archive may ask for any amount.
const MEMORY: u64 = 4 << 30;

/// Room in the pipe between the asker's standard input and the command's.
const PIPE: usize = 1 << 20;

/// How long a feeder that was killed is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the verb; the status is the command's own, [`NO_ROOM`], or 70 for our own failures.
pub(crate) fn run(args: &[String]) -> anyhow::Result<u8> {
    let [spec, dashes, command @ ..] = args else { bail!("usage: confine SPEC -- COMMAND…") };
    if dashes != "--" || command.is_empty() {
        bail!("usage: confine SPEC -- COMMAND…");
    }
    let spec: ConfineSpec = serde_json::from_str(spec).context("the request is not understood")?;
    process::set_death_signal(Signal::KILL)?;
    let root = Root::open(&spec.trees)?;
    let written = root.written()?;
    let (pipe, feed_end) = std::io::pipe().context("cannot make a pipe")?;
    // Only faster; the usual size does as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&feed_end, PIPE);
    let code = match process::clone_into(Namespaces::MOUNT | Namespaces::PID)? {
        Forked::Child => {
            drop((written, feed_end));
            let Err(error) = become_confined(&root, spec.input.is_some().then(|| pipe.into()), command);
            verb::log(&format!("sampan-guest: {}", verb::chain(&error)));
            process::exit_now(70)
        }
        Forked::Parent { pid, .. } => {
            drop(pipe);
            let packed = root.read_only().filter(|_| spec.input.is_none());
            let read = |tree: &Tree| {
                // Only faster: where it cannot be told how far the command is, nothing is read.
                let _ = ahead::read(&tree.mount, rustix::stdio::stdout());
                Ok(())
            };
            let ahead = packed.map(|tree| Aside::start(|| read(tree))).transpose()?;
            drop(root);
            let feeder = spec.input.map(|head| Aside::start(|| feed(&head, feed_end))).transpose()?;
            let code = child::wait(pid);
            // The command may have had enough before its input ended, which then may never end.
            drop((feeder, ahead));
            code?
        }
    };
    for root in written {
        match rustix::fs::syncfs(&root) {
            Ok(()) => {}
            // The journal could not be written: the file system has made itself read-only.
            Err(Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS) => return Ok(NO_ROOM),
            Err(error) => return Err(error).context("cannot write back what the command wrote"),
        }
    }
    Ok(code)
}

/// A process that works beside the command; it ends when this is dropped.
struct Aside(OwnedFd);

impl Aside {
    fn start(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Self> {
        match process::fork_plain()? {
            Forked::Child => {
                let done = process::set_death_signal(Signal::KILL).map_err(anyhow::Error::from);
                if let Err(error) = done.and_then(|()| work()) {
                    verb::log(&format!("sampan-guest: {}", verb::chain(&error)));
                    process::exit_now(1);
                }
                process::exit_now(0)
            }
            Forked::Parent { pidfd, .. } => Ok(Self(pidfd)),
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Waited for: it is a copy of this process, which has the trees open. Only one that hangs in a file of its asker's
        // does not end at once.
        let _ = process::pidfd_send_signal(&self.0, Signal::KILL);
        let _ = process::wait_exit(&self.0, Some(PATIENCE));
    }
}

/// Gives standard input to the command. With a pipe in between, it never has the asker's own file open.
fn feed(head: &[u8], mut pipe: PipeWriter) -> anyhow::Result<()> {
    let input = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let fed = pipe
        .write_all(head)
        .and_then(|()| std::io::copy(&mut File::from(input), &mut File::from(OwnedFd::from(pipe))));
    match fed {
        // The command did not want all of it: its status tells why.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::from(error).context("cannot read the input"))
        }
        _ => Ok(()),
    }
}

/// In the new process: becomes the command, in its own root.
fn become_confined(root: &Root, input: Option<OwnedFd>, command: &[String]) -> anyhow::Result<Infallible> {
    process::set_death_signal(Signal::KILL)?;
    // Slave: what the host unmounts meanwhile leaves this copy of its mounts, too.
    mount::set_propagation(Path::new("/"), Propagation::Slave, true)?;
    root.enter()?;
    if let Some(input) = input {
        process::redirect(&input, Standard::Input)?;
        drop(input);
        let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
        rustix::process::setrlimit(Resource::As, limit).context("cannot limit the command's memory")?;
    }
    process::reset_signals();
    // Whoever left a descriptor open to us did not mean it for the command.
    process::close_fds_from(3, &[])?;
    Err(process::exec(Path::new(&command[0]), command, ENVIRONMENT).into())
}

/// What the command will see: mounts that are attached nowhere yet.
struct Root {
    programs: Vec<Program>,
    null: OwnedFd,
    trees: Vec<Tree>,
}

/// A folder of [`PROGRAMS`].
enum Program {
    Mount {
        name: &'static str,
        mount: OwnedFd,
        is_folder: bool,
    },
    /// `/bin` and its like are links into `/usr` on most hosts.
    Link {
        name: &'static str,
        target: PathBuf,
    },
}

struct Tree {
    at: PathBuf,
    mount: OwnedFd,
    writable: bool,
}

impl Root {
    fn open(trees: &[ConfinedTree]) -> anyhow::Result<Self> {
        let trees = trees.iter().map(Tree::open).collect::<anyhow::Result<_>>()?;
        let programs = PROGRAMS.iter().copied().filter_map(Program::open).collect::<anyhow::Result<_>>()?;
        let null = copy(Path::new("/dev/null"), false)?;
        // Read-only is the node, which is the host's own, not what is written to the device.
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
        mount::set_tree_attributes(&null, attributes, false)?;
        Ok(Self { programs, null, trees })
    }

    /// The first tree, if the command only reads it.
    fn read_only(&self) -> Option<&Tree> {
        self.trees.first().filter(|tree| !tree.writable)
    }

    /// The trees that may be written, open, to see at the end whether what was written is kept.
    fn written(&self) -> anyhow::Result<Vec<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |tree: &Tree| rustix::fs::openat(&tree.mount, ".", flags, Mode::empty());
        let writable = self.trees.iter().filter(|tree| tree.writable);
        writable.map(|tree| open(tree).context("cannot open a tree to write back")).collect()
    }

    /// Makes it the root of this process, whose mount namespace must be its own.
    fn enter(&self) -> anyhow::Result<()> {
        let stage = Path::new(STAGE);
        let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let root = mount::new_virtual("tmpfs", &[("mode", Some("0755")), ("size", Some("1m"))], quiet)?;
        mount::attach(&root, stage)?;
        for program in &self.programs {
            program.attach(stage)?;
        }
        attach_file(&self.null, &stage.join("dev/null"))?;
        for tree in &self.trees {
            attach_folder(&tree.mount, &stage.join(tree.at.strip_prefix("/")?))?;
        }
        attach_folder(&processes()?, &stage.join("proc"))?;
        mount::pivot_into(stage)?;
        mount::remount_bind_ro(Path::new("/"))?;
        let folder = self.trees.first().map_or(Path::new("/"), |tree| &tree.at);
        rustix::process::chdir(folder).with_context(|| format!("cannot enter {}", folder.display()))
    }
}

impl Program {
    fn open(name: &'static str) -> Option<anyhow::Result<Self>> {
        let path = Path::new("/").join(name);
        let kind = fs::symlink_metadata(&path).ok()?.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(&path).with_context(|| format!("cannot read {}", path.display()));
            return Some(target.map(|target| Self::Link { name, target }));
        }
        let mount = copy(&path, true).and_then(|mount| {
            let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
                | MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV;
            mount::set_tree_attributes(&mount, attributes, true)?;
            Ok(mount)
        });
        Some(mount.map(|mount| Self::Mount { name, mount, is_folder: kind.is_dir() }))
    }

    fn attach(&self, stage: &Path) -> anyhow::Result<()> {
        match self {
            Self::Mount { name, mount, is_folder: true } => attach_folder(mount, &stage.join(name)),
            Self::Mount { name, mount, is_folder: false } => attach_file(mount, &stage.join(name)),
            Self::Link { name, target } => std::os::unix::fs::symlink(target, stage.join(name))
                .with_context(|| format!("cannot link {name} in the command's root")),
        }
    }
}

impl Tree {
    fn open(spec: &ConfinedTree) -> anyhow::Result<Self> {
        let mount = match &spec.root {
            ConfinedRoot::Image { image } => {
                // What is only read is read from end to end: in large pieces, through the host's page cache.
                let mount = attach::open_image(image, !spec.writable, !spec.writable)?;
                if spec.writable {
                    // Not part of what is written; fsck makes it again when needed. With something in it, it stays.
                    let _ = rustix::fs::unlinkat(&mount, "lost+found", AtFlags::REMOVEDIR);
                }
                mount
            }
            ConfinedRoot::Layer { image } => {
                anyhow::ensure!(!spec.writable, "{} is in use: it can only be read", image.display());
                // Of a file system that is mounted to be written to, the kernel gives no other mount than such a one.
                attach::open_image(image, false, false)?
            }
            ConfinedRoot::Folder { path } => copy(path, false)?,
        };
        let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        if !spec.writable {
            attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        }
        mount::set_tree_attributes(&mount, attributes, false)?;
        Ok(Self { at: spec.at.clone(), mount, writable: spec.writable })
    }
}

/// A detached copy of the mounts at `path` that goes its own way.
fn copy(path: &Path, recursive: bool) -> anyhow::Result<OwnedFd> {
    let tree = mount::open_tree(path, recursive)?;
    mount::set_tree_propagation(&tree, Propagation::Private, recursive)?;
    Ok(tree)
}

/// A `/proc` of the own processes: `chmod` of the C library works through it. Kernels before 5.8 cannot leave out the rest,
/// which is read-only in any case.
fn processes() -> anyhow::Result<OwnedFd> {
    let quiet = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let bare = mount::new_virtual("proc", &[("subset", Some("pid"))], quiet);
    Ok(bare.or_else(|_| mount::new_virtual("proc", &[], quiet))?)
}

fn attach_folder(tree: &OwnedFd, at: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(at).with_context(|| format!("cannot make {} in the command's root", at.display()))?;
    Ok(mount::attach(tree, at)?)
}

fn attach_file(tree: &OwnedFd, at: &Path) -> anyhow::Result<()> {
    let made = at.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(at));
    made.with_context(|| format!("cannot make {} in the command's root", at.display()))?;
    Ok(mount::attach(tree, at)?)
}
