//! The root of a distribution: from a tree in the hub to a complete `/`.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use rustix::fs::FileType;
use rustix::mount::MountFlags;
use sampan_model::guest::LaunchSpec;
use sampan_sys::device::{self, Node};
use sampan_sys::mount::{self, Propagation};
use sampan_sys::namespace;

use super::cgroup;

/// Devices that are there when the host has them: the engine is root on the host by design.
const HOST_DEVICES: &[&str] =
    &["fuse", "kvm", "loop-control", "kmsg", "net/tun", "mapper/control", "vhost-net", "vhost-vsock"];

/// A character device of the host.
pub(super) struct HostDevice {
    name: &'static str,
    mode: u32,
    major: u32,
    minor: u32,
}

/// Those of [`HOST_DEVICES`] that exist. Asked before the host's tree is left.
pub(super) fn host_devices() -> Vec<HostDevice> {
    let of = |name: &&'static str| {
        let stat = rustix::fs::stat(Path::new("/dev").join(name)).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice).then(|| HostDevice {
            name,
            mode: stat.st_mode & 0o777,
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        })
    };
    HOST_DEVICES.iter().filter_map(of).collect()
}

/// Runs in the hub's tree, in a mount namespace of its own; on return `/` is the distribution.
pub(super) fn build(spec: &LaunchSpec, folders: &[OwnedFd], devices: &[HostDevice]) -> anyhow::Result<()> {
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
    let newroot = Path::new("/newroot");
    mount::attach(&root, newroot)?;
    drop(root);
    mount::pivot_into(newroot)?;
    mount::set_propagation(Path::new("/"), Propagation::Shared, true)?;

    kernel_filesystems(spec)?;
    devices_folder(devices)?;
    for (disk, tree) in spec.disks.iter().zip(&disks) {
        make_folder(&disk.to)?;
        mount::attach(tree, &disk.to)?;
    }
    for (folder, tree) in spec.folders.iter().zip(folders) {
        make_folder(&folder.to)?;
        mount::attach(tree, &folder.to)?;
    }
    names(spec)
}

fn kernel_filesystems(spec: &LaunchSpec) -> anyhow::Result<()> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for folder in ["/proc", "/sys", "/dev", "/run", "/tmp"] {
        make_folder(Path::new(folder))?;
    }
    let proc_sys = Path::new("/proc/sys");
    let proc_net = Path::new("/proc/sys/net");
    mount::mount_fs("proc", "proc", Path::new("/proc"), quiet, "")?;
    // Only the network's part may be written: the rest is the host's own. The order is what makes it so: a bind of a
    // mount that is read-only already would stay read-only.
    mount::bind(proc_sys, proc_sys, false)?;
    mount::bind(proc_net, proc_net, false)?;
    mount::remount_bind_ro(proc_sys)?;
    mount::remount_bind_rw(proc_net)?;
    mount::mount_fs("sysfs", "sysfs", Path::new("/sys"), quiet | MountFlags::RDONLY, "")?;
    cgroup::mount(&spec.cgroup)?;
    mount::mount_fs("tmpfs", "tmpfs", Path::new("/run"), MountFlags::NODEV, "mode=0755")?;
    let tmp = MountFlags::NOSUID | MountFlags::NODEV;
    mount::mount_fs("tmpfs", "tmpfs", Path::new("/tmp"), tmp, "mode=1777")?;
    make_folder(Path::new("/run/lock"))?;
    make_folder(Path::new("/run/sampan"))
}

fn devices_folder(devices: &[HostDevice]) -> anyhow::Result<()> {
    let dev = Path::new("/dev");
    mount::mount_fs("tmpfs", "tmpfs", dev, MountFlags::NOSUID, "mode=0755")?;
    device::populate_dev(dev, &device::STANDARD_NODES)?;
    device::link_dev(dev)?;
    for HostDevice { name, mode, major, minor } in devices {
        let (folder, name) = match name.rsplit_once('/') {
            Some((folder, name)) => (dev.join(folder), name),
            None => (dev.to_owned(), *name),
        };
        make_folder(&folder)?;
        device::populate_dev(&folder, &[Node { name, mode: *mode, major: *major, minor: *minor }])?;
    }
    for (folder, fstype, options, flags) in [
        ("/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5", MountFlags::NOEXEC),
        ("/dev/shm", "tmpfs", "mode=1777", MountFlags::NODEV),
        ("/dev/mqueue", "mqueue", "", MountFlags::NOEXEC | MountFlags::NODEV),
    ] {
        make_folder(Path::new(folder))?;
        mount::mount_fs(fstype, fstype, Path::new(folder), flags | MountFlags::NOSUID, options)?;
    }
    Ok(())
}

/// Host name, resolver, hosts. The image keeps a link; what it points to lives in `/run`.
fn names(spec: &LaunchSpec) -> anyhow::Result<()> {
    namespace::sethostname(&spec.name)?;
    let resolver = Path::new("/run/sampan/resolv.conf");
    write(resolver, &spec.resolv_conf)?;
    let conf = Path::new("/etc/resolv.conf");
    if fs::read_link(conf).ok().as_deref() != Some(resolver) {
        make_folder(Path::new("/etc"))?;
        let new = Path::new("/etc/.resolv.conf.sampan");
        let _ = fs::remove_file(new);
        std::os::unix::fs::symlink(resolver, new).context("cannot link /etc/resolv.conf")?;
        fs::rename(new, conf).context("cannot link /etc/resolv.conf")?;
    }
    let hosts = Path::new("/etc/hosts");
    if !hosts.exists() {
        write(hosts, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")?;
    }
    Ok(())
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "files on a fresh tmpfs, or made once when missing: no reader yet"
)]
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}
