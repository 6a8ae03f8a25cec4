//! The root of a distribution: from a tree in the hub to a complete `/`.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Context;
use rustix::mount::MountFlags;
use sampan_model::guest::LaunchSpec;
use sampan_model::views::VIEWS;
use sampan_sys::device::{self, Node};
use sampan_sys::mount::{self, MountAttrFlags, Propagation};
use sampan_sys::namespace;

use super::cgroup;
use crate::filesystems::{QUIET, make_folder, mount_dev, protect_proc_sys, write_fresh};
use crate::hub;

/// Devices that are there when the host has them: the engine is root on the host by design.
pub(super) const HOST_DEVICES: &[&str] =
    &["fuse", "kvm", "loop-control", "kmsg", "net/tun", "mapper/control", "vhost-net", "vhost-vsock"];

const READ_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Where every distribution of version 2 sees what they share.
const WSL: &str = "/mnt/wsl";

/// Runs in the hub's tree, in a mount namespace of its own; on return `/` is the distribution.
pub(super) fn build(spec: &LaunchSpec, folders: &[OwnedFd], devices: &[Node<'_>]) -> anyhow::Result<()> {
    let root = mount::open_tree(&spec.root, false)?;
    mount::set_tree_propagation(&root, Propagation::Private, false)?;
    let mut disks = Vec::new();
    for disk in &spec.disks {
        let tree = mount::open_tree(&disk.from, false)?;
        mount::set_tree_propagation(&tree, Propagation::Private, false)?;
        disks.push(tree);
    }
    // Slave, not private: what the hub unmounts must leave this short-lived copy too.
    mount::set_propagation(Path::new("/"), Propagation::Slave, true)?;
    // Slaves from here on: what is mounted in the hub later is seen, and nothing goes back.
    let views = mount::open_tree(&Path::new("/").join(hub::VIEWS), true)?;
    let wsl = mount::open_tree(&Path::new("/").join(hub::WSL), true)?;
    let newroot = Path::new("/newroot");
    mount::attach(&root, newroot)?;
    drop(root);
    mount::pivot_into(newroot)?;
    mount::set_propagation(Path::new("/"), Propagation::Shared, true)?;

    kernel_filesystems(spec, devices)?;
    for (disk, tree) in spec.disks.iter().zip(&disks) {
        make_folder(&disk.to)?;
        mount::attach(tree, &disk.to)?;
    }
    for (folder, tree) in spec.folders.iter().zip(folders) {
        make_folder(&folder.to)?;
        mount::attach(tree, &folder.to)?;
    }
    make_folder(Path::new(VIEWS))?;
    mount::attach(&views, Path::new(VIEWS))?;
    // The folder alone: dockerd makes what is missing, and in place of a missing view that would be an empty folder
    // that nobody ever sees again.
    mount::remount_bind_ro(Path::new(VIEWS))?;
    make_folder(Path::new(WSL))?;
    mount::attach(&wsl, Path::new(WSL))?;
    names(spec)
}

fn kernel_filesystems(spec: &LaunchSpec, devices: &[Node<'_>]) -> anyhow::Result<()> {
    for folder in ["/proc", "/sys", "/dev", "/run", "/tmp"] {
        make_folder(Path::new(folder))?;
    }
    mount::mount_fs("proc", "proc", Path::new("/proc"), QUIET, "")?;
    protect_proc_sys(true)?;
    // This mount is read-only and not the file system, which is that of the whole network: were it read-only, the kernel
    // would refuse a writable one in every user namespace that sees it.
    mount::attach(&mount::new_virtual("sysfs", &[], READ_ONLY)?, Path::new("/sys"))?;
    cgroup::mount(&spec.cgroup)?;
    mount::mount_fs("tmpfs", "tmpfs", Path::new("/run"), MountFlags::NODEV, "mode=0755")?;
    let tmp = MountFlags::NOSUID | MountFlags::NODEV;
    mount::mount_fs("tmpfs", "tmpfs", Path::new("/tmp"), tmp, "mode=1777")?;
    make_folder(Path::new("/run/lock"))?;
    make_folder(Path::new("/run/sampan"))?;
    mount_dev(&device::new_dev(devices, 0)?)
}

/// Host name, resolver, hosts. The image keeps a link; what it points to lives in `/run`.
fn names(spec: &LaunchSpec) -> anyhow::Result<()> {
    namespace::sethostname(&spec.name)?;
    let resolver = Path::new("/run/sampan/resolv.conf");
    write_fresh(resolver, &spec.resolv_conf)?;
    let conf = Path::new("/etc/resolv.conf");
    if std::fs::read_link(conf).ok().as_deref() != Some(resolver) {
        make_folder(Path::new("/etc"))?;
        let new = Path::new("/etc/.resolv.conf.sampan");
        let _ = std::fs::remove_file(new);
        std::os::unix::fs::symlink(resolver, new).context("cannot link /etc/resolv.conf")?;
        std::fs::rename(new, conf).context("cannot link /etc/resolv.conf")?;
    }
    let hosts = Path::new("/etc/hosts");
    if !hosts.exists() {
        write_fresh(hosts, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")?;
    }
    Ok(())
}
