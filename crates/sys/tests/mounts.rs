//! Mounts and loop devices as the kernel makes them, each test in a mount namespace of its own.
#![expect(clippy::disallowed_methods, reason = "tests start mke2fs and write plain files")]

#[path = "support/single.rs"]
mod single;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use sampan_sys::mount::{self, MountEntry, MountFlags, Propagation};
use sampan_sys::namespace::Namespaces;
use sampan_sys::process::{ExitKind, Forked, Signal, fork_plain, reap, wait_exit};
use sampan_sys::{device, fs, loopdev};
use single::{child, in_child, need_root};
use tempfile::TempDir;

fn main() -> ExitCode {
    single::run(&[
        ("image_is_attached_once_and_comes_free", image_is_attached_once_and_comes_free),
        ("foreign_lock_means_in_use", foreign_lock_means_in_use),
        ("partial_attachment_means_in_use", partial_attachment_means_in_use),
        ("killed_holder_leaves_no_device", killed_holder_leaves_no_device),
        ("an_image_can_be_read_through_the_cache", an_image_can_be_read_through_the_cache),
        ("an_image_leaves_the_cache", an_image_leaves_the_cache),
        ("bad_option_is_explained", bad_option_is_explained),
        ("bind_read_only_and_back", bind_read_only_and_back),
        ("detached_slave_follows_and_does_not_lead", detached_slave_follows_and_does_not_lead),
        ("new_root_without_proc", new_root_without_proc),
        ("dev_is_populated", dev_is_populated),
    ])
}

/// A sparse image with an ext4 file system, in a folder that goes with it.
struct Image {
    folder: TempDir,
    path: PathBuf,
}

impl Image {
    fn new() -> Self {
        let folder = TempDir::new().expect("temp folder");
        let path = folder.path().join("ext4.img");
        File::create(&path).and_then(|file| file.set_len(64 << 20)).expect("sparse file");
        let made =
            Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&path).status().expect("mke2fs");
        assert!(made.success());
        Self { folder, path }
    }

    fn mount_point(&self) -> PathBuf {
        let path = self.folder.path().join("mnt");
        std::fs::create_dir_all(&path).expect("mount point");
        path
    }

    fn assert_free(&self) {
        assert!(loopdev::wait_free(&self.path, Duration::from_secs(10)).expect("wait"), "still attached");
        assert_eq!(loopdev::loops_of(&self.path).expect("loops"), []);
    }
}

/// Runs `body` in a mount namespace that follows the host's and tells it nothing.
fn in_mounts(body: impl FnOnce()) {
    in_child(Namespaces::MOUNT, || {
        mount::set_propagation(Path::new("/"), Propagation::Slave, true).expect("slave");
        body();
    });
}

fn at(path: &Path) -> Vec<MountEntry> {
    let table = mount::mountinfo(None).expect("table");
    table.into_iter().filter(|entry| entry.mount_point == path).collect()
}

fn image_is_attached_once_and_comes_free() {
    need_root();
    let image = Image::new();
    let target = image.mount_point();
    in_mounts(|| {
        let device = loopdev::attach(&image.path).expect("attach");
        let index = device.index;
        let options = [("discard", None), ("errors", Some("remount-ro"))];
        let tree = mount::new_ext4(&device.path, &options, false).expect("ext4");
        drop(device);
        mount::attach(&tree, &target).expect("attach mount");
        drop(tree);

        let [entry] = &at(&target)[..] else { panic!("one mount expected") };
        assert_eq!((entry.fstype.as_str(), entry.major, entry.minor), ("ext4", 7, index));
        assert!(entry.super_options.contains("discard"), "{}", entry.super_options);

        // By another name it is the same image.
        let other_name = image.folder.path().join("renamed.img");
        std::fs::hard_link(&image.path, &other_name).expect("link");
        assert_eq!(loopdev::attach(&other_name).expect("attach again").index, index);
        assert_eq!(loopdev::loops_of(&other_name).expect("loops"), [index]);
        assert!(!loopdev::wait_free(&image.path, Duration::from_millis(20)).expect("wait"));

        // Deleted contents give their space back to the image.
        let file = target.join("big");
        std::fs::write(&file, vec![7_u8; 16 << 20]).expect("write");
        File::open(&file).and_then(|file| file.sync_all()).expect("sync");
        let full = fs::allocated_bytes(&image.path).expect("size");
        std::fs::remove_file(&file).expect("remove");
        rustix::fs::syncfs(File::open(&target).expect("open")).expect("sync");
        assert!(fs::fitrim(&target).expect("trim") > 0);
        let empty = fs::allocated_bytes(&image.path).expect("size");
        assert!(full >= 16 << 20 && empty + (8 << 20) < full, "{full} -> {empty}");

        mount::unmount(&target, false).expect("unmount");
        image.assert_free();
        let again = loopdev::attach(&image.path).expect("attach after");
        let tree = mount::new_ext4(&again.path, &[], true).expect("ext4 read-only");
        mount::attach(&tree, &target).expect("attach mount");
        assert_eq!(
            std::fs::write(target.join("x"), "").map_err(|e| e.kind()),
            Err(std::io::ErrorKind::ReadOnlyFilesystem)
        );
    });
    image.assert_free();
    assert!(at(&target).is_empty());
}

fn foreign_lock_means_in_use() {
    need_root();
    let image = Image::new();
    let holder = File::open(&image.path).expect("open");
    rustix::fs::flock(&holder, FlockOperation::LockExclusive).expect("lock");
    let error = loopdev::attach(&image.path).expect_err("locked");
    assert!(matches!(error, loopdev::LoopError::ImageInUse { .. }), "{error:?}");
    assert!(error.to_string().contains("ext4.img"), "{error}");
    image.assert_free();
    drop(holder);
    drop(loopdev::attach(&image.path).expect("attach"));
    image.assert_free();
}

fn partial_attachment_means_in_use() {
    need_root();
    let image = Image::new();
    let made = Command::new("losetup").args(["--find", "--show", "--read-only"]).arg(&image.path).output();
    let device = String::from_utf8(made.expect("losetup").stdout).expect("text");
    let result = loopdev::attach(&image.path);
    let detached = Command::new("losetup").arg("--detach").arg(device.trim()).status();
    assert!(matches!(result, Err(loopdev::LoopError::ImageInUse { .. })), "{result:?}");
    assert!(detached.expect("losetup").success());
    image.assert_free();
}

fn killed_holder_leaves_no_device() {
    need_root();
    let image = Image::new();
    let target = image.mount_point();
    let ended = child(Namespaces::MOUNT, || {
        mount::set_propagation(Path::new("/"), Propagation::Slave, true).expect("slave");
        let device = loopdev::attach(&image.path).expect("attach");
        let tree = mount::new_ext4(&device.path, &[], false).expect("ext4");
        mount::attach(&tree, &target).expect("attach mount");
        assert_eq!(loopdev::loops_of(&image.path).expect("loops"), [device.index]);
        let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    });
    assert_eq!(ended, ExitKind::Signaled(9));
    image.assert_free();
}

fn an_image_can_be_read_through_the_cache() {
    need_root();
    let image = Image::new();
    let mut device = loopdev::attach(&image.path).expect("attach");
    device.read_through_cache(1 << 20).expect("tune");
    let again = loopdev::attach(&image.path).expect("attach again");
    assert!(!again.direct_io, "the device itself says so");
    let sectors = std::fs::read_to_string(format!("/sys/block/loop{}/queue/read_ahead_kb", again.index));
    assert_eq!(sectors.expect("sysfs").trim(), "1024");
    drop((device, again));
    image.assert_free();
}

fn an_image_leaves_the_cache() {
    need_root();
    let image = Image::new();
    loopdev::bypass_cache(&image.path).expect("attached nowhere");
    let can_bypass = loopdev::attach(&image.path).expect("attach").direct_io;
    image.assert_free();
    let device = loopdev::attach_cached(&image.path).expect("attach");
    assert!(!device.direct_io);
    let tree = mount::new_ext4(&device.path, &[], false).expect("ext4");
    loopdev::bypass_cache(&image.path).expect("in use");
    let again = loopdev::attach_cached(&image.path).expect("attach again");
    assert_eq!((again.index, again.direct_io), (device.index, can_bypass));
    drop((tree, device, again));
    image.assert_free();
}

fn bad_option_is_explained() {
    need_root();
    let image = Image::new();
    let device = loopdev::attach(&image.path).expect("attach");
    let error = mount::new_ext4(&device.path, &[("no_such_option", Some("1"))], false).expect_err("option");
    assert_eq!(error.errno(), Errno::INVAL);
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot mount ext4 from {}", device.path.display())), "{text}");
    assert!(text.contains("no_such_option"), "{text}");
    drop(device);
    image.assert_free();
}

fn bind_read_only_and_back() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    in_mounts(|| {
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir(&from).expect("from");
        std::fs::create_dir(&to).expect("to");
        mount::mount_tmpfs(&from, "mode=700,size=1m").expect("tmpfs");
        mount::bind(&from, &to, true).expect("bind");
        mount::remount_bind_ro(&to).expect("read-only");
        assert!(std::fs::write(to.join("x"), "").is_err());
        std::fs::write(from.join("x"), "").expect("the origin stays writable");
        assert!(at(&to)[0].options.contains("nosuid"), "other flags stay: {}", at(&to)[0].options);
        mount::remount_bind_rw(&to).expect("writable");
        std::fs::write(to.join("y"), "").expect("writable again");
        assert_eq!(mount::unmount(&to.join("x"), false).expect_err("no mount").errno(), Errno::INVAL);
        mount::unmount(&to, true).expect("detach");
        let error = mount::mount_fs("no_such_fs", "x", &to, MountFlags::empty(), "").expect_err("type");
        assert_eq!(error.to_string(), format!("cannot mount no_such_fs on {}", to.display()));
    });
}

fn detached_slave_follows_and_does_not_lead() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    in_mounts(|| {
        let [origin, copy] = ["origin", "copy"].map(|name| folder.path().join(name));
        std::fs::create_dir(&origin).expect("origin");
        std::fs::create_dir(&copy).expect("copy");
        mount::mount_tmpfs(&origin, "").expect("tmpfs");
        mount::set_propagation(&origin, Propagation::Shared, false).expect("shared");
        std::fs::create_dir(origin.join("a")).expect("a");
        std::fs::create_dir(origin.join("b")).expect("b");
        let tree = mount::open_tree(&origin, true).expect("copy");
        mount::set_tree_propagation(&tree, Propagation::Slave, true).expect("slave");
        mount::attach(&tree, &copy).expect("attach");
        assert_eq!(at(&copy)[0].master, at(&origin)[0].shared);
        mount::mount_tmpfs(&origin.join("a"), "").expect("below the origin");
        mount::mount_tmpfs(&copy.join("b"), "").expect("below the copy");
        assert_eq!((at(&copy.join("a")).len(), at(&origin.join("b")).len()), (1, 0));
        mount::unmount(&copy, true).expect("detach");
        assert_eq!(at(&origin.join("a")).len(), 1);
    });
}

fn new_root_without_proc() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    in_mounts(|| {
        let root = folder.path();
        let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, rustix::fs::Mode::empty())
            .expect("proc");
        mount::mount_tmpfs(root, "").expect("tmpfs");
        mount::set_propagation(root, Propagation::Private, false).expect("private");
        std::fs::write(root.join("mark"), "").expect("mark");
        mount::pivot_into(root).expect("pivot");
        let names: Vec<_> =
            std::fs::read_dir("/").expect("root").map(|e| e.expect("entry").file_name()).collect();
        assert_eq!(names, ["mark"]);
        assert!(mount::mountinfo(None).is_err());
        let table = mount::mountinfo_at(&proc, std::process::id().cast_signed()).expect("table");
        assert_eq!(table.len(), 1);
        // Cloning does not need /proc.
        let Forked::Parent { pidfd, .. } = fork_plain().expect("fork") else {
            sampan_sys::process::exit_now(0)
        };
        wait_exit(&pidfd, None).expect("wait");
        assert_eq!(reap().len(), 1);
    });
    assert!(folder.path().join("mark").symlink_metadata().is_err());
}

fn dev_is_populated() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    in_mounts(|| {
        let dev = folder.path();
        let more = [
            device::Node { name: "net/tun", mode: 0o600, major: 10, minor: 200 },
            device::Node { name: "net/other", mode: 0o666, major: 10, minor: 229 },
        ];
        let tree = device::new_dev(&more, 70_000).expect("dev");
        mount::attach(&tree, dev).expect("attach");
        std::fs::write(dev.join("null"), "x").expect("null swallows");
        for (name, mode) in
            [("tty", 0o666), ("net/tun", 0o600), ("net/other", 0o666), ("net", 0o755), ("", 0o755)]
        {
            let found = dev.join(name).metadata().expect(name);
            assert_eq!((found.mode() & 0o777, found.uid(), found.gid()), (mode, 70_000, 70_000), "{name}");
        }
        assert_eq!(std::fs::read_link(dev.join("ptmx")).expect("link"), Path::new("pts/ptmx"));
        assert_eq!(dev.join("fd").symlink_metadata().expect("link").uid(), 70_000);
        assert!(dev.join("shm").is_dir());
    });
}
