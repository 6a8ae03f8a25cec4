//! `sampan check`: every prerequisite, what it is for, and the command that mends it.

use std::fs;
use std::path::Path;

use sampan_model::check::{Check, Outcome};
use sampan_model::instance::Instance;
use sampan_model::size;
use sampan_sys::mount;
use sampan_sys::namespace::{IdMap, user_namespace};

use crate::cgroup::Host;
use crate::group;
use crate::tools::find;

/// The oldest kernel that has all calls Sampan makes (`mount_setattr` on detached trees of ext4, with idmaps).
const KERNEL: (u32, u32) = (5, 15);

/// Below this the engine image can't be built; below four times this there is little left for images.
const DISK_BYTES: u64 = 2 << 30;

/// Below this containers have little room.
const MEMORY_BYTES: u64 = 2 << 30;

/// Tests everything.
pub(crate) fn all(instance: &Instance) -> Vec<Check> {
    let mut checks = vec![root(), kernel(), namespaces(), cgroups()];
    checks.extend(filesystems());
    checks.push(loop_devices());
    checks.extend(ids(instance));
    checks.push(discard(instance));
    checks.extend(programs());
    checks.push(disk(instance));
    checks.push(memory());
    checks.push(users());
    checks
}

fn check(name: &str, purpose: &str, outcome: Outcome, found: impl Into<String>, remedy: &str) -> Check {
    let remedy = (outcome != Outcome::Pass).then(|| remedy.to_owned());
    Check { name: name.to_owned(), purpose: purpose.to_owned(), outcome, found: found.into(), remedy }
}

fn pass_or(outcome: Outcome, pass: bool) -> Outcome {
    if pass { Outcome::Pass } else { outcome }
}

fn root() -> Check {
    let root = rustix::process::geteuid().is_root();
    check(
        "root",
        "mounting, namespaces and cgroups",
        pass_or(Outcome::Fail, root),
        if root { "yes" } else { "no" },
        "run it with sudo",
    )
}

fn kernel() -> Check {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let new_enough = parse_kernel(&release).is_some_and(|version| version >= KERNEL);
    check(
        "kernel",
        "mount calls that Linux has since 5.15",
        pass_or(Outcome::Fail, new_enough),
        release,
        "install a newer kernel, e.g. from the backports of your distribution",
    )
}

fn parse_kernel(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn namespaces() -> Check {
    let missing: Vec<&str> = ["mnt", "pid", "uts", "ipc", "net", "cgroup"]
        .into_iter()
        .filter(|kind| !Path::new("/proc/self/ns").join(kind).exists())
        .collect();
    let found = if missing.is_empty() { "all".to_owned() } else { format!("no {}", missing.join(", ")) };
    check(
        "namespaces",
        "keeping distributions apart from the host",
        pass_or(Outcome::Fail, missing.is_empty()),
        found,
        "use a kernel built with CONFIG_NAMESPACES and all of its kinds",
    )
}

fn cgroups() -> Check {
    let (outcome, found) = match Host::detect() {
        Ok(Host::V1(hierarchies)) => {
            let has =
                |name: &str| hierarchies.iter().any(|(options, _)| options.split(',').any(|o| o == name));
            let missing: Vec<&str> =
                ["memory", "cpu", "pids", "devices"].into_iter().filter(|name| !has(name)).collect();
            if missing.is_empty() {
                (Outcome::Pass, "version 1".to_owned())
            } else {
                (Outcome::Warn, format!("version 1 without {}", missing.join(", ")))
            }
        }
        Ok(Host::V2(_)) => (Outcome::Pass, "version 2".to_owned()),
        Err(error) => (Outcome::Fail, error.to_string()),
    };
    check(
        "cgroups",
        "limits of containers, and ending everything of a distribution",
        outcome,
        found,
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    )
}

fn filesystems() -> Vec<Check> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has = |name: &str| known.lines().any(|line| line.split_whitespace().last() == Some(name));
    let module = |name: &str| {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let listed = fs::read_to_string(format!("/lib/modules/{release}/modules.dep")).unwrap_or_default();
        listed
            .lines()
            .any(|line| line.split(':').next().is_some_and(|path| path.contains(&format!("/{name}.ko"))))
    };
    [("overlay", "overlayfs", "layers of images"), ("ext4", "ext4", "disks of distributions")]
        .map(|(kernel_name, name, purpose)| {
            let (outcome, found) = if has(kernel_name) {
                (Outcome::Pass, "yes")
            } else if module(kernel_name) {
                (Outcome::Pass, "as a module, loaded when needed")
            } else {
                (Outcome::Fail, "no")
            };
            check(name, purpose, outcome, found, &format!("modprobe {kernel_name}"))
        })
        .into()
}

fn loop_devices() -> Check {
    let control = fs::File::options().read(true).write(true).open("/dev/loop-control");
    check(
        "loop devices",
        "mounting disks of distributions",
        pass_or(Outcome::Fail, control.is_ok()),
        control.map_or_else(|error| format!("no /dev/loop-control: {error}"), |_| "yes".to_owned()),
        "modprobe loop; in a container, give it /dev/loop-control and the devices",
    )
}

/// What gives users' distributions ids of their own. The engine has none and works without.
fn ids(instance: &Instance) -> [Check; 2] {
    /// Any range will do for a test; nothing is written with it.
    const MAP: IdMap = IdMap { inside: 0, outside: 1 << 20, count: 1 << 16 };
    let namespace = user_namespace(&[MAP]);
    let folder = existing(instance.state());
    let shifted = match &namespace {
        Ok(namespace) => mount::open_tree(folder, false)
            .and_then(|tree| mount::idmap_tree(tree, namespace, false))
            .map_err(|error| format!("no, on {}: {}", folder.display(), error.errno())),
        Err(_) => Err("not tested".to_owned()),
    };
    let user = check(
        "user namespaces",
        "keeping root of a distribution from being root of the host",
        pass_or(Outcome::Warn, namespace.is_ok()),
        namespace.map_or_else(|error| format!("no: {}", error.errno()), |_| "yes".to_owned()),
        "sysctl -w user.max_user_namespaces=15000; or use a kernel built with CONFIG_USER_NS",
    );
    let idmapped = check(
        "idmapped mounts",
        "distributions of version 1, and folders of the host in distributions",
        pass_or(Outcome::Warn, shifted.is_ok()),
        shifted.map_or_else(|why| why, |()| format!("yes, on {}", folder.display())),
        "put the state folder on ext4, xfs or btrfs (SAMPAN_STATE_DIR)",
    );
    [user, idmapped]
}

/// Whether deleted bytes come back: the state folder's file system must be able to punch holes.
fn discard(instance: &Instance) -> Check {
    let purpose = "giving deleted bytes back to the host";
    let remedy = "put the state folder on ext4, xfs, btrfs or tmpfs (SAMPAN_STATE_DIR)";
    let folder = existing(instance.state());
    let (outcome, found) = match sampan_sys::fs::punch_hole_supported(folder) {
        Ok(true) => (Outcome::Pass, format!("yes, on {}", folder.display())),
        Ok(false) => (Outcome::Warn, format!("no, on {}", folder.display())),
        Err(error) => (Outcome::Warn, error.to_string()),
    };
    check("discard", purpose, outcome, found, remedy)
}

fn programs() -> Vec<Check> {
    let rows: [(&str, &str, &str, Outcome); 15] = [
        ("mke2fs", "making disks", "e2fsprogs", Outcome::Fail),
        ("e2fsck", "repairing disks of distributions", "e2fsprogs", Outcome::Warn),
        ("resize2fs", "changing the size of disks", "e2fsprogs", Outcome::Warn),
        (
            "mmdebstrap",
            "building the engine image (or start with --engine-image)",
            "mmdebstrap debian-archive-keyring",
            Outcome::Warn,
        ),
        ("tar", "unpacking the engine image; import and export", "tar", Outcome::Fail),
        ("zstd", "unpacking the engine image", "zstd", Outcome::Fail),
        ("gzip", "archives that are compressed so", "gzip", Outcome::Warn),
        ("xz", "archives that are compressed so", "xz-utils", Outcome::Warn),
        ("bzip2", "archives that are compressed so", "bzip2", Outcome::Warn),
        ("qemu-img", "VHD and VHDX disks (optional)", "qemu-utils", Outcome::Warn),
        ("nft", "the network of distributions", "nftables", Outcome::Fail),
        ("ip", "the network of distributions", "iproute2", Outcome::Fail),
        ("nsenter", "the network of distributions", "util-linux", Outcome::Fail),
        ("gpgv", "checking Debian's signatures", "gpgv", Outcome::Warn),
        ("curl", "installing distributions from a list", "curl", Outcome::Warn),
    ];
    rows.map(|(program, purpose, packages, missing)| {
        let (outcome, found) = match find(program) {
            Some(path) => (Outcome::Pass, path.display().to_string()),
            None => (missing, "not installed".to_owned()),
        };
        check(
            program,
            purpose,
            outcome,
            found,
            &format!("apt-get install --no-install-recommends {packages}"),
        )
    })
    .into()
}

fn disk(instance: &Instance) -> Check {
    let folder = existing(instance.state());
    let free = sampan_sys::fs::free_space(folder).unwrap_or(0);
    let outcome = match free {
        0..DISK_BYTES => Outcome::Fail,
        _ if free < 4 * DISK_BYTES => Outcome::Warn,
        _ => Outcome::Pass,
    };
    let found = format!("{} free at {}", size::human(free), folder.display());
    check(
        "disk space",
        "images, containers and volumes",
        outcome,
        found,
        "free some space, or move the state folder (SAMPAN_STATE_DIR)",
    )
}

fn memory() -> Check {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |key: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
    };
    let total = kib("MemTotal:").unwrap_or(0) * 1024;
    let available = kib("MemAvailable:").unwrap_or(0) * 1024;
    check(
        "memory",
        "the engine and containers",
        pass_or(Outcome::Warn, total >= MEMORY_BYTES),
        format!("{} available of {}", size::human(available), size::human(total)),
        "close programs, or use a machine with at least 2 GiB",
    )
}

fn users() -> Check {
    let gid = group::gid_of(group::GROUP);
    check(
        "group",
        "using Sampan without being root (its members are as powerful as root)",
        pass_or(Outcome::Warn, gid.is_some()),
        gid.map_or_else(
            || format!("there is no group {}", group::GROUP),
            |gid| format!("{} ({gid})", group::GROUP),
        ),
        &format!("groupadd --system {0} && usermod -aG {0} USER", group::GROUP),
    )
}

/// The folder, or the nearest one above it that exists.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        assert_eq!(parse_kernel("6.18.44-fc"), Some((6, 18)));
        assert_eq!(parse_kernel("5.4.0-100-generic"), Some((5, 4)));
        assert!(parse_kernel("5.4.0").unwrap() < KERNEL && parse_kernel("5.15.1").unwrap() >= KERNEL);
        assert_eq!(parse_kernel("strange"), None);
    }

    #[test]
    fn what_is_not_all_right_says_what_mends_it() {
        let instance = Instance::new("t", Path::new("/nowhere"), Path::new("/nowhere")).unwrap();
        for row in all(&instance) {
            assert_eq!(row.remedy.is_none(), row.outcome == Outcome::Pass, "{row:?}");
            assert!(!row.purpose.is_empty() && !row.found.is_empty(), "{row:?}");
        }
    }
}
