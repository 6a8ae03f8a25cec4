//! Disks that the user mounts for all distributions: in the hub, below what each of them sees as `/mnt/wsl`, and once more
//! with its own ids in each that has a user namespace.

mod content;
mod nodes;
mod options;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use rustix::fs::{CWD, FileType, Mode, makedev};
use rustix::process::{Signal, set_parent_process_death_signal};
use sampan_model::guest::{Answer, BlockDevice, HideDiskSpec, MountDiskSpec, ProcessId, ShowDiskSpec};
use sampan_sys::mount::{self, Propagation};
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::{Errno, SysError};

pub(crate) use self::nodes::nodes;
use self::options::Options;
use crate::verb;

/// An id that no distribution has: the highest one. Root of a user namespace has no power over what belongs to such an id, and
/// the kernel refuses to remove or rename it (`may_delete` in fs/namei.c).
const NOBODY: u32 = u32::MAX - 1;

/// Mounts a disk in the hub.
pub(crate) fn mount(spec: &MountDiskSpec) -> anyhow::Result<Answer> {
    end_with_service()?;
    let hub = open_hub(&spec.hub)?;
    let device = node(&spec.device)?;
    let fstype = match &spec.fstype {
        Some(fstype) => fstype.as_str(),
        None => content::detect(&device)?
            .ok_or_else(|| anyhow!("no known file system is on it (if there is one, --type says which)"))?,
    };
    if !is_of_disks(fstype) {
        bail!("'{fstype}' is no file system of a disk");
    }
    let Options { attributes, data } = Options::parse(&spec.options).made_harmless(fstype)?;
    let tree =
        mount::new_on_device(fstype, &device, &data, attributes).map_err(|error| reason(&error, fstype))?;
    namespace::enter(&hub, Namespaces::MOUNT)?;
    let placed = make_place(&spec.at).and_then(|()| Ok(mount::attach(&tree, &spec.at)?));
    if placed.is_err() {
        let _ = fs::remove_dir(&spec.at);
    }
    placed.map(|()| Answer::Done)
}

/// Makes the folder that a disk is mounted on. Whoever removes such a folder where nothing is mounted on it, as in a mount
/// namespace of one's own, takes the disk off for all: so it belongs to nobody inside, and is left alone by root there too.
fn make_place(at: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot make {} in the hub", at.display());
    match fs::create_dir(at) {
        // Left by somebody inside, maybe; to be taken over while it is empty.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_dir(at).and_then(|()| fs::create_dir(at)).with_context(cannot)?;
        }
        made => made.with_context(cannot)?,
    }
    std::os::unix::fs::lchown(at, Some(NOBODY), Some(NOBODY)).with_context(cannot)
}

/// Mounts in a distribution what is mounted in the hub, with the distribution's ids.
pub(crate) fn show(spec: &ShowDiskSpec) -> anyhow::Result<Answer> {
    end_with_service()?;
    // In this order: if the process still lives after its namespace was opened, that was its own.
    let ids = File::open(format!("/proc/{}/ns/user", spec.process.pid))
        .context("cannot open its user namespace")?;
    let distribution = open_distribution(&spec.process)?;
    namespace::enter(&open_hub(&spec.hub)?, Namespaces::MOUNT)?;
    let tree = mount::open_tree(&spec.from, false)?;
    // Unmounting this one is no word for the one in the hub, nor the other way round.
    mount::set_tree_propagation(&tree, Propagation::Private, false)?;
    mount::idmap_tree(&tree, &ids, false).map_err(|error| match error.errno() {
        Errno::INVAL => anyhow!("their file system cannot shift ids"),
        _ => error.into(),
    })?;
    namespace::enter(&distribution, Namespaces::MOUNT)?;
    mount::attach(&tree, &spec.to)?;
    Ok(Answer::Done)
}

/// Takes the topmost mount at a place off in a distribution.
pub(crate) fn hide(spec: &HideDiskSpec) -> anyhow::Result<Answer> {
    namespace::enter(&open_distribution(&spec.process)?, Namespaces::MOUNT)?;
    mount::unmount(&spec.at, false)?;
    Ok(Answer::Done)
}

/// Dies with the service that asked. The next one puts in order what it finds, and nothing may be mounted after it looked.
fn end_with_service() -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot be bound to the service")
}

fn open_hub(hub: &ProcessId) -> anyhow::Result<OwnedFd> {
    verb::open_process(hub)?.context("the hub is gone: `sampan restart` builds a new one")
}

fn open_distribution(process: &ProcessId) -> anyhow::Result<OwnedFd> {
    verb::open_process(process)?.context("the distribution has ended")
}

/// A node of the device in a `/dev` that this process alone sees: the host's may have none, or not have it yet.
fn node(device: &BlockDevice) -> anyhow::Result<PathBuf> {
    namespace::unshare(Namespaces::MOUNT)?;
    mount::set_propagation(Path::new("/"), Propagation::Slave, true)?;
    mount::mount_tmpfs(Path::new("/dev"), "mode=0700")?;
    let path = Path::new("/dev").join(&device.name);
    let number = makedev(device.major, device.minor);
    rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, Mode::from_raw_mode(0o600), number)
        .with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// Whether such a file system is on a device, or may be: one that the kernel has not loaded yet is not listed.
fn is_of_disks(fstype: &str) -> bool {
    let listed = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    !listed.lines().any(|line| line.strip_prefix("nodev\t") == Some(fstype))
}

/// Why a mount was refused, as wsl.exe says it, with what the file system said.
fn reason(error: &SysError, fstype: &str) -> anyhow::Error {
    if error.errno() == Errno::NODEV {
        return anyhow!("the kernel of this machine has no file system called '{fstype}'");
    }
    let text = error.errno().to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    if error.detail.is_empty() { anyhow!("{text}") } else { anyhow!("{text} ({})", error.detail) }
}
