//! What the root of every distribution gets besides its own files: `/proc`, `/dev` and what lies below.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use rustix::fs::FileType;
use rustix::mount::MountFlags;
use sampan_sys::device::Node;
use sampan_sys::mount::{self, Propagation};

/// Nothing of the kernel's own file systems is a program or a device.
pub(crate) const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// A copy of the mounts of a host's folder or file, attached nowhere yet: what the host mounts and unmounts there arrives in it.
pub(crate) fn host_folder(path: &Path, recursive: bool) -> anyhow::Result<OwnedFd> {
    let tree = mount::open_tree(path, recursive)?;
    // While it is detached: a clone that stayed a peer would take the host's own mounts down with it.
    mount::set_tree_propagation(&tree, Propagation::Slave, true)?;
    Ok(tree)
}

/// Those of the character devices `names` that the host has. Asked before the host's tree is left.
pub(crate) fn host_devices(names: &[&'static str]) -> Vec<Node<'static>> {
    let of = |name: &&'static str| {
        let stat = rustix::fs::stat(Path::new("/dev").join(name)).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice).then(|| Node {
            name,
            mode: stat.st_mode & 0o777,
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        })
    };
    names.iter().filter_map(of).collect()
}

/// Mounts `dev`, made by [`sampan_sys::device::new_dev`], and what every `/dev` has below.
pub(crate) fn mount_dev(dev: &OwnedFd) -> anyhow::Result<()> {
    mount::attach(dev, Path::new("/dev"))?;
    for (folder, fstype, options, flags) in [
        ("/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5", MountFlags::NOEXEC),
        ("/dev/shm", "tmpfs", "mode=1777", MountFlags::NODEV),
        ("/dev/mqueue", "mqueue", "", MountFlags::NOEXEC | MountFlags::NODEV),
    ] {
        mount::mount_fs(fstype, fstype, Path::new(folder), flags | MountFlags::NOSUID, options)?;
    }
    Ok(())
}

/// Makes `/proc/sys`, which is the host's own, read-only, but for the network's part if that is the distribution's.
pub(crate) fn protect_proc_sys(own_network: bool) -> anyhow::Result<()> {
    let all = Path::new("/proc/sys");
    let network = Path::new("/proc/sys/net");
    // The order is what makes it so: a bind of a mount that is read-only already would stay read-only.
    mount::bind(all, all, false)?;
    if own_network {
        mount::bind(network, network, false)?;
    }
    mount::remount_bind_ro(all)?;
    if own_network {
        mount::remount_bind_rw(network)?;
    }
    Ok(())
}

/// Makes a folder and those above it, unless they are there.
pub(crate) fn make_folder(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Writes a file that nobody reads yet, readable by everybody.
#[expect(
    clippy::disallowed_methods,
    reason = "files on a fresh tmpfs, or made once when missing: no reader yet"
)]
pub(crate) fn write_fresh(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}
