//! What keeps a process from the host, each test in a child that is confined for ever.
#![expect(clippy::disallowed_methods, reason = "tests write plain files and control files of a cgroup")]

#[path = "support/single.rs"]
mod single;

use std::fs::File;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, ClockId, Timespec};
use sampan_sys::capability;
use sampan_sys::device::{self, DeviceRule};
use sampan_sys::mount::{self, MountAttrFlags, Propagation};
use sampan_sys::namespace::{self, IdMap, Namespaces};
use sampan_sys::process::ExitKind;
use sampan_sys::seccomp;
use single::{child, in_child, need_root, skip};
use tempfile::TempDir;

fn main() -> ExitCode {
    single::run(&[
        ("ids_of_a_shifted_tree", ids_of_a_shifted_tree),
        ("an_unmapped_owner_is_nobody", an_unmapped_owner_is_nobody),
        ("a_process_lives_in_its_user_namespace", a_process_lives_in_its_user_namespace),
        ("attributes_of_a_tree", attributes_of_a_tree),
        ("lost_capabilities_never_come_back", lost_capabilities_never_come_back),
        ("calls_of_the_host_are_refused", calls_of_the_host_are_refused),
        ("only_listed_devices_open", only_listed_devices_open),
    ])
}

const SHIFT: IdMap = IdMap { inside: 0, outside: 100_000, count: 65_536 };

/// Runs `body` in a mount namespace that follows the host's and tells it nothing.
fn in_mounts(body: impl FnOnce()) {
    in_child(Namespaces::MOUNT, || {
        mount::set_propagation(Path::new("/"), Propagation::Slave, true).expect("slave");
        body();
    });
}

/// A folder with a file of root and one of the user 1000, and where it is mounted with shifted ids.
fn shifted(folder: &Path, maps: &[IdMap]) -> PathBuf {
    let [from, to] = ["from", "to"].map(|name| folder.join(name));
    for path in [&from, &to] {
        std::fs::create_dir(path).expect("folder");
    }
    for (name, id) in [("root", 0), ("user", 1000)] {
        std::fs::write(from.join(name), "").expect("file");
        std::os::unix::fs::chown(from.join(name), Some(id), Some(id)).expect("chown");
    }
    let tree = mount::open_tree(&from, false).expect("tree");
    mount::set_tree_propagation(&tree, Propagation::Private, false).expect("private");
    let namespace = namespace::user_namespace(maps).expect("user namespace");
    mount::idmap_tree(&tree, &namespace, false).expect("shift");
    let again = mount::idmap_tree(&tree, &namespace, false).expect_err("shifted twice");
    assert_eq!(again.errno(), Errno::PERM);
    mount::attach(&tree, &to).expect("attach");
    to
}

fn ids_of_a_shifted_tree() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    in_mounts(|| {
        assert!(!mount::is_mount_point(&folder.path().join("to")).expect("not there"));
        let to = shifted(folder.path(), &[SHIFT]);
        assert!(mount::is_mount_point(&to).expect("mounted"));
        assert!(!mount::is_mount_point(&to.join("root")).expect("a file on it"));
        let ids = |name: &str| to.join(name).metadata().map(|file| (file.uid(), file.gid())).expect(name);
        assert_eq!((ids("root"), ids("user")), ((100_000, 100_000), (101_000, 101_000)));
        // The host's root has no id there.
        let refused = File::create(to.join("new")).expect_err("unmapped");
        assert_eq!(refused.raw_os_error(), Some(Errno::OVERFLOW.raw_os_error()));
        std::os::unix::fs::chown(to.join("user"), Some(100_000), None).expect("chown");
        assert_eq!(folder.path().join("from/user").metadata().expect("file").uid(), 0);
    });
}

fn an_unmapped_owner_is_nobody() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    in_mounts(|| {
        let to = shifted(folder.path(), &[IdMap { inside: 1000, outside: 101_000, count: 59_000 }]);
        let uid = |name: &str| to.join(name).metadata().expect(name).uid();
        assert_eq!((uid("root"), uid("user")), (65_534, 101_000));
    });
}

fn a_process_lives_in_its_user_namespace() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    std::os::unix::fs::chown(folder.path(), Some(100_000), Some(100_000)).expect("chown");
    let file = folder.path().join("file");
    let (wait, go) = rustix::pipe::pipe().expect("pipe");
    match sampan_sys::process::clone_into(Namespaces::USER | Namespaces::MOUNT).expect("clone") {
        sampan_sys::process::Forked::Child => {
            drop(go);
            let _ = rustix::io::read(&wait, &mut [0; 1]);
            let root = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
            let became = rustix::thread::set_thread_res_gid(root.1, root.1, root.1)
                .and_then(|()| rustix::thread::set_thread_res_uid(root.0, root.0, root.0));
            let good = became.is_ok()
                && File::create(&file).is_ok()
                && file.metadata().is_ok_and(|made| made.uid() == 0)
                && mount::mount_tmpfs(folder.path(), "").is_ok();
            sampan_sys::process::exit_now(i32::from(!good))
        }
        sampan_sys::process::Forked::Parent { pid, pidfd } => {
            namespace::set_id_maps(pid, &[SHIFT]).expect("maps");
            drop((go, wait));
            sampan_sys::process::wait_exit(&pidfd, None).expect("wait");
            let ended = sampan_sys::process::reap();
            assert!(ended.contains(&(pid, ExitKind::Exited(0))), "{ended:?}");
        }
    }
    assert_eq!(folder.path().join("file").metadata().expect("file").uid(), 100_000);
    let twice = namespace::set_id_maps(std::process::id().cast_signed(), &[SHIFT]).expect_err("has its ids");
    assert_eq!(twice.errno(), Errno::PERM);
}

fn attributes_of_a_tree() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    in_mounts(|| {
        let tree = mount::new_virtual("tmpfs", &[("mode", Some("0711"))], MountAttrFlags::MOUNT_ATTR_NODEV);
        let tree = tree.expect("tmpfs");
        let more = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
        mount::set_tree_attributes(&tree, more | MountAttrFlags::MOUNT_ATTR_NOEXEC, true)
            .expect("attributes");
        mount::clear_tree_attributes(&tree, MountAttrFlags::MOUNT_ATTR_NOEXEC, true).expect("attributes");
        mount::attach(&tree, folder.path()).expect("attach");
        let table = mount::mountinfo(None).expect("table");
        let entry = table.iter().find(|entry| entry.mount_point == folder.path()).expect("mounted");
        for option in ["ro", "nosuid", "nodev"] {
            assert!(entry.options.split(',').any(|found| found == option), "{option}: {}", entry.options);
        }
        assert!(!entry.options.contains("noexec"), "{}", entry.options);
        assert_eq!(folder.path().metadata().expect("folder").mode() & 0o777, 0o711);
        let error = mount::new_virtual("tmpfs", &[("nonsense", None)], more).expect_err("option");
        assert!(error.to_string().contains("nonsense"), "{error}");
    });
}

fn lost_capabilities_never_come_back() {
    need_root();
    in_child(Namespaces::NONE, || {
        let mut own = rustix::thread::capabilities(None).expect("capabilities");
        own.inheritable = CapabilitySet::SYS_TIME | CapabilitySet::CHOWN;
        rustix::thread::set_capabilities(None, own).expect("inheritable");
        let kept = CapabilitySet::CHOWN | CapabilitySet::KILL | CapabilitySet::SETPCAP;
        capability::limit_to(kept).expect("limit");
        // Of an executed program: one that has inherited some would show them here.
        let shown = std::process::Command::new("/bin/cat").arg("/proc/self/status").output().expect("cat");
        let shown = String::from_utf8(shown.stdout).expect("text");
        let set = |name: &str| {
            let line = shown.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            CapabilitySet::from_bits_retain(u64::from_str_radix(line.trim(), 16).expect("hexadecimal"))
        };
        for name in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(set(name), kept, "{name}");
        }
        assert_eq!((set("CapInh:"), set("CapAmb:")), (CapabilitySet::empty(), CapabilitySet::empty()));
    });
}

fn calls_of_the_host_are_refused() {
    need_root();
    let settime = || {
        // Invalid on purpose: nothing happens to the clock where the call is let through.
        let never = Timespec { tv_sec: -1, tv_nsec: -1 };
        rustix::time::clock_settime(ClockId::Realtime, never)
    };
    in_child(Namespaces::NONE, || {
        assert_eq!(settime(), Err(Errno::INVAL), "before");
        seccomp::refuse_host_calls().expect("filter");
        assert_eq!(settime(), Err(Errno::PERM), "after");
        let status = std::fs::read_to_string("/proc/self/status").expect("status");
        assert!(status.contains("\nSeccomp:\t2\n") && status.contains("\nNoNewPrivs:\t0\n"), "{status}");
        // Inherited, and ordinary programs do not notice.
        let child = std::process::Command::new("/bin/sh").args(["-c", "date -s @1 2>&1; echo $?"]).output();
        let said = String::from_utf8(child.expect("sh").stdout).expect("text");
        assert!(said.contains("not permitted") && said.trim_end().ends_with('1'), "{said}");
    });
    assert_eq!(child(Namespaces::NONE, || assert_eq!(settime(), Err(Errno::INVAL))), ExitKind::Exited(0));
}

fn only_listed_devices_open() {
    need_root();
    let table = mount::mountinfo(None).expect("table");
    let Some(unified) = table.iter().find(|entry| entry.fstype == "cgroup2") else {
        skip("needs a unified cgroup hierarchy, mounted anywhere");
    };
    let folder = TempDir::new().expect("temp folder");
    let cgroup = unified.mount_point.join(format!("sampan-devices-{}", std::process::id()));
    std::fs::create_dir(&cgroup).expect("cgroup");
    let rule = |block, major, minor| DeviceRule { block, major, minor };
    let allowed = [rule(false, 1, Some(3)), rule(false, 5, None)];
    device::limit_devices(&cgroup, &allowed).expect("rules");
    device::limit_devices(&cgroup, &[]).expect("a second time, which changes nothing");
    let ended = child(Namespaces::MOUNT, || {
        mount::set_propagation(Path::new("/"), Propagation::Slave, true).expect("slave");
        mount::attach(device::new_dev(&[], 0).expect("dev"), folder.path()).expect("attach");
        std::fs::write(cgroup.join("cgroup.procs"), std::process::id().to_string()).expect("join");
        let open = |name: &str| File::open(folder.path().join(name)).map(drop).map_err(|error| error.kind());
        assert_eq!(open("null"), Ok(()));
        // Others take the place of the first ones.
        device::replace_device_limits(&cgroup, &[rule(true, 7, None)]).expect("replaced");
        assert_eq!(open("null"), Err(std::io::ErrorKind::PermissionDenied));
        let node = folder.path().join("loop");
        let block = rustix::fs::FileType::BlockDevice;
        rustix::fs::mknodat(rustix::fs::CWD, &node, block, 0o600.into(), 0x0700).expect("mknod");
        assert_ne!(open("loop"), Err(std::io::ErrorKind::PermissionDenied));
        device::replace_device_limits(&cgroup, &allowed).expect("and back");
        assert_eq!(open("null"), Ok(()));
        for name in ["zero", "urandom"] {
            assert_eq!(open(name), Err(std::io::ErrorKind::PermissionDenied), "{name}");
        }
        // Nodes may be made all the same.
        let node = folder.path().join("disk");
        rustix::fs::mknodat(rustix::fs::CWD, &node, rustix::fs::FileType::BlockDevice, 0o600.into(), 0x0700)
            .expect("mknod");
        assert_eq!(open("disk"), Err(std::io::ErrorKind::PermissionDenied));
        symlink("null", folder.path().join("link")).expect("link");
        assert_eq!(open("link"), Ok(()));
    });
    std::fs::remove_dir(&cgroup).expect("the cgroup is empty");
    assert_eq!(ended, ExitKind::Exited(0));
}
