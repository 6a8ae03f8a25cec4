//! The root of a distribution: from a detached mount to a complete `/`.

use std::fs;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use rustix::mount::MountFlags;
use sampan_model::guest::BootSpec;
use sampan_sys::mount::{self, MountAttrFlags};
use sampan_sys::namespace::{self, Namespaces};

use super::cgroup;
use super::outside::Outside;
use crate::filesystems::{make_folder, mount_dev, write_fresh};

/// This program inside.
pub(super) const GUEST: &str = "/run/sampan/guest";

/// Where the new root is attached until it is the root: a folder that every host has. Nothing is hidden by that in
/// anybody else's view.
const STAGE: &str = "/proc";

const QUIET_MOUNT: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Makes `root` the root. From here on every path is the distribution's own: no link in it leads outside. Returns a `/proc`,
/// attached nowhere yet.
pub(super) fn enter(root: &OwnedFd) -> anyhow::Result<OwnedFd> {
    // In a user namespace a new /proc or /sys is refused unless an old one can be seen, and in the new root is none.
    let proc = mount::new_virtual("proc", &[], QUIET_MOUNT)?;
    let stage = Path::new(STAGE);
    mount::attach(root, stage)?;
    mount::pivot_into(stage)?;
    Ok(proc)
}

/// Mounts what the root gets besides its own files. `/tmp` stays on the disk.
pub(super) fn complete(
    outside: &Outside,
    proc: &OwnedFd,
    spec: &BootSpec,
    private_network: bool,
) -> anyhow::Result<()> {
    for folder in ["/proc", "/sys", "/dev", "/run", "/tmp"] {
        make_folder(Path::new(folder))?;
    }
    mount::attach(proc, Path::new("/proc"))?;
    let sys = Path::new("/sys");
    mount::attach(&outside.sys, sys)?;
    if private_network {
        namespace::unshare(Namespaces::NET)?;
        namespace::set_loopback_up()?;
        let own = mount::new_virtual("sysfs", &[], QUIET_MOUNT | MountAttrFlags::MOUNT_ATTR_RDONLY)?;
        // Detached: the descriptor of the other one holds it.
        mount::unmount(sys, true)?;
        mount::attach(&own, sys)?;
    }
    cgroup::mount(&spec.cgroup)?;
    mount_dev(&outside.dev)?;
    let run = MountFlags::NOSUID | MountFlags::NODEV;
    mount::mount_fs("tmpfs", "tmpfs", Path::new("/run"), run, "mode=0755")?;
    for (folder, mode) in
        [("/run/lock", 0o1777), ("/run/user", 0o755), ("/run/host", 0o755), ("/run/sampan", 0o755)]
    {
        make_folder(Path::new(folder))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the mode of {folder}"))?;
    }
    // What systemd-detect-virt(1) looks at where the environment of PID 1 is closed to it.
    write_fresh(Path::new("/run/host/container-manager"), "sampan\n")?;
    File::create(GUEST).with_context(|| format!("cannot make {GUEST}"))?;
    mount::attach(&outside.program, Path::new(GUEST))?;
    Ok(())
}
