//! What keeps a distribution from its host besides the user namespace, and in place of it where there is none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use rustix::mount::MountFlags;
use sampan_sys::capability::{self, CapabilitySet};
use sampan_sys::mount;
use sampan_sys::seccomp;

use crate::filesystems::{QUIET, make_folder, protect_proc_sys};

/// The host's own, to be looked at.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq"];

/// The host's own, and nobody's business. What a kernel does not have is left out.
const HIDDEN: &[&str] = &[
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/sys/firmware",
];

/// The capabilities of systemd-nspawn (systemd-nspawn(1), `--capability=`).
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::LINUX_IMMUTABLE)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_BROADCAST)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::IPC_OWNER)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_BOOT)
    .union(CapabilitySet::SYS_NICE)
    .union(CapabilitySet::SYS_RESOURCE)
    .union(CapabilitySet::SYS_TTY_CONFIG)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::LEASE)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::AUDIT_CONTROL)
    .union(CapabilitySet::SETFCAP);

/// Copies of `/proc` and `/sys` without covers, for the kernel alone: unless it finds such a one, it refuses every new one in
/// a user namespace made inside, as rootless containers and sandboxes have (`mount_too_revealing` in fs/namespace.c).
const UNCOVERED: &str = "/run/sampan/uncovered";

/// Covers files of the host in `/proc` and `/sys`. Without a user namespace root can take the covers off again: they are
/// there against mistakes, not against malice.
pub(super) fn hide_host_files(own_network: bool) -> anyhow::Result<()> {
    make_folder(Path::new(UNCOVERED))?;
    fs::set_permissions(UNCOVERED, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("cannot set the mode of {UNCOVERED}"))?;
    for name in ["proc", "sys"] {
        let copy = mount::open_tree(&Path::new("/").join(name), false)?;
        let at = Path::new(UNCOVERED).join(name);
        make_folder(&at)?;
        mount::attach(&copy, &at)?;
        // A read-only one would do for read-only ones alone. It has to stay so where the machine's own file system is.
        let _ = mount::remount_bind_rw(&at);
    }
    protect_proc_sys(own_network)?;
    for path in READ_ONLY.iter().map(Path::new).filter(|path| path.exists()) {
        mount::bind(path, path, false)?;
        mount::remount_bind_ro(path)?;
    }
    for path in HIDDEN.iter().map(Path::new) {
        match path.metadata() {
            Ok(found) if found.is_dir() => {
                mount::mount_fs("tmpfs", "tmpfs", path, QUIET | MountFlags::RDONLY, "mode=0755,size=0")?;
            }
            Ok(_) => mount::bind(Path::new("/dev/null"), path, false)?,
            Err(_) => {}
        }
    }
    Ok(())
}

/// Gives up capabilities and system calls that concern the host, for ever. `no_new_privs` stays off: sudo has to work.
pub(super) fn give_up_rights(own_network: bool) -> anyhow::Result<()> {
    // In the network of all distributions, or of the host, it would change everybody's.
    let network = if own_network { CapabilitySet::NET_ADMIN } else { CapabilitySet::empty() };
    capability::limit_to(CAPABILITIES | network)?;
    seccomp::refuse_host_calls()?;
    Ok(())
}
