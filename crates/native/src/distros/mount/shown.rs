//! Mounted disks in running distributions.
//!
//! What is mounted in the hub appears in every distribution of version 2 by itself. One with a user namespace sees foreign
//! ids there, so it gets a mount of its own on top, with its ids.

use std::path::{Path, PathBuf};

use sampan_model::guest::{BlockDevice, DiskNodesSpec, HideDiskSpec, ShowDiskSpec};
use sampan_sys::mount::{MountEntry, mountinfo};

use super::users::Number;
use crate::cgroup;
use crate::distro::Running;
use crate::hub::Hub;
use crate::platform::Native;
use crate::tools::guest::GuestError;

/// The folder of the hub that all distributions see.
const WSL: &str = "/wsl";

/// What is mounted in the hub.
#[derive(Debug)]
pub(super) struct HubTable(Vec<MountEntry>);

impl HubTable {
    pub(super) fn read(hub: &Hub) -> Self {
        Self(mountinfo(Some(hub.process.pid)).unwrap_or_default())
    }

    /// The file system that is mounted under a name.
    pub(super) fn device(&self, name: &str) -> Option<Number> {
        top(&self.0, &place(name))
    }

    fn wsl(&self) -> Option<Number> {
        top(&self.0, Path::new(WSL))
    }
}

/// Where the disk called `name` is in the hub.
pub(super) fn place(name: &str) -> PathBuf {
    Path::new(WSL).join(name)
}

/// The running distributions of version 2 that belong to the user.
pub(super) fn distributions(native: &Native) -> Vec<Running> {
    let registry = native.store.current().ok();
    let is_second = |running: &Running| {
        let known = registry.as_ref().map(|registry| registry.distributions.as_slice()).unwrap_or_default();
        known.iter().any(|entry| entry.guid == *running.guid() && entry.version == 2)
    };
    Running::all(&native.instance).into_iter().filter(|one| one.is_user_s() && is_second(one)).collect()
}

/// Mounts what the hub has under `name` in a distribution too, with its ids, unless that is so already.
pub(super) fn show(
    native: &Native,
    hub: &Hub,
    table: &HubTable,
    running: &Running,
    name: &str,
) -> Result<(), GuestError> {
    let Some(to) = unshown(table, running, name) else { return Ok(()) };
    let (hub, process) = (hub.process.clone(), running.process().clone());
    let spec = ShowDiskSpec { hub, from: place(name), process, to };
    native.guest.ask("show-disk", &spec, None).map(drop)
}

/// Where a disk is to be shown; none: it need not, or can't be.
fn unshown(table: &HubTable, running: &Running, name: &str) -> Option<PathBuf> {
    running.ids()?;
    let device = table.device(name)?;
    let inside = mountinfo(Some(running.process().pid)).ok()?;
    let at = wsl_in(table, &inside)?.join(name);
    (own(&inside, &at, device) == 0).then_some(at)
}

/// Takes off in a distribution what [`show`] mounted there, or what it had from its start.
pub(super) fn hide(
    native: &Native,
    table: &HubTable,
    running: &Running,
    name: &str,
    device: Number,
) -> Result<(), GuestError> {
    let Ok(inside) = mountinfo(Some(running.process().pid)) else { return Ok(()) };
    let Some(at) = wsl_in(table, &inside).map(|wsl| wsl.join(name)) else { return Ok(()) };
    for _ in 0..own(&inside, &at, device) {
        let spec = HideDiskSpec { process: running.process().clone(), at: at.clone() };
        native.guest.ask("hide-disk", &spec, None)?;
    }
    Ok(())
}

/// Lets a distribution without a user namespace have the devices themselves.
pub(super) fn nodes(
    native: &Native,
    running: &Running,
    present: &[BlockDevice],
    gone: &[BlockDevice],
) -> Result<(), String> {
    if running.ids().is_some() {
        return Ok(());
    }
    let chain = |error: &dyn std::error::Error| sampan_backend::error::chain(error);
    let host = cgroup::Host::detect().map_err(|error| chain(&error))?;
    let cgroup =
        host.create_for_user(&native.instance.cgroup(), running.guid()).map_err(|error| chain(&error))?;
    let (present, gone) = (present.to_vec(), gone.to_vec());
    let spec = DiskNodesSpec { process: running.process().clone(), cgroup, present, gone };
    native.guest.ask("disk-nodes", &spec, None).map(drop).map_err(|error| chain(&error))
}

/// Where a distribution sees the shared folder of the hub: a bind mount of it is made later, and further down.
fn wsl_in(table: &HubTable, inside: &[MountEntry]) -> Option<PathBuf> {
    let device = table.wsl()?;
    let is_it = |entry: &&MountEntry| (entry.major, entry.minor) == device && entry.root == Path::new("/");
    inside.iter().find(is_it).map(|entry| entry.mount_point.clone())
}

/// How many mounts with shifted ids of the file system are at a place.
fn own(inside: &[MountEntry], at: &Path, device: Number) -> usize {
    let is_own = |entry: &&MountEntry| {
        entry.mount_point == at
            && (entry.major, entry.minor) == device
            && entry.options.split(',').any(|option| option == "idmapped")
    };
    inside.iter().filter(is_own).count()
}

/// The file system on top at a place.
fn top(table: &[MountEntry], at: &Path) -> Option<Number> {
    table.iter().rev().find(|entry| entry.mount_point == at).map(|entry| (entry.major, entry.minor))
}

#[cfg(test)]
mod tests {
    use sampan_sys::mount::parse_mountinfo;

    use super::*;

    const HUB: &[u8] = b"20 1 0:50 / / rw - tmpfs tmpfs rw
21 20 0:51 / /wsl rw shared:1 - tmpfs tmpfs rw
22 21 7:3 / /wsl/my\\040disk rw,nodev shared:2 - ext4 /dev/loop3 rw
";

    fn inside(more: &str) -> Vec<MountEntry> {
        let table = "30 1 7:0 / / rw,idmapped shared:5 - ext4 /dev/loop0 rw\n\
                     31 30 0:51 / /mnt/wsl rw,idmapped shared:6 master:1 - tmpfs tmpfs rw\n\
                     32 30 0:51 / /srv rw,idmapped shared:6 master:1 - tmpfs tmpfs rw\n\
                     33 31 7:3 / /mnt/wsl/my\\040disk rw,nodev shared:7 master:2 - ext4 /dev/loop3 rw\n";
        parse_mountinfo(format!("{table}{more}").as_bytes())
    }

    #[test]
    fn a_disk_is_found_by_its_file_system_and_not_by_its_place_alone() {
        let hub = HubTable(parse_mountinfo(HUB));
        assert_eq!(
            (hub.device("my disk"), hub.device("other"), hub.wsl()),
            (Some((7, 3)), None, Some((0, 51)))
        );
        assert_eq!(wsl_in(&hub, &inside("")), Some("/mnt/wsl".into()));
        let at = Path::new("/mnt/wsl/my disk");
        assert_eq!(own(&inside(""), at, (7, 3)), 0);
        let shown = "34 33 7:3 / /mnt/wsl/my\\040disk rw,nodev,idmapped shared:8 - ext4 /dev/loop3 rw\n";
        assert_eq!(own(&inside(shown), at, (7, 3)), 1);
        // Somebody mounted something else there.
        let other = shown.replace("7:3", "7:4");
        assert_eq!(own(&inside(&other), at, (7, 3)), 0);
    }

    #[test]
    fn a_hub_that_is_gone_has_nothing() {
        let hub = HubTable(Vec::new());
        assert_eq!((hub.device("x"), wsl_in(&hub, &inside(""))), (None, None));
    }
}
