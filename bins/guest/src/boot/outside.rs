//! What is made with the host's rights and view.

use std::fs;
use std::fs::File;
use std::io::BufRead;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, ensure};
use sampan_model::guest::{ATTACHED, BootRoot, BootSpec, ProcessId, SharedFolder};
use sampan_sys::device;
use sampan_sys::mount::{self, MountAttrFlags, Propagation};
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::socket::{SocketKind, bind_unix_listener};

use super::Traces;
use super::cgroup::{self, Place};
use super::ids::{Shift, Shifted};
use super::{integration, program};
use crate::filesystems::{host_devices, host_folder};
use crate::{hub, verb};

/// Devices that are there when the host has them, and that a user namespace makes harmless.
const HOST_DEVICES: &[&str] = &["fuse", "net/tun"];

/// The flags of the host's `/sys` inside.
const SYS: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// The parts of a distribution but for its root, none of them attached yet.
pub(super) struct Outside {
    hub: Option<Hub>,
    shift: Option<Shift>,
    /// What all version 2 distributions share.
    pub(super) wsl: Option<OwnedFd>,
    pub(super) folders: Vec<(SharedFolder, OwnedFd)>,
    /// What is seen of WSL integration, and where.
    pub(super) integration: Vec<(OwnedFd, &'static str)>,
    pub(super) dev: OwnedFd,
    pub(super) sys: OwnedFd,
    /// The program file of this process, mounted.
    pub(super) program: OwnedFd,
    /// What becomes PID 1: see [`program::unreadable`].
    pub(super) server: OwnedFd,
    pub(super) cgroups: Place,
    pub(super) control: OwnedFd,
    pub(super) paths: OwnedFd,
    pub(super) log: File,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

impl Outside {
    pub(super) fn prepare(spec: &BootSpec, traces: &mut Traces) -> anyhow::Result<Self> {
        let mut warnings = Vec::new();
        let log = verb::open_log(&spec.log)?;
        let hub = match &spec.root {
            BootRoot::Image { hub, .. } => Some(Hub::open(hub)?),
            BootRoot::Folder { .. } => None,
        };
        let shift = spec.ids.map(Shift::new).transpose()?;
        let cgroups = cgroup::prepare(&spec.cgroup, spec.ids, &mut warnings)?;
        let wsl = hub.as_ref().map(|hub| shared_wsl(hub, shift.as_ref())).transpose()?;
        let mut folders = spec.folders.clone();
        // The outer before the inner, which it would cover.
        folders.sort_by(|one, other| one.from.cmp(&other.from));
        let folders = folders
            .iter()
            .filter_map(|folder| Some((folder.clone(), open_folder(folder, shift.as_ref(), &mut warnings)?)))
            .collect();
        let integration = spec.integration.iter();
        let integration = integration.flat_map(|spec| integration::open(spec, &mut warnings)).collect();
        let dev = device::new_dev(&host_devices(HOST_DEVICES), spec.ids.map_or(0, |ids| ids.base))?;
        let (program, server) = (program::readable()?, program::unreadable(&spec.programs)?);
        let control = listener(&spec.control, traces)?;
        let paths = listener(&spec.paths, traces)?;
        if let Some(hub) = hub.as_ref().filter(|_| !spec.in_host_network) {
            // A sysfs shows the network namespace of the process that mounts it, and the child can't enter this one.
            namespace::enter(&hub.pidfd, Namespaces::NET)?;
        }
        let sys = mount::new_virtual("sysfs", &[], SYS)?;
        Ok(Self {
            hub,
            shift,
            wsl,
            folders,
            integration,
            dev,
            sys,
            program,
            server,
            cgroups,
            control,
            paths,
            log,
            warnings,
        })
    }

    /// The root, which is waited for: the disk of an image takes the longest of all. `input` tells when it is there.
    pub(super) fn root(&self, spec: &BootSpec, input: &mut dyn BufRead) -> anyhow::Result<OwnedFd> {
        let root = match (&spec.root, &self.hub) {
            (BootRoot::Image { at, read_only, .. }, Some(hub)) => {
                let mut news = String::new();
                input.read_to_string(&mut news).context("cannot wait for the disk")?;
                ensure!(news == ATTACHED, "its disk was not attached");
                let root = hub.visit(|| Ok(mount::open_tree(at, false)?))?;
                if *read_only {
                    mount::set_tree_attributes(&root, MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
                }
                root
            }
            (BootRoot::Folder { path }, _) => mount::open_tree(path, false)?,
            (BootRoot::Image { .. }, None) => unreachable!("the hub of an image was opened first"),
        };
        // pivot_root refuses shared mounts.
        mount::set_tree_propagation(&root, Propagation::Private, false)?;
        if let Some(shift) = &self.shift {
            shift.root(&root, &spec.name)?;
        }
        Ok(root)
    }
}

/// A socket for root of the host alone, bound and not yet listening.
fn listener(path: &Path, traces: &mut Traces) -> anyhow::Result<OwnedFd> {
    let folder = path.parent().with_context(|| format!("{} has no folder", path.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let socket = bind_unix_listener(path, SocketKind::SeqPacket, 0o600, None)?;
    traces.files.push(path.to_owned());
    Ok(socket)
}

/// The way into the hub's mounts and back.
pub(super) struct Hub {
    pidfd: OwnedFd,
    home: OwnedFd,
}

impl Hub {
    pub(super) fn open(process: &ProcessId) -> anyhow::Result<Self> {
        let pidfd =
            verb::open_process(process)?.context("the hub is gone: `sampan restart` builds a new one")?;
        let home = File::open("/proc/self/ns/mnt").context("cannot open the own mount namespace")?;
        Ok(Self { pidfd, home: home.into() })
    }

    /// Does `work` in the hub's tree.
    pub(super) fn visit<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        namespace::enter(&self.pidfd, Namespaces::MOUNT)?;
        let result = work();
        namespace::enter(&self.home, Namespaces::MOUNT)?;
        result
    }
}

/// With a user namespace a distribution only receives what others mount there; without, it is one of them.
fn shared_wsl(hub: &Hub, shift: Option<&Shift>) -> anyhow::Result<OwnedFd> {
    let at = Path::new("/").join(hub::WSL);
    let wsl = hub.visit(|| Ok(mount::open_tree(&at, true)?))?;
    if let Some(shift) = shift {
        mount::set_tree_propagation(&wsl, Propagation::Slave, true)?;
        // Where it can't be shifted (tmpfs before Linux 6.3) it belongs to nobody, and can be read.
        shift.shared(&wsl);
    }
    Ok(wsl)
}

/// A folder that can't be had is no reason not to start.
fn open_folder(folder: &SharedFolder, shift: Option<&Shift>, warnings: &mut Vec<String>) -> Option<OwnedFd> {
    let from = folder.from.display();
    if !folder.from.is_dir() {
        warnings.push(format!("{from} is shared with distributions, but is no folder of this machine"));
        return None;
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let tree = host_folder(&folder.from, true).and_then(|tree| {
        mount::set_tree_attributes(&tree, attributes, true)?;
        Ok(tree)
    });
    let tree = match tree {
        Ok(tree) => tree,
        Err(error) => {
            warnings.push(format!("{from} is not shared: {}", verb::chain(&error)));
            return None;
        }
    };
    match shift.map(|shift| shift.host_folder(&tree)) {
        None | Some(Shifted::Whole) => {}
        Some(Shifted::Top) => warnings.push(format!(
            "the file systems mounted below {from} cannot shift ids: all files on them belong to nobody"
        )),
        Some(Shifted::Nothing) => warnings
            .push(format!("the file system of {from} cannot shift ids: all its files belong to nobody")),
    }
    Some(tree)
}
